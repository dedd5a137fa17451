"""TLS between a socket and bytes, for both channels, by pyOpenSSL's public names; ``quick`` does the same for less.

Rules:

- The engine works on memory BIOs. A data connection keeps TLS 1.3's session tickets to itself until its first write
  or the peer's close_notify: a client that only writes, and closes with a ticket unread, sends RST, and the tail of
  its file is lost.
- ``pour`` drains many records at a time into one large buffer that is there already.

It never decides what an ending means (gateway/domain/evidence.py does) and never touches a file.
A crash leaves nothing.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import socket
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

BLOCK = 1 << 19
"""Bytes handed to the sink at a time."""
GULP = 1 << 17
"""Bytes taken from the socket at a time."""
RECORD = 1 << 14
"""A TLS record's greatest payload (RFC 8446 §5.1)."""
MESSAGES = 64
"""Records of a small-message channel taken at a time."""
CHUNK = 1 << 18
"""Bytes encrypted at a time on the way out."""

_ffi: Any = getattr(SSL, "_ffi", None)
_reused: Callable[[Any], int] | None = getattr(getattr(SSL, "_lib", None), "SSL_session_reused", None)


class HandshakeFailed(Exception):
    """The peer and we could not agree on TLS, or it spoke something else."""


class Flow(enum.Enum):
    """How far a read came, and if it came to the end, how the peer ended it."""

    WAITING = "waiting"
    """All that arrived was taken; wait for the socket."""
    MORE = "more"
    """The budget is used up, and there may be more at once."""
    CLOSE_NOTIFY = "close_notify"
    """The peer said that this was all (RFC 8446 §6.1)."""
    FIN = "fin"
    """The connection ended without close_notify: whether that was all is not known."""
    RESET = "reset"
    """The connection was reset."""
    BROKEN = "broken"
    """What came is not TLS, or was tampered with, or the peer sent a fatal alert."""

    @property
    def ended(self) -> bool:
        return self not in (Flow.WAITING, Flow.MORE)


class Basin:
    """A connection's two buffers: what the socket gave, and what came out of TLS. Made once, used again and again."""

    __slots__ = ("block", "block_at", "gulp", "gulp_at", "level")

    def __init__(self) -> None:
        self.block = memoryview(bytearray(BLOCK))
        self.gulp = memoryview(bytearray(GULP))
        self.block_at: Any = _ffi.from_buffer(self.block) if _ffi is not None else None
        self.gulp_at: Any = _ffi.from_buffer(self.gulp) if _ffi is not None else None
        self.level = 0


_basins: list[Basin] = []  # append and pop are atomic


