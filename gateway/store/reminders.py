"""What Designated Contacts were told of resets, before and after: so that each is told each thing once.

Rules: that an account's stage is done, the mails about it and the event are one transaction. A mail carries a unique
key (a contact, a date, a stage): whoever comes second, on another host or after a crash, finds it there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event
from gateway.store import outbox
from gateway.store.outbox import Mail
from gateway.store.tables import accounts, reminders, resets

_REMIND = reminders.insert()
_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Stage:
    """An account's reminder, so many days before it is due."""

    account_id: str
    due_at: datetime
    days: int


@dataclass(frozen=True, slots=True)
class Reminding:
    """Stages to be marked done, with the mails and the events that say so."""

    at: datetime
    stages: tuple[Stage, ...]
    mails: tuple[Mail, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Noticing:
    """Resets, as (account id, due date), that the contacts have heard of with these mails."""

    at: datetime
    resets: tuple[tuple[str, datetime], ...]
    mails: tuple[Mail, ...]


async def done(connection: AsyncConnection, after: datetime) -> dict[tuple[str, datetime], set[int]]:
    """The stages done for resets due after *after*, by (account id, due date)."""
    found: dict[tuple[str, datetime], set[int]] = {}
    for row in await connection.execute(select(reminders).where(reminders.c.due_at > after)):
        found.setdefault((row.account_id, row.due_at), set()).add(row.stage)
    return found


async def remind(tx: AsyncConnection, item: Reminding) -> int:
    """Mark stages done and put their mails and events into the outbox; how many stages were still to do."""
    keys = [(stage.account_id, stage.due_at, stage.days) for stage in item.stages]
    found = await tx.execute(
        select(reminders.c.account_id, reminders.c.due_at, reminders.c.stage).where(
            tuple_(reminders.c.account_id, reminders.c.due_at, reminders.c.stage).in_(keys)
        )
    )
    already = {(account_id, due_at, days) for account_id, due_at, days in found}
    new = [(key, event) for key, event in zip(keys, item.events, strict=True) if key not in already]
    if new:
        await tx.execute(
            _REMIND,
            [
                {"account_id": account_id, "due_at": due_at, "stage": days, "reminded_at": item.at}
                for (account_id, due_at, days), _ in new
            ],
        )
        await outbox.record(tx, *(event for _, event in new))
    await outbox.post(tx, item.mails)
    return len(new)


async def unnoticed(connection: AsyncConnection, limit: int = _AT_ONCE) -> list[tuple[str, datetime]]:
    """Resets whose contacts have still to hear of them, as (account id, due date); a date still at work waits."""
    at_work = select(accounts.c.id).where(accounts.c.next_reset == resets.c.due_at).exists()
    found = await connection.execute(
        select(resets.c.account_id, resets.c.due_at)
        .where(resets.c.noticed_at.is_(None), ~at_work)
        .order_by(resets.c.due_at, resets.c.account_id)
        .limit(limit)
    )
    return [(row.account_id, row.due_at) for row in found]


async def reset_on(
    connection: AsyncConnection, account_ids: Collection[str], due_dates: Collection[datetime]
) -> list[tuple[str, datetime]]:
    """Which of some accounts were reset for some due dates, as (account id, due date)."""
    found: list[tuple[str, datetime]] = []
    ids = list(account_ids)
    for start in range(0, len(ids), _AT_ONCE):
        some = await connection.execute(
            select(resets.c.account_id, resets.c.due_at).where(
                resets.c.account_id.in_(ids[start : start + _AT_ONCE]), resets.c.due_at.in_(list(due_dates))
            )
        )
        found += [(row.account_id, row.due_at) for row in some]
    return found


async def notice(tx: AsyncConnection, item: Noticing) -> int:
    """Mark resets as told, and put the mails into the outbox; how many were still to tell."""
    marked = 0
    for account_id, due_at in item.resets:
        changed = await tx.execute(
            update(resets)
            .where(resets.c.account_id == account_id, resets.c.due_at == due_at, resets.c.noticed_at.is_(None))
            .values(noticed_at=item.at)
        )
        marked += changed.rowcount
    if marked:
        await outbox.post(tx, item.mails)
    return marked


async def resets_of(connection: AsyncConnection, account_id: str) -> list[datetime]:
    """When an account was reset, the first first."""
    found = await connection.execute(
        select(resets.c.reset_at).where(resets.c.account_id == account_id).order_by(resets.c.reset_at)
    )
    return list(found.scalars())


async def count_resets(connection: AsyncConnection) -> int:
    """How many resets there ever were."""
    return (await connection.execute(select(func.count()).select_from(resets))).scalar_one()
