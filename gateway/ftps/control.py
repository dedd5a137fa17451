"""A control connection's wire: lines in, replies out, TLS in between; what the lines ask for is ``session``'s.

Rules:

- Whatever arrives in the clear after AUTH TLS closes the connection (the CVE-2011-0411 class).
- A client that does not read what it is told is not listened to any further.
- The session's thread does everything; other threads may only ask it to go, by ``end``. Then nothing more is read, what
  is under way may end if that was said to be *patient*, and a last reply is given a moment to be taken.

A crash leaves nothing.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from gateway.domain import names
from gateway.domain.evidence import Ending
from gateway.domain.ids import new_id
from gateway.domain.replies import Reply, ftp
from gateway.ftps.channel import Channel, Watch, cancel, keep_alive
from gateway.ftps.identity import Realm
from gateway.ftps.lines import Lines
from gateway.ftps.tls import Flow, HandshakeFailed, TlsStream
from gateway.log import get

log = get(__name__)

GULP = 8192
"""Bytes taken from a connection without TLS at a time."""
FAREWELL = 10.0
"""Seconds for a last reply to be taken."""
HASTY_FAREWELL = 1.0
"""The same when the gateway stops, or the session has to go."""
IMPATIENT = 0.2
"""Seconds between two looks whether what may still end has to go after all."""
UNREAD = 64
"""Replies that may wait for their client to read; until it does, nothing more is read from it or done."""


class Control(Channel):
    """One control connection. ``Session`` says what its lines do."""

    def __init__(self, sock: socket.socket, address: str, realm: Realm) -> None:
        super().__init__(None, sock)
        self.address = address
        self.local = sock.getsockname()
        self.realm = realm
        self.stream: TlsStream | None = None
        self.ioloop: Any = None  # set by pyftpdlib's server, in the session's thread
        self.heard: deque[bytes | None] = deque()
        """Lines that nothing was done about yet; None for one that was too long."""
        self.timer: Any = None
        """What ends a silence that lasts too long, or a farewell that nobody takes."""
        self._lines = Lines()
        self._outbox: deque[bytes] = deque()
        self._was_clogged = False
        self._goodbye = False
        self._closing = False
        self._deaf = False
        self._ending: Reply | None = None
        self._patient = False
        self._ending_lock = threading.Lock()

    # -- what the session does ---------------------------------------------------------------------------------------

    def work(self) -> None:
        """Do the lines that were heard, as far as that can be done now."""
        raise NotImplementedError

    @property
    def transferring(self) -> bool:
        """Whether something is under way that a patient end waits for."""
        raise NotImplementedError

    def give_up(self, ending: Ending) -> None:
        """End what is under way, now."""
        raise NotImplementedError

    # -- life --------------------------------------------------------------------------------------------------------

    def add_channel(self) -> None:
        """Begin, in the session's own thread and loop (pyftpdlib's server calls this)."""
        if self.closed:
            return
        self.loop = self.ioloop
        keep_alive(self.sock)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.watch(Watch.READ)

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

    @property
    def is_leaving(self) -> bool:
        """Whether the last reply has been said, or can't be said any more."""
        return self.closed or self._closing or self._goodbye

    def is_hurried(self) -> bool:
        """Whether another thread asked for the session's end, whatever runs."""
        return self._ending is not None and not self._patient

    def close(self) -> None:
        if self.closed or self._closing:
            return
        self._closing = True  # from here on nobody is there to be told anything
        cancel(self.timer)
        try:
            self.give_up(Ending.CONTROL_LOST if self._ending is None else Ending.STOPPED)
        finally:  # else the thread would hear of the lost connection again and again
            with self._ending_lock:
                self.unwatch()
                self.closed = True
                if self.stream is not None:
                    self.stream.close_notify()
                    self.stream.close()
                self.sock.close()

    def failed(self, error: Exception) -> None:
        identifier = new_id()
        log.error("a session failed", address=self.address, told_as=identifier, reason=error)
        if not self.closed:
            self.reply(ftp.failure(identifier))
            self.close()

    def gone(self) -> None:
        self._deaf = False  # an error is the peer's, and not what another thread asked for
        self._ending = None
        self.close()

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
            self.heard.clear()
            cancel(self.timer)
            self.timer = self.later(farewell, self.close)
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
        read = Watch.NOTHING if self._deaf or self.is_clogged else Watch.READ
        if self._outbox or (self.stream is not None and self.stream.unsent):
            self.watch(read | Watch.WRITE)
        elif self._goodbye:
            self.close()
        else:
            self.watch(read)
        was_clogged, self._was_clogged = self._was_clogged, self.is_clogged
        if was_clogged and not self._was_clogged:
            self.work()

    @property
    def is_clogged(self) -> bool:
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

    def says_something(self, within: float) -> bool:
        """Whether the client says something, or leaves, *within* so many seconds."""
        look = select.poll()
        look.register(self.sock, select.POLLIN)
        if look.poll(0):
            return True
        time.sleep(within)  # poll itself counts in milliseconds
        return bool(look.poll(0))

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
            self._ended()

    def _take(self, arrived: bytes) -> None:
        if self.stream is None and (self._lines.begun + arrived[:3]).startswith(b"\x16\x03"):  # TLS without AUTH
            self.finish(ftp.FOREIGN)
            return
        self.heard.extend(self._lines.feed(arrived))
        self.work()

    def _ended(self) -> None:
        """Nothing more will be read: the peer is gone, or another thread asked for the session's end."""
        if self._ending is None or (self._goodbye and not self._deaf):
            self.close()
            return
        if self.closed or self._goodbye:
            return
        self._deaf = True
        if self._patient and self.transferring:
            self.watch(Watch.NOTHING)  # ``go_if_asked`` says the rest
            self.later(IMPATIENT, self._ended)
            return
        self._say_ending()

    def go_if_asked(self) -> bool:
        """What was under way is over: go, if somebody patient asked for that; whether somebody did."""
        if self._ending is None or not self._deaf:
            return False
        self._say_ending()
        return True

    def _say_ending(self) -> None:
        assert self._ending is not None
        self.give_up(Ending.STOPPED)
        self.finish(self._ending, HASTY_FAREWELL)

    # -- TLS ---------------------------------------------------------------------------------------------------------

    def begin_tls(self) -> None:
        """The client was told to begin; what it said in the clear before that is not listened to."""
        if self._lines.begun or self.heard or self._outbox:
            log.warning("commands came in the clear after AUTH TLS; session closed", address=self.address)
            self.close()
            return
        self.stream = self.realm.stream(self.sock, withhold=False)

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
