"""Who is committed with whom by the writing thread: group commit without a database."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.store import writer
from gateway.store.writer import ThreadWriter
from gateway.testing.waiting import until

LONG = 30.0
"""Seconds that no test waits for."""


@asynccontextmanager
async def transaction() -> AsyncIterator[Any]:
    yield None


class Groups:
    """A verb that writes down its groups, holds the first until it is told, and takes long by the writer's clock."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.go_on = threading.Event()
        self.now = 0.0

    async def __call__(self, tx: Any, items: Sequence[str]) -> list[Exception | None]:
        self.seen.append([*items])
        self.now += LONG
        assert self.go_on.wait(LONG)
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
def pen() -> Iterator[ThreadWriter]:
    pen = ThreadWriter(transaction)
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
