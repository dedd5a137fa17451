"""How long a delivery waits after it failed, and when it is left to a person.

Rules: the pause doubles from the first to the longest; a receiver that names a pause itself (``Retry-After``) is heeded
up to the longest. When the pauses so far add up to the patience, the delivery is parked: it waits no more, it is
listed, and nobody but a person tries it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Patience:
    """The first pause, the longest, and how long to try in all."""

    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(hours=1)
    in_all: timedelta = timedelta(days=3)


def pause_after(failures: int, patience: Patience, asked: timedelta | None = None) -> timedelta | None:
    """The pause after so many failures in a row (at least one); None: park it."""
    waited = sum((_pause(number, patience) for number in range(1, failures)), timedelta(0))
    if waited >= patience.in_all:
        return None
    pause = _pause(failures, patience)
    return pause if asked is None else min(max(asked, pause), patience.longest)


def _pause(number: int, patience: Patience) -> timedelta:
    return min(patience.first * 2.0 ** min(number - 1, 40), patience.longest)
