"""How fast an account or an address may be: its bandwidth, over all its transfers in all processes of the door.

Each process lets its own share go: as much of the bandwidth as it has of those transfers. How many of anything
there may be at once is counted by the tally (gateway/tally.py). A crash leaves nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

BURST = 1.0
"""Seconds of bandwidth that may go at once."""


class Throttle:
    """A bandwidth, in bytes a second, over all transfers that share it; *share* says how much of it is this process's,
    from 0 (exclusive) to 1."""

    def __init__(self, rate: float, share: Callable[[], float] = lambda: 1.0) -> None:
        self.rate = rate
        self._share = share
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def take(self, amount: int) -> float:
        """Account for *amount* bytes that went; the seconds to wait before any more may go."""
        rate = self.rate * self._share()
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - BURST) + amount / rate
            return max(0.0, self._free_at - now)


class Throttles:
    """The throttle of every account and address that has one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._throttles: dict[str, Throttle] = {}

    def of(self, whose: str, rate: int | None, share: Callable[[], float]) -> tuple[Throttle, ...]:
        """Somebody's throttle at *rate* bytes a second; none where it has no limit."""
        if not rate:
            return ()
        with self._lock:
            throttle = self._throttles.get(whose)
            if throttle is None:
                throttle = self._throttles[whose] = Throttle(rate, share)
            throttle.rate = rate
            return (throttle,)
