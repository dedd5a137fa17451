"""A result that a transfer's end hangs on: waited for in the session's loop, so that NOOP, STAT and ABOR are answered.

Rules: what follows is done once, in the session's thread, when the result is there or the time is up; or sooner, when
somebody says that there is no more waiting. A crash leaves nothing.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from gateway.ftps.channel import Alarm, cancel

SLICE = 0.1
"""Seconds between two looks whether a session that serves nobody any more has to go."""


class Awaiting:
    """*running* is awaited for so many *seconds* at most, and then *then* is called."""

    def __init__(self, loop: Any, running: Future[Any], seconds: float, then: Callable[[], object]) -> None:
        self._then = then
        self._alarm = Alarm(loop, self.go_on)
        self._timer = self._alarm.later(seconds, self.go_on)
        self._running = running
        self._until = time.monotonic() + seconds
        running.add_done_callback(lambda _: self._alarm.ring())

    def go_on(self) -> None:
        """Wait no longer. Again: nothing happens."""
        if not self._alarm.closed:
            cancel(self._timer)
            self._alarm.close()
            self._then()

    def hold(self, hurried: Callable[[], bool]) -> None:
        """Wait here and now, while nobody is there to be answered, for as long as nobody is *hurried*; then go on."""
        block(self._running, self._until - time.monotonic(), hurried)
        self.go_on()


def block(running: Future[Any], seconds: float, hurried: Callable[[], bool]) -> None:
    """Wait for *running*, holding this thread, until *seconds* are over or somebody is *hurried*."""
    until = time.monotonic() + seconds
    while not running.done() and not hurried() and (left := until - time.monotonic()) > 0:
        concurrent.futures.wait([running], min(left, SLICE))
