"""The C library's heap of a process: few arenas, and memory that is no longer needed goes back to the system.

Sessions come and go by the hundred. What they leave is free, but in pieces between others, in an arena of each thread
that ever asked: 500 sessions of the FTPS door took 50 MiB instead of 31, and each such wave a little more. Nothing of
it was lost, and nobody else could have it.

Where the C library has no such functions (it is not glibc), all this is nothing. A crash leaves nothing.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from typing import Final

M_ARENA_MAX: Final = -8
"""mallopt(3)'s name for it."""
ARENAS: Final = 2
"""Heaps of a process's threads: those that come and go need none each, which would keep 5 MiB resident."""
GIVE_BACK_EVERY: Final = 2.0
"""Seconds; sooner than the next wave of sessions comes, which would not take the holes, but room beside them."""
AT_LEAST: Final = 0.05
"""CPU seconds. Who did less since the last time has hardly anything to give."""


def keep_small() -> None:
    """Have the threads share ARENAS heaps; to be said before there are any."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(M_ARENA_MAX, ARENAS)


async def give_back() -> None:
    """Give what many sessions needed, and few need now, back to the system, for ever: malloc_trim(3), off the loop."""
    done = 0.0
    while hasattr(_libc, "malloc_trim"):
        await asyncio.sleep(GIVE_BACK_EVERY)
        if time.process_time() - done >= AT_LEAST:
            await asyncio.to_thread(_libc.malloc_trim, 0)
            done = time.process_time()


_libc = ctypes.CDLL(None)
