"""The same queries without a trip to another thread: SQLite answers in the thread that asks.

A query is a coroutine function of a connection. On SQLite nothing that it awaits ever has to wait, so ``drive`` runs it
to its end at once, in whatever thread: a session's own for a glance, the one writing thread for a whole group. A trip
to the loop and to a driver's thread costs more than the statement.

Rules: such a coroutine awaits its connection and nothing else; ``drive`` refuses any other. A connection is used by one
thread at a time, though not always the same. A crash leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect

Result = TypeVar("Result")


class Here:
    """A connection with the face of an ``AsyncConnection``, whose statements are done when they return."""

    __slots__ = ("sync_connection",)

    def __init__(self, connection: Connection) -> None:
        self.sync_connection = connection

    @property
    def dialect(self) -> Dialect:
        return self.sync_connection.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        return self.sync_connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str) -> Any:
        return self.sync_connection.exec_driver_sql(statement)

    async def run_sync(self, work: Callable[[Connection], Result]) -> Result:
        return work(self.sync_connection)

    def plain(self, sql: str) -> None:
        """Run a statement without parameters and without rows (BEGIN, COMMIT, ROLLBACK), past SQLAlchemy."""
        driver: Any = self.sync_connection.connection.driver_connection
        driver.execute(sql).close()


def drive(work: Coroutine[Any, Any, Result]) -> Result:
    """Run *work* to its end in this thread, or raise what it raises."""
    try:
        work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    work.close()
    raise RuntimeError("a query waited for something else than its connection")
