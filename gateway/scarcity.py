"""A machine that has no room for another connection: which errors say so, and telling the operator of it, seldom.

Whoever listens meets it again with every try, for what knocks is still there: a line for each would fill the disk.
"""

from __future__ import annotations

import errno
import threading
import time

from gateway import log as voices

PAUSE = 0.2
"""Seconds without accepting, where no connection can be accepted: the socket stays readable."""
SELDOM = 60.0
"""Seconds between two log lines about it."""

log = voices.get(__name__)


class Scarcity:
    """What one door has said about it. Any thread may call it."""

    def __init__(self) -> None:
        self._told_at: float | None = None
        self._lock = threading.Lock()

    @staticmethod
    def shows_in(error: OSError) -> bool:
        """Whether *error* means that there are no descriptors, or no memory, for another connection."""
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)

    def tell(self, error: OSError) -> None:
        """Log it, unless that was done a moment ago."""
        with self._lock:
            now = time.monotonic()
            if self._told_at is not None and now - self._told_at < SELDOM:
                return
            self._told_at = now
        log.error("no connection can be accepted", reason=error)
