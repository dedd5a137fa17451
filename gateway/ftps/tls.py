"""TLS for both channels: certificates, who may resume whose session, and the engine between socket and bytes.

Rules:

- TLS 1.2 is the floor; no compression, no renegotiation; nobody is asked for a client certificate (PROGRAM.md).
- A ``Realm`` is one control connection and its data connections: a session is resumed within its own realm only, by
  the session-id context (RFC 5246 §7.3, F.1.4). That is how a data connection proves whose it is.
- The engine works on memory BIOs. A data connection keeps TLS 1.3's session tickets to itself until its first write
  or the peer's close_notify: a client that only writes, and closes with a ticket unread, sends RST, and the tail of
  its file is lost.
- ``pour`` drains many records at a time into one large buffer that is there already, by ``SSL_read`` itself. Names that
  pyOpenSSL keeps private stand in this file alone; where they are missing or fail their test at start-up, the public
  ones take over, slower.

It never decides what an ending means (gateway/domain/evidence.py does) and never touches a file.
A crash leaves nothing: keys and tickets live in memory.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from gateway.log import get

log = get(__name__)

BLOCK = 1 << 20
"""Bytes handed to the sink at a time."""
GULP = 1 << 18
"""Bytes taken from the socket at a time."""
RECORD = 1 << 14
"""A TLS record's greatest payload (RFC 8446 §5.1)."""
MESSAGES = 64
"""Records of a small-message channel taken at a time."""
CHUNK = 1 << 18
"""Bytes encrypted at a time on the way out."""

SESSION_LIFETIME = 7 * 24 * 3600
"""Seconds a session can be resumed: RFC 8446 §4.6.1's limit. Shorter than an upload, and the next file could not."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 suites: forward secret and authenticated. TLS 1.3 has no others to begin with."""

_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)


class BadCertificate(Exception):
    """A certificate and key that can't be served; the text is one line for the operator."""


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


# -- certificates ------------------------------------------------------------------------------------------------------


def _foreign_protocol(connection: SSL.Connection, offered: list[bytes]) -> Any:
    """Mark a client that offers other protocols only (ALPACA, CVE-2021-3618); "ftp" is RFC 7301's name for ours."""
    if b"ftp" in offered:
        return b"ftp"
    if not any(b"ftp" in name.lower() for name in offered):  # FileZilla offers "x-filezilla-ftp" and "ftp-data"
        connection.set_app_data("foreign")
    return SSL.NO_OVERLAPPING_PROTOCOLS


def new_context(pairs: Sequence[tuple[Path, Path]], ciphers: str = CIPHERS) -> SSL.Context:
    """A context that serves every (certificate chain, private key) of *pairs*, at most one for each kind of key.

    Raises BadCertificate when a file can't be read or a key does not belong to its certificate.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_timeout(SESSION_LIFETIME)
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    context.set_alpn_select_callback(_foreign_protocol)
    try:
        context.set_cipher_list(ciphers.encode())
    except SSL.Error as error:
        raise BadCertificate(f"no TLS suite is known by {ciphers!r}") from error
    for certificate, key in pairs:
        for file in (certificate, key):
            try:
                os.close(os.open(file, os.O_RDONLY))
            except OSError as error:
                raise BadCertificate(f"{file}: {error.strerror}") from error
        try:
            context.use_certificate_chain_file(str(certificate))
        except SSL.Error as error:
            raise BadCertificate(f"{certificate}: not a PEM certificate") from error
        try:
            context.use_privatekey_file(str(key))
            context.check_privatekey()
        except SSL.Error as error:
            raise BadCertificate(f"{key}: not the private key of {certificate}") from error
    return context


class Identity:
    """The certificates this door shows, and the newest context that serves them; read anew by ``reload``."""

    fast = False
    """Whether OpenSSL may be read by its private names: proved at start-up."""

    def __init__(self, pairs: Sequence[tuple[Path, Path]], ciphers: str = CIPHERS) -> None:
        self.pairs = tuple(pairs)
        self.ciphers = ciphers
        self._lock = threading.Lock()
        self._stamps = self._read_stamps()
        self._context = new_context(self.pairs, ciphers)
        self.fast = _proves_fast(self)

    def reload(self) -> None:
        """Serve what the files hold now. Raises BadCertificate, and goes on with the old, when they don't fit."""
        stamps = self._read_stamps()
        context = new_context(self.pairs, self.ciphers)
        self._context, self._stamps = context, stamps

    def changed(self) -> bool:
        """Whether a file is another than the one that was read."""
        return self._read_stamps() != self._stamps

    def realm(self) -> Realm:
        """A new realm, for a new control connection. It keeps its context, and so its sessions, over a reload."""
        return Realm(self, self._context, secrets.token_bytes(16))

    def _read_stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        def stamp(file: Path) -> tuple[int, int, int] | None:
            try:
                found = file.stat()
            except OSError:
                return None
            return found.st_ino, found.st_mtime_ns, found.st_size

        return tuple(stamp(file) for pair in self.pairs for file in pair)


