"""Service Requests (SRs): numbers, accounts and statuses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event, EventType, about_request
from gateway.domain.records import Request
from gateway.store import rows
from gateway.store.accounts import Taken
from gateway.store.here import prepared
from gateway.store.tables import requests

_BY_NUMBERS = prepared(select(requests).where(requests.c.number.in_(bindparam("numbers", expanding=True))))
_BY_NUMBER = prepared(select(requests).where(requests.c.number == bindparam("number")))


async def by_number(connection: AsyncConnection, number: str) -> Request | None:
    row = (await connection.execute(_BY_NUMBER, {"number": number})).mappings().first()
    return None if row is None else rows.request(row)


async def by_numbers(connection: AsyncConnection, numbers: Iterable[str]) -> dict[str, Request]:
    found = await connection.execute(_BY_NUMBERS, {"numbers": list(numbers)})
    return {row["number"]: rows.request(row) for row in found.mappings()}


async def everything(connection: AsyncConnection, account_id: str | None = None) -> list[Request]:
    """All SRs, or an account's, by number."""
    query = select(requests).order_by(requests.c.number)
    if account_id is not None:
        query = query.where(requests.c.account_id == account_id)
    return [rows.request(row) for row in (await connection.execute(query)).mappings()]


async def add(tx: AsyncConnection, new: Request) -> None:
    """Add an SR. Raises Taken when the number exists."""
    if await by_number(tx, new.number) is not None:
        raise Taken(f"SR {new.number} exists already")
    await tx.execute(requests.insert().values(**{name: getattr(new, name) for name in Request.__dataclass_fields__}))


async def set_status(
    tx: AsyncConnection, number: str, status: str, substatus: str | None, at: datetime, *, closed: bool
) -> None:
    """Set an SR's status; *closed* tells whether it is one of the closed ones."""
    await change(tx, number, status=status, substatus=substatus, status_changed_at=at, closed_at=at if closed else None)


async def change(tx: AsyncConnection, number: str, **values: Any) -> None:
    """Set columns of one SR."""
    await tx.execute(update(requests).where(requests.c.number == number).values(**values))


_RESPONDED = prepared(
    update(requests).where(requests.c.number == bindparam("one")).values(customer_responded_at=bindparam("at"))
)


async def responded(tx: AsyncConnection, number: str, at: datetime) -> None:
    """Note when an SR's customer last answered."""
    await tx.execute(_RESPONDED, {"one": number, "at": at})


WAITING = ("Awaiting Information", "Solution Proposed")
"""Statuses in which a word from the customer stops the follow-up clock (PROGRAM.md, "SR statuses")."""


async def note_response(tx: AsyncConnection, sr: Request, at: datetime, **facts: Any) -> list[Event]:
    """Note that the customer answered; the event that says so where the SR waited for it, else none."""
    await responded(tx, sr.number, at)
    if sr.status not in WAITING:
        return []
    return [about_request(EventType.CUSTOMER_RESPONDED, sr.number, at, status=sr.status, **facts)]
