"""The store's promises, the same on every database: groups, isolation of failures, schema, audit chain."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.ids import new_id
from gateway.domain.records import Account, AccountState
from gateway.store import Store, StoreError, StoreTooNew, accounts, audit, one_by_one, schema
from gateway.store.tables import audit as audit_table
from gateway.store.tables import leases, metadata
from gateway.testing.waiting import PATIENCE, eventually

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def account(login: str = "acme") -> Account:
    return Account(
        id=new_id(),
        login=login,
        sold_to="Acme",
        end_user=f"Acme {login}",
        region=None,
        state=AccountState.ACTIVE,
        agreement_ends=None,
        password_hash="x",
        password_set_at=NOON,
        next_reset=None,
        created_at=NOON,
    )


async def lease(tx: AsyncConnection, names: Sequence[str]) -> list[int | Exception]:
    groups.append(list(names))
    await tx.execute(leases.insert(), [{"name": name, "holder": "test", "until": NOON} for name in names])
    return [len(names)] * len(names)


groups: list[list[str]] = []


async def held(store: Store) -> set[str]:
    async with store.reading() as connection:
        return set((await connection.execute(select(leases.c.name))).scalars())


async def names_for_another_process(store: Store) -> set[str]:
    """The same, by a process that opens the file, reads and goes."""
    ask = "import sqlite3, sys; print(*next(zip(*sqlite3.connect(sys.argv[1]).execute('SELECT name FROM leases'))))"
    command = [sys.executable, "-c", ask, str(store.url.database)]
    asked = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    return set(asked.stdout.split())


async def test_what_waits_shares_one_transaction(store: Store) -> None:
    groups.clear()
    sizes = await asyncio.gather(*(store.write(lease, f"n{i}") for i in range(50)))
    assert sorted(name for group in groups for name in group) == sorted(f"n{i}" for i in range(50))
    assert max(sizes) > 10, "the items that waited went in together"
    assert store.groups[0] < 50
    assert len(await held(store)) == 50


async def test_what_comes_while_another_process_writes_shares_one_transaction(store: Store) -> None:
    groups.clear()
    other = await Store.open(store.url.render_as_string())
    writer = store._database.writer
    transaction, asked = writer._transaction, threading.Event()

    def ask() -> AbstractAsyncContextManager[AsyncConnection]:
        asked.set()
        return transaction()

    writer._transaction = ask
    try:
        async with other._database._transaction():
            writes = [asyncio.create_task(store.write(lease, "first"))]
            await eventually(asked.is_set, "the first asks for its turn")
            writes += [asyncio.create_task(store.write(lease, f"n{number}")) for number in range(20)]
            await asyncio.sleep(0)  # they are submitted
        await asyncio.gather(*writes)
    finally:
        await other.close()
    assert [len(group) for group in groups] == [21]
    assert store.groups == (1, 21)


async def test_a_poisoned_item_fails_alone(store: Store) -> None:
    await store.write(lease, "twice")
    results = await asyncio.gather(*(store.write(lease, name) for name in ("a", "twice", "b")), return_exceptions=True)
    assert isinstance(results[1], Exception)
    assert results[0] == results[2] == 1
    assert await held(store) == {"twice", "a", "b"}


async def test_an_exception_returned_is_raised_to_its_submitter_only(store: Store) -> None:
    async def verb(tx: AsyncConnection, items: Sequence[int]) -> list[int | Exception]:
        return [ValueError("odd") if item % 2 else item for item in items]

    results = await asyncio.gather(*(store.write(verb, i) for i in range(4)), return_exceptions=True)
    assert results[0] == 0
    assert results[2] == 2
    assert all(isinstance(results[i], ValueError) for i in (1, 3))


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # there the writer is a task of the loop
async def test_nobody_waits_for_a_writer_that_was_ended(store: Store) -> None:
    """Neither those whose group was under way, nor those who waited behind it."""
    begun = asyncio.Event()

    async def stuck(tx: AsyncConnection, items: Sequence[str]) -> list[Exception | None]:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = asyncio.create_task(store.write(stuck, "a"))
    await begun.wait()
    second = asyncio.create_task(store.write(lease, "b"))
    await asyncio.sleep(0)
    (writer,) = (task for task in asyncio.all_tasks() if task.get_name() == "store-writer")
    writer.cancel()
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(each) for each in ended] == [ConnectionAbortedError] * 2


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # on the other it would end the loop
async def test_a_verb_that_ends_badly_leaves_nobody_waiting(store: Store) -> None:
    async def ends_badly(tx: AsyncConnection, items: Sequence[str]) -> list[Exception | None]:
        raise KeyboardInterrupt

    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*(store.write(ends_badly, name) for name in "ab"), return_exceptions=True)
        assert {type(each) for each in ended} == {ConnectionAbortedError}
        assert await store.write(lease, "after it") == 1


async def test_a_closed_store_takes_nothing_more_and_what_waited_is_committed(store: Store) -> None:
    waiting = [asyncio.create_task(store.write(lease, f"n{number}")) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert len(await asyncio.gather(*waiting)) == 20
    again = await Store.open(store.url.render_as_string(hide_password=False))
    assert len(await held(again)) == 20
    await again.close()


async def test_threads_write_too(store: Store) -> None:
    loop = asyncio.get_running_loop()

    def work(number: int) -> int:
        return store.post(lease, f"thread {number}", loop).result(PATIENCE)

    counts = await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(12)))
    assert all(counts)
    assert len(await held(store)) == 12


async def test_readers_cannot_write_and_see_one_state(store: Store) -> None:
    async with store.reading() as connection:
        assert await _count(connection) == 0
        await store.write(lease, "later")
        assert await _count(connection) == 0, "the state at the first read"
        with pytest.raises(Exception, match=r"readonly|read-only"):
            await connection.execute(leases.insert().values(name="x", holder="x", until=NOON))
    assert await held(store) == {"later"}


async def _count(connection: AsyncConnection) -> int:
    return len((await connection.execute(select(leases.c.name))).all())


async def test_two_stores_take_turns(store: Store) -> None:
    other = await Store.open(store.url.render_as_string())
    try:
        await asyncio.gather(*(s.write(lease, f"{i}-{k}") for i in range(40) for k, s in enumerate((store, other))))
    finally:
        await other.close()
    assert len(await held(store)) == 80


async def test_the_schema_is_what_the_tables_say(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    async with store.reading() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    assert differences == []


def test_head_is_the_newest_migration() -> None:
    assert schema.head() == schema.HEAD


async def test_many_who_open_a_new_store_at_once_all_find_it_ready(tmp_path: Path) -> None:
    for attempt in range(5):
        url = f"sqlite:///{tmp_path / f'new{attempt}.db'}"
        opened = await asyncio.gather(*(Store.open(url) for _ in range(6)), return_exceptions=True)
        for each in opened:
            if isinstance(each, Store):
                await each.close()
        assert [each for each in opened if isinstance(each, BaseException)] == []


async def test_a_newer_store_is_refused_untouched(store: Store) -> None:
    async def age(tx: AsyncConnection, version: str) -> None:
        await tx.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})

    await store.write(one_by_one(age), "9999")
    with pytest.raises(StoreTooNew, match="9999"):
        await Store.open(store.url.render_as_string())


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_root_leaves_no_files_behind_in_another_users_store(store: Store) -> None:
    os.chown(str(store.url.database), 65534, 65534)
    with pytest.raises(StoreError, match=r"belongs to another user.*sudo -u"):
        await Store.open(store.url.render_as_string())


def test_a_database_is_made_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    async def make() -> dict[str, int]:
        made = await Store.open(f"sqlite:///{tmp_path}/gateway.db")
        try:
            return {path.name: path.stat().st_mode for path in tmp_path.glob("gateway.db*")}
        finally:
            await made.close()

    before = os.umask(0)
    try:
        files = asyncio.run(make())
    finally:
        os.umask(before)
    assert len(files) == 4, "with its lock, its log and the log's index"
    assert [name for name, mode in files.items() if mode & 0o077] == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_second_store_of_a_process_takes_no_lock_from_the_first(store: Store) -> None:
    """POSIX locks end with any close of the file. Without them the next process to go takes the log away, and what is
    committed then is found by nobody."""
    await store.write(lease, "before")
    second = await Store.open(store.url.render_as_string())
    await second.close()
    assert await names_for_another_process(store) == {"before"}
    await store.write(lease, "after")
    assert await names_for_another_process(store) == {"before", "after"}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_sqlite_is_set_to_keep_what_it_commits(store: Store) -> None:
    async def pragmas(tx: AsyncConnection, item: None) -> list[object]:
        names = ("journal_mode", "synchronous", "auto_vacuum", "foreign_keys")
        return [(await tx.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in names]

    assert await store.write(one_by_one(pragmas), None) == ["wal", 2, 2, 1]


async def test_nothing_is_committed_to_a_database_that_was_moved_away_or_replaced(tmp_path: Path) -> None:
    path, away = tmp_path / "gateway.db", tmp_path / "away.db"
    store = await Store.open(f"sqlite:///{path}")
    try:
        await store.write(lease, "before")
        path.rename(away)
        for make in (lambda: None, path.mkdir, path.touch, lambda: path.write_bytes(away.read_bytes())):
            make()
            with pytest.raises(OSError, match="put it back, or restart"):
                await store.write(lease, "meanwhile")
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
        away.rename(path)
        await store.write(lease, "after")
        assert await held(store) == {"before", "after"}
    finally:
        await store.close()


async def test_nothing_is_committed_to_a_log_that_was_removed_and_what_was_is_kept(tmp_path: Path) -> None:
    """A log that has no name any more ends with the processes that have it open, however they end."""
    url = f"sqlite:///{tmp_path}/gateway.db"
    store = await Store.open(url)
    try:
        await store.write(lease, "before")
        (tmp_path / "gateway.db-wal").unlink()
        for make in (lambda: None, (tmp_path / "gateway.db-wal").touch):
            make()
            with pytest.raises(OSError, match="put it back, or restart"):
                await store.write(lease, "meanwhile")
    finally:
        await store.close()
    store = await Store.open(url)
    try:
        await store.write(lease, "after")
        assert await held(store) == {"before", "after"}
    finally:
        await store.close()


async def test_an_account_comes_back_as_it_was_put(store: Store) -> None:
    put = account()
    await store.write(one_by_one(accounts.add), put)
    async with store.reading() as connection:
        assert await accounts.by_login(connection, "acme") == put


async def test_a_login_and_a_combination_are_taken_once(store: Store) -> None:
    add = one_by_one(accounts.add)
    await store.write(add, account())
    with pytest.raises(accounts.Taken, match="login acme"):
        await store.write(add, replace(account(), sold_to="Other"))
    with pytest.raises(accounts.Taken, match="has an account already"):
        await store.write(add, replace(account("new"), end_user="Acme acme"))


async def test_the_audit_chain_breaks_where_it_is_touched(store: Store) -> None:
    async def log(tx: AsyncConnection, n: int) -> None:
        await audit.append(tx, audit.Entry(NOON, "operator", "account.reset", f"a{n}", {"n": n}))

    for n in range(5):
        await store.write(one_by_one(log), n)
    async with store.reading() as connection:
        assert await audit.verify(connection) is None
        assert [entry.subject for _, entry in await audit.entries(connection, 2)] == ["a3", "a4"]

    async def tamper(tx: AsyncConnection, n: int) -> None:
        await tx.execute(update(audit_table).where(audit_table.c.sequence == n).values(subject="nobody"))

    await store.write(one_by_one(tamper), 3)
    async with store.reading() as connection:
        assert await audit.verify(connection) == 3
