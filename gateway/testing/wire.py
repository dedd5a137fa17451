"""A raw client of FTP or SMTP: what a test says and hears, line by line, as a transcript.

::

    wire.talk('''
        S: 220 *
        C: EHLO client.example.com
        S: 250-gateway.example.com *
        S: ...
        S: 250 *
        C: QUIT
        S: 221 *
    ''')

``C:`` is sent with CRLF. ``S:`` is one line that must come, ``*`` and ``?`` standing for anything; ``S: ...`` stands
for any number of a reply's further lines. ``TLS`` alone upgrades the connection. Whatever does not match fails the test
with the whole conversation so far.
"""

from __future__ import annotations

import re
import socket
import ssl
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self

PATIENCE = 30.0

_LAST = re.compile(r"\d{3}( |$)")


def trusting(certificate: str | None = None) -> ssl.SSLContext:
    """A client's TLS context that believes any certificate, or only *certificate* (a PEM file)."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    if certificate is None:
        context.verify_mode = ssl.CERT_NONE
    return context


class Wire:
    """A connection, with every line that went over it in ``transcript``."""

    def __init__(self, connection: socket.socket, *, byte_by_byte: bool = False) -> None:
        self.socket = connection
        self.transcript: list[str] = []
        self.byte_by_byte = byte_by_byte
        self._buffer = b""
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def connect(cls, address: tuple[str, int], *, byte_by_byte: bool = False) -> Self:
        """*byte_by_byte* sends every byte in a packet of its own."""
        return cls(socket.create_connection(address, PATIENCE), byte_by_byte=byte_by_byte)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def start_tls(self, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None) -> None:
        """Handshake; whatever came in plain text before it and was not read is a failure."""
        assert not self._buffer, f"unread before TLS: {self._buffer!r}"
        self.socket = (context or trusting()).wrap_socket(self.socket, server_hostname="localhost", session=session)
        self.transcript.append("-- TLS")

    def send(self, line: str | bytes) -> None:
        """One line, CRLF added."""
        raw = line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")
        self.send_raw(raw + b"\r\n")

    def send_raw(self, data: bytes) -> None:
        """These bytes and no other."""
        self.transcript += [f"C: {line!r}"[:200] for line in data.splitlines()]
        if self.byte_by_byte:
            for each in data:
                self.socket.sendall(bytes([each]))
        else:
            self.socket.sendall(data)

    def line(self) -> str:
        """The next line, without its end. Raises EOFError where the peer closed."""
        while b"\n" not in self._buffer:
            block = self.socket.recv(65536)
            if not block:
                raise EOFError(f"closed after {self._buffer!r}\n{self}")
            self._buffer += block
        raw, self._buffer = self._buffer.split(b"\n", 1)
        assert raw.endswith(b"\r"), f"a line without CR: {raw!r}"
        text = raw[:-1].decode("utf-8", "surrogateescape")
        self.transcript.append(f"S: {text}")
        return text

    def reply(self) -> list[str]:
        """A whole reply, all of its lines (RFC 959 section 4.2, RFC 5321 section 4.2.1)."""
        lines = [self.line()]
        if _LAST.match(lines[0]):
            return lines
        code = lines[0][:3]
        while not (lines[-1].startswith(code) and _LAST.match(lines[-1])):
            lines.append(self.line())
        return lines

    def command(self, line: str | bytes) -> str:
        """Send a line and return the reply, its lines joined by newlines."""
        self.send(line)
        return "\n".join(self.reply())

    def talk(self, script: str) -> list[str]:
        """Go through a transcript; return the lines heard."""
        heard: list[str] = []
        lines = [line.strip() for line in script.strip().splitlines() if line.strip()]
        for number, line in enumerate(lines):
            side, _, text = line.partition(":")
            text = text.removeprefix(" ")
            if side == "C":
                self.send(text)
            elif side == "S" and text == "...":
                after = lines[number + 1].removeprefix("S: ")
                while not fnmatchcase(self._peek(), after):
                    heard.append(self.line())
            elif side == "S":
                got = self.line()
                assert fnmatchcase(got, text), f"expected {text!r}\n{self}"
                heard.append(got)
            elif line == "TLS":
                self.start_tls()
            else:
                raise ValueError(f"neither C: nor S: nor TLS: {line!r}")
        return heard

    def is_closed(self) -> bool:
        """Wait until the peer closes; False where it says something instead."""
        if self._buffer:
            return False
        try:
            block = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            return True
        self._buffer += block
        return not block

    def _peek(self) -> str:
        text = self.line()
        self.transcript.pop()
        self._buffer = text.encode("utf-8", "surrogateescape") + b"\r\n" + self._buffer
        return text

    def __str__(self) -> str:
        return "\n".join(self.transcript)
