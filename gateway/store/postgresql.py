"""PostgreSQL as the store's database: the same verbs and queries, waited for in the loop.

One writer at a time over all processes, as in SQLite (docs/decisions/0003): an advisory lock stands where the ``flock``
stands. Readers see one state (``REPEATABLE READ``) and can't write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.store.writer import Writer

ADVISORY_LOCK = 0x67617465
"""The advisory lock of the one writer ("gate")."""


class Postgresql:
    """A database of a server."""

    def __init__(self, url: URL) -> None:
        self._readers = _engine(url, "REPEATABLE READ")
        self._writers = _engine(url, "READ COMMITTED")
        self.writer = Writer(self._transaction)

    async def prepare(self, prepare: Callable[[Connection], None], check: Callable[[Connection], bool]) -> None:
        """Have *prepare* change the database where *check* says that it is not as it should be."""
        async with self._readers.connect() as connection:
            if await connection.run_sync(check):
                return
        async with self._transaction() as tx:  # under the lock: whoever comes second finds it done
            if not await tx.run_sync(check):
                await tx.run_sync(prepare)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one consistent state of the rows and can't change any."""
        async with self._readers.connect() as connection:
            await connection.execution_options(postgresql_readonly=True)
            yield connection

    glance = reading

    async def close(self) -> None:
        """Commit what waits and close every connection."""
        await self.writer.close()
        await self._readers.dispose()
        await self._writers.dispose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._writers.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            yield connection


def _engine(url: URL, isolation: str) -> AsyncEngine:
    return create_async_engine(
        url.set(drivername="postgresql+asyncpg"), pool_size=5, pool_pre_ping=True, isolation_level=isolation
    )
