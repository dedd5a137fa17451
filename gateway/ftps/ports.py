"""The passive ports: who listens on which, and who waits for one.

Customers' firewalls are opened for exactly this range (PROGRAM.md), so a port outside it is never offered. All sessions
of a process take their listening sockets here, one a session, under one lock: with SO_REUSEADDR two sockets may bind
the same port, and only ``listen`` tells. The door's processes share the range: each begins with ports of its own and
then takes any; the kernel knows who has which.

A port is given back as soon as its data connection is there, so a range of n ports carries many more than n transfers.
When none is free, a session waits, and those of the account that holds the fewest come first; within an account, who
came first. Nobody gets a port while somebody of the same process with a better right to it waits.

It never offers a port that another program listens on. A crash leaves nothing: the kernel closes the sockets.
"""

from __future__ import annotations

import errno
import random
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.log import get
from gateway.tally import Tally

log = get(__name__)

BACKLOG = 8
WARN_AT = 0.8
WARN_EVERY = 60.0
"""Seconds between two warnings about a range that is nearly used up."""
LOOK_AGAIN = 0.5
"""Seconds after which a waiting session tries ports that another program held …"""
LOOK_AGAIN_AMONG_US = 0.05
"""… or another process of the door, who gives them back within moments."""
TAKEN = "ports"
"""What the tally calls the ports that are held."""


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

    def __init__(self, ports: Iterable[int], tally: Tally | None = None, *, place: int = 0, of: int = 1) -> None:
        """The *ports* of the process that is in *place* among *of*, who count what they hold on *tally*."""
        self.ports = tuple(ports)
        self._tally = tally or Tally.alone()
        self._place, self._of = place, of
        self._pause = LOOK_AGAIN if of == 1 else LOOK_AGAIN_AMONG_US
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        self._queue: list[_Waiting] = []
        self._warned = float("-inf")
        self._closed = False

    @property
    def taken(self) -> int:
        """How many ports are held now, by all processes of the door."""
        return self._tally.count(TAKEN)

    def take(self, address: str, family: int, account: str, patience: float) -> Lease | None:
        """Listen on a free port at *address*, waiting up to *patience* seconds for one; None when none came free.

        Raises OSError when the address itself can't be listened on.
        """
        deadline = time.monotonic() + patience
        with self._lock:
            me = _Waiting(account, time.monotonic(), threading.Condition(self._lock))
            self._queue.append(me)
            woken = False
            try:
                while True:
                    first = self._first()
                    if first is me:
                        lease = self._listen(address, family, account)
                        if lease is not None:
                            return lease
                    elif woken:  # it was our turn, and is not any more: another process gave our account a port
                        first.turn.notify()
                    left = deadline - time.monotonic()
                    if left <= 0 or self._closed:
                        return None
                    # Only the first looks again by itself: hundreds that do so every 50 ms take a processor for it.
                    woken = me.turn.wait(min(left, self._pause) if first is me else left) or first is me
            finally:
                self._queue.remove(me)
                self._wake()

    def give_back(self, lease: Lease) -> None:
        """Stop listening and let somebody else have the port. Again: nothing happens."""
        with self._lock:
            if lease.port in self._taken and lease.sock.fileno() != -1:
                lease.sock.close()
                self._taken.discard(lease.port)
                self._tally.let_go(TAKEN)
                self._tally.let_go(_of(lease.account))
                self._wake()

    def close(self) -> None:
        """The door stops: who waits for a port waits no longer."""
        with self._lock:
            self._closed = True
            for waiting in self._queue:
                waiting.turn.notify()

    # all below with the lock held

    def _first(self) -> _Waiting:
        if len(self._queue) == 1:
            return self._queue[0]
        return min(self._queue, key=lambda waiting: (self._tally.count(_of(waiting.account)), waiting.came))

    def _wake(self) -> None:
        if self._queue:
            self._first().turn.notify()

    def _listen(self, address: str, family: int, account: str) -> Lease | None:
        for port in self._free():
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
            self._tally.add(_of(account))
            self._warn(self._tally.add(TAKEN))
            return Lease(sock, port, account)
        return None

    def _free(self) -> Iterator[int]:
        """The ports that this process does not hold, in an order that a stranger can't guess: first its own ones."""
        for place in range(self._of):
            share = self.ports[(self._place + place) % self._of :: self._of]
            free = [port for port in share if port not in self._taken]
            while free:
                yield free.pop(random.randrange(len(free)))

    def _warn(self, taken: int) -> None:
        now = time.monotonic()
        if taken >= WARN_AT * len(self.ports) and now - self._warned >= WARN_EVERY:
            self._warned = now
            log.warning("passive ports run short; sessions may have to wait", taken=taken, of=len(self.ports))


def _of(account: str) -> str:
    """What the tally calls the ports that an account holds."""
    return f"ports of {account}"
