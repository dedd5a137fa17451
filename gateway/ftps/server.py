"""All control connections of one process: admitting them, a thread for each, and ending them.

pyftpdlib's ``ThreadedFTPServer`` accepts and gives every session a thread with an event loop of its own, so that one
session's disk, hash or query never holds up another's. It would wake every idle thread each second; here they sleep for
POLL seconds, and are woken by what happens on their sockets.

Rules: limits are counted with the door's other processes. Those who have not logged in are counted apart, here. When
they are too many, the one that has waited longest, of the address that has most of them, makes room: idle strangers
keep no customer out. Nothing is accepted once ``stop`` began.

It binds nothing: the supervisor owns the listening sockets. A crash leaves nothing here.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import ThreadedFTPServer

from gateway.access import Admitted, Peer
from gateway.clock import Clock
from gateway.domain.replies import Reply, ftp
from gateway.domain.throttle import address_subject
from gateway.ftps.allowance import LOGGED_IN
from gateway.ftps.bridge import Bridge
from gateway.ftps.channel import Alarm, Channel, Watch
from gateway.ftps.identity import Identity
from gateway.ftps.limits import Throttles
from gateway.ftps.looking import Looking
from gateway.ftps.ports import Ports
from gateway.ftps.session import Session
from gateway.ftps.settings import Masquerade, Settings
from gateway.intake import Intake
from gateway.log import get
from gateway.scarcity import PAUSE, Scarcity
from gateway.spool import Spool
from gateway.store import Store
from gateway.tally import AFTER_YOU, Tally

log = get(__name__)

POLL = 30.0
"""Seconds an idle thread sleeps at most."""
SESSIONS = "sessions"
"""What the tally calls all of them."""
STACK = 512 << 10
"""Bytes of address space for a session's stack; what is not touched costs no memory."""


@dataclass(eq=False)
class Shared:
    """What all sessions of a process share. Everything here may be used from any thread."""

    settings: Settings
    clock: Clock
    identity: Identity
    ports: Ports
    masquerade: Masquerade
    bridge: Bridge
    store: Store
    spool: Spool
    intake: Intake
    log_in: Callable[[str, str, Peer], Any]
    """Access.login: a coroutine function that admits or raises Refusal."""
    looking: Looking
    log_in_at_once: Callable[[str, str, Peer], Admitted | None] = lambda login, password, peer: None
    """Access.at_once: admits whoever was verified a moment ago; None: ``log_in`` is to be asked."""
    suspects: Callable[[str], bool] = lambda address: False
    """Access.suspects: whether an address may be banned, so that ``greet`` is to be asked."""
    greet: Callable[[str], Any] | None = None
    """Access.greet: a coroutine function that raises Refusal for a banned address."""
    note: Callable[..., None] = lambda account_id, **seen: None
    """Access.note: keeps what was seen of an account's clients, columns of account_activity, for support."""
    throttles: Throttles = field(default_factory=Throttles)
    tally: Tally = field(default_factory=Tally.alone)
    settling: threading.Lock = field(default_factory=threading.Lock)
    held: dict[str, dict[str, int]] = field(default_factory=dict)
    """Bytes of each account's quota that uploads hold, by id, which are being settled (``Allowance.fits``)."""
    processes: int = 1
    """How many serve the door."""
    server: Server | None = None

    def left(self, session: Session) -> None:
        """A session has closed."""
        if self.server is not None:
            self.server.left(session)


