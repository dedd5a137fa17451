"""A clock that stands still until the test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""A Monday."""


class FakeClock:
    """A ``gateway.clock.Clock``: ``now`` and ``monotonic`` move together, by ``advance`` alone."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta | float) -> datetime:
        """Move on, by a timedelta or by seconds; the new time."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self._now += step
        self._monotonic += step.total_seconds()
        return self._now

    def go_to(self, moment: datetime) -> datetime:
        """Move on to a later moment."""
        return self.advance(moment - self._now)
