"""A message's header section, as bytes: split, unfolded, with every irregularity named (RFC 5322 section 2.2).

Rules: fields keep their order and their bytes; a value is unfolded (the line breaks taken out, RFC 5322 section
2.2.3) and stripped. What a strict reader would not take, ``From :``, a first line that is a continuation, a line
without a colon, a NUL, is read as the forgiving readers do *and* named in ``defects``: policy decides what a defect
costs. Linear in its input and bounded: beyond ``MAX_FIELD_LINES`` lines nothing more is split. Decodes nothing,
trusts nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_FIELD_LINES = 5_000
"""Header lines that are split; a mail to a thousand people has fewer."""


class HeaderDefect(StrEnum):
    """What is irregular in a header section."""

    SPACE_BEFORE_COLON = "space-before-colon"
    STARTS_WITH_CONTINUATION = "starts-with-continuation"
    LINE_WITHOUT_COLON = "line-without-colon"
    FIELD_NAME_INVALID = "field-name-invalid"
    MAILBOX_LINE = "mailbox-line"
    """A Unix ``From `` line, as in an mbox file."""
    CONTROL_CHARACTER = "control-character"
    """A NUL, or a CR that no LF follows."""
    TOO_MANY_LINES = "too-many-lines"


@dataclass(frozen=True, slots=True)
class Headers:
    """A header section: ``fields`` as (lower-case name, unfolded value), ``body_at`` the offset of the body.

    ``misspelt`` holds the names, letters only, of fields whose names some readers see and some do not.
    """

    fields: tuple[tuple[str, bytes], ...]
    defects: frozenset[HeaderDefect]
    body_at: int
    misspelt: frozenset[str] = frozenset()

    def all(self, name: str) -> list[bytes]:
        """Every value of a field, in order; *name* is lower-case."""
        return [value for field, value in self.fields if field == name]

    def first(self, name: str) -> bytes | None:
        """The first value of a field, or None; *name* is lower-case."""
        for field, value in self.fields:
            if field == name:
                return value
        return None


_NONE: frozenset[HeaderDefect] = frozenset()
_SPACES = (b" ", b"\t")
_FIELD_NAME = re.compile(rb"[!-9;-~]+")  # RFC 5322 section 2.2: printable, no colon
_FIELD_LINE = re.compile(rb"^([!-9;-~]+):([^\n]*)", re.MULTILINE)
_NO_LETTER = re.compile(rb"[^A-Za-z]+")


def split(message: bytes) -> Headers:
    """Split a message, or its header section alone, at the first empty line; lines end in CRLF or LF. Never raises."""
    if message.startswith((b"\r\n", b"\n")):
        return Headers((), frozenset(), message.index(b"\n") + 1)
    section, body_at = _section(message)
    if (
        b"\0" not in section
        and section.count(b"\n") < MAX_FIELD_LINES
        and section.count(b"\r") == section.count(b"\r\n")
    ):
        unfolded = section.replace(b"\r\n", b"\n").replace(b"\n ", b" ").replace(b"\n\t", b"\t")
        found = _FIELD_LINE.findall(unfolded)
        if len(found) == unfolded.count(b"\n") + 1:  # every line is a field
            return Headers(tuple([(_names[name], value.strip(b" \t")) for name, value in found]), _NONE, body_at)
    return _split_irregular(section, body_at)


def _section(message: bytes) -> tuple[bytes, int]:
    """The header section without its last line's end, and where the body begins."""
    crlf = message.find(b"\r\n\r\n")
    lf = message.find(b"\n\n", 0, crlf + 1 if crlf >= 0 else len(message))
    if lf >= 0:
        return message[:lf], lf + 2
    if crlf >= 0:
        return message[:crlf], crlf + 4
    return message.removesuffix(b"\n").removesuffix(b"\r"), len(message)


class _Names(dict[bytes, str]):
    """Field names in lower case by their spelling; the few that mail uses are worth remembering."""

    def __missing__(self, name: bytes) -> str:
        if len(self) > 2_000:
            self.clear()
        self[name] = name.decode("ascii").lower()
        return self[name]


_names = _Names()


def _split_irregular(section: bytes, body_at: int) -> Headers:
    """Split line by line, as the forgiving readers do, and name what made it necessary."""
    defects: set[HeaderDefect] = set()
    misspelt: set[str] = set()
    if b"\0" in section or section.count(b"\r") != section.count(b"\r\n"):
        defects.add(HeaderDefect.CONTROL_CHARACTER)
    lines = section.split(b"\n", MAX_FIELD_LINES)
    if len(lines) > MAX_FIELD_LINES:
        defects.add(HeaderDefect.TOO_MANY_LINES)
        lines.pop()
    fields: list[tuple[str, list[bytes]]] = []
    open_field: list[bytes] | None = None
    for line in lines:
        line = line.removesuffix(b"\r")
        if line[:1] in _SPACES:
            if open_field is not None:
                open_field.append(line)
            elif not fields:
                defects.add(HeaderDefect.STARTS_WITH_CONTINUATION)
            continue
        name, colon, value = line.partition(b":")
        open_field = None
        if (defect := _defect_of(line, name, colon)) is not None:
            defects.add(defect)
            misspelt.add(_NO_LETTER.sub(b"", name).decode("ascii").lower())
        if defect in (None, HeaderDefect.SPACE_BEFORE_COLON):
            open_field = [value]
            fields.append((_names[name.rstrip(b" \t")], open_field))
    return Headers(
        tuple((name, b"".join(value).strip(b" \t")) for name, value in fields),
        frozenset(defects),
        body_at,
        frozenset(misspelt),
    )


def _defect_of(line: bytes, name: bytes, colon: bytes) -> HeaderDefect | None:
    if colon and _FIELD_NAME.fullmatch(name):
        return None
    if colon and _FIELD_NAME.fullmatch(name.rstrip(b" \t")):  # RFC 5322 section 4.5: obsolete, and a forger's hope
        return HeaderDefect.SPACE_BEFORE_COLON
    if line.startswith((b"From ", b">From ")):
        return HeaderDefect.MAILBOX_LINE
    return HeaderDefect.FIELD_NAME_INVALID if colon else HeaderDefect.LINE_WITHOUT_COLON
