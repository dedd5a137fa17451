"""Leases: which of several hosts does a piece of work at the moment.

A lease only keeps two hosts from doing the same work in vain; what must not happen twice is kept from it by the rows
themselves. So a lease that runs out too early, or clocks that differ, cost time and break nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import leases


@dataclass(frozen=True, slots=True)
class Lease:
    """*holder* (one process of one host) does *name* until *until*."""

    name: str
    holder: str
    at: datetime
    until: datetime


async def take(tx: AsyncConnection, wanted: Lease) -> bool:
    """Take or renew a lease; False while somebody else holds it."""
    row = (await tx.execute(select(leases).where(leases.c.name == wanted.name))).first()
    if row is not None and row.holder != wanted.holder and row.until > wanted.at:
        return False
    await tx.execute(delete(leases).where(leases.c.name == wanted.name))
    await tx.execute(leases.insert().values(name=wanted.name, holder=wanted.holder, until=wanted.until))
    return True


async def give_back(tx: AsyncConnection, held: Lease) -> None:
    """Let go of a lease, if it is still one's own."""
    await tx.execute(delete(leases).where(leases.c.name == held.name, leases.c.holder == held.holder))
