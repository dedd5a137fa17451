"""From bytes to command lines (RFC 959 §5.3; RFC 854 for what telnet adds). Pure.

A line ends with LF, with or without a CR before it. Telnet commands, which come before an ABOR, are taken out, and a
doubled IAC is one. A line that is too long is reported once and swallowed to its end, however it is cut into segments.
"""

from __future__ import annotations

import re

LONGEST = 8192
"""Bytes of a command line: a path of 4096 bytes, and room."""

_TELNET = re.compile(rb"\xff(?:[\xf0-\xfa]|[\xfb-\xfe].|\xff)", re.DOTALL)


class Lines:
    """The lines of one connection, in order. None stands for one that was too long."""

    def __init__(self) -> None:
        self._rest = b""
        self._swallowing = False

    @property
    def begun(self) -> bytes:
        """What came of a line that is not finished."""
        return self._rest

    def feed(self, arrived: bytes) -> list[bytes | None]:
        """The lines that *arrived* finishes; empty ones are left out."""
        *finished, self._rest = (self._rest + arrived).split(b"\n")
        found: list[bytes | None] = []
        for line in finished:
            if self._swallowing:
                self._swallowing = False
            elif len(line) > LONGEST:
                found.append(None)
            else:
                line = _TELNET.sub(lambda telnet: b"\xff" if telnet[0] == b"\xff\xff" else b"", line)
                line = line.removesuffix(b"\r").lstrip(b"\r")
                if line:
                    found.append(line)
        if len(self._rest) > LONGEST + 1:  # and the CR
            self._rest = b""
            if not self._swallowing:
                self._swallowing = True
                found.append(None)
        return found
