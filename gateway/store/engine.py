"""The database: opening it, reading from it, and one writing transaction at a time over all processes.

SQLite: WAL, ``synchronous=FULL`` (a commit is on the disk when it returns), readers are ``query_only``, and an
``flock`` is taken before ``BEGIN IMMEDIATE``: it makes a fair queue of the processes, which the busy handler is not.
PostgreSQL: the same verbs and queries; an advisory lock stands where the ``flock`` stands.

Rules: nothing is written outside ``write``. It never opens a database that is newer than this program.
A crash leaves the last commit, whole: WAL recovery is SQLite's own.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.store import driver, schema
from gateway.store.writer import Item, Result, Verb, Writer

BUSY_SECONDS = 30
"""How long SQLite waits for a lock that somebody outside the gateway's own queue holds."""

ADVISORY_LOCK = 0x67617465
"""PostgreSQL's advisory lock of the one writer ("gate")."""


class StoreError(Exception):
    """The store can't be opened or used; the text is one clear line for the operator."""


class StoreTooNew(StoreError):
    """The database was made by a newer program; nothing was touched."""


def unavailable(error: Exception) -> bool:
    """Whether a write failed for the store's sake (locked, full, gone, closing), and not for what was written."""
    return isinstance(error, OSError | OperationalError | InterfaceError)


