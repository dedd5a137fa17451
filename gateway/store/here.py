"""The same queries without a trip to another thread: SQLite answers in the thread that asks.

A query is a coroutine function of a connection. On SQLite nothing that it awaits ever has to wait, so ``drive`` runs it
to its end at once, in whatever thread: a session's own for a glance, the one writing thread for a whole group. A trip
to the loop and to a driver's thread costs more than the statement.

Rows that are inserted, and statements that are constants (``prepared``), go past SQLAlchemy's own execution, which
costs several times what SQLite does with them: it compiles the statement and says how each column's value is stored and
read, once, and the driver does the rest.

Rules: such a coroutine awaits its connection and nothing else; ``drive`` refuses any other. A connection is used by one
thread at a time, though not always the same. A crash leaves nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Connection, Delete, Dialect, Insert, Select, Update
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
            return self._run(statement, parameters)
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

    def _run(self, statement: Statement, parameters: dict[str, Any]) -> IteratorResult[Any] | Changed:
        ready = _compiled(statement, self.dialect)
        sql, values = ready.asked(parameters)
        driver: Any = self.sync_connection.connection.driver_connection
        try:
            cursor = driver.execute(sql, values)
            found = cursor.fetchall()
            changed = cursor.rowcount
            cursor.close()
        except sqlite3.Error as error:
            raise DBAPIError.instance(sql, None, error, sqlite3.Error, dialect=self.dialect) from error
        return ready.read(found) if ready.finds else Changed(changed)

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


Statement = Select[Any] | CompoundSelect[Any] | Update | Delete
_PREPARED: set[Statement] = set()
_Constant = TypeVar("_Constant", bound=Statement)


def prepared(statement: _Constant) -> _Constant:
    """Say of *statement*, which is made once, that it is run again and again, with all its parameters each time."""
    _PREPARED.add(statement)
    return statement


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of an UPDATE or a DELETE."""

    rowcount: int


@dataclass(frozen=True, slots=True)
class _Sql:
    """A statement for lists of certain lengths: its text, and the names of its values in their order."""

    text: str
    order: list[str]
    parts: dict[str, list[str]]
    """What each value of a list is called, a tuple's members one by one."""


class _Prepared:
    """A statement: its SQL, and how what it is asked and what it finds are stored.

    An IN takes lists of any length, and has another text for each; it is made for 1, 2, 4, 8 … values, the last of them
    repeated, so that there are few.
    """

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self._compiled = compiled
        self._own = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._lists = {
            name: getattr(bind.type, "types", None) for name, bind in compiled.binds.items() if bind.expanding
        }
        kinds = {name: bind.type for name, bind in compiled.binds.items() if name not in self._lists}
        ways = {name: kind.dialect_impl(dialect).bind_processor(dialect) for name, kind in kinds.items()}
        self._ways = {name: way for name, way in ways.items() if way is not None}
        self._texts: dict[tuple[int, ...], _Sql] = {}
        self.finds = isinstance(statement, Select | CompoundSelect)
        if isinstance(statement, Select | CompoundSelect):
            columns = list(statement.selected_columns)
            self._keys = SimpleResultMetaData([str(column.key) for column in columns])
            readings = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
            self._readings = [(position, way) for position, way in enumerate(readings) if way is not None]

    def asked(self, parameters: dict[str, Any]) -> tuple[str, list[Any]]:
        """The SQL to run for *parameters*, and its values as they are stored."""
        values = {**self._own, **parameters}
        for name, way in self._ways.items():
            values[name] = way(values[name])
        lists = {name: _filled_up(values[name]) for name in self._lists}
        lengths = tuple(map(len, lists.values()))
        sql = self._texts.get(lengths) or self._text(lengths)
        for name, several in lists.items():
            single = several if self._lists[name] is None else [member for each in several for member in each]
            values.update(zip(sql.parts[name], single, strict=True))
        return sql.text, [values[name] for name in sql.order]

    def _text(self, lengths: tuple[int, ...]) -> _Sql:
        blank: dict[str, Any] = dict.fromkeys(self._compiled.binds)
        for (name, members), length in zip(self._lists.items(), lengths, strict=True):
            blank[name] = [None if members is None else (None,) * len(members)] * length
        made = self._compiled.construct_expanded_state(blank)
        parts = {name: list(made.parameter_expansion.get(name, ())) for name in self._lists}
        self._texts[lengths] = sql = _Sql(made.statement, list(made.positiontup or ()), parts)
        return sql

    def read(self, found: list[tuple[Any, ...]]) -> IteratorResult[Any]:
        return IteratorResult(self._keys, map(self._row, found) if self._readings else iter(found))

    def _row(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for position, way in self._readings:
            values[position] = way(values[position])
        return tuple(values)


def _filled_up(several: Iterable[Any]) -> list[Any]:
    """*several* and its last value again, until there are a power of two."""
    filled = list(several)
    if filled:
        filled += filled[-1:] * ((1 << (len(filled) - 1).bit_length()) - len(filled))
    return filled


@lru_cache(maxsize=256)
def _compiled(statement: Statement, dialect: Dialect) -> _Prepared:
    return _Prepared(statement, dialect)


def drive(work: Coroutine[Any, Any, Result]) -> Result:
    """Run *work* to its end in this thread, or raise what it raises."""
    try:
        work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    work.close()
    raise RuntimeError("a query waited for something else than its connection")