class TlsStream:
    """One TLS connection, the server's side, over a non-blocking socket that it owns.

    With *withhold* nothing but handshake leaves before the first ``send`` or ``close_notify`` (see the module's rules).
    """

    def __init__(self, engine: SSL.Connection, sock: socket.socket, *, withhold: bool) -> None:
        self.sock = sock
        self.engine = engine
        self.established = False
        self._withhold = withhold
        self._out: bytes | memoryview = b""
        self._basin: Basin | None = None
        self._version = ""

    # what the handshake told

    @property
    def resumed(self) -> bool:
        """Whether the peer resumed a session of this realm, and so is whom the control connection talks to."""
        return bool(_reused(self.engine._ssl)) if _reused is not None else False

    @property
    def version(self) -> str:
        """For example "TLSv1.3 TLS_AES_128_GCM_SHA256"."""
        if not self._version:
            self._version = f"{self.engine.get_protocol_version_name()} {self.engine.get_cipher_name()}"
        return self._version

    # handshake

    def handshake(self) -> bool:
        """Go on with the handshake; True when it is over. Raises HandshakeFailed."""
        while not self.established:
            try:
                self.established = self._step()
            except SSL.Error as error:
                self._answer()
                raise HandshakeFailed(why(error)) from error
            if self.engine.get_app_data() == "foreign":
                raise HandshakeFailed("the client asked for another protocol than FTP (ALPN)")
            if not self.established or not self._withhold or self.engine.get_protocol_version() < SSL.TLS1_3_VERSION:
                self.flush()
            if not self.established:
                taken = self._take()
                if taken is Flow.WAITING:
                    return False
                if isinstance(taken, Flow):
                    raise HandshakeFailed("the connection ended during the TLS handshake")
        return True

    def _step(self) -> bool:
        """One step of the handshake; whether it was the last. Raises SSL.Error."""
        try:
            self.engine.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def _answer(self) -> None:
        """Let TLS's own words out: an alert, or the answer to what was none of the peer's (a renegotiation)."""
        with contextlib.suppress(OSError):
            self.flush()

    # in

    def _arrival(self, into: memoryview) -> int | Flow:
        """How many bytes the socket put *into*, or why none: WAITING, FIN, or RESET."""
        try:
            return self.sock.recv_into(into) or Flow.FIN
        except BlockingIOError:
            return Flow.WAITING
        except OSError:
            return Flow.RESET

    @property
    def close_notify_came(self) -> bool:
        """Whether the peer has said that this was all."""
        return bool(self.engine.get_shutdown() & SSL.RECEIVED_SHUTDOWN)

    def _end(self, error: SSL.Error) -> Flow:
        """How the peer ended it: by close_notify, or not. Java says user_canceled before it (RFC 8446 §6.1), and then
        OpenSSL speaks of a system's error that there is none of."""
        odd = isinstance(error, SSL.SysCallError) and self.close_notify_came
        return Flow.CLOSE_NOTIFY if odd or isinstance(error, SSL.ZeroReturnError) else Flow.BROKEN

    def _take(self) -> int | Flow:
        """Move what the socket has, a record at the most, into the engine: how many bytes, or why none."""
        block = memoryview(bytearray(RECORD))
        arrived = self._arrival(block)
        if not isinstance(arrived, Flow):
            self.engine.bio_write(block[:arrived])
        return arrived

    def receive(self) -> tuple[bytes, Flow]:
        """What arrived, for a channel of small messages, and how far that came."""
        parts: list[bytes] = []
        fed = False
        while True:
            try:
                while True:
                    parts.append(self.engine.recv(RECORD))
            except SSL.WantReadError:
                if len(parts) >= MESSAGES:  # enough for now; what is still to come is in the socket
                    return b"".join(parts), Flow.WAITING
            except SSL.Error as error:
                return b"".join(parts), self._end(error)
            taken = self._take()
            if isinstance(taken, Flow):
                if taken is Flow.WAITING and fed and not parts:
                    self._answer()
                return b"".join(parts), taken
            fed = True

    def pour(self, sink: Callable[[memoryview], None], budget: int) -> Flow:
        """Take what arrived, hand each full block to *sink*, and stop after about *budget* bytes from the socket.

        The last block, not full, is handed over at the end of the stream, or by ``rest``. What *sink* raises goes
        through; the bytes it was given count as handed over.
        """
        basin = self._basin
        if basin is None:
            try:
                basin = _basins.pop()
            except IndexError:
                basin = Basin()
            basin.level = 0
            self._basin = basin
        flow = self._pour(basin, sink, budget)
        if flow.ended:
            self.rest(sink)
        return flow

    def _pour(self, basin: Basin, sink: Callable[[memoryview], None], budget: int) -> Flow:
        gulp, block, full = basin.gulp, basin.block, BLOCK - RECORD
        read, write = self.engine.recv_into, self.engine.bio_write
        while True:
            try:
                while True:
                    basin.level += read(block[basin.level :], RECORD)
                    if basin.level > full:
                        level, basin.level = basin.level, 0
                        sink(block[:level])
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                return self._end(error)
            if budget <= 0:
                return Flow.MORE
            arrived = self._arrival(gulp)
            if isinstance(arrived, Flow):
                return arrived
            write(gulp[:arrived])
            budget -= arrived

    @property
    def held(self) -> int:
        """Bytes that came out of TLS and wait for their block to be full."""
        return 0 if self._basin is None else self._basin.level

    def rest(self, sink: Callable[[memoryview], None]) -> None:
        """Hand over the block that is not full."""
        basin = self._basin
        if basin is not None and basin.level:
            level, basin.level = basin.level, 0
            sink(basin.block[:level])

    # out

    @property
    def unsent(self) -> bool:
        """Whether encrypted bytes wait for the socket to take them."""
        return len(self._out) > 0

    def send(self, data: bytes | memoryview) -> int:
        """Encrypt up to CHUNK bytes of *data* and pass on what the socket takes; return how many were encrypted.

        0 while the socket takes nothing. Raises OSError when the connection is gone.
        """
        if self.unsent and not self.flush():
            return 0
        try:
            sent = self.engine.send(data[:CHUNK])
        except SSL.Error as error:
            raise ConnectionResetError(errno.ECONNRESET, why(error)) from error
        self.flush()
        return sent

    def flush(self) -> bool:
        """Pass encrypted bytes on to the socket; True when all are gone. Raises OSError when the connection is gone."""
        while True:
            if not self._out:
                try:
                    self._out = memoryview(self.engine.bio_read(CHUNK + RECORD))
                except SSL.WantReadError:
                    return True
            try:
                gone = self.sock.send(self._out)
            except BlockingIOError:
                return False
            self._out = self._out[gone:]

    def close_notify(self) -> None:
        """Send what was withheld and our own close_notify, as far as the socket takes it; the peer may be gone."""
        if not self.established:
            return
        try:
            self.engine.shutdown()
            self.flush()
        except (SSL.Error, OSError):
            pass

    def close(self) -> None:
        """Give the buffers back and close the socket."""
        if self._basin is not None:
            _basins.append(self._basin)
            self._basin = None
        self.sock.close()


def why(error: SSL.Error) -> str:
    """OpenSSL's reason in a few words, without its paths and numbers."""
    reasons = error.args[0] if error.args else ()
    if isinstance(reasons, list) and reasons:
        return str(reasons[-1][-1])
    return "the connection ended" if isinstance(error, SSL.SysCallError) else "TLS failed"
