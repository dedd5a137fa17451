"""How long an event loop is held: what its thread does in each of its turns.

A turn is everything that was ready at once: who comes meanwhile waits for the end of it. What counts is the CPU time of
the loop's own thread, so that a busy machine makes no difference: a loop that is held spends it. A collection of
garbage counts, too, but only through what was made since the watch began: the test's own heap is not the door's.
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
        self.turns = 0
        self._loop = loop  # its method of one turn is nobody's business but a test's
        self._run_once = loop._run_once

    def begin(self) -> None:
        """Called in the loop."""
        self._loop._run_once = self._turn

    def end(self) -> None:
        """Called in the loop."""
        del self._loop._run_once

    def _turn(self) -> None:
        before = time.thread_time()
        self._run_once()
        self.held = max(self.held, time.thread_time() - before)
        self.turns += 1


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
