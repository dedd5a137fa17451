"""The data port of one PASV or EPSV: who connects to it, who of them is the customer, and whom the session gets.

Every connection that comes is held, up to CANDIDATES, and may do its TLS handshake; domain/binding.py says whose it is.
One that resumed the control connection's session is taken at once. Any other is considered only when a transfer was
asked for, and a moment later, so that a stranger who is quick gains nothing. When one is taken, the port is given back
and the rest are closed.

It never hands over a connection without TLS, and never reads a byte of a file.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol

from gateway.domain import binding
from gateway.domain.binding import Binding, Fate
from gateway.domain.replies import Reply, ftp
from gateway.ftps.channel import Channel, Watch, cancel
from gateway.ftps.identity import Realm
from gateway.ftps.ports import Lease, Ports
from gateway.ftps.tls import HandshakeFailed, TlsStream
from gateway.log import get

log = get(__name__)

CANDIDATES = 8
MOMENT = 0.05
"""Seconds that a connection which did not resume waits for one that does, beyond ROUND_TRIPS of the customer's."""
ROUND_TRIPS = 3
"""A client that connects only after the 150 needs one and a half to be there, and two to have resumed."""
PATIENCE = 2.0
"""Seconds of the same, while another connection has still to show what it is."""
TROUBLE_WAIT = 2.0
"""Seconds from a connection that failed or is refused to the reply that says so: the right one may still come."""
UNUSED = 60.0
"""Seconds a port is held for a client that asks for no transfer."""


def moment_for(control: socket.socket) -> float:
    """How long to wait for a connection that resumes, by the customer's own distance (struct tcp_info, tcpi_rtt)."""
    information = control.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 72)
    round_trip: int = struct.unpack_from("=I", information, 68)[0]
    return min(PATIENCE, MOMENT + ROUND_TRIPS * round_trip / 1e6)


class DataClient(Protocol):
    """The session, as the data port sees it."""

    def data_arrived(self, stream: TlsStream) -> None:
        """This is the data connection, its handshake done."""

    def data_failed(self, reply: Reply, reason: str) -> None:
        """No data connection will come of this; *reason* is for the operator."""


