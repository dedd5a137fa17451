"""Time, passed in: whoever needs it is given a ``Clock``, so that a test can live a year in a second.

Rules: ``now()`` is for what people and the store see (aware, UTC); ``monotonic()`` is for how long something took
and survives a stepped system clock. Never compare the two. Nothing here sleeps, and a crash leaves nothing behind.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """The present moment, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed instant of this process; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