class Server(ThreadedFTPServer):  # type: ignore[misc]  # pyftpdlib has no types
    """The control connections. ``serve`` in a thread of its own; everything else from any thread."""

    poll_timeout = POLL

    def __init__(self, shared: Shared, listening: Sequence[socket.socket]) -> None:
        self._lock = threading.Lock()  # stock: one for all servers of the process
        self._exit = threading.Event()
        self._scarcity = Scarcity()
        self.shared = shared
        self.sessions: set[Session] = set()
        self._sessions_lock = threading.Lock()
        shared.server = self
        super().__init__(listening[0].dup(), Session, ioloop=IOLoop(), backlog=1024)
        self._more = [_Listening(self, sock.dup()) for sock in listening[1:]]
        self._alarm = Alarm(self.ioloop, lambda: None)
        self._stopping = False
        self.poll_timeout = min(POLL, shared.settings.login_timeout)  # pyftpdlib sleeps once before it sees a timer

    # -- accepting ---------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Accept until ``stop``."""
        threading.stack_size(STACK)
        while not self._stopping:
            self.ioloop.poll(POLL)
            self.ioloop.sched.poll()

    def handle_accept(self) -> None:
        """Accept what waits (pyftpdlib calls this for the first listening socket)."""
        self.accept_from(self.socket)

    def accept_from(self, listening: socket.socket) -> None:
        if self.shared.tally.ahead(SESSIONS):
            time.sleep(AFTER_YOU)
        try:
            sock, peer = listening.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if self._scarcity.shows_in(error):
                self._scarcity.tell(error)
                time.sleep(PAUSE)
            return
        try:
            self._admit(sock, str(peer[0]))
        except Exception:
            log.exception("a connection could not be admitted", address=peer[0])
            sock.close()

    def _admit(self, sock: socket.socket, address: str) -> None:
        sock.setblocking(False)
        settings, tally = self.shared.settings, self.shared.tally
        refusal = None
        if self._stopping:
            refusal = ftp.CLOSING
        elif tally.count(LOGGED_IN) >= settings.sessions:
            refusal = ftp.TOO_MANY
        elif not tally.admit(_of(address), settings.sessions_per_address):
            refusal = ftp.TOO_MANY_FROM_YOU
        if refusal is not None:
            _turn_away(sock, refusal)
            log.info("connection refused", address=address, reason=refusal.text)
            return
        try:
            with self._sessions_lock:
                strangers = [session for session in self.sessions if session.account is None]
            if len(strangers) >= max(1, settings.sessions_not_logged_in // self.shared.processes):
                self._make_room(strangers)
            session = Session(self.shared, sock, address)
        except BaseException:
            tally.let_go(_of(address))
            raise
        tally.add(SESSIONS)
        with self._sessions_lock:
            self.sessions.add(session)
        thread = threading.Thread(target=self._session, args=(session,), name=f"ftps {address}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the host has no thread left
            with suppress(OSError):
                sock.send(_words(ftp.TOO_MANY))
            session.close()
            raise
        with self._lock:
            self._active_tasks.append(thread)

    def _make_room(self, strangers: Sequence[Session]) -> None:
        crowd = Counter(session.address for session in strangers)
        oldest = max(strangers, key=lambda session: (crowd[session.address], -session.started))
        oldest.end(ftp.TOO_MANY, patient=False)

    def _session(self, session: Session) -> None:
        """A session's thread: pyftpdlib's loop, until the session has no sockets left."""
        try:
            self._loop(session)
        except OSError as error:
            if session.ioloop is not None or not self._scarcity.shows_in(error):
                log.exception("a session's thread failed", address=session.address)
            else:  # there was room for the connection, but not for the session
                self._scarcity.tell(error)
                with suppress(OSError):
                    session.sock.send(_words(ftp.TOO_MANY))
        except Exception:
            log.exception("a session's thread failed", address=session.address)
        finally:
            session.close()

    def left(self, session: Session) -> None:
        with self._sessions_lock:
            was_here = session in self.sessions
            self.sessions.discard(session)
        if was_here:
            self.shared.tally.let_go(_of(session.address))
            self.shared.tally.let_go(SESSIONS)

    # -- ending ------------------------------------------------------------------------------------------------------

    def logged_in(self) -> dict[Session, Admitted]:
        """The sessions that have logged in, for who looks whether they still may be."""
        with self._sessions_lock:
            return {session: session.admitted for session in self.sessions if session.admitted is not None}

    def end(self, session: Session, reply: Reply) -> None:
        """Have a session end with *reply*, its running transfer first."""
        session.end(reply, patient=True)

    def stop(self) -> None:
        """Accept nothing more; sessions end as soon as they transfer nothing."""
        self._stopping = True
        self.shared.ports.close()
        self._alarm.ring()
        self._end_all(patient=True)

    def cut(self) -> None:
        """End every session now, what it receives kept as a partial."""
        self._end_all(patient=False)

    def _end_all(self, *, patient: bool) -> None:
        with self._sessions_lock:
            sessions = list(self.sessions)
        for session in sessions:
            session.end(ftp.CLOSING, patient=patient)

    def join(self, seconds: float) -> bool:
        """Wait for the sessions' threads; whether all have ended."""
        deadline = time.monotonic() + seconds
        with self._lock:
            threads = list(self._active_tasks)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def end_serving(self) -> None:
        """Close our copies of the listening sockets, and the loop; ``serve`` has returned."""
        self._active_tasks_idler.cancel()
        self.ioloop.close()


def _of(address: str) -> str:
    """What the tally calls the sessions of an address, or of one IPv6 subscriber's network."""
    return f"sessions from {address_subject(address)}"


def _words(reply: Reply) -> bytes:
    return f"{reply.code} {reply.text}\r\n".encode()


def _turn_away(sock: socket.socket, reply: Reply) -> None:
    try:
        sock.send(_words(reply))
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    sock.close()


class _Listening(Channel):
    """A further listening socket of the server (IPv6 beside IPv4)."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        super().__init__(server.ioloop, sock)
        self._server = server
        sock.setblocking(False)
        self.watch(Watch.READ)

    def can_read(self) -> None:
        self._server.accept_from(self.sock)

    def gone(self) -> None:
        pass
