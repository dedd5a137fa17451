"""The parts of a message as a tree of offsets into its bytes (RFC 2046 section 5.1).

Rules: nothing is copied and nothing is decoded here; a part is where it begins and ends. An outer boundary ends
every inner part, closed or not. A message within the message is one part and is not entered. Linear in the message's
length for each level, and bounded in parts and levels; what lies beyond is kept unopened and a
mark says so. mail-parser's and the standard library's own readers are recursive, quadratic on hostile parameters
(cpython#136063) and enter attached messages, which is why the tree is made here and they are asked about one part's
text at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.domain import mime
from gateway.domain.headers import HeaderDefect, Headers, split
from gateway.examine.mail.marks import Mark

MOST_PARTS = 1_000
DEEPEST = 50

MOST_CANDIDATES = 100_000
"""Places looked at that begin like a delimiter line, in the whole message."""

_MESSAGES = ("message/rfc822", "message/global")
_COMMENT = re.compile(rb"\([^()]{0,200}\)")  # RFC 5322 section 3.2.2
_EMPTY_LINE = re.compile(rb"\r?\n")
_NO_FIELD = re.compile(rb"^[^ \t:\r\n][^:\r\n]*\r?$", re.MULTILINE)
_BLANK = re.compile(rb"[ \t]*(?:\r?\n|\Z)")


@dataclass(slots=True)
class Part:
    """One part: its header section, and where its body lies in the message."""

    message: bytes
    position: str
    """``1`` for the message, ``1.2`` for its second part."""
    headers: Headers
    type: mime.Field
    disposition: mime.Field
    start: int
    end: int
    parts: list[Part] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        """The part's body as it stands there, in its transfer encoding."""
        return self.message[self.start : self.end]

    @property
    def main_type(self) -> str:
        """``text`` of ``text/plain``."""
        return self.type.value.partition("/")[0]

    @property
    def encoding(self) -> str:
        """The transfer encoding, in lower case; empty where none is named. Some mailers quote it, or comment on it."""
        named = _COMMENT.sub(b" ", (self.headers.first("content-transfer-encoding") or b"")[: mime.LONGEST])
        return mime.read_field(named.strip(b" \t\"'")).value.rstrip("\"'")

    @property
    def name(self) -> str | None:
        """The file name that the mail gives the part, as it stands there."""
        return self.disposition.parameters.get("filename") or self.type.parameters.get("name") or None

    def leaves(self) -> Iterator[Part]:
        """The parts that hold content, in the order of the message."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


def read(
    message: bytes, position: str = "1", *, deepest: int = DEEPEST, most_parts: int = MOST_PARTS
) -> tuple[Part, set[Mark]]:
    """The message's tree, and what is wrong with it; *position* is what its root is called."""
    marks: set[Mark] = set()
    return _Reader(message, marks, deepest, most_parts).part(position, 0, len(message), "text/plain", 1), marks


class _Reader:
    def __init__(self, message: bytes, marks: set[Mark], deepest: int, most_parts: int) -> None:
        self._message = message
        self._marks = marks
        self._deepest = deepest
        self._most_parts = most_parts
        self._count = 0
        self._candidates = 0

    def part(self, position: str, start: int, end: int, default: str, depth: int) -> Part:
        """Read the part whose header section begins at *start*."""
        self._count += 1
        body_at = self._body_at(start, end)
        headers = split(self._message[start:body_at])
        if headers.defects:
            self._marks.add(Mark.BROKEN_HEADER)
            body_at = self._words_at(headers, start, body_at, end)
        kind = mime.content_type(headers.first("content-type"), default)
        disposition = mime.read_field(headers.first("content-disposition"))
        part = Part(self._message, position, headers, kind, disposition, body_at, end)
        if part.main_type == "multipart":
            self._open(part, depth)
        return part

    def _body_at(self, start: int, end: int) -> int:
        """Where the header section that begins at *start* is over: behind its first empty line."""
        if empty := _EMPTY_LINE.match(self._message, start, end):
            return empty.end()
        crlf = self._message.find(b"\n\r\n", start, end)
        lf = self._message.find(b"\n\n", start, end if crlf < 0 else crlf)
        return lf + 2 if lf >= 0 else crlf + 3 if crlf >= 0 else end

    def _words_at(self, headers: Headers, start: int, body_at: int, end: int) -> int:
        """Where the body begins if the empty line before it is missing: at the first line that is no field."""
        if HeaderDefect.LINE_WITHOUT_COLON not in headers.defects or self._message[body_at:end].strip():
            return body_at
        line = _NO_FIELD.search(self._message, start, body_at)
        return line.start() if line else body_at

    def _open(self, part: Part, depth: int) -> None:
        boundary = part.type.parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
        if depth > self._deepest:
            self._marks.add(Mark.TOO_DEEP)
            return
        if not boundary or len(boundary) > 400:
            self._close(part)
            return
        default = "message/rfc822" if part.type.value == "multipart/digest" else "text/plain"  # RFC 2046 section 5.1.5
        for number, (start, end) in enumerate(self._between(boundary, part.start, part.end), 1):
            if self._count >= self._most_parts:
                self._marks.add(Mark.TOO_MANY_PARTS)
                return
            part.parts.append(self.part(f"{part.position}.{number}", start, end, default, depth + 1))
        if not part.parts:
            self._close(part)

    def _close(self, part: Part) -> None:
        """No part of it can be found: what it holds are words, as far as anybody can tell."""
        self._marks.add(Mark.BROKEN_STRUCTURE)
        part.type = mime.Field("text/plain")

    def _between(self, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where the parts lie between the delimiter lines of *boundary*."""
        begun: int | None = None
        closed = False
        for line_at, behind, closes in self._delimiters(b"--" + boundary, start, end):
            if begun is not None:
                yield begun, max(begun, line_at)
            elif closed and not closes:  # some mailers give a multipart within it the same boundary, which closes both
                self._marks.add(Mark.BROKEN_STRUCTURE)
            begun = None if closes else behind
            closed |= closes
        if begun is not None:
            self._marks.add(Mark.BROKEN_STRUCTURE)  # never closed: it was cut off, or its mailer is broken
            yield begun, end

    def _delimiters(self, delimiter: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Each delimiter line: where the content before it ends, where the next begins, whether it closes."""
        message = self._message
        position = start
        while (found := message.find(delimiter, position, end)) >= 0:
            position = found + len(delimiter)
            self._candidates += 1
            if self._candidates > MOST_CANDIDATES:
                self._marks.add(Mark.BROKEN_STRUCTURE)
                return
            if found > start and message[found - 1 : found] != b"\n":
                continue
            closes = message.startswith(b"--", position)
            blank = _BLANK.match(message, position + 2 * closes, end)
            if blank is None:
                if not closes:
                    continue  # a longer boundary that begins like this one
                blank_end = position + 2
            else:
                blank_end = blank.end()
            content_end = found - 1 if found > start else found
            if message[content_end - 1 : content_end] == b"\r" and content_end > start:
                content_end -= 1
            position = blank_end
            yield content_end, blank_end, closes


def is_message(part: Part) -> bool:
    """Whether the part is a message of its own, which is kept whole."""
    return part.type.value in _MESSAGES
