"""New stores for tests, quick: the migrations run once for each kind of database, then their statements are repeated.

What Alembic sent to the first empty database is noted and sent to every later one as it stands: the same schema,
without Alembic's own work (a tenth of a second of CPU and more, hundreds of times). A database that is not empty is
migrated as ever, and so is every one of another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, inspect

from gateway.store import schema


@contextmanager
def migrated_once() -> Iterator[None]:
    """``schema.upgrade`` in this process, from here on to the end of the block."""
    honest, noted = schema.upgrade, dict[str, list[tuple[str, Any]]]()

    def upgrade(connection: Connection) -> None:
        kind = connection.dialect.name
        if inspect(connection).get_table_names():
            honest(connection)
        elif kind in noted:
            for statement, parameters in noted[kind]:
                connection.exec_driver_sql(statement, parameters or None)
        else:
            with _noting(connection) as statements:
                honest(connection)
            noted[kind] = statements

    schema.upgrade = upgrade
    try:
        yield
    finally:
        schema.upgrade = honest


@contextmanager
def _noting(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """Whatever changes the database meanwhile."""
    noted: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            noted.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(connection, "before_cursor_execute", note)
