"""The database: opening it, reading from it, and one writing transaction at a time over all processes.

Two kinds, ``sqlite`` and ``postgresql``, carry the same verbs and queries. Rules: nothing is written outside ``write``.
It never opens a database that is newer than this program.
"""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store import schema
from gateway.store.here import drive
from gateway.store.postgresql import Postgresql
from gateway.store.sqlite import BUSY_TIMEOUT, Sqlite
from gateway.store.writer import Item, Result, Verb

Answer = TypeVar("Answer")


class StoreError(Exception):
    """The store can't be opened or used; the text is one clear line for the operator."""


class StoreTooNew(StoreError):
    """The database was made by a newer program; nothing was touched."""


def unavailable(error: Exception) -> bool:
    """Whether a write failed for the store's sake (locked, full, gone, closing), and not for what was written."""
    return isinstance(error, OSError | OperationalError | InterfaceError)


class Store:
    """An open store. Use ``reading()`` for queries and ``write(verb, item)`` for everything that changes a row."""

    def __init__(self, url: URL, database: Sqlite | Postgresql) -> None:
        self.url = url
        self._database = database

    @classmethod
    async def open(cls, url: str, *, migrate: bool = True, busy_timeout: timedelta = BUSY_TIMEOUT) -> Store:
        """Open the database at *url* (``sqlite:///file`` or ``postgresql://…``), bringing its schema up to date.

        *busy_timeout* is how long SQLite waits for a lock that somebody outside the gateway holds.
        Raises StoreTooNew for a database from a newer program, StoreError for one that can't be opened.
        """
        full = make_url(url)
        store = cls(full, _database(full, busy_timeout))
        try:
            await store._prepare(migrate)
        except (SQLAlchemyError, OSError) as error:
            await store.close()
            raise StoreError(f"the store at {full.render_as_string()} can't be opened: {_brief(error)}") from error
        except BaseException:
            await store.close()
            raise
        return store

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection that sees one consistent state of the rows and can't change any."""
        return self._database.reading()

    def glance(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for a single query of a few rows, at a fraction of ``reading``'s cost.

        Each statement sees the rows as they are at its own start. On SQLite the thread that asks runs it.
        """
        return self._database.glance()

    @property
    def answers_here(self) -> bool:
        """Whether the thread that asks can run a glance itself (SQLite)."""
        return isinstance(self._database, Sqlite)

    def answer(self, question: Coroutine[Any, Any, Answer]) -> Answer:
        """From any thread, where ``answers_here``: the answer to a *question* that only glances."""
        return drive(question)

    async def write(self, verb: Verb[Item, Result], item: Item) -> Result:
        """Run *verb* on *item* in a group with all that waits; return its result when it is durable."""
        return await self._database.writer.submit(verb, item)

    def post(self, verb: Verb[Item, Result], item: Item, loop: asyncio.AbstractEventLoop) -> Future[Result]:
        """``write`` for another thread than the *loop*'s, without a coroutine between; wait for the future."""
        return self._database.writer.post(verb, item, loop)

    async def close(self) -> None:
        """Commit what waits and close every connection."""
        await self._database.close()

    @property
    def shared(self) -> bool:
        """Whether several hosts may use the database: it is no file of this one's."""
        return isinstance(self._database, Postgresql)

    @property
    def groups(self) -> tuple[int, int]:
        """How many groups were committed, and how many items they held (for metrics)."""
        return self._database.writer.groups, self._database.writer.items

    async def _prepare(self, migrate: bool) -> None:
        def is_current(connection: Connection) -> bool:
            present = schema.version(connection)
            if present == schema.HEAD:
                return True
            if present is not None and not schema.known(present):
                raise StoreTooNew(
                    f"the store at {self.url.render_as_string()} has schema {present}, "
                    f"which is newer than this program ({schema.HEAD}); install the newer program"
                )
            if not migrate:
                raise StoreError(f"the store has schema {present}, this program needs {schema.HEAD}")
            return False

        await self._database.prepare(lambda connection: schema.upgrade(connection), is_current)


def _database(url: URL, busy_timeout: timedelta) -> Sqlite | Postgresql:
    match url.get_backend_name():
        case "sqlite":
            path = Path(str(url.database))
            _refuse_root(path)
            try:
                return Sqlite(url, busy_timeout)
            except OSError as error:
                raise StoreError(f"the store's directory {path.parent} can't be used: {error.strerror}") from error
        case "postgresql":
            return Postgresql(url)
    raise StoreError(f"[store] url must start with sqlite:/// or postgresql://, not {url.drivername}")


def _refuse_root(path: Path) -> None:
    """Root may do everything, and would leave files behind that the gateway's own user can't write to."""
    owner = path.stat().st_uid if path.exists() else 0
    if os.geteuid() == 0 and owner != 0:
        user = pwd.getpwuid(owner).pw_name if any(each.pw_uid == owner for each in pwd.getpwall()) else f"#{owner}"
        raise StoreError(f"the store {path} belongs to another user: run this as that user (sudo -u {user} gateway …)")


def _brief(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
