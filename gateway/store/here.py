"""The same queries without a trip to another thread: SQLite answers in the thread that asks.

A query is a coroutine function of a connection. On SQLite nothing that it awaits ever has to wait, so ``drive`` runs it
to its end at once, in whatever thread: a session's own for a glance, the one writing thread for a whole group. A trip
to the loop and to a driver's thread costs more than the statement.

Rows that are inserted, and queries that are constants (``prepared``), go past SQLAlchemy's own execution, which costs
several times what SQLite does with them: it compiles the statement and says how each column's value is stored and read,
once, and the driver does the rest.

Rules: such a coroutine awaits its connection and nothing else; ``drive`` refuses any other. A connection is used by one
thread at a time, though not always the same. A crash leaves nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Connection, Dialect, Insert, Select
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

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
        if isinstance(parameters, list) and isinstance(statement, Insert) and parameters:
            return self._insert(statement, parameters)
        if statement in _PREPARED:
            return self._query(statement, parameters)
        return self.sync_connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str) -> Any:
        return self.sync_connection.exec_driver_sql(statement)

    async def run_sync(self, work: Callable[[Connection], Result]) -> Result:
        return work(self.sync_connection)

    def _insert(self, statement: Insert, rows: list[dict[str, Any]]) -> None:
        insertion = _insertion(statement, tuple(rows[0]), self.dialect)
        driver: Any = self.sync_connection.connection.driver_connection
        try:
            driver.executemany(insertion.sql, insertion.stored(rows)).close()
        except sqlite3.Error as error:
            raise DBAPIError.instance(insertion.sql, None, error, sqlite3.Error, dialect=self.dialect) from error

    def _query(self, statement: Query, parameters: dict[str, Any]) -> IteratorResult[Any]:
        query = _compiled(statement, self.dialect)
        driver: Any = self.sync_connection.connection.driver_connection
        try:
            cursor = driver.execute(query.sql, query.stored(parameters))
            found = cursor.fetchall()
            cursor.close()
        except sqlite3.Error as error:
            raise DBAPIError.instance(query.sql, None, error, sqlite3.Error, dialect=self.dialect) from error
        return query.read(found)

    def plain(self, sql: str) -> None:
        """Run a statement without parameters and without rows (BEGIN, COMMIT, ROLLBACK), past SQLAlchemy."""
        driver: Any = self.sync_connection.connection.driver_connection
        driver.execute(sql).close()


class _Insertion:
    """An INSERT of rows with certain columns: its SQL, and how what a row says is stored."""

    def __init__(self, statement: Insert, columns: tuple[str, ...], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(columns))
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled)
        self._columns = compiled.positiontup or []
        if set(self._columns) != set(columns):
            raise TypeError(f"{self.sql} takes other values than those of {columns}")
        types = [statement.table.c[column].type for column in self._columns]
        self._ways = [each.dialect_impl(dialect).bind_processor(dialect) for each in types]

    def stored(self, rows: list[dict[str, Any]]) -> Iterator[list[Any]]:
        """The values of each row, as the driver takes them. Raises KeyError where a row lacks one."""
        ways = list(zip(self._columns, self._ways, strict=True))
        for row in rows:
            yield [row[column] if way is None else way(row[column]) for column, way in ways]


@lru_cache(maxsize=256)
def _insertion(statement: Insert, columns: tuple[str, ...], dialect: Dialect) -> _Insertion:
    return _Insertion(statement, columns, dialect)


Query = Select[Any] | CompoundSelect[Any]
_PREPARED: set[Query] = set()
_Constant = TypeVar("_Constant", bound=Query)


def prepared(query: _Constant) -> _Constant:
    """Say of *query*, which is made once and whose parameters are single values, that it is run again and again."""
    _PREPARED.add(query)
    return query


class _Query:
    """A query: its SQL, and how what it is asked and what it finds are stored."""

    def __init__(self, statement: Query, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled)
        self._own = compiled.params
        self._names = compiled.positiontup or []
        binds = {name: compiled.binds[name].type for name in self._names}
        ways = {name: each.dialect_impl(dialect).bind_processor(dialect) for name, each in binds.items()}
        self._ways = {name: way for name, way in ways.items() if way is not None}
        columns = list(statement.selected_columns)
        self._keys = SimpleResultMetaData([str(column.key) for column in columns])
        readings = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._readings = [(position, way) for position, way in enumerate(readings) if way is not None]

    def stored(self, parameters: dict[str, Any]) -> list[Any]:
        values = {**self._own, **parameters}
        for name, way in self._ways.items():
            values[name] = way(values[name])
        return [values[name] for name in self._names]

    def read(self, found: list[tuple[Any, ...]]) -> IteratorResult[Any]:
        return IteratorResult(self._keys, map(self._row, found))

    def _row(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for position, way in self._readings:
            values[position] = way(values[position])
        return tuple(values)


@lru_cache(maxsize=256)
def _compiled(statement: Query, dialect: Dialect) -> _Query:
    return _Query(statement, dialect)


def drive(work: Coroutine[Any, Any, Result]) -> Result:
    """Run *work* to its end in this thread, or raise what it raises."""
    try:
        work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    work.close()
    raise RuntimeError("a query waited for something else than its connection")
