"""Waiting for a condition instead of for a time: looks often, gives up late, and says what it waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 30.0
"""Seconds: generous, for the machine may be busy; a test that passes never waits that long."""

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, within: float = PATIENCE) -> T:
    """Call *condition* until it returns something true, and return that. Raises AssertionError with *what*."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:.0f} s in vain: {what}")
        time.sleep(0.01)
    return found


async def eventually(condition: Callable[[], T], what: str, within: float = PATIENCE) -> T:
    """``until`` for coroutines: the loop goes on meanwhile."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:.0f} s in vain: {what}")
        await asyncio.sleep(0.01)
    return found
