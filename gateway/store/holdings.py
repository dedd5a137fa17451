"""What bytes the store speaks of: every file, attachment and mail that must lie in the spool, and every mail in a row.

Read by those who compare the store with the spool (doctor, ``spool verify``); nothing here changes a row. Hosts may
share one store: what is asked for is always what one spool must hold, and what the others hold is only counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Select, exists, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.names import is_provisional
from gateway.store.tables import (
    accounts,
    attachments,
    deliveries,
    mail_bytes,
    mails,
    names,
    quarantine,
    updates,
    versions,
)


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that must be under ``files``: their id, hash and size, and what they are, for people."""

    id: str
    sha256: str
    size: int
    what: str
    deleted: bool = False
    """Deleted by the customer: a purge may have removed the bytes already."""


@dataclass(frozen=True, slots=True)
class Partial:
    """Bytes that must be under ``incoming``: an upload that is not complete, or *deleted* and not purged yet."""

    id: str
    state: str
    size: int
    what: str


async def sealed(connection: AsyncConnection, spool: str | None) -> list[Held]:
    """Everything that must lie under ``files`` of *spool*; None: of any."""
    rows = [row for query, home in _sealed() for row in await connection.execute(_in(query, home, spool))]
    return [Held(*row) for row in rows]


async def elsewhere(connection: AsyncConnection, spool: str | None) -> int:
    """How much lies in other spools than *spool*, complete or not."""
    queries = [*_sealed(), _partials()] if spool is not None else []
    counts = [select(func.count()).select_from(query.where(home != spool).subquery()) for query, home in queries]
    return sum([int((await connection.execute(count)).scalar() or 0) for count in counts])


def _sealed() -> tuple[tuple[Select[Any], Column[Any]], ...]:
    """Files, attachments and large mails, each with the column that names their spool."""
    files = (
        select(
            versions.c.id,
            versions.c.sha256,
            versions.c.size,
            (literal("file ") + names.c.path).label("what"),
            (versions.c.state == "deleted").label("deleted"),
        )
        .join(names, names.c.id == versions.c.name_id)
        .where(versions.c.state.in_(["complete", "damaged", "deleted"]))
        .where(versions.c.sha256.is_not(None), versions.c.purged_at.is_(None))
    )
    of_attachment = (literal("attachment ") + attachments.c.name).label("what")
    parts = select(attachments.c.id, attachments.c.sha256, attachments.c.size, of_attachment)
    raw = select(mails.c.id, mails.c.sha256, mails.c.size, literal("mail").label("what")).where(mails.c.kept == "spool")
    return (files, versions.c.spool), (parts, attachments.c.spool), (raw, mails.c.spool)


async def partials(connection: AsyncConnection, spool: str | None) -> list[Partial]:
    """Everything that lies under ``incoming`` of *spool* with a row of its own; None: of any."""
    return [Partial(*row) for row in await connection.execute(_in(*_partials(), spool))]


def _partials() -> tuple[Select[Any], Column[Any]]:
    query = (
        select(versions.c.id, versions.c.state, versions.c.size, names.c.path)
        .join(names, names.c.id == versions.c.name_id)
        .where(
            versions.c.state.in_(["receiving", "partial"])
            | ((versions.c.state == "deleted") & versions.c.sha256.is_(None) & versions.c.purged_at.is_(None))
        )
    )
    return query, versions.c.spool


def _in(query: Select[Any], home: Column[Any], spool: str | None) -> Select[Any]:
    return query if spool is None else query.where(home == spool)


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
    updates_without_mail: int
    """Updates whose mail is not in the ledger as filed (or released from the quarantine)."""


async def ledger(connection: AsyncConnection) -> Ledger:
    """Count the ledger and look for contradictions in it."""
    outcomes = await connection.execute(select(mails.c.outcome, func.count()).group_by(mails.c.outcome))
    runs = await connection.execute(select(func.max(mails.c.sequence), func.count()).group_by(mails.c.run))
    kept = mails.c.outcome.in_(["filed", "quarantined"])
    return Ledger(
        {row[0]: row[1] for row in outcomes},
        sum(last - count for last, count in runs),
        await _count(connection, (mails.c.outcome == "filed") & ~exists().where(updates.c.mail_id == mails.c.id)),
        await _count(
            connection, (mails.c.outcome == "quarantined") & ~exists().where(quarantine.c.mail_id == mails.c.id)
        ),
        await _count(
            connection,
            kept
            & (mails.c.kept != "spool")
            & ~exists().where(mail_bytes.c.mail_id == mails.c.id)
            & ~exists().where(quarantine.c.mail_id == mails.c.id, quarantine.c.state == "discarded"),
        ),
        await _count(connection, ~kept & exists().where(updates.c.mail_id == mails.c.id)),
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a person."""

    parked: int
    late: int
    """Deliveries that have been tried, or have waited to be, since before the moment asked for."""
    quarantined: int
    unfiled: int


async def waiting(connection: AsyncConnection, late: datetime) -> Waiting:
    """Count what waits for a person: deliveries that are parked or wait since before *late*, mails, files of no SR."""
    unfiled = names.c.sr.is_(None) & names.c.removed_at.is_(None)
    unfiled &= exists().where(versions.c.name_id == names.c.id, versions.c.state.in_(["complete", "damaged"]))
    queries = (
        select(func.count()).select_from(deliveries).where(deliveries.c.state == "parked"),
        select(func.count())
        .select_from(deliveries)
        .where(deliveries.c.state == "pending", deliveries.c.created_at < late),
        select(func.count()).select_from(quarantine).where(quarantine.c.state == "held"),
        select(func.count()).select_from(names).where(unfiled),
    )
    return Waiting(*[int((await connection.execute(query)).scalar() or 0) for query in queries])


async def never_renamed(connection: AsyncConnection, before: datetime) -> Counter[str]:
    """By login, the complete files older than *before* whose clients never gave them their final name."""
    found = await connection.execute(
        select(accounts.c.login, names.c.path)
        .join(names, names.c.account_id == accounts.c.id)
        .join(versions, versions.c.name_id == names.c.id)
        .where(versions.c.state == "complete", versions.c.ended_at < before, names.c.removed_at.is_(None))
        .where(func.lower(names.c.path).like("%part"))  # most are none; which are, domain/names knows
    )
    return Counter(login for login, path in found if is_provisional(path))


async def damage(connection: AsyncConnection) -> str | None:
    """What SQLite finds wrong with its own file (indexes are not compared, for that takes long); None: nothing."""
    if connection.dialect.name != "sqlite":
        return None
    found = (await connection.execute(text("PRAGMA quick_check(3)"))).scalars().all()
    return None if list(found) == ["ok"] else "; ".join(str(row) for row in found)


async def _count(connection: AsyncConnection, condition: object) -> int:
    found = await connection.execute(select(func.count()).select_from(mails).where(condition))  # type: ignore[arg-type]
    return int(found.scalar() or 0)
