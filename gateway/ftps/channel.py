"""A descriptor in a session's loop: what pyftpdlib's event loop asks of whoever is registered with it.

A session has a thread and a pyftpdlib event loop of its own (``ThreadedFTPServer``); all its channels are touched by
that thread alone. A channel that raises is closed, and its ``failed`` decides what the peer is told.
"""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import sys
from collections.abc import Callable
from typing import Any

from gateway.log import get

log = get(__name__)

KEEPALIVE_IDLE, KEEPALIVE_EVERY, KEEPALIVE_PROBES = 60, 30, 6
"""Seconds of silence before the kernel probes, between two probes, and probes: firewalls forget idle connections."""


class Watch(enum.IntFlag):
    """What a channel waits for. ``NOTHING`` still hears of errors."""

    NOTHING = 0
    READ = select.EPOLLIN
    WRITE = select.EPOLLOUT


class Channel:
    """One registered socket. Subclasses say what happens when it can be read or written, or is gone."""

    def __init__(self, loop: Any, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self._fileno = sock.fileno()  # pyftpdlib sorts its channels by this
        self._watching: Watch | None = None
        self.closed = False

    def watch(self, events: Watch) -> None:
        """Wait for *events* from now on."""
        if self.closed or events == self._watching:
            return
        if self._watching is None:
            self.loop.register(self._fileno, self, events)
        else:
            self.loop.modify(self._fileno, events)
        self._watching = events

    def unwatch(self) -> None:
        """Take the socket out of the loop."""
        if self._watching is not None:
            self._watching = None
            self.loop.unregister(self._fileno)

    def close(self) -> None:
        """Take the socket out of the loop and close it. Again: nothing happens."""
        if not self.closed:
            self.unwatch()
            self.closed = True
            self.sock.close()

    def later(self, seconds: float, call: Callable[[], object]) -> Any:
        """Have *call* called in this thread in so many seconds; the result has ``cancel()``."""
        return self.loop.call_later(seconds, call, _errback=self.handle_error)

    # what subclasses do

    def can_read(self) -> None:
        """The socket can be read."""

    def can_write(self) -> None:
        """The socket can be written."""

    def gone(self) -> None:
        """The connection is in error, and nothing can be read."""
        self.close()

    def failed(self, error: Exception) -> None:
        """A method above raised *error*: our own defect."""
        log.exception("a channel failed", channel=type(self).__name__)
        self.close()

    # what pyftpdlib calls

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def handle_read_event(self) -> None:
        if not self.closed:
            self.can_read()

    def handle_write_event(self) -> None:
        if not self.closed:
            self.can_write()

    def handle_close(self) -> None:
        if not self.closed:
            self.gone()

    def handle_error(self) -> None:
        """Called in the ``except`` clause around whatever was raised."""
        error = sys.exc_info()[1]
        self.failed(error if isinstance(error, Exception) else RuntimeError("unknown"))


class Alarm(Channel):
    """Wakes a loop from any other thread, and has *call* called there."""

    def __init__(self, loop: Any, call: Callable[[], object]) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(loop, ours)
        self._call = call
        self.watch(Watch.READ)

    def ring(self) -> None:
        """From any thread, also when it is closed already."""
        with contextlib.suppress(OSError):
            self._theirs.send(b"!")

    def can_read(self) -> None:
        self.sock.recv(64)
        self._call()

    def close(self) -> None:
        super().close()
        self._theirs.close()


def keep_alive(sock: socket.socket) -> None:
    """Have the kernel probe a silent peer, so that firewalls remember the connection and we notice the dead."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def cancel(timer: Any) -> None:
    """Cancel a timer of ``later``, if there is one that has not run."""
    if timer is not None and not timer.cancelled:
        timer.cancel()
