"""The same stream by OpenSSL's own functions, for the calls that every command, file and record needs.

pyOpenSSL raises an exception for each "nothing more now", allocates a buffer for each read and asks after errors that
can't be. Each of its calls into OpenSSL lets go of the interpreter's lock besides, and where many sessions' threads
wait for it, getting it back is what costs: a small file fell from 4.3 to 2 CPU milliseconds in its session's thread.

Names that pyOpenSSL keeps private stand in this file alone; where they are missing or fail ``proves`` at the start, the
public ones serve. OpenSSL's list of errors is a thread's, and before 4.0 SSL_get_error(3) believes whatever stands in
it: it is emptied before the reads that are asked about, and after errors.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

from gateway.ftps.tls import BLOCK, CHUNK, GULP, MESSAGES, RECORD, Basin, Flow, TlsStream, why
from gateway.log import get

log = get(__name__)

_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)


class _Desk:
    """Buffers for small messages and for what goes out.

    Whoever needs one for a moment takes it from the pile: one for each thread, 300 KiB that are hardly touched, stood
    between the small things of all the sessions in the heap, and kept what they left from going back to the system.
    """

    __slots__ = ("arrived", "arrived_at", "out", "out_at", "plain", "plain_at")

    def __init__(self) -> None:
        raw = _ffi.new_allocator(should_clear_after_alloc=False)
        self.arrived_at = raw("char[]", RECORD)
        self.plain_at = raw("char[]", RECORD)
        self.out_at = raw("char[]", CHUNK + RECORD)
        self.arrived, self.plain, self.out = (
            memoryview(_ffi.buffer(at)) for at in (self.arrived_at, self.plain_at, self.out_at)
        )


_desks: list[_Desk] = []  # append and pop are atomic


def _take_desk() -> _Desk:
    """A desk of the pile, to be put back with ``_desks.append``."""
    try:
        return _desks.pop()
    except IndexError:
        return _Desk()


class QuickStream(TlsStream):
    """A TlsStream that costs less."""

    def __init__(self, engine: SSL.Connection, sock: socket.socket, *, withhold: bool) -> None:
        super().__init__(engine, sock, withhold=withhold)
        self._ssl: Any = engine._ssl
        self._into: Any = engine._into_ssl
        self._from: Any = engine._from_ssl
        self._unread = True  # what came along with the handshake's end
        if withhold:  # who is idle gives its buffers back; in a transfer that would cost each record
            _lib.SSL_clear_mode(self._ssl, SSL.MODE_RELEASE_BUFFERS)

    def _step(self) -> bool:
        done = _lib.SSL_do_handshake(self._ssl)
        if done > 0:
            return True
        if _lib.SSL_get_error(self._ssl, done) == _lib.SSL_ERROR_WANT_READ:
            return False
        self.engine._raise_ssl_error(self._ssl, done)
        raise SSL.Error("the handshake failed")

    def _take(self) -> int | Flow:
        desk = _take_desk()
        try:
            return self._take_by(desk)
        finally:
            _desks.append(desk)

    def _take_by(self, desk: _Desk) -> int | Flow:
        arrived = self._arrival(desk.arrived)
        if not isinstance(arrived, Flow):
            _lib.BIO_write(self._into, desk.arrived_at, arrived)
        return arrived

    def receive(self) -> tuple[bytes, Flow]:
        desk = _take_desk()
        try:
            return self._receive_by(desk)
        finally:
            _desks.append(desk)

    def _receive_by(self, desk: _Desk) -> tuple[bytes, Flow]:
        read, ssl, plain, plain_at = _lib.SSL_read, self._ssl, desk.plain, desk.plain_at
        parts: list[bytes] = []
        taken: int | Flow = RECORD
        fed = False
        while True:
            if self._unread:
                _lib.ERR_clear_error()
                while (got := read(ssl, plain_at, RECORD)) > 0:
                    parts.append(bytes(plain[:got]))
                self._unread = False
                error = _lib.SSL_get_error(ssl, got)
                if error != _lib.SSL_ERROR_WANT_READ:
                    return b"".join(parts), self._ended_by(error)
                if (parts and taken != RECORD) or len(parts) >= MESSAGES:
                    return b"".join(parts), Flow.WAITING  # whatever else there is, the socket tells
            taken = self._take_by(desk)
            if isinstance(taken, Flow):
                if taken is Flow.WAITING and fed and not parts:
                    self._answer()
                return b"".join(parts), taken
            self._unread = fed = True

    def _pour(self, basin: Basin, sink: Callable[[memoryview], None], budget: int) -> Flow:
        gulp, gulp_at, block, block_at = basin.gulp, basin.gulp_at, basin.block, basin.block_at
        ssl, into, read, write = self._ssl, self._into, _lib.SSL_read, _lib.BIO_write
        level, full = basin.level, BLOCK - RECORD
        _lib.ERR_clear_error()
        while True:
            while (got := read(ssl, block_at + level, BLOCK - level)) > 0:
                level += got
                if level > full:
                    basin.level = 0
                    sink(block[:level])
                    level = 0
            error = _lib.SSL_get_error(ssl, got)
            basin.level = level
            if error != _lib.SSL_ERROR_WANT_READ:
                return self._ended_by(error)
            if budget <= 0:
                return Flow.MORE
            arrived = self._arrival(gulp)
            if isinstance(arrived, Flow):
                return arrived
            write(into, gulp_at, arrived)
            budget -= arrived

    def _ended_by(self, error: int) -> Flow:
        """How the peer ended it: by close_notify, or not. Java says user_canceled before it (RFC 8446 §6.1), and then
        OpenSSL speaks of a system's error that there is none of."""
        odd = error == _lib.SSL_ERROR_SYSCALL and not _lib.ERR_peek_error() and self.close_notify_came
        _lib.ERR_clear_error()
        return Flow.CLOSE_NOTIFY if odd or error == _lib.SSL_ERROR_ZERO_RETURN else Flow.BROKEN

    def send(self, data: bytes | memoryview) -> int:
        if self.unsent and not self.flush():
            return 0
        piece = data[:CHUNK]
        at = piece if isinstance(piece, bytes) else _ffi.from_buffer(piece)
        sent: int = _lib.SSL_write(self._ssl, at, len(piece))
        if sent <= 0:
            try:
                self.engine._raise_ssl_error(self._ssl, sent)
            except SSL.Error as error:
                raise ConnectionResetError(errno.ECONNRESET, why(error)) from error
        self.flush()
        return sent

    def flush(self) -> bool:
        if self._out and not self._send_on():
            return False
        desk = _take_desk()
        try:
            while (got := _lib.BIO_read(self._from, desk.out_at, CHUNK + RECORD)) > 0:
                try:
                    gone = self.sock.send(desk.out[:got])
                except BlockingIOError:
                    gone = 0
                if gone < got:
                    self._out = bytes(desk.out[gone:got])
                    return False
                if got < CHUNK + RECORD:
                    break  # that was all
            return True
        finally:
            _desks.append(desk)

    def _send_on(self) -> bool:
        """Pass on what the socket did not take before."""
        while self._out:
            try:
                gone = self.sock.send(self._out)
            except BlockingIOError:
                return False
            self._out = self._out[gone:]
        return True


def proves(make: Callable[[socket.socket], QuickStream]) -> bool:
    """Whether the private names are there and carry the same bytes as a client of our own; logs if not."""
    try:
        _try(make)
    except Exception as error:
        log.warning("TLS goes by pyOpenSSL's public functions, which costs CPU", reason=repr(error))
        return False
    return True


def _try(make: Callable[[socket.socket], QuickStream]) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        stream = make(ours)
        try:
            client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), theirs)
            client.set_connect_state()
            for _ in range(100):
                with contextlib.suppress(SSL.WantReadError):
                    client.do_handshake()
                if stream.handshake():
                    break
            client.sendall(b"NOOP")
            if stream.receive() != (b"NOOP", Flow.WAITING) or stream.send(b"200") != 3 or client.recv(16) != b"200":
                raise ValueError("a message came out as another")
            sample, arrived = secrets.token_bytes(3 * RECORD + 1), bytearray()
            client.sendall(sample)
            client.shutdown()
            for _ in range(100):
                if stream.pour(lambda view: arrived.extend(view), GULP) is Flow.CLOSE_NOTIFY:
                    break
            if arrived != sample:
                raise ValueError("SSL_read gave other bytes than were sent")
        finally:
            stream.close()
