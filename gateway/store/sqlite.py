"""SQLite as the store's database: a file, one writing transaction at a time over all processes, readers beside it.

WAL, ``synchronous=FULL`` (a commit is on the disk when it returns). An ``flock`` goes before ``BEGIN IMMEDIATE``: it
makes a fair queue of the processes, which the busy handler is not. A new database is made under it, too: the change to
WAL asks for a moment without any reader and does not wait for one ("database is locked").

Writing and glancing are done by the thread that asks (``here``): the writing thread, a session's own, or the loop's,
which a glance holds for a fraction of a millisecond, for in WAL nobody waits for a writer. Whatever reads more goes
through aiosqlite (``reading``). Readers are ``query_only``.

What is written to a file that nobody will find again is not kept: a commit to a database that was moved away,
removed, emptied or replaced while the process runs, or its log, fails with OSError, until it is back or the process
starts again. (What is in a log that was removed goes into the database when the last process of the gateway ends.)

A crash leaves the last commit, whole: WAL recovery is SQLite's own.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from gateway.store import driver
from gateway.store.here import Here
from gateway.store.writer import ThreadWriter

BUSY_TIMEOUT = timedelta(seconds=30)
"""How long SQLite waits for a lock that somebody outside the gateway's own queue holds."""
GLASSES = 8
"""Connections that are kept for glances."""


class Sqlite:
    """A database file."""

    def __init__(self, url: URL, busy_timeout: timedelta = BUSY_TIMEOUT) -> None:
        path, busy = Path(str(url.database)), busy_timeout.total_seconds()
        self._path = path
        self._path_of_log = path.with_name(path.name + "-wal")
        self._file: tuple[int, int] | None = None
        """Which file was opened: its device and inode."""
        self._log: tuple[int, int] | None = None
        """Which write-ahead log the writing connection has open."""
        self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Made for its owner alone, whatever the umask: customers' mail is in it. SQLite's other files have its mode.
        # Where it is there it is not opened: to close it would end the locks of a store that this process has open.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._readers = create_async_engine(
            url.set(drivername="sqlite+aiosqlite"),
            isolation_level="AUTOCOMMIT",
            pool_size=8,
            connect_args={"timeout": busy, "async_creator_fn": driver.connect},
        )
        _set_up(self._readers.sync_engine, _READING)
        self._glances = _engine(url, _READING, busy)
        self._writers = _engine(url, _WRITING, busy)
        self._glasses: list[Here] = []  # append and pop are atomic
        self._pen: Here | None = None
        self.writer = ThreadWriter(self._transaction)

    async def prepare(self, prepare: Callable[[Connection], None], check: Callable[[Connection], bool]) -> None:
        """Have *prepare* change the database where *check* says that it is not as it should be."""
        await asyncio.to_thread(self._prepare, prepare, check)

    def _prepare(self, prepare: Callable[[Connection], None], check: Callable[[Connection], bool]) -> None:
        with self._alone():
            with self._glances.connect() as connection:
                ready = check(connection)
            if ready:
                self._file = _at(self._path, least=1)
                return
            with self._writers.connect() as connection:
                tx = Here(connection)
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # SQLAlchemy is to know of it, and Alembic to begin none
                try:
                    prepare(connection)
                    tx.plain("COMMIT")
                except BaseException:
                    _roll_back(tx)
                    raise
            self._file = _at(self._path, least=1)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one consistent state of the rows and can't change any."""
        async with self._readers.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert isinstance(raw, driver.Connection)
            await raw.plain("BEGIN")
            try:
                yield connection
            finally:
                await raw.plain("ROLLBACK")

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[AsyncConnection]:
        """A connection for a single query in the thread that asks; each statement sees the rows at its own start."""
        try:
            glass = self._glasses.pop()
        except IndexError:
            glass = Here(self._glances.connect())
        try:
            yield cast(AsyncConnection, glass)
        finally:
            if len(self._glasses) < GLASSES:
                self._glasses.append(glass)
            else:
                glass.sync_connection.close()

    async def close(self) -> None:
        """Commit what waits and close every connection."""
        await self.writer.close()
        for here in (*self._glasses, *([] if self._pen is None else [self._pen])):
            here.sync_connection.close()
        self._glasses.clear()
        self._pen = None
        await self._readers.dispose()
        self._glances.dispose()
        self._writers.dispose()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """A writing transaction, in the writing thread: nothing in here ever waits but for locks and the disk."""
        with self._alone():
            if self._pen is None:
                self._log = None
                self._look()  # SQLite would make a new database in its place
                self._pen = Here(self._writers.connect())
            pen = self._pen
            pen.plain("BEGIN IMMEDIATE")
            try:
                if self._log is None:
                    self._log = _at(self._path_of_log)
                yield cast(AsyncConnection, pen)
                self._look()
                pen.plain("COMMIT")
            except BaseException:
                if not _roll_back(pen):
                    self._pen = None
                raise

    def _look(self) -> None:
        """Raise OSError where the names lead elsewhere than to what this process has open."""
        database, log = _at(self._path, least=1), _at(self._path_of_log)
        if database != self._file or (self._log is not None and log != self._log):
            raise OSError(errno.ESTALE, "moved away or replaced: put it back, or restart the gateway", str(self._path))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the file's lock."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _at(path: Path, *, least: int = 0) -> tuple[int, int] | None:
    """The file that has this name now: its device and inode; None where there is none of so many bytes at least."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_size >= least else None


def _roll_back(tx: Here) -> bool:
    """Roll back; where even that fails, drop the connection (its close rolls back), for a new one to be opened."""
    try:
        tx.plain("ROLLBACK")
    except Exception:  # SQLite rolls back by itself on some errors: "no transaction is active"
        tx.sync_connection.invalidate()
        tx.sync_connection.close()
        return False
    return True


_READING = ("PRAGMA foreign_keys=ON", "PRAGMA query_only=ON")
_WRITING = (
    "PRAGMA auto_vacuum=INCREMENTAL",  # before the first table: later it is ignored
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA foreign_keys=ON",
)


def _engine(url: URL, pragmas: tuple[str, ...], busy: float) -> Engine:
    """Connections without a driver's thread: used by one thread at a time, but not always the same."""
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"),
        isolation_level="AUTOCOMMIT",
        max_overflow=-1,
        connect_args={"timeout": busy, "check_same_thread": False},
    )
    _set_up(engine, pragmas)
    return engine


def _set_up(engine: Engine, pragmas: tuple[str, ...]) -> None:
    @event.listens_for(engine, "connect")
    def first(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()
