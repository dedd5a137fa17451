"""How often one address may have a password checked: a bucket of tokens that fills again over a minute.

Rules: only what costs a check takes a token; a credential that was verified minutes ago is free. It counts in this
process alone and a restart forgets it: strikes (store/bans.py) are what lasts.
"""

from __future__ import annotations

from gateway.clock import Clock

_ROOM = 10_000
"""Addresses remembered; beyond it, those whose bucket is full again are dropped."""


class Rate:
    """``per_minute`` tokens for each address."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._per_minute = float(per_minute)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, address: str) -> bool:
        """Take a token of *address*; False when none is left."""
        now = self._clock.monotonic()
        tokens = self._tokens(address, now)
        if tokens < 1:
            return False
        if len(self._buckets) >= _ROOM:
            self._buckets = {each: kept for each, kept in self._buckets.items() if now - kept[1] < 60}
        self._buckets[address] = (tokens - 1, now)
        return True

    def _tokens(self, address: str, now: float) -> float:
        tokens, at = self._buckets.get(address, (self._per_minute, now))
        return min(self._per_minute, tokens + (now - at) * self._per_minute / 60)
