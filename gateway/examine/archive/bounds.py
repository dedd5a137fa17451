"""How far a look into a file goes, and how it ends early.

Output is counted and thrown away, so a bomb costs time, never space: the bounds exist to name it and to stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.domain.findings import Cause, Finding

MIB, GIB = 1 << 20, 1 << 30
INPUT = 128 << 10
"""Bytes read at a time."""
OUTPUT = 1 * MIB
"""Bytes decoded at a time, at most."""


class Stop(Exception):
    """The look ends here, with this cause. `detail` is for the operator."""

    def __init__(self, cause: Cause, detail: str | None = None, *, what: str | None = None) -> None:
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail
        self.what = what

    def finding(self, format: str, members: int | None, meter: Meter) -> Finding:
        return Finding(
            format,
            self.cause.verdict,
            self.cause,
            members,
            what=self.what,
            unpacked=meter.unpacked,
            detail=self.detail,
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes and seconds."""

    seconds: float = 3600.0
    ratio: int = 1000
    """A file that unpacks to more than this times its size is a bomb (deflate alone cannot pass 1,032)…"""
    harmless: int = 1 * GIB
    """…unless it unpacks to less than this."""
    output: int = 4096 * GIB
    members: int = 1_000_000
    memory: int = 256 * MIB
    """The largest dictionary or window that a decoder may ask for."""


@dataclass(slots=True)
class Meter:
    """Counts what comes out of a file of `packed` bytes, and raises Stop at a bound."""

    packed: int
    bounds: Bounds = field(default_factory=Bounds)
    now: Callable[[], float] = time.monotonic
    unpacked: int = 0
    members: int = 0
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self._until = self.now() + self.bounds.seconds

    def output(self, size: int) -> None:
        """`size` more bytes were decoded (or read over)."""
        self.unpacked += size
        if self.unpacked > self.bounds.output or (
            self.unpacked > self.bounds.harmless and self.unpacked > self.packed * self.bounds.ratio
        ):
            raise Stop(Cause.BOMB, f"{self.packed} bytes unpack to {self.unpacked} and more")
        self.tick()

    def member(self) -> None:
        """One more member begins."""
        self.members += 1
        if self.members > self.bounds.members:
            raise Stop(Cause.TOO_MANY, f"more than {self.bounds.members} members")
        self.tick()

    def tick(self) -> None:
        if self.now() > self._until:
            raise Stop(Cause.TIME, f"{self.unpacked} bytes decoded in {self.bounds.seconds} s")
