"""Mails that are held for a person: listed, released into an SR, or discarded. Each is decided about once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import mail_bytes, mails, quarantine

HELD, RELEASED, DISCARDED = "held", "released", "discarded"


@dataclass(frozen=True, slots=True)
class Held:
    """A mail in quarantine: its row of the ledger, and what became of it since."""

    id: str
    state: str
    decided_at: datetime | None
    decided_by: str | None
    received_at: datetime
    sender: str | None
    """Who wrote it, as its From says; None where that is not one mailbox."""
    envelope_from: str
    """Where a bounce would go; empty for a bounce."""
    subject: str | None
    sr: str | None
    reason: str | None
    size: int
    sha256: str | None
    kept: str
    marks: list[str]


_COLUMNS: tuple[Any, ...] = (
    quarantine.c.mail_id,
    quarantine.c.state,
    quarantine.c.decided_at,
    quarantine.c.decided_by,
    mails.c.received_at,
    mails.c.sender,
    mails.c.envelope_from,
    mails.c.subject,
    mails.c.sr,
    mails.c.reason,
    mails.c.size,
    mails.c.sha256,
    mails.c.kept,
    mails.c.marks,
)


async def everything(connection: AsyncConnection, state: str | None = HELD) -> list[Held]:
    """What is in quarantine in this *state* (in any when None), the oldest first."""
    query = select(*_COLUMNS).join(mails, mails.c.id == quarantine.c.mail_id).order_by(quarantine.c.mail_id)
    if state is not None:
        query = query.where(quarantine.c.state == state)
    return [Held(*row) for row in await connection.execute(query)]


async def count(connection: AsyncConnection, reason: str) -> int:
    """How many mails are held for one *reason*, a row of the policy."""
    query = select(func.count()).select_from(quarantine).join(mails, mails.c.id == quarantine.c.mail_id)
    return (await connection.execute(query.where(quarantine.c.state == HELD, mails.c.reason == reason))).scalar_one()


async def by_id(connection: AsyncConnection, mail_id: str) -> Held | None:
    """One mail in quarantine."""
    query = select(*_COLUMNS).join(mails, mails.c.id == quarantine.c.mail_id).where(quarantine.c.mail_id == mail_id)
    row = (await connection.execute(query)).first()
    return None if row is None else Held(*row)


async def decide(tx: AsyncConnection, mail_id: str, state: str, at: datetime, by: str) -> None:
    """Record what a person decided about a held mail."""
    await tx.execute(
        update(quarantine)
        .where(quarantine.c.mail_id == mail_id, quarantine.c.state == HELD)
        .values(state=state, decided_at=at, decided_by=by)
    )


async def forget_bytes(tx: AsyncConnection, mail_id: str) -> None:
    """Take the bytes of a discarded mail away; its row in the ledger stays."""
    await tx.execute(delete(mail_bytes).where(mail_bytes.c.mail_id == mail_id))
    await tx.execute(update(mails).where(mails.c.id == mail_id).values(kept="none"))
