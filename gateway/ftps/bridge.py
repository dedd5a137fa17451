"""The one way from a session's thread into the process's asyncio loop, where the store and the crew live.

A session's thread hands a coroutine over and waits for its result; nothing else of the loop is touched from a thread.
Once the loop is going down, every call fails at once instead of hanging. A crash leaves nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class Closed(ConnectionAbortedError):
    """The door is going down: nothing can be asked any more."""


class Bridge:
    """Made in the loop's thread; ``run`` and ``submit`` are for all the others."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start *work* in the loop."""
        if self._closed:
            work.close()
            raise Closed("the door is closing")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise Closed("the loop has ended") from error

    def run(self, work: Coroutine[Any, Any, Result], timeout: float | None = None) -> Result:
        """Do *work* in the loop and return its result, or raise what it raised (TimeoutError after *timeout* s)."""
        if timeout is None:
            return self._run(work)
        future = self.submit(work)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What nobody will cancel needs one future, not three that tell one another."""
        done: Future[Result] = Future()
        if self._closed:
            work.close()
            raise Closed("the door is closing")
        try:
            self._loop.call_soon_threadsafe(self._start, work, done)
        except RuntimeError as error:
            work.close()
            raise Closed("the loop has ended") from error
        return done.result()

    def _start(self, work: Coroutine[Any, Any, Result], done: Future[Result]) -> None:
        task = self._loop.create_task(_carry(work, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def post(self, callback: Callable[[], object]) -> None:
        """Have *callback* run in the loop, soon; nothing comes back."""
        if not self._closed:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """Fail every call from now on."""
        self._closed = True


async def _carry(work: Coroutine[Any, Any, Result], done: Future[Result]) -> None:
    try:
        result = await work
    except BaseException as error:
        done.set_exception(error)
        if not isinstance(error, Exception):
            raise
    else:
        done.set_result(result)