class Store:
    """An open store. Use ``reading()`` for queries and ``write(verb, item)`` for everything that changes a row."""

    def __init__(self, url: URL, reader: AsyncEngine, writer: AsyncEngine, lock: int | None) -> None:
        self.url = url
        self._readers = reader
        self._writers = writer
        self._lock = lock
        self._writing = asyncio.Lock()
        self._connection: AsyncConnection | None = None
        self._glancing = asyncio.Lock()
        self._glass: AsyncConnection | None = None
        self._writer = Writer(self._transaction)

    @classmethod
    async def open(cls, url: str, *, migrate: bool = True) -> Store:
        """Open the database at *url* (``sqlite:///file`` or ``postgresql://…``), bringing its schema up to date.

        Raises StoreTooNew for a database from a newer program, StoreError for one that can't be opened.
        """
        full = _with_driver(url)
        lock = None
        if full.get_backend_name() == "sqlite":
            path = Path(str(full.database))
            _refuse_root(path)
            try:
                lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreError(f"the store's directory {path.parent} can't be used: {error.strerror}") from error
        store = cls(full, _engine(full, reading=True), _engine(full, reading=False), lock)
        try:
            await store._prepare(migrate)
        except (SQLAlchemyError, OSError) as error:
            await store.close()
            raise StoreError(f"the store at {full.render_as_string()} can't be opened: {_brief(error)}") from error
        except BaseException:
            await store.close()
            raise
        return store

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one consistent state of the rows and can't change any."""
        async with self._readers.connect() as connection:
            if self._lock is not None:
                raw = await _raw(connection)
                await raw.plain("BEGIN")
                try:
                    yield connection
                finally:
                    await raw.plain("ROLLBACK")
            else:
                await connection.execution_options(postgresql_readonly=True)
                yield connection

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[AsyncConnection]:
        """A connection for a single query, at a fraction of ``reading``'s cost: nothing is opened or begun for it.

        Each statement sees the rows as they are at its own start.
        """
        if self._lock is None:
            async with self.reading() as connection:
                yield connection
            return
        async with self._glancing:
            if self._glass is None:
                self._glass = await self._readers.connect()
            yield self._glass

    async def write(self, verb: Verb[Item, Result], item: Item) -> Result:
        """Run *verb* on *item* in a group with all that waits; return its result when it is durable."""
        return await self._writer.submit(verb, item)

    def post(self, verb: Verb[Item, Result], item: Item, loop: asyncio.AbstractEventLoop) -> Future[Result]:
        """``write`` for another thread than the *loop*'s, without a coroutine between; wait for the future."""
        return self._writer.post(verb, item, loop)

    async def close(self) -> None:
        """Commit what waits and close every connection."""
        await self._writer.close()
        for connection in (self._connection, self._glass):
            if connection is not None:
                await connection.close()
        self._connection = self._glass = None
        await self._readers.dispose()
        await self._writers.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def shared(self) -> bool:
        """Whether several hosts may use the database: it is no file of this one's."""
        return self._lock is None

    @property
    def groups(self) -> tuple[int, int]:
        """How many groups were committed, and how many items they held (for metrics)."""
        return self._writer.groups, self._writer.items

    # -- the one writer ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._writing:
            if self._lock is None:
                async with self._writers.begin() as connection:
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
                    yield connection
                return
            async with self._alone():
                if self._connection is None:
                    self._connection = await self._writers.connect()
                connection = self._connection
                raw = await _raw(connection)
                await raw.plain("BEGIN IMMEDIATE")
                try:
                    yield connection
                    await raw.plain("COMMIT")
                except BaseException:
                    await self._roll_back(connection)
                    raise

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the file's lock (SQLite). A new database's first look is under it too: SQLite's change to WAL asks for
        a moment without any reader and does not wait for one ("database is locked")."""
        if self._lock is None:
            yield
            return
        await _flock(self._lock)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    async def _roll_back(self, connection: AsyncConnection) -> None:
        """Roll back; where even that fails, drop the connection (its close rolls back) and open a new one."""
        try:
            await asyncio.shield(connection.exec_driver_sql("ROLLBACK"))
        except Exception:  # SQLite rolls back by itself on some errors: "no transaction is active"
            self._connection = None
            await connection.invalidate()

    async def _prepare(self, migrate: bool) -> None:
        async with self._alone(), self._readers.connect() as connection:
            present = await schema.version(connection)
        if present == schema.HEAD:
            return
        if present is not None and not schema.known(present):
            raise StoreTooNew(
                f"the store at {self.url.render_as_string()} has schema {present}, "
                f"which is newer than this program ({schema.HEAD}); install the newer program"
            )
        if not migrate:
            raise StoreError(f"the store has schema {present}, this program needs {schema.HEAD}")
        async with self._transaction() as tx:  # under the lock: whoever comes second finds it done
            if await schema.version(tx) != schema.HEAD:
                await tx.run_sync(schema.upgrade)


def _refuse_root(path: Path) -> None:
    """Root may do everything, and would leave files behind that the gateway's own user can't write to."""
    owner = path.stat().st_uid if path.exists() else 0
    if os.geteuid() == 0 and owner != 0:
        user = pwd.getpwuid(owner).pw_name if any(each.pw_uid == owner for each in pwd.getpwall()) else f"#{owner}"
        raise StoreError(f"the store {path} belongs to another user: run this as that user (sudo -u {user} gateway …)")


def _with_driver(url: str) -> URL:
    full = make_url(url)
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}.get(full.get_backend_name())
    if driver is None:
        raise StoreError(f"[store] url must start with sqlite:/// or postgresql://, not {full.drivername}")
    return full.set(drivername=driver)


def _engine(url: URL, *, reading: bool) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        return create_async_engine(
            url, pool_size=5, pool_pre_ping=True, isolation_level="REPEATABLE READ" if reading else "READ COMMITTED"
        )
    engine = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=8 if reading else 1,
        connect_args={"timeout": BUSY_SECONDS, "async_creator_fn": driver.connect},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def pragmas(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        if not reading:
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before the first table: later it is ignored
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA wal_autocheckpoint=4000")
        cursor.execute("PRAGMA foreign_keys=ON")
        if reading:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    return engine


async def _raw(connection: AsyncConnection) -> driver.Connection:
    raw = (await connection.get_raw_connection()).driver_connection
    assert isinstance(raw, driver.Connection)
    return raw


async def _flock(lock: int) -> None:
    """Take the exclusive lock, without a thread where it is free."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)


def _brief(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
