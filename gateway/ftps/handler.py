"""One control connection: lines in, replies out, TLS in between, and one transfer at a time.

Rules:

- Before TLS nothing but AUTH and a few harmless verbs is answered; whatever arrives in the clear after AUTH TLS closes
  the session (the CVE-2011-0411 class), and so does the first verb of a foreign protocol (ALPACA, CVE-2021-3618).
- Commands are done in order. While a transfer runs, NOOP, STAT, ABOR and QUIT are answered at once and the others wait.
- A command that raises a ``Refusal`` is answered with its reply; anything else it raises is our defect: one generic
  reply with an id, and the stack in the log under that id.
- The session's thread does everything; other threads may only ask it to go, by ``end``.

A crash leaves nothing here: what was acknowledged is in the store.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gateway.access import Admitted, Peer
from gateway.domain import names
from gateway.domain.evidence import Ending
from gateway.domain.ids import new_id
from gateway.domain.records import Account, Version
from gateway.domain.replies import Refusal, Reply, ftp
from gateway.ftps import commands
from gateway.ftps.bridge import Closed
from gateway.ftps.channel import Channel, Watch, cancel, keep_alive
from gateway.ftps.identity import Realm
from gateway.ftps.jobs import Bounds
from gateway.ftps.limits import Throttle
from gateway.ftps.lines import Lines
from gateway.ftps.passive import Passive
from gateway.ftps.tls import Flow, HandshakeFailed, TlsStream
from gateway.ftps.tree import Tree, used_by
from gateway.log import get
from gateway.store import accounts

if TYPE_CHECKING:
    from gateway.ftps.server import Shared

log = get(__name__)

GULP = 8192
"""Bytes taken from a connection without TLS at a time."""
SECRET = frozenset(("PASS", "ACCT"))
"""Verbs whose argument is not logged."""
FAREWELL = 10.0
"""Seconds for a last reply to be taken."""
HASTY_FAREWELL = 1.0
"""The same when the gateway stops, or the session has to go."""
IMPATIENT = 0.2
"""Seconds between two looks whether the transfer that may still finish has to end after all."""
QUEUE = 64
"""Command lines that may wait behind a transfer, or until their client reads what it was told."""
UNREAD = 64
"""Replies that may wait for their client to read; until it does, nothing more is read from it or done."""
MISTAKES = 10
"""Commands not understood before login, after which the session ends."""


@dataclass
class Said:
    """What the customer said about commands to come."""

    folder: names.Path = ()
    type: str = "A"
    restart: int = 0
    announced: int | None = None
    rename_from: names.Path | None = None
    facts: tuple[str, ...] = ("type", "size", "modify", "perm", "unique")
    hash: str = "SHA-256"
    epsv_only: bool = False


class Job(Protocol):
    """A transfer that was asked for, from its 150 on. It says its own last reply and then calls ``Session.moved``."""

    def start(self, stream: TlsStream) -> None:
        """The data connection is there: move the bytes."""

    def abandon(self, reply: Reply, reason: str) -> None:
        """No data connection comes: say *reply*; *reason* is for the operator."""

    def cut(self, ending: Ending) -> None:
        """End now, whatever state it is in."""

    def status(self) -> str:
        """How far it is, for STAT."""


class Session(Channel):
    """A control connection and everything that hangs on it."""

    def __init__(self, shared: Shared, sock: socket.socket, address: str) -> None:
        super().__init__(None, sock)
        self.shared = shared
        self.address = address
        self.local = sock.getsockname()
        self.realm: Realm = shared.identity.realm()
        self.stream: TlsStream | None = None
        self.login: str | None = None
        self.account: Account | None = None
        self.admitted: Admitted | None = None
        self.tree: Tree | None = None
        self.throttles: tuple[Throttle, ...] = ()
        self.client: str | None = None
        self.buffer_size_said = False
        self.protected = False
        self.said = Said()
        self.passive: Passive | None = None
        self.data: TlsStream | None = None
        self.job: Job | None = None
        self.waiting = False
        """Whether the job has still no data connection."""
        self.ioloop: Any = None  # set by pyftpdlib's server, in the session's thread
        self.started = time.monotonic()
        self.mistakes = 0
        self._lines = Lines()
        self._commands: deque[bytes | None] = deque()
        self._outbox: deque[bytes] = deque()
        self._goodbye = False
        self._held_back = False
        self._busy = False
        self._idle: Any = None
        self._logged_in_idle = False
        self._closing = False
        self._deaf = False
        self._ending: Reply | None = None
        self._patient = False
        self._ending_lock = threading.Lock()

    # -- life --------------------------------------------------------------------------------------------------------

    def add_channel(self) -> None:
        """Begin, in the session's own thread and loop (pyftpdlib's server calls this)."""
        if self.closed:
            return
        self.loop = self.ioloop
        keep_alive(self.sock)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.watch(Watch.READ)
        self._rest_idle()
        if self._is_welcome():
            self.reply(ftp.greeting(self.shared.settings.hostname))

    def _is_welcome(self) -> bool:
        """Turn a banned address away before it costs a handshake."""
        shared = self.shared
        if shared.greet is None or not shared.suspects(self.address):
            return True
        try:
            shared.bridge.run(shared.greet(self.address))
        except Refusal as refusal:
            log.info("connection refused", address=self.address, reason=refusal.reason)
            self.finish(refusal.reply)
            return False
        return True

    def end(self, reply: Reply, *, patient: bool) -> None:
        """From any thread: have the session say *reply* and close; when *patient*, its transfer ends first."""
        with self._ending_lock:
            self._ending, self._patient = reply, patient
            if not self.closed:
                with suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RD)  # wakes the session's thread

    @property
    def is_closing(self) -> bool:
        """Whether nobody is there any more to be told anything."""
        return self._closing

    def is_hurried(self) -> bool:
        """Whether another thread asked for the session's end, whatever runs."""
        return self._ending is not None and not self._patient

    def close(self) -> None:
        if self.closed or self._closing:
            return
        self._closing = True  # from here on nobody is there to be told anything
        cancel(self._idle)
        if self.job is not None:
            self.job.cut(Ending.CONTROL_LOST if self._ending is None else Ending.STOPPED)
        self.drop_data()
        with self._ending_lock:
            self.unwatch()
            self.closed = True
            if self.stream is not None:
                self.stream.close_notify()
                self.stream.close()
            self.sock.close()
        if self.account is not None:
            self.shared.sessions_of.let_go(self.account.id)
        self.shared.left(self)

    def failed(self, error: Exception) -> None:
        identifier = new_id()
        log.error("a session failed", address=self.address, told_as=identifier, reason=error)
        if not self.closed:
            self.reply(ftp.failure(identifier))
            self.close()

    # -- who it is ---------------------------------------------------------------------------------------------------

    def enter(self, login: str, password: str) -> None:
        """Log in. Raises Refusal."""
        shared = self.shared
        tls = None if self.stream is None else self.stream.version
        admitted: Admitted = shared.bridge.run(shared.log_in(login, password, Peer(self.address, self.client, tls)))
        account = admitted.account
        most = account.limits.get("sessions_per_account", shared.settings.sessions_per_account)
        if not shared.sessions_of.admit(account.id, most):
            raise Refusal(ftp.TOO_MANY_OF_ACCOUNT)
        self.tree = Tree(
            account,
            shared.store,
            shared.spool,
            shared.bridge,
            shared.clock,
            shared.settings.number_pattern,
            shared.settings.closed_folder_grace,
        )
        self.account, self.admitted = account, admitted
        self.throttles = (
            *shared.throttles.of(account.id, self.limit("bandwidth_per_account")),
            *(Throttle(rate) for rate in [self.limit("bandwidth_per_session")] if rate is not None),
        )
        log.info("logged in", account=account.login, address=self.address, client=self.client, tls=tls)
        self.reply(admitted.reply)

    @property
    def files(self) -> Tree:
        """The account's tree; there is one for every verb that needs a login."""
        assert self.tree is not None
        return self.tree

    def limit(self, name: str) -> int | None:
        """A limit of the account's own, else everybody's; None or 0: there is none."""
        assert self.account is not None
        everybodys: int | None = getattr(self.shared.settings, name)
        return self.account.limits.get(name, everybodys) or None

    def bounds(self, announced: int, there: Version | None = None, *, partials: bool = True) -> Bounds:
        """How large the next upload may become. Raises Refusal where *announced* bytes are too many already.

        *there* is the partial that it goes on with, which is counted already; *partials* false leaves all of them out,
        for who does not know yet which one that is.
        """
        assert self.account is not None
        shared = self.shared
        room = shared.spool.free() - shared.settings.free_disk_reserve
        if room <= announced - (0 if there is None else there.size):
            raise Refusal(ftp.DISK_FULL, f"{room} bytes of the disk are free above the reserve")
        largest, quota, left = self.limit("largest_file"), self.limit("quota"), None
        if quota is not None:
            used = shared.bridge.run(used_by(shared.store, self.account.id, partials=partials))
            left = max(0, quota - used + (0 if there is None else there.size))
        if largest is not None and announced > largest:
            raise Refusal(ftp.too_large(largest))
        if left is not None and (announced > left or left == 0):
            raise Refusal(ftp.over_quota(left))
        return Bounds(largest, left)

    def note_failure(self, reason: str) -> None:
        """Let support see why a transfer of this account did not come to be."""
        if self.account is None:
            return
        log.info("transfer failed", account=self.account.login, address=self.address, reason=reason)
        shared = self.shared
        seen = {
            "last_failure_at": shared.clock.now(),
            "last_failure_from": self.address,
            "last_failure": reason,
            "client": self.client,
        }
        with suppress(Closed):
            shared.bridge.submit(shared.store.write(accounts.note_activity, (self.account.id, seen)))

    # -- out ---------------------------------------------------------------------------------------------------------

    def reply(self, reply: Reply) -> None:
        """Send *reply*, or queue what the socket does not take."""
        if self.closed or self._closing:
            return
        *first, last = reply.lines
        lines = [
            names.to_wire(line if index and line.startswith(" ") else f"{reply.code}-{line}")
            for index, line in enumerate(first)
        ]
        lines.append(names.to_wire(f"{reply.code} {last}"))
        log.debug("reply", address=self.address, code=reply.code, text=reply.text)
        self._outbox.append(b"\r\n".join(lines) + b"\r\n")
        self._send()

    def finish(self, reply: Reply, farewell: float = FAREWELL) -> None:
        """Send *reply* and close when it is gone."""
        if not self._goodbye:
            self._goodbye = True
            self._commands.clear()
            cancel(self._idle)
            self._idle = self.later(farewell, self.close)
            self.reply(reply)

    def _send(self) -> None:
        try:
            while self._outbox:
                block = self._outbox[0]
                if self.stream is None:
                    sent = self.sock.send(block)
                else:
                    if not self.stream.established:
                        break
                    sent = self.stream.send(block)
                if sent < len(block):
                    self._outbox[0] = block[sent:]
                    if not sent:
                        break
                else:
                    self._outbox.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        read = Watch.NOTHING if self._deaf or self._clogged else Watch.READ
        if self._outbox or (self.stream is not None and self.stream.unsent):
            self.watch(read | Watch.WRITE)
        elif self._goodbye:
            self.close()
        else:
            self.watch(read)
        if self._held_back and not self._clogged:
            self._held_back = False
            self.work()

    @property
    def _clogged(self) -> bool:
        """Whether the client says more than it listens."""
        return len(self._outbox) >= UNREAD

    def can_write(self) -> None:
        if self.stream is not None and not self.stream.established:
            self.can_read()
            return
        try:
            if self.stream is not None and not self.stream.flush():
                return
        except OSError:
            self.close()
            return
        self._send()

    # -- in ----------------------------------------------------------------------------------------------------------

    def can_read(self) -> None:
        if self.stream is None:
            try:
                arrived = self.sock.recv(GULP)
            except BlockingIOError:
                return
            except OSError:
                arrived = b""
            ended = not arrived
        else:
            if not self.stream.established and not self._shake_hands():
                return
            arrived, flow = self.stream.receive()
            ended = flow is not Flow.WAITING
        if arrived and not self._goodbye:
            self._take(arrived)
        if ended and not self.closed:
            self._peer_ended()

    def _peer_ended(self) -> None:
        """Nothing more will be read: the peer is gone, or another thread asked for the session's end."""
        if self._ending is None or (self._goodbye and not self._deaf):
            self.close()
            return
        if self.closed or self._goodbye:
            return
        self._deaf = True
        if self._patient and self.job is not None:
            self.watch(Watch.NOTHING)  # ``moved`` says the rest
            self.later(IMPATIENT, self._peer_ended)
            return
        self._say_ending()

    def _say_ending(self) -> None:
        assert self._ending is not None
        if self.job is not None:
            self.job.cut(Ending.STOPPED)
        self.finish(self._ending, HASTY_FAREWELL)

    def gone(self) -> None:
        self._deaf = False  # an error is the peer's, and not what another thread asked for
        self._ending = None
        self.close()

    def _shake_hands(self) -> bool:
        assert self.stream is not None
        try:
            done = self.stream.handshake()
        except (HandshakeFailed, OSError) as error:
            log.info("no TLS on the control connection", address=self.address, reason=error)
            self.close()
            return False
        self.watch(Watch.READ | (Watch.WRITE if self.stream.unsent else Watch.NOTHING))
        if done:
            self._send()
        return done

    def begin_tls(self) -> None:
        """The client was told to begin; what it said in the clear before that is not listened to."""
        if self._lines.begun or self._commands or self._outbox:
            log.warning("commands came in the clear after AUTH TLS; session closed", address=self.address)
            self.close()
            return
        self.stream = self.realm.stream(self.sock, withhold=False)

    def _take(self, arrived: bytes) -> None:
        if self.stream is None and (self._lines.begun + arrived[:3]).startswith(b"\x16\x03"):  # TLS without AUTH
            self.finish(ftp.FOREIGN)
            return
        self._commands.extend(self._lines.feed(arrived))
        self.work()

    def _mistake(self, reply: Reply) -> None:
        self.mistakes += self.account is None
        if self.mistakes >= MISTAKES:
            self.finish(ftp.TOO_MANY_ERRORS)
        else:
            self.reply(reply)

    # -- commands ----------------------------------------------------------------------------------------------------

    @property
    def transferring(self) -> bool:
        """Whether a transfer was asked for and its last reply has not been said."""
        return self.job is not None

    def work(self) -> None:
        """Do the commands that can be done now."""
        if self._busy:
            return
        self._busy = True
        try:
            waiting: deque[bytes | None] = deque()
            while self._commands and not (self.closed or self._closing or self._goodbye):
                if self._clogged:
                    self._held_back = True
                    break
                line = self._commands.popleft()
                if self.transferring and (waiting or not commands.at_once(line)) and not commands.is_abort(line):
                    waiting.append(line)
                    continue
                if line is None:
                    self._mistake(ftp.TOO_LONG)
                else:
                    self._do(line)
                if waiting and not self.transferring:
                    self._commands.extendleft(reversed(waiting))
                    waiting.clear()
            self._commands.extendleft(reversed(waiting))
            if len(self._commands) > QUEUE and not self.closed:
                log.info("too many commands at once", address=self.address)
                self.finish(ftp.TOO_MANY_QUEUED)
        finally:
            self._busy = False

    def _do(self, line: bytes) -> None:
        self._rest_idle()
        word, _, argument = line.partition(b" ")
        name = word.decode("ascii", "replace").upper()
        log.debug("command", address=self.address, verb=name, argument=None if name in SECRET else argument)
        if name in commands.FOREIGN or b"HTTP/" in argument or name.startswith("SSH-"):
            log.info("a foreign protocol was spoken", address=self.address, verb=name[:16])
            self.finish(ftp.FOREIGN)
            return
        verb = commands.VERBS.get(name)
        if verb is None:
            self._mistake(ftp.UNKNOWN)
            return
        try:
            commands.check(self, verb, argument)
            verb.do(self, argument)
        except Refusal as refusal:
            log.info("refused", address=self.address, verb=name, reason=refusal.reason)
            if refusal.reply.code == 421:  # RFC 959 §4.2.2: "closing control connection"
                self.finish(refusal.reply)
            else:
                self.reply(refusal.reply)
        except names.BadName as error:
            self.reply(ftp.bad_name(str(error)))
        except Exception:
            identifier = new_id()
            log.exception("a command failed", address=self.address, verb=name, told_as=identifier)
            self.reply(ftp.failure(identifier))

    # -- the data connection -----------------------------------------------------------------------------------------

    def data_arrived(self, stream: TlsStream) -> None:
        self.passive = None
        if self.job is not None and self.waiting:
            self.waiting = False
            self.job.start(stream)
        else:
            self.data = stream

    def data_failed(self, reply: Reply, reason: str) -> None:
        self.passive = None
        if self.job is not None and self.waiting:
            self.waiting = False
            self.job.abandon(reply, reason)

    def move(self, job: Job) -> None:
        """Start *job* as soon as its data connection is there; its 150 has been said."""
        self.job = job  # ``may_move`` counted it
        cancel(self._idle)
        if self.closed:  # the customer was gone before the 150 could be said
            job.cut(Ending.CONTROL_LOST)
        elif self.data is not None:
            stream, self.data = self.data, None
            job.start(stream)
        else:
            assert self.passive is not None
            self.waiting = True
            self.passive.expect()

    def may_move(self) -> None:
        """Count one more transfer of the account. Raises Refusal where it has enough."""
        assert self.account is not None
        if not self.shared.transfers_of.admit(self.account.id, self.limit("transfers_per_account") or 0):
            raise Refusal(ftp.TOO_MANY_TRANSFERS)

    def not_moved(self) -> None:
        """The transfer that ``may_move`` counted did not come to be."""
        assert self.account is not None
        self.shared.transfers_of.let_go(self.account.id)

    def moved(self) -> None:
        """The job is over and has said its last reply: go on."""
        self.not_moved()
        self.job = None
        self.waiting = False
        if self._ending is not None and self._deaf:
            self._say_ending()
            return
        self._rest_idle()
        self.work()

    def drop_data(self) -> None:
        """Give up the data port, and a data connection that nothing was moved on."""
        passive, self.passive = self.passive, None
        if passive is not None:
            passive.close()
        data, self.data = self.data, None
        if data is not None:
            data.close()

    # -- idleness ----------------------------------------------------------------------------------------------------

    def _rest_idle(self) -> None:
        """Count the silence anew."""
        if self.closed or self._closing or self._goodbye:
            return
        settings = self.shared.settings
        if self.transferring:
            cancel(self._idle)
        elif self.account is None:
            if self._idle is None:  # counted from the start, whatever is said
                self._idle = self.later(settings.login_timeout, lambda: self.finish(ftp.NO_LOGIN))
        elif self._idle is not None and not self._idle.cancelled and self._logged_in_idle:
            self._idle.reset()
        else:
            cancel(self._idle)
            self._idle = self.later(settings.idle_timeout, lambda: self.finish(ftp.IDLE))
            self._logged_in_idle = True
