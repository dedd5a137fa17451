"""Which processors a thread may run on: its process's own, or all that there are.

A process has one interpreter lock, which its threads hand on to one another all the time, and to hand it to a thread on
another processor costs several times as much as on the same one. So each process of a door keeps to a share of the
processors of its own, one where there are as many processes as processors. What works for long without the lock (a
large file on its way, argon2, a flush, a worker) *roams*: it may run wherever there is room.

Rules: only processors that the process was started with are used, so that what an operator or a container allows
holds. Where the system won't hear of it, everything runs anywhere, as if nothing had been asked.

A crash leaves nothing: the kernel keeps this with the thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

_all: frozenset[int] = frozenset()
_own: frozenset[int] = frozenset()


def share(processors: Sequence[int], place: int, of: int, *, from_last: bool = False) -> frozenset[int]:
    """The processors of the process in *place* among *of*: neighbours, as many for each; all where there are too few.

    *from_last* counts from the other end: two doors whose first processes are busy should not meet on one processor.
    """
    if of > len(processors):
        return frozenset(processors)
    ordered = sorted(processors, reverse=from_last)
    return frozenset(ordered[place * len(ordered) // of : (place + 1) * len(ordered) // of])


def settle(place: int, of: int, *, from_last: bool = False) -> None:
    """Have this process, which has one thread yet, keep to its share. Threads begin where their maker is."""
    global _all, _own
    _all = frozenset(os.sched_getaffinity(0))
    _own = share(tuple(_all), place, of, from_last=from_last)
    keep_home()


def roam() -> None:
    """Let the calling thread run anywhere, until ``keep_home`` or its end."""
    _allow(_all)


def keep_home() -> None:
    """Have the calling thread keep to its process's share again."""
    _allow(_own)


@contextmanager
def roaming() -> Iterator[None]:
    """Roam for a while: a process that is started meanwhile may run anywhere, too."""
    roam()
    try:
        yield
    finally:
        keep_home()


def _allow(processors: frozenset[int]) -> None:
    if _own != _all:
        with suppress(OSError):  # a processor that went away; a sandbox that allows no such call
            os.sched_setaffinity(0, processors)
