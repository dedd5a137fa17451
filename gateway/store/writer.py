"""Group commit: everything that waits to be written shares one transaction, and so one flush.

Work is a *verb* and an *item*. A verb is an async function that gets the open transaction and all the waiting items
that were submitted for it, and returns one result an item; a result that is an exception is raised to that item's
submitter alone. While one group commits, the next gathers; who came in company last time is waited for a moment, and
who comes while the group waits for its turn (another process writes) joins it.

There are two: on PostgreSQL a task of the loop drains the queue (``Writer``); on SQLite a thread does
(``ThreadWriter``), for whom a group is one trip, whatever number of statements it takes.

Rules: ``submit`` returns only after the COMMIT that holds the item's rows. A verb touches nothing but rows, for when a
verb raises, the whole group is rolled back and run again, an item a transaction: one poisoned item fails alone.
Verbs run in the order in which their first items came; items of one verb keep their order.

A crash leaves either all of a group or nothing of it, and nobody was told of what is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.processors import keep_home
from gateway.store.here import drive

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
"""Turns of the loop that a group waits at most while it still grows (``Writer``)."""
GATHER_PAUSE = 0.003
"""Seconds in which nothing comes, after which a group of ``ThreadWriter`` starts …"""
GATHER_MOST = 0.02
"""… and seconds that it waits at most: as long as the last group's commit took, if that is less."""


@dataclass(slots=True)
class _Work:
    verb: Verb[Any, Any]
    item: Any
    done: asyncio.Future[Any] | Future[Any] = field(repr=False)


Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""Opens one writing transaction, once no other process has one: it commits when left, and rolls back when left by an
exception."""
More = Callable[[int], list[_Work]]
"""Takes from what waits, at most so many."""


def _nobody(room: int) -> list[_Work]:
    return []


class _Groups:
    """What both writers share: one transaction a group, and one an item where the group fails."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.groups = 0
        self.items = 0

    async def submit(self, verb: Verb[Item, Result], item: Item) -> Result:
        """Run *verb* on *item* and return its result once it is durable; raise what the verb raised or returned."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._enqueue(_Work(verb, item, done))
        return await done

    def _enqueue(self, work: _Work) -> None:
        raise NotImplementedError

    async def _commit(self, group: list[_Work], more: More = _nobody) -> list[tuple[_Work, Any]]:
        """Commit the items of *group*, to which *more* are added when its turn has come; each with its result, which is
        an exception where it failed."""
        try:
            settled = await self._apply(group, more)
        except Exception as error:
            if len(group) == 1:
                settled = [(group[0], error)]
            else:
                return [one for work in group for one in await self._commit([work])]
        self.groups += 1
        self.items += len(group)
        return settled

    async def _apply(self, group: list[_Work], more: More) -> list[tuple[_Work, Any]]:
        settled: list[tuple[_Work, Any]] = []
        async with self._transaction() as tx:
            group += more(GROUP_LIMIT - len(group))
            verbs: dict[Verb[Any, Any], list[_Work]] = {}
            for work in group:
                verbs.setdefault(work.verb, []).append(work)
            for verb, works in verbs.items():
                results = await verb(tx, [work.item for work in works])
                settled += zip(works, results, strict=True)
        return settled


class Writer(_Groups):
    """One process's writing side where the database is waited for in the loop: a queue, and the task that drains it."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self._waiting: deque[_Work] = deque()
        self._task: asyncio.Task[None] | None = None

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
                group = self._more(GROUP_LIMIT)
                _settle(await self._commit(group, self._more))
        except BaseException as error:  # cancelled: the loop is going down; nobody may wait for ever
            _settle([(work, _closing(error)) for work in (*group, *self._waiting)])
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

    def _more(self, room: int) -> list[_Work]:
        came = [self._waiting.popleft() for _ in range(min(len(self._waiting), room))]
        return _wanted(came)


class ThreadWriter(_Groups):
    """The same with a thread that drains the queue: nothing that a verb awaits has to be waited for elsewhere."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._ended = False
        """Whether the thread has come to the end of the queue."""
        self._thread: threading.Thread | None = None
        self._patience = 0.0
        """Seconds that the next group waits for company; none after a group of one: who is alone never waits."""

    def post(self, verb: Verb[Item, Result], item: Item, loop: asyncio.AbstractEventLoop) -> Future[Result]:
        """``submit`` from any thread; the future is done when the item is durable."""
        done: Future[Result] = Future()
        self._enqueue(_Work(verb, item, done))
        return done

    def _enqueue(self, work: _Work) -> None:
        with self._lock:  # nothing comes after the None that ends the thread
            if self._closed:
                raise _closing(None)
            if self._thread is None:
                self._thread = threading.Thread(target=self._drain, name="store-writer", daemon=True)
                self._thread.start()
            self._waiting.put(work)

    async def close(self) -> None:
        """Commit what waits."""
        with self._lock:
            self._closed = True
            self._waiting.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _drain(self) -> None:
        keep_home()  # a thread begins where its maker is, and the first who wrote may have been roaming
        while not self._ended:
            group = self._next()
            began = time.monotonic()
            try:
                settled = drive(self._commit(group, self._more)) if group else []
            except BaseException as error:  # nobody may wait for ever
                settled = [(work, _closing(error)) for work in group]
            self._patience = min(time.monotonic() - began, GATHER_MOST) if len(group) > 1 else 0.0
            _tell(settled)

    def _next(self) -> list[_Work]:
        """What waits, once something does.

        Sessions that are answered together come again together, but not at one instant: without a pause between them
        the first would take a commit for itself, and the others one each.
        """
        group: list[_Work] = []
        until = 0.0
        while len(group) < GROUP_LIMIT:
            pause = min(GATHER_PAUSE, max(0.0, until - time.monotonic())) if group else None
            work = self._get(pause)
            if work is None:
                break
            if not group:
                until = time.monotonic() + self._patience
            group.append(work)
        return _wanted(group)

    def _more(self, room: int) -> list[_Work]:
        came: list[_Work] = []
        while len(came) < room and (work := self._get(0)) is not None:
            came.append(work)
        return _wanted(came)

    def _get(self, pause: float | None) -> _Work | None:
        """The next of the queue; None where nothing comes within *pause* seconds, or nothing ever will."""
        if self._ended:
            return None
        try:
            work = self._waiting.get(timeout=pause)
        except queue.Empty:
            return None
        self._ended = work is None
        return work


def _wanted(works: list[_Work]) -> list[_Work]:
    """Without those whose submitters have gone."""
    return [work for work in works if not work.done.done()]


def _closing(error: BaseException | None) -> ConnectionAbortedError:
    return ConnectionAbortedError("the store is closing" + ("" if error is None else f" ({error!r})"))


def _tell(settled: Sequence[tuple[_Work, Any]]) -> None:
    """Tell each submitter its item's result, those who wait in a loop with one call a loop."""
    waiting: dict[asyncio.AbstractEventLoop | None, list[tuple[_Work, Any]]] = {}
    for work, result in settled:
        loop = None if isinstance(work.done, Future) else work.done.get_loop()
        waiting.setdefault(loop, []).append((work, result))
    _settle(waiting.pop(None, []))
    for loop, theirs in waiting.items():
        assert loop is not None
        with contextlib.suppress(RuntimeError):  # that loop has ended
            loop.call_soon_threadsafe(_settle, theirs)


def _settle(settled: Sequence[tuple[_Work, Any]]) -> None:
    for work, result in settled:
        if work.done.done():
            continue
        if isinstance(result, Exception):
            work.done.set_exception(result)
        else:
            work.done.set_result(result)
