"""Processor time for a library that may not come back, within a worker that should.

Rules: a worker that is killed costs a mail's whole look; a library that is interrupted costs what it was asked for.
The signal is delivered to the main thread between two bytecodes, so this bounds loops in Python, not one long call
in C: that is the worker's own limit. Elsewhere than in a main thread it does nothing. Nests not.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class BudgetSpent(BaseException):
    """The time is over. No Exception: libraries that catch everything must not catch this."""


@contextmanager
def budget(seconds: float) -> Iterator[None]:
    """Let the block run for *seconds* of processor time. Raises BudgetSpent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def spent(number: int, frame: FrameType | None) -> None:
        raise BudgetSpent

    former = signal.signal(signal.SIGVTALRM, spent)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)
