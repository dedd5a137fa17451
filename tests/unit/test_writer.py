"""Who is committed with whom by the writing thread: group commit without a database."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.store import writer
from gateway.store.writer import ThreadWriter
from gateway.testing.waiting import until

LONG = 30.0
"""Seconds that no test waits for."""


class Turn:
    """The transactions of a database that another process writes to until its turn is over."""

    def __init__(self) -> None:
        self.awaited = threading.Event()
        self.come = threading.Event()
        self.come.set()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Any]:
        self.awaited.set()
        assert self.come.wait(LONG)
        yield None


class Groups:
    """A verb that writes down its groups, holds the first until it is told, and takes long by the writer's clock."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.go_on = threading.Event()
        self.now = 0.0
        self.poison = ""

    async def __call__(self, tx: Any, items: Sequence[str]) -> list[Exception | None]:
        self.seen.append([*items])
        self.now += LONG
        assert self.go_on.wait(LONG)
        if self.poison in items:
            raise ValueError(self.poison)
        return [None] * len(items)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Groups:
    groups = Groups()
    monkeypatch.setattr(writer, "time", SimpleNamespace(monotonic=lambda: groups.now))
    monkeypatch.setattr(writer, "GATHER_PAUSE", LONG)
    monkeypatch.setattr(writer, "GATHER_MOST", LONG)
    monkeypatch.setattr(writer, "GROUP_LIMIT", 2)
    return groups


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def pen(turn: Turn) -> Iterator[ThreadWriter]:
    pen = ThreadWriter(turn)
    yield pen
    asyncio.run(pen.close())


def test_who_came_in_company_is_waited_for(groups: Groups, pen: ThreadWriter) -> None:
    loop = asyncio.new_event_loop()
    first = [pen.post(groups, "a", loop)]
    until(lambda: groups.seen == [["a"]], "the first group")
    first += [pen.post(groups, name, loop) for name in "bc"]
    groups.go_on.set()
    for done in first:
        done.result(LONG)
    assert groups.seen == [["a"], ["b", "c"]]
    second = [pen.post(groups, "d", loop)]
    until(pen._waiting.empty, "the thread takes it")
    second.append(pen.post(groups, "e", loop))
    for done in second:
        done.result(LONG)
    assert groups.seen[2:] == [["d", "e"]]
    loop.close()


def test_who_is_alone_never_waits(groups: Groups, pen: ThreadWriter) -> None:
    groups.go_on.set()
    loop = asyncio.new_event_loop()
    for name in "abc":
        pen.post(groups, name, loop).result(LONG / 3)
    assert groups.seen == [["a"], ["b"], ["c"]]
    loop.close()


def come_late(pen: ThreadWriter, turn: Turn, groups: Groups, names: str, late: Any = None) -> list[Future[Any]]:
    """All but the first of *names* come (for the verb *late*) while the first waits for its turn."""
    groups.go_on.set()
    turn.come.clear()
    loop = asyncio.new_event_loop()
    works = [pen.post(groups, names[0], loop)]
    assert turn.awaited.wait(LONG)
    works += [pen.post(late or groups, name, loop) for name in names[1:]]
    loop.close()
    return works


def test_who_comes_while_a_group_waits_for_its_turn_joins_it(
    groups: Groups, pen: ThreadWriter, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GROUP_LIMIT", 3)
    works = come_late(pen, turn, groups, "abcdef")
    turn.come.set()
    for done in works:
        done.result(LONG)
    assert groups.seen == [["a", "b", "c"], ["d", "e", "f"]], "as many as a group takes"
    assert (pen.groups, pen.items) == (2, 6)


def test_who_has_gone_before_the_turn_came_is_not_written(groups: Groups, pen: ThreadWriter, turn: Turn) -> None:
    gone, stays = come_late(pen, turn, groups, "abc")[1:]
    gone.cancel()
    turn.come.set()
    stays.result(LONG)
    assert [name for group in groups.seen for name in group] == ["a", "c"]


def test_one_that_joined_and_is_poisoned_fails_alone(groups: Groups, pen: ThreadWriter, turn: Turn) -> None:
    groups.poison = "b"
    works = come_late(pen, turn, groups, "ab")
    turn.come.set()
    assert [type(done.exception(LONG)) for done in works] == [type(None), ValueError]
    assert groups.seen == [["a", "b"], ["a"], ["b"]]


def test_what_came_before_the_end_is_committed_though_its_group_still_waited(
    groups: Groups, pen: ThreadWriter, turn: Turn
) -> None:
    async def close() -> None:
        closing = asyncio.create_task(pen.close())
        await asyncio.sleep(0)  # it has said so, and waits for the thread
        turn.come.set()
        await closing

    works = come_late(pen, turn, groups, "ab")
    asyncio.run(close())
    assert [done.result(LONG) for done in works] == [None, None]
    assert groups.seen == [["a", "b"]]


def test_nobody_who_joined_waits_for_a_verb_that_ended_badly(groups: Groups, pen: ThreadWriter, turn: Turn) -> None:
    async def ends_badly(tx: Any, items: Sequence[str]) -> list[Exception | None]:
        raise KeyboardInterrupt

    works = come_late(pen, turn, groups, "ab", late=ends_badly)
    turn.come.set()
    assert [type(done.exception(LONG)) for done in works] == [ConnectionAbortedError] * 2
