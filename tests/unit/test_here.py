"""Rows and queries that go past SQLAlchemy's execution are stored and found as by it: gateway/store/here.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import CompoundSelect, Engine, MetaData, Select, Table, create_engine, exc, select
from sqlalchemy.types import BigInteger, Date, Float, Integer, LargeBinary, String

from gateway.store import accounts, bans, endings, files, here, mails, requests, tables, uploads
from gateway.store.engine import unavailable
from gateway.store.here import Here, drive

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite+pysqlite:///:memory:", isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def values_of(table: Table, number: int) -> dict[str, Any]:
    """A value for each column, of its kind; every other one that may be is None in every other row."""
    row: dict[str, Any] = {}
    for position, column in enumerate(table.c):
        value: Any
        if column.nullable and (position + number) % 2:
            value = None
        elif isinstance(column.type, tables.UtcTime):
            value = NOON + timedelta(seconds=number)
        elif isinstance(column.type, LargeBinary):
            value = bytes([number, 0, 255])
        elif isinstance(column.type, BigInteger | Integer):
            value = 2**40 + number
        elif isinstance(column.type, String):
            value = f"wörd {number}"
        elif isinstance(column.type, Date):
            value = NOON.date()
        elif isinstance(column.type, Float):
            value = number / 7
        else:
            value = {"a": [1, None, "ü"], "number": number}
        row[column.name] = value
    return row


@pytest.mark.parametrize("name", sorted(tables.metadata.tables))
def test_every_tables_rows_are_the_same_either_way(engine: Engine, name: str) -> None:
    shadow = MetaData()
    table = tables.metadata.tables[name].to_metadata(shadow)
    rows = [values_of(table, number) for number in range(3)]
    for constraint in [*table.foreign_key_constraints]:
        table.constraints.discard(constraint)
    with engine.connect() as connection:
        table.create(connection)
        connection.execute(table.insert(), rows)
        by_sqlalchemy = connection.exec_driver_sql(f"select * from {name}").all()
        connection.execute(table.delete())
        drive(Here(connection).execute(table.insert(), rows))  # type: ignore[arg-type]
        assert connection.exec_driver_sql(f"select * from {name}").all() == by_sqlalchemy
        assert connection.execute(select(table)).first() is not None


def filled(engine: Engine) -> None:
    """Every table with three rows, whose texts are all "wörd 0" … "wörd 2"; nothing refers to anything."""
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        tables.metadata.create_all(connection)
        for table in tables.metadata.sorted_tables:
            rows = [values_of(table, number) for number in range(3)]
            for row in rows:
                row |= {name: None for name in ("removed_at", "used_at") if name in row}
            connection.execute(table.insert(), rows)


ASKERS = (accounts, bans, endings, files, mails, requests, uploads)
"""Who has prepared queries: here, for them to be there."""


def parameters_of(statement: here.Statement, lengths: int) -> dict[str, Any]:
    """A value for all that is to be asked; for lists so many, of which the last two are in every row's columns."""
    asked: dict[str, Any] = {}
    for name, bind in statement.compile().binds.items():
        if bind.required:
            value: Any = NOON if isinstance(bind.type, tables.UtcTime) else "wörd 1"
            if bind.expanding:
                members = getattr(bind.type, "types", None)
                several = [*("nobody" for _ in range(lengths - 1)), value]
                value = several if members is None else [(each,) * len(members) for each in several]
            asked[name] = value
    return asked


accounts.noting("client", "last_login_at")
PREPARED = sorted(here._PREPARED, key=str)
QUERIES = [each for each in PREPARED if isinstance(each, Select | CompoundSelect)]
CHANGES = [each for each in PREPARED if each not in QUERIES]


@pytest.mark.parametrize("length", [1, 2, 3, 9])
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: str(query)[:60])
def test_every_prepared_query_finds_the_same_either_way(engine: Engine, query: here.Statement, length: int) -> None:
    filled(engine)
    parameters = parameters_of(query, length)
    assert parameters
    with engine.connect() as connection:
        by_sqlalchemy = connection.execute(query, parameters)
        past_it = drive(Here(connection).execute(query, parameters))  # type: ignore[arg-type]
        assert list(past_it.keys()) == list(by_sqlalchemy.keys())
        expected = by_sqlalchemy.all()
        assert past_it.all() == expected
        assert expected, "nothing was compared"
        tables.metadata.drop_all(connection)
        with pytest.raises(exc.OperationalError, match="no such table"):
            drive(Here(connection).execute(query, parameters))  # type: ignore[arg-type]


def test_a_list_without_a_value_finds_nothing(engine: Engine) -> None:
    filled(engine)
    with engine.connect() as connection:
        assert drive(accounts.by_ids(Here(connection), [])) == {}  # type: ignore[arg-type]
        assert drive(uploads.at(Here(connection), [])) == []  # type: ignore[arg-type]
        found = drive(uploads.at(Here(connection), [("wörd 1", "wörd 1"), ("wörd 2", "wörd 1")]))  # type: ignore[arg-type]
    assert {(row.account_id, row.path) for row in found} == {("wörd 1", "wörd 1")}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change)[:60])
def test_every_prepared_change_does_the_same_either_way(engine: Engine, change: here.Statement) -> None:
    parameters = parameters_of(change, 1)
    states = []
    for past_it in (False, True):
        filled(engine)
        with engine.connect() as connection:
            if past_it:
                changed = drive(Here(connection).execute(change, parameters))  # type: ignore[arg-type]
            else:
                changed = connection.execute(change, parameters)
            assert changed.rowcount == 1
            states.append(
                {table.name: connection.execute(table.select()).all() for table in tables.metadata.sorted_tables}
            )
            tables.metadata.drop_all(connection)
    assert states[0] == states[1]


def test_what_goes_wrong_is_told_in_sqlalchemys_terms(engine: Engine) -> None:
    row = {"account_id": "a", "path": "/x", "id": "1", "created_at": NOON.astimezone(UTC)}
    with engine.connect() as connection:
        pen = Here(connection)
        add = tables.folders.insert()
        with pytest.raises(exc.OperationalError, match="no such table") as caught:
            drive(pen.execute(add, [row]))  # type: ignore[arg-type]
        assert unavailable(caught.value)
        tables.accounts.create(connection)
        tables.folders.create(connection)
        with pytest.raises(exc.IntegrityError, match="UNIQUE"):
            drive(pen.execute(add, [row, row]))  # type: ignore[arg-type]
        with pytest.raises(KeyError):
            drive(pen.execute(add, [{**row, "id": "2", "path": "/y"}, {"id": "3"}]))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="naive"):
            drive(pen.execute(add, [{**row, "id": "4", "created_at": datetime(2026, 1, 1)}]))  # type: ignore[arg-type]


def test_a_statement_with_values_of_its_own_is_refused(engine: Engine) -> None:
    add = tables.folders.insert().values(path="/y")
    with engine.connect() as connection:
        adding = Here(connection).execute(add, [{"account_id": "a", "id": "1"}])
        with pytest.raises(TypeError, match="other values"):
            drive(adding)
