"""Whom the door is to its clients: certificates and their keys, and the realm in which a session may be resumed.

Rules:

- TLS 1.2 is the floor; no compression, no renegotiation; nobody is asked for a client certificate (PROGRAM.md).
- A ``Realm`` is one control connection and its data connections: a session is resumed within its own realm only, by
  the session-id context (RFC 5246 §7.3, F.1.4). That is how a data connection proves whose it is.
- A certificate and key that don't fit are refused, and the old ones serve on.

A crash leaves nothing: keys and tickets live in memory.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from gateway.ftps import quick
from gateway.ftps.tls import TlsStream
from gateway.log import get
from gateway.renewal import stamps

log = get(__name__)

SESSION_LIFETIME = 7 * 24 * 3600
"""Seconds a session can be resumed: RFC 8446 §4.6.1's limit. Shorter than an upload, and the next file could not."""

CIPHERS = "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 suites: forward secret and authenticated. TLS 1.3 has no others to begin with."""
SUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""TLS 1.3 suites in our order: the one that RFC 8446 §9.1 asks of everybody costs a quarter less than the next."""

_lib: Any = getattr(SSL, "_lib", None)


class BadCertificate(Exception):
    """A certificate and key that can't be served; the text is one line for the operator."""


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
        context.set_tls13_ciphersuites(SUITES)
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
        self._files = [file for pair in self.pairs for file in pair]
        self.ciphers = ciphers
        self._lock = threading.Lock()
        self._stamps = stamps(self._files)
        self._context = new_context(self.pairs, ciphers)
        self.fast = quick.proves(lambda ours: quick.QuickStream(self._probe(), ours, withhold=True))

    def reload(self) -> None:
        """Serve what the files hold now. Raises BadCertificate, and goes on with the old, when they don't fit."""
        seen = stamps(self._files)
        context = new_context(self.pairs, self.ciphers)
        self._context, self._stamps = context, seen

    def changed(self) -> bool:
        """Whether a file is another than the one that was read."""
        return stamps(self._files) != self._stamps

    def realm(self) -> Realm:
        """A new realm, for a new control connection. It keeps its context, and so its sessions, over a reload."""
        return Realm(self, self._context, secrets.token_bytes(16))

    def _probe(self) -> SSL.Connection:
        return Realm(self, self._context, b"self-test").connection()


class Realm:
    """One control connection and its data connections: sessions are resumed among these only."""

    __slots__ = ("_context", "_identity", "_name", "_own")

    def __init__(self, identity: Identity, context: SSL.Context, name: bytes) -> None:
        self._identity = identity
        self._context = context
        self._name = name
        self._own = False

    def stream(self, sock: socket.socket, *, withhold: bool) -> TlsStream:
        """The server's side of a TLS connection over *sock*, in this realm."""
        kind = quick.QuickStream if self._identity.fast else TlsStream
        return kind(self.connection(), sock, withhold=withhold)

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
