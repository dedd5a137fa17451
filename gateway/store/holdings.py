"""What bytes the store speaks of: every file, attachment and mail that must lie in the spool, and every mail in a row.

Read by those who compare the store with the spool (doctor, ``spool verify``); nothing here changes a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import attachments, mail_bytes, mails, names, quarantine, updates, versions


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that must be under ``files``: their id, hash and size, and what they are, for people."""

    id: str
    sha256: str
    size: int
    what: str


@dataclass(frozen=True, slots=True)
class Partial:
    """Bytes that must be under ``incoming``: an upload that is not complete."""

    id: str
    state: str
    size: int
    what: str


async def sealed(connection: AsyncConnection) -> list[Held]:
    """Everything that must lie under ``files``."""
    queries: tuple[Select[Any], ...] = (
        select(versions.c.id, versions.c.sha256, versions.c.size, literal("file ") + names.c.path)
        .join(names, names.c.id == versions.c.name_id)
        .where(versions.c.state.in_(["complete", "damaged", "deleted"]))
        .where(versions.c.sha256.is_not(None), versions.c.purged_at.is_(None)),
        select(attachments.c.id, attachments.c.sha256, attachments.c.size, literal("attachment ") + attachments.c.name),
        select(mails.c.id, mails.c.sha256, mails.c.size, literal("mail")).where(mails.c.kept == "spool"),
    )
    return [Held(*row) for query in queries for row in await connection.execute(query)]


async def partials(connection: AsyncConnection) -> list[Partial]:
    """Everything that lies under ``incoming`` with a row of its own."""
    found = await connection.execute(
        select(versions.c.id, versions.c.state, versions.c.size, names.c.path)
        .join(names, names.c.id == versions.c.name_id)
        .where(versions.c.state.in_(["receiving", "partial"]))
    )
    return [Partial(*row) for row in found]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The mail ledger, counted: messages by outcome, and what contradicts them."""

    outcomes: dict[str, int]
    gaps: int
    """Numbers that a run of the mail door gave out and no row accounts for."""
    filed_without_update: int
    quarantined_without_trace: int
    without_bytes: int
    """Filed or quarantined mails whose bytes are neither in a row nor said to be in the spool."""


async def ledger(connection: AsyncConnection) -> Ledger:
    """Count the ledger and look for contradictions in it."""
    outcomes = await connection.execute(select(mails.c.outcome, func.count()).group_by(mails.c.outcome))
    runs = await connection.execute(select(func.max(mails.c.sequence), func.count()).group_by(mails.c.run))
    kept = mails.c.outcome.in_(["filed", "quarantined"])
    return Ledger(
        dict(outcomes.tuples().all()),
        sum(last - count for last, count in runs),
        await _count(connection, (mails.c.outcome == "filed") & ~exists().where(updates.c.mail_id == mails.c.id)),
        await _count(
            connection, (mails.c.outcome == "quarantined") & ~exists().where(quarantine.c.mail_id == mails.c.id)
        ),
        await _count(
            connection,
            kept & (mails.c.kept != "spool") & ~exists().where(mail_bytes.c.mail_id == mails.c.id),
        ),
    )


async def _count(connection: AsyncConnection, condition: object) -> int:
    found = await connection.execute(select(func.count()).select_from(mails).where(condition))  # type: ignore[arg-type]
    return int(found.scalar() or 0)
