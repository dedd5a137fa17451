"""How much at once: connections per address and account, transfers per account, and each account's bandwidth.

One of each for a process, shared by all its sessions' threads. Counting is exact: what was admitted is let go once.
A crash leaves nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

BURST = 1.0
"""Seconds of bandwidth that may go at once."""


class Counts:
    """How many of something each key has: sessions of an address, transfers of an account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def admit(self, key: str, limit: int) -> bool:
        """Count one more of *key*, unless it has *limit* (0: no limit)."""
        with self._lock:
            if limit and self._counts[key] >= limit:
                return False
            self._counts[key] += 1
            return True

    def let_go(self, key: str) -> None:
        """Count one less of *key*."""
        with self._lock:
            self._counts[key] -= 1
            if self._counts[key] <= 0:
                del self._counts[key]

    def of(self, key: str) -> int:
        return self._counts.get(key, 0)


class Throttle:
    """An account's bandwidth, in bytes a second, over all its transfers."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def take(self, amount: int) -> float:
        """Account for *amount* bytes that went; the seconds to wait before any more may go."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - BURST) + amount / self.rate
            return max(0.0, self._free_at - now)


class Throttles:
    """The throttle of every account that has one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._throttles: dict[str, Throttle] = {}

    def of(self, account: str, rate: int | None) -> tuple[Throttle, ...]:
        """The account's throttle at *rate* bytes a second; none where it has no limit."""
        if not rate:
            return ()
        with self._lock:
            throttle = self._throttles.get(account)
            if throttle is None:
                throttle = self._throttles[account] = Throttle(rate)
            throttle.rate = rate
            return (throttle,)