class Passive(Channel):
    """The listening side. ``expect`` when a transfer was asked for; ``close`` when the port is not wanted any more."""

    def __init__(
        self,
        loop: Any,
        client: DataClient,
        ports: Ports,
        lease: Lease,
        realm: Realm,
        rule: Binding,
        address: str,
        patience: float,
        moment: Callable[[], float],
    ) -> None:
        super().__init__(loop, lease.sock)
        self.client = client
        self.ports = ports
        self.lease = lease
        self.realm = realm
        self.rule = rule
        self.address = address
        """Where the control connection comes from."""
        self.patience = patience
        """Seconds after which a data connection that was asked for has failed to come."""
        self._moment = moment
        """Seconds that a connection which did not resume waits for one that does, asked when there is one."""
        self.candidates: list[_Candidate] = []
        self._expected: float | None = None
        self._trouble: tuple[Reply, str] | None = None
        self._settling: Any = None
        self._deadline = self.later(UNUSED, self._expired)
        self.watch(Watch.READ)

    def expect(self) -> None:
        """A transfer waits for its data connection."""
        self._expected = time.monotonic()
        cancel(self._deadline)
        self._deadline = self.later(self.patience, self._expired)
        self.settle()

    def close(self) -> None:
        if not self.closed:
            cancel(self._deadline)
            cancel(self._settling)
            self.unwatch()
            self.closed = True
            self.ports.give_back(self.lease)
            for candidate in self.candidates:
                candidate.close()
            self.candidates.clear()

    def can_read(self) -> None:
        try:
            sock, peer = self.sock.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):  # it stays readable: look away for a moment
                self.watch(Watch.NOTHING)
                self.later(1.0, lambda: self.watch(Watch.READ))
            return  # the peer went away again
        sock.setblocking(False)
        if len(self.candidates) >= CANDIDATES:
            self._make_room()
        candidate = _Candidate(self, sock, str(peer[0]))
        self.candidates.append(candidate)
        candidate.watch(Watch.READ)

    def _make_room(self) -> None:
        """Drop the connection that promises least: not from the customer's address, handshake not done, oldest."""
        least = min(
            self.candidates, key=lambda one: (one.address == self.address, one.stream.established, one.connected)
        )
        self.candidates.remove(least)
        least.close()

    def settle(self) -> None:
        """Take a connection if one can be taken now."""
        cancel(self._settling)
        self._settling = None
        now = time.monotonic()
        ready = [one for one in self.candidates if one.stream.established]
        since = now if self._expected is None else self._expected
        facts = [
            binding.Candidate(one.stream.resumed, one.address == self.address, now - max(since, one.connected))
            for one in ready
        ]
        moment = 0.0
        if not any(fact.resumed for fact in facts):  # one that did would not be waited for
            moment = self._moment() if len(ready) == len(self.candidates) else PATIENCE
        index = binding.best(self.rule, facts, moment)
        if index is not None:
            chosen = ready[index]
            self.candidates.remove(chosen)
            chosen.unwatch()
            self.close()
            self.client.data_arrived(chosen.stream)
            return
        if self._expected is None:
            return
        if any(binding.fate(self.rule, one, moment) is Fate.WAIT for one in facts):
            self._settling = self.later(self._moment() / 4, self.settle)
            return
        for one, fact in zip(ready, facts, strict=True):
            if not binding.acceptable(self.rule, fact):
                refusal = ftp.FOREIGN_ADDRESS if not fact.same_address else ftp.MUST_RESUME
                self._note(refusal, f"a data connection from {one.address} was refused ({self.rule})")
        if self._trouble is not None:
            if now - since >= TROUBLE_WAIT:
                self._fail(*self._trouble)
            else:
                self._settling = self.later(TROUBLE_WAIT - (now - since), self.settle)

    def _note(self, reply: Reply, reason: str) -> None:
        if self._trouble is None:
            log.info("no data connection of this one", reason=reason)
            self._trouble = (reply, reason)

    def dropped(self, candidate: _Candidate, why: str) -> None:
        """A connection went away, or TLS could not be agreed on."""
        if candidate in self.candidates:
            self.candidates.remove(candidate)
            self._note(ftp.data_connection_failed(why), f"data connection from {candidate.address}: {why}")
            self.settle()

    def _expired(self) -> None:
        if self._trouble is not None:
            self._fail(*self._trouble)
        elif self._expected is None:
            self._fail(ftp.PASSIVE_FIRST, "a data port was asked for and not used")
        elif self.candidates:  # no firewall's doing
            why = "its TLS handshake was not finished"
            self._fail(ftp.data_connection_failed(why), f"data connection from {self.candidates[0].address}: {why}")
        else:
            first, last = self.ports.ports[0], self.ports.ports[-1]
            self._fail(
                ftp.never_connected(first, last),
                f"control connection fine, data port never reached: ask for TCP {first}-{last}",
            )

    def _fail(self, reply: Reply, reason: str) -> None:
        self.close()
        self.client.data_failed(reply, reason)


class _Candidate(Channel):
    """One connection to the data port, until it is taken or closed."""

    def __init__(self, passive: Passive, sock: socket.socket, address: str) -> None:
        super().__init__(passive.loop, sock)
        self.passive = passive
        self.address = address
        self.connected = time.monotonic()
        self.stream = passive.realm.stream(sock, withhold=True)

    def can_read(self) -> None:
        try:
            done = self.stream.handshake()
        except (HandshakeFailed, OSError) as error:
            self.close()
            self.passive.dropped(self, str(error))
            return
        self.watch(Watch.NOTHING if done else Watch.READ | (Watch.WRITE if self.stream.unsent else Watch.NOTHING))
        if done:
            self.passive.settle()

    def can_write(self) -> None:
        self.can_read()

    def gone(self) -> None:
        self.close()
        self.passive.dropped(self, "it was reset")

    def close(self) -> None:
        if not self.closed:
            self.unwatch()
            self.closed = True
            self.stream.close()
