"""One session: who it is, what it said, its commands in their order, and one transfer at a time.

Rules:

- Before TLS nothing but AUTH and a few harmless verbs is answered; the first verb of a foreign protocol closes the
  session (ALPACA, CVE-2021-3618).
- Commands are done in order. While a transfer runs, NOOP, STAT, ABOR and QUIT are answered at once and the others wait.
- A command that raises a ``Refusal`` is answered with its reply; anything else it raises is our defect: one generic
  reply with an id, and the stack in the log under that id.

A crash leaves nothing here: what was acknowledged is in the store.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.access import Admitted, Peer
from gateway.domain import names
from gateway.domain.evidence import Ending
from gateway.domain.ids import new_id
from gateway.domain.records import Account
from gateway.domain.replies import Refusal, Reply, ftp
from gateway.ftps import commands
from gateway.ftps.allowance import Allowance
from gateway.ftps.channel import cancel
from gateway.ftps.control import Control
from gateway.ftps.jobs import Job
from gateway.ftps.passive import Passive
from gateway.ftps.tls import TlsStream
from gateway.ftps.tree import Tree
from gateway.log import get

if TYPE_CHECKING:
    from gateway.ftps.server import Shared

log = get(__name__)

SECRET = frozenset(("PASS", "ACCT"))
"""Verbs whose argument is not logged."""
QUEUE = 64
"""Command lines that may wait behind a transfer, or until their client reads what it was told."""
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


class Session(Control):
    """A control connection and everything that hangs on it."""

    def __init__(self, shared: Shared, sock: socket.socket, address: str) -> None:
        super().__init__(sock, address, shared.identity.realm())
        self.shared = shared
        self.started = time.monotonic()
        self.login: str | None = None
        self.account: Account | None = None
        self.admitted: Admitted | None = None
        self.client: str | None = None
        self.buffer_size_said = False
        self.protected = False
        self.said = Said()
        self.passive: Passive | None = None
        self.data: TlsStream | None = None
        self.job: Job | None = None
        self.waiting = False
        """Whether the job has still no data connection."""
        self._tree: Tree | None = None
        self._allowance: Allowance | None = None
        self._mistakes = 0
        self._busy = False
        self._logged_in_idle = False

    # -- life --------------------------------------------------------------------------------------------------------

    def add_channel(self) -> None:
        super().add_channel()
        if self.closed:
            return
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

    def give_up(self, ending: Ending) -> None:
        if self.job is not None:
            self.job.cut(ending)
        self.drop_data()

    def close(self) -> None:
        if self.closed or self.is_closing:
            return
        try:
            super().close()
        finally:  # whatever comes of it, what was counted is let go: nobody is locked out by a session that is gone
            if self._allowance is not None:
                self._allowance.leave()
            self.shared.left(self)

    def _rest_idle(self) -> None:
        """Count the silence anew."""
        if self.is_leaving:
            return
        settings = self.shared.settings
        if self.transferring:
            cancel(self.timer)
        elif self.account is None:
            if self.timer is None:  # counted from the start, whatever is said
                self.timer = self.later(settings.login_timeout, lambda: self.finish(ftp.NO_LOGIN))
        elif self.timer is not None and not self.timer.cancelled and self._logged_in_idle:
            self.timer.reset()
        else:
            cancel(self.timer)
            self.timer = self.later(settings.idle_timeout, lambda: self.finish(ftp.IDLE))
            self._logged_in_idle = True

    # -- who it is ---------------------------------------------------------------------------------------------------

    def enter(self, login: str, password: str) -> None:
        """Log in. Raises Refusal."""
        shared = self.shared
        tls = None if self.stream is None else self.stream.version
        peer = Peer(self.address, self.client, tls)
        admitted: Admitted | None = shared.log_in_at_once(login, password, peer)
        if admitted is None:
            admitted = shared.bridge.run(shared.log_in(login, password, peer))
        account = admitted.account
        self._allowance = Allowance(account, shared, self.address)
        self._tree = Tree(
            account,
            shared.store,
            shared.spool,
            shared.bridge,
            shared.clock,
            shared.settings.number_pattern,
            shared.settings.closed_folder_grace,
        )
        self.account, self.admitted = account, admitted
        self._rest_idle()
        log.info("logged in", account=account.login, address=self.address, client=self.client, tls=tls)
        self.reply(admitted.reply)

    @property
    def files(self) -> Tree:
        """The account's tree; there is one for every verb that needs a login."""
        assert self._tree is not None
        return self._tree

    @property
    def allowance(self) -> Allowance:
        """What the account may have; there is one for every verb that needs a login."""
        assert self._allowance is not None
        return self._allowance

    def note_client(self, name: str) -> None:
        """What the client calls itself, for support to see; FileZilla says so after its login."""
        if self.account is not None and name != self.client:
            self.shared.note(self.account.id, client=name)
        self.client = name

    def note_failure(self, reason: str) -> None:
        """Let support see why a transfer of this account did not come to be."""
        if self.account is None:
            return
        log.info("transfer failed", account=self.account.login, address=self.address, reason=reason)
        shared = self.shared
        now = shared.clock.now()
        shared.note(
            self.account.id,
            last_failure_at=now,
            last_failure_from=self.address,
            last_failure=reason,
            client=self.client,
        )

    # -- commands ----------------------------------------------------------------------------------------------------

    def work(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            waiting: deque[bytes | None] = deque()
            while self.heard and not self.is_leaving and not self.is_clogged:
                line = self.heard.popleft()
                if self.transferring and (waiting or not commands.at_once(line)) and not commands.is_abort(line):
                    waiting.append(line)
                    continue
                if line is None:
                    self._mistake(ftp.TOO_LONG)
                else:
                    self._do(line)
                if waiting and not self.transferring:
                    self.heard.extendleft(reversed(waiting))
                    waiting.clear()
            self.heard.extendleft(reversed(waiting))
            if len(self.heard) > QUEUE and not self.closed:
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

    def _mistake(self, reply: Reply) -> None:
        self._mistakes += self.account is None
        if self._mistakes >= MISTAKES:
            self.finish(ftp.TOO_MANY_ERRORS)
        else:
            self.reply(reply)

    # -- transfers ---------------------------------------------------------------------------------------------------

    @property
    def transferring(self) -> bool:
        """Whether a transfer was asked for and its last reply has not been said."""
        return self.job is not None

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
        self.job = job  # ``Allowance.begin_transfer`` counted it
        cancel(self.timer)
        if self.closed:  # the customer was gone before the 150 could be said
            job.cut(Ending.CONTROL_LOST)
        elif self.data is not None:
            stream, self.data = self.data, None
            job.start(stream)
        else:
            assert self.passive is not None
            self.waiting = True
            self.passive.expect()

    def moved(self) -> None:
        """The job is over and has said its last reply: go on."""
        self.allowance.end_transfer()
        self.job = None
        self.waiting = False
        if not self.go_if_asked():
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
