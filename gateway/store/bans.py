"""Strikes and bans of addresses and logins: counted when a login fails, looked up before the next one, liftable."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event
from gateway.domain.throttle import Limit, Strikes, after_failure
from gateway.store import audit, outbox
from gateway.store.here import prepared
from gateway.store.tables import bans


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban as the operator sees it."""

    subject: str
    reason: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed login, against one subject; *locked* is told to the world if it ends in a new ban."""

    subject: str
    limit: Limit
    at: datetime
    reason: str
    locked: Event | None = None


_OF = prepared(select(bans).where((bans.c.subject == bindparam("first")) | (bans.c.subject == bindparam("second"))))


async def of(connection: AsyncConnection, first: str, second: str = "") -> dict[str, Strikes]:
    """The strikes of one or two subjects that have any."""
    found = await connection.execute(_OF, {"first": first, "second": second})
    return {row.subject: Strikes(row.score, row.struck_at, row.until) for row in found}


async def active(connection: AsyncConnection, now: datetime) -> list[Ban]:
    """The bans that hold at *now*, those that end last first."""
    found = await connection.execute(select(bans).where(bans.c.until > now).order_by(bans.c.until.desc()))
    return [Ban(row.subject, row.reason or "", row.since, row.until) for row in found]


async def strike(tx: AsyncConnection, failure: Failure) -> Strikes:
    """Count one failure. A ban that begins with it is audited and, where an account is meant, told to the world."""
    before = (await of(tx, failure.subject)).get(failure.subject)
    strikes = after_failure(before, failure.at, failure.limit)
    begins = strikes.until is not None and not (before is not None and before.banned(failure.at))
    await tx.execute(delete(bans).where(bans.c.subject == failure.subject))
    await tx.execute(
        bans.insert().values(
            subject=failure.subject,
            score=strikes.score,
            struck_at=strikes.at,
            reason=failure.reason,
            since=failure.at if strikes.until else None,
            until=strikes.until,
        )
    )
    if begins and strikes.until is not None:
        detail = {"reason": failure.reason, "until": strikes.until.isoformat()}
        await audit.append(tx, audit.Entry(failure.at, "gateway", "ban", failure.subject, detail))
        if failure.locked is not None:
            await outbox.record(tx, failure.locked)
    return strikes


async def forgive(tx: AsyncConnection, subject: str) -> bool:
    """Forget the strikes of *subject*, and a ban with them; whether there were any."""
    return bool((await tx.execute(delete(bans).where(bans.c.subject == subject))).rowcount)


async def forget(tx: AsyncConnection, before: datetime) -> int:
    """Drop what was struck last before *before*: by then it has faded to nothing."""
    return (await tx.execute(delete(bans).where(bans.c.struck_at < before))).rowcount
