"""How often one address may have a password checked in a minute, over all processes of the door.

Rules: only what costs a check counts; a credential that was verified minutes ago is free. A check counts for a minute,
to the second, in the tally that the processes share. A restart forgets it: strikes (store/bans.py) are what lasts.
"""

from __future__ import annotations

from collections import deque

from gateway.clock import Clock
from gateway.tally import Tally

MINUTE = 60.0


class Rate:
    """``per_minute`` checks for each address. For one thread, which calls ``expire`` now and then."""

    def __init__(self, clock: Clock, per_minute: int, tally: Tally) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._tally = tally
        self._counted: deque[tuple[float, str]] = deque()
        """What this process counted: until when, and whose."""

    def take(self, address: str) -> bool:
        """Count a check of *address*; False when it has had as many as it may."""
        self.expire()
        key = f"checks of {address}"
        if not self._tally.admit(key, self._per_minute):
            return False
        self._counted.append((self._clock.monotonic() + MINUTE, key))
        return True

    def expire(self) -> None:
        """Let go of what was counted a minute ago: the other processes see only what this one lets go."""
        now = self._clock.monotonic()
        while self._counted and self._counted[0][0] <= now:
            self._tally.let_go(self._counted.popleft()[1])
