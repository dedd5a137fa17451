"""The passive ports: who listens on which, and who waits for one.

Customers' firewalls are opened for exactly this range (PROGRAM.md), so a port outside it is never offered. All sessions
of the process take their listening sockets here, one a session, under one lock: with SO_REUSEADDR two sockets may bind
the same port, and only ``listen`` tells.

A port is given back as soon as its data connection is there, so a range of n ports carries many more than n transfers.
When none is free, a session waits, and those of the account that holds the fewest come first; within an account, who
came first. Nobody gets a port while somebody with a better right to it waits.

It never offers a port that another program listens on. A crash leaves nothing: the kernel closes the sockets.
"""

from __future__ import annotations

import errno
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.log import get

log = get(__name__)

BACKLOG = 8
WARN_AT = 0.8
WARN_EVERY = 60.0
"""Seconds between two warnings about a range that is nearly used up."""
LOOK_AGAIN = 0.5
"""Seconds after which a waiting session tries ports that another program held."""


@dataclass(eq=False)
class Lease:
    """A listening socket on one of the ports, until ``give_back``."""

    sock: socket.socket
    port: int
    account: str


@dataclass(eq=False)
class _Waiting:
    account: str
    came: float
    turn: threading.Condition = field(repr=False)


class Ports:
    """The allocator of one process: ``take`` a port, ``give_back`` a port."""

    def __init__(self, ports: Iterable[int]) -> None:
        self.ports = tuple(ports)
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._taken: set[int] = set()
        self._queue: list[_Waiting] = []
        self._warned = float("-inf")
        self._closed = False

    @property
    def taken(self) -> int:
        """How many ports are held now."""
        return len(self._taken)

    def take(self, address: str, family: int, account: str, patience: float) -> Lease | None:
        """Listen on a free port at *address*, waiting up to *patience* seconds for one; None when none came free.

        Raises OSError when the address itself can't be listened on.
        """
        deadline = time.monotonic() + patience
        with self._lock:
            me = _Waiting(account, time.monotonic(), threading.Condition(self._lock))
            self._queue.append(me)
            try:
                while True:
                    if self._first() is me:
                        lease = self._listen(address, family, account)
                        if lease is not None:
                            return lease
                    left = deadline - time.monotonic()
                    if left <= 0 or self._closed:
                        return None
                    me.turn.wait(min(left, LOOK_AGAIN))
            finally:
                self._queue.remove(me)
                self._wake()

    def give_back(self, lease: Lease) -> None:
        """Stop listening and let somebody else have the port. Again: nothing happens."""
        with self._lock:
            if lease.port in self._taken and lease.sock.fileno() != -1:
                lease.sock.close()
                self._taken.discard(lease.port)
                self._held[lease.account] -= 1
                if not self._held[lease.account]:
                    del self._held[lease.account]
                self._wake()

    def close(self) -> None:
        """The door stops: who waits for a port waits no longer."""
        with self._lock:
            self._closed = True
            for waiting in self._queue:
                waiting.turn.notify()

    # all below with the lock held

    def _first(self) -> _Waiting:
        return min(self._queue, key=lambda waiting: (self._held[waiting.account], waiting.came))

    def _wake(self) -> None:
        if self._queue:
            self._first().turn.notify()

    def _listen(self, address: str, family: int, account: str) -> Lease | None:
        free = [port for port in self.ports if port not in self._taken]
        while free:
            port = free.pop(random.randrange(len(free)))  # a stranger is not to guess the next port
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
                sock.listen(BACKLOG)
                sock.setblocking(False)
            except OSError as error:
                sock.close()
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise
            self._taken.add(port)
            self._held[account] += 1
            self._warn()
            return Lease(sock, port, account)
        return None

    def _warn(self) -> None:
        now = time.monotonic()
        if len(self._taken) >= WARN_AT * len(self.ports) and now - self._warned >= WARN_EVERY:
            self._warned = now
            log.warning(
                "passive ports run short; sessions may have to wait", taken=len(self._taken), of=len(self.ports)
            )
