"""How long an event loop is held: what its thread does in each of its turns.

A turn is everything that was ready at once: who comes meanwhile waits for the end of it. What counts is the CPU time of
the loop's own thread, so that a busy machine makes no difference: a loop that is held spends it. A collection of
garbage counts, too, but only through what was made since the watch began: the test's own heap is not the door's.

A loop that calls what waits (for the disk, a lock) spends none, and is held all the same: what a turn takes beyond its
CPU time, its wait for events and for a processor is *slept*, the wait for the interpreter's lock included.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class LoopLag:
    """What was seen so far."""

    def __init__(self, loop: Any) -> None:
        self.held = 0.0
        """The most CPU time of a turn, in seconds."""
        self.slept = 0.0
        """The most time that a turn waited for anything but events and a processor, in seconds."""
        self.turns = 0
        self._idle = 0.0
        self._loop = loop  # its method of one turn is nobody's business but a test's
        self._run_once = loop._run_once
        self._select = loop._selector.select

    def begin(self) -> None:
        """Called in the loop."""
        self._loop._run_once = self._turn
        self._loop._selector.select = self._wait

    def end(self) -> None:
        """Called in the loop."""
        del self._loop._run_once
        del self._loop._selector.select

    def _turn(self) -> None:
        self._idle = 0.0
        wall, ran, queued = time.monotonic(), time.thread_time(), _queued()
        self._run_once()
        wall, ran, queued = time.monotonic() - wall, time.thread_time() - ran, _queued() - queued
        self.held = max(self.held, ran)
        self.slept = max(self.slept, wall - ran - queued - self._idle)
        self.turns += 1

    def _wait(self, timeout: float | None = None) -> Any:
        wall, ran, queued = time.monotonic(), time.thread_time(), _queued()
        try:
            return self._select(timeout)
        finally:  # what it ran and waited for a processor is taken off a turn as all of that is
            self._idle += time.monotonic() - wall - (time.thread_time() - ran) - (_queued() - queued)


def _queued() -> float:
    """Seconds that this thread has waited for a processor (Linux: proc_pid_schedstat)."""
    with open("/proc/thread-self/schedstat") as file:
        return int(file.read().split()[1]) / 1e9


@contextmanager
def watched(loop: asyncio.AbstractEventLoop) -> Iterator[LoopLag]:
    """Watch a loop that runs in another thread."""
    lag = LoopLag(loop)
    gc.freeze()
    loop.call_soon_threadsafe(lag.begin)
    try:
        yield lag
    finally:
        loop.call_soon_threadsafe(lag.end)
        gc.unfreeze()