class Realm:
    """One control connection and its data connections: sessions are resumed among these only."""

    __slots__ = ("_context", "_identity", "_name", "_own")

    def __init__(self, identity: Identity, context: SSL.Context, name: bytes) -> None:
        self._identity = identity
        self._context = context
        self._name = name
        self._own = False

    def connection(self) -> SSL.Connection:
        """A server-side engine without a socket, whose sessions belong to this realm.

        OpenSSL copies the session-id context from the Context when it makes the connection, and the Context is
        shared: setting it and making the connection are one step under one lock.
        """
        if hasattr(_lib, "SSL_CTX_set_session_id_context"):
            with self._identity._lock:
                _lib.SSL_CTX_set_session_id_context(self._context._context, self._name, len(self._name))
                engine = SSL.Connection(self._context, None)
        else:
            if not self._own:  # the public way, slower: a Context for this realm alone
                self._context = new_context(self._identity.pairs, self._identity.ciphers)
                self._context.set_session_id(self._name)
                self._own = True
            engine = SSL.Connection(self._context, None)
        engine.set_accept_state()
        return engine


# -- the engine --------------------------------------------------------------------------------------------------------


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

    def __init__(self, realm: Realm, sock: socket.socket, *, withhold: bool) -> None:
        self.sock = sock
        self.engine = realm.connection()
        self.established = False
        self.fast = realm._identity.fast
        self._withhold = withhold
        self._out: bytes | memoryview = b""
        self._basin: Basin | None = None

    # what the handshake told

    @property
    def resumed(self) -> bool:
        """Whether the peer resumed a session of this realm, and so is whom the control connection talks to."""
        reused: Callable[[Any], int] | None = getattr(_lib, "SSL_session_reused", None)
        return bool(reused(self.engine._ssl)) if reused is not None else False

    @property
    def version(self) -> str:
        """For example "TLSv1.3 TLS_AES_256_GCM_SHA384"."""
        return f"{self.engine.get_protocol_version_name()} {self.engine.get_cipher_name()}"

    # handshake

    def handshake(self) -> bool:
        """Go on with the handshake; True when it is over. Raises HandshakeFailed."""
        while not self.established:
            try:
                self.engine.do_handshake()
                self.established = True
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                self._say_why()
                raise HandshakeFailed(_why(error)) from error
            if self.engine.get_app_data() == "foreign":
                raise HandshakeFailed("the client asked for another protocol than FTP (ALPN)")
            if not self.established or not self._withhold or self.engine.get_protocol_version() < SSL.TLS1_3_VERSION:
                self.flush()
            if not self.established:
                taken = self._take()
                if taken is None:
                    return False
                if not taken:
                    raise HandshakeFailed("the connection ended during the TLS handshake")
        return True

    def _say_why(self) -> None:
        with contextlib.suppress(OSError):
            self.flush()

    def _take(self) -> int | None:
        """Move what the socket has into the engine: bytes moved, 0 at the end, None when there is nothing now."""
        try:
            arrived = self.sock.recv(RECORD)
        except BlockingIOError:
            return None
        except OSError:
            return 0
        if arrived:
            self.engine.bio_write(arrived)
        return len(arrived)

    # in

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
            except SSL.ZeroReturnError:
                return b"".join(parts), Flow.CLOSE_NOTIFY
            except SSL.Error:
                return b"".join(parts), Flow.BROKEN
            try:
                arrived = self.sock.recv(RECORD)
            except BlockingIOError:
                if fed and not parts:  # no word of the peer's, but TLS's own (a renegotiation): it is answered now
                    with contextlib.suppress(OSError):
                        self.flush()
                return b"".join(parts), Flow.WAITING
            except OSError:
                return b"".join(parts), Flow.RESET
            if not arrived:
                return b"".join(parts), Flow.FIN
            self.engine.bio_write(arrived)
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
        flow = (self._pour_fast if self.fast else self._pour_public)(basin, sink, budget)
        if flow.ended:
            self.rest(sink)
        return flow

    def _pour_fast(self, basin: Basin, sink: Callable[[memoryview], None], budget: int) -> Flow:
        take, gulp, gulp_at, block, block_at = (
            self.sock.recv_into,
            basin.gulp,
            basin.gulp_at,
            basin.block,
            basin.block_at,
        )
        ssl, into, read, write = self.engine._ssl, self.engine._into_ssl, _lib.SSL_read, _lib.BIO_write
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
                _lib.ERR_clear_error()
                return Flow.CLOSE_NOTIFY if error == _lib.SSL_ERROR_ZERO_RETURN else Flow.BROKEN
            if budget <= 0:
                return Flow.MORE
            try:
                arrived = take(gulp)
            except BlockingIOError:
                return Flow.WAITING
            except OSError:
                return Flow.RESET
            if not arrived:
                return Flow.FIN
            write(into, gulp_at, arrived)
            budget -= arrived

    def _pour_public(self, basin: Basin, sink: Callable[[memoryview], None], budget: int) -> Flow:
        take, gulp, block, full = self.sock.recv_into, basin.gulp, basin.block, BLOCK - RECORD
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
            except SSL.ZeroReturnError:
                return Flow.CLOSE_NOTIFY
            except SSL.Error:
                return Flow.BROKEN
            if budget <= 0:
                return Flow.MORE
            try:
                arrived = take(gulp)
            except BlockingIOError:
                return Flow.WAITING
            except OSError:
                return Flow.RESET
            if not arrived:
                return Flow.FIN
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
            raise ConnectionResetError(errno.ECONNRESET, _why(error)) from error
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


def _why(error: SSL.Error) -> str:
    """OpenSSL's reason in a few words, without its paths and numbers."""
    reasons = error.args[0] if error.args else ()
    if isinstance(reasons, list) and reasons:
        return str(reasons[-1][-1])
    return "the connection ended" if isinstance(error, SSL.SysCallError) else "TLS failed"


# -- the test at start-up ----------------------------------------------------------------------------------------------


def _proves_fast(identity: Identity) -> bool:
    """Whether the private names are there and read the same bytes that a client of our own sends; logs if not."""
    try:
        _try_fast(identity)
    except Exception as error:
        log.warning("TLS is read by pyOpenSSL's public functions, which costs CPU", reason=repr(error))
        return False
    return True


def _try_fast(identity: Identity) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        stream = TlsStream(Realm(identity, identity._context, b"self-test"), ours, withhold=True)
        stream.fast = True
        try:
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            client = SSL.Connection(context, theirs)
            client.set_connect_state()
            for _ in range(100):
                with contextlib.suppress(SSL.WantReadError):
                    client.do_handshake()
                if stream.handshake():
                    break
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
