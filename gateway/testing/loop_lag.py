"""How long an event loop is held: a tick every few milliseconds, and what the loop's thread did between two of them.

What counts is the CPU time of the loop's own thread, so that a busy machine makes no difference: a loop that is held
spends it between two ticks. ``late`` is the wall time besides, for what is not CPU (a lock, a disk).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

TICK = 0.002
"""Seconds between two looks: what is measured may be longer than the truth by as much."""


class LoopLag:
    """What was seen so far, in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.held = 0.0
        """The most CPU time between two ticks."""
        self.late = 0.0
        """The most that a tick was late."""
        self.ticks = 0
        self._loop = loop
        self._cpu = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Called in the loop."""
        self._cpu = time.thread_time()
        self._handle = self._loop.call_later(TICK, self._tick)

    def end(self) -> None:
        """Called in the loop."""
        if self._handle is not None:
            self._handle.cancel()

    def _tick(self) -> None:
        assert self._handle is not None
        cpu = time.thread_time()
        self.held = max(self.held, cpu - self._cpu)
        self.late = max(self.late, self._loop.time() - self._handle.when())
        self.ticks += 1
        self._cpu = cpu
        self._handle = self._loop.call_later(TICK, self._tick)


@contextmanager
def watched(loop: asyncio.AbstractEventLoop) -> Iterator[LoopLag]:
    """Watch a loop that runs in another thread."""
    lag = LoopLag(loop)
    loop.call_soon_threadsafe(lag.begin)
    try:
        yield lag
    finally:
        loop.call_soon_threadsafe(lag.end)
