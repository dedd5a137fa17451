"""Group commit: everything that waits to be written shares one transaction, and so one flush.

Work is a *verb* and an *item*. A verb is an async function that gets the open transaction and all the waiting items
that were submitted for it, and returns one result an item; a result that is an exception is raised to that item's
submitter alone. While one group commits, the next gathers.

Rules: ``submit`` returns only after the COMMIT that holds the item's rows. A verb touches nothing but rows, for when a
verb raises, the whole group is rolled back and run again, an item a transaction: one poisoned item fails alone.
Verbs run in the order in which their first items came; items of one verb keep their order.

A crash leaves either all of a group or nothing of it, and nobody was told of what is gone.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

Item = TypeVar("Item")
Result = TypeVar("Result")
Verb = Callable[[AsyncConnection, Sequence[Item]], Awaitable[Sequence[Result | Exception]]]

GROUP_LIMIT = 256
"""Items a transaction at most: bounds how long one group holds the other processes up."""


def one_by_one(
    verb: Callable[[AsyncConnection, Item], Awaitable[Result]],
) -> Verb[Item, Result]:
    """Make a verb of a function for a single item; it still shares the transaction with all that waits."""

    @functools.wraps(verb)
    async def each(tx: AsyncConnection, items: Sequence[Item]) -> list[Result | Exception]:
        return [await verb(tx, item) for item in items]

    return each


GATHER_TURNS = 4
"""Turns of the loop that a group waits at most while it still grows."""


@dataclass(slots=True)
class _Work:
    verb: Verb[Any, Any]
    item: Any
    done: asyncio.Future[Any] | Future[Any] = field(repr=False)


class Writer:
    """One process's writing side: a queue, and the task that commits it group by group.

    *transaction* opens one writing transaction: it commits when left, and rolls back when left by an exception.
    """

    def __init__(self, transaction: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        self._transaction = transaction
        self._waiting: deque[_Work] = deque()
        self._task: asyncio.Task[None] | None = None
        self.groups = 0
        self.items = 0

    async def submit(self, verb: Verb[Item, Result], item: Item) -> Result:
        """Run *verb* on *item* and return its result once it is durable; raise what the verb raised or returned."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._enqueue(_Work(verb, item, done))
        return await done

    def post(self, verb: Verb[Item, Result], item: Item, loop: asyncio.AbstractEventLoop) -> Future[Result]:
        """``submit`` from another thread than the *loop*'s; the future is done when the item is durable."""
        done: Future[Result] = Future()
        loop.call_soon_threadsafe(self._enqueue, _Work(verb, item, done))
        return done

    def _enqueue(self, work: _Work) -> None:
        self._waiting.append(work)
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="store-writer")

    async def close(self) -> None:
        """Commit what waits."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        group: list[_Work] = []
        try:
            while self._waiting:
                await self._gather()
                count = min(len(self._waiting), GROUP_LIMIT)
                group = [work for work in (self._waiting.popleft() for _ in range(count)) if not work.done.done()]
                await self._commit(group)
        except BaseException as error:  # cancelled: the loop is going down; nobody may wait for ever
            for work in (*group, *self._waiting):
                if not work.done.done():
                    work.done.set_exception(ConnectionAbortedError(f"the store is closing ({error!r})"))
            self._waiting.clear()
            raise
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Let what is just about to be submitted join the group: a turn of the loop costs far less than a commit."""
        for _ in range(GATHER_TURNS):
            before = len(self._waiting)
            await asyncio.sleep(0)
            if len(self._waiting) == before:
                return

    async def _commit(self, group: list[_Work]) -> None:
        try:
            settled = await self._apply(group)
        except Exception as error:
            if len(group) == 1:
                settled = [(group[0], error)]
            else:
                for work in group:
                    await self._commit([work])
                return
        self.groups += 1
        self.items += len(group)
        for work, result in settled:
            if work.done.done():
                continue
            if isinstance(result, Exception):
                work.done.set_exception(result)
            else:
                work.done.set_result(result)

    async def _apply(self, group: list[_Work]) -> list[tuple[_Work, Any]]:
        verbs: dict[Verb[Any, Any], list[_Work]] = {}
        for work in group:
            verbs.setdefault(work.verb, []).append(work)
        settled: list[tuple[_Work, Any]] = []
        async with self._transaction() as tx:
            for verb, works in verbs.items():
                results = await verb(tx, [work.item for work in works])
                settled += zip(works, results, strict=True)
        return settled
