"""The structured fields of a MIME part: a value and its parameters (RFC 2045 section 5.1, RFC 2183, RFC 2231).

Rules: read forgivingly, because mailers write forgivingly: a value in quotes, unquoted parameters with spaces, quotes
never closed, raw eight-bit and RFC 2047 words where only RFC 2231 belongs. Of a parameter given twice the first
counts, but RFC 2231's form wins over the plain one. A backslash escapes only a quote and itself: elsewhere it is a
Windows path. Linear in its input (the standard library's reader is not: cpython#136063) and bounded. Never raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from gateway.domain import charsets, encoded_words

LONGEST = 16 * 1024
"""Bytes of one field that are read."""

MOST_PARAMETERS = 200

_VALUE = re.compile(rb"[^;\x00-\x20]*")
_PARAMETER = re.compile(rb'([^\s=;"]{1,200}+)\s*=\s*(?:"((?:[^"\\]|\\.)*+)"?|([^;]*+))', re.DOTALL)
_ESCAPED = re.compile(rb'\\(["\\])')
_CONTINUED = re.compile(r"(.+?)\*([0-9]{1,3})(\*?)")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")  # RFC 6838 section 4.2


@dataclass(frozen=True, slots=True)
class Field:
    """A value in lower case, and its parameters, decoded, by their lower-case names."""

    value: str
    parameters: dict[str, str] = field(default_factory=dict)


def read_field(raw: bytes | None) -> Field:
    """Read a Content-Type or Content-Disposition value; an absent field has an empty value."""
    if not raw:
        return Field("")
    raw = raw[:LONGEST].lstrip()
    value = _VALUE.match(raw)
    assert value is not None
    given: dict[str, bytes] = {}
    position = value.end()
    while (position := raw.find(b";", position) + 1) and len(given) < MOST_PARAMETERS:
        while raw[position : position + 1].isspace():
            position += 1
        parameter = _PARAMETER.match(raw, position)
        if parameter is None:
            continue
        position = parameter.end()
        name = parameter[1].decode("latin-1").lower()
        quoted, bare = parameter[2], parameter[3]
        given.setdefault(name, _ESCAPED.sub(rb"\1", quoted) if quoted is not None else bare.strip())
    return Field(value[0].decode("latin-1").strip("\"'").lower(), _decoded(given))


def content_type(raw: bytes | None, default: str = "text/plain") -> Field:
    """Read a Content-Type; where it is absent or no type at all, *default* (RFC 2045 section 5.2)."""
    read = read_field(raw)
    return read if _TYPE.fullmatch(read.value) else Field(default, read.parameters)


def _decoded(given: dict[str, bytes]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for name, value in given.items():
        if continued := _CONTINUED.fullmatch(name):  # RFC 2231 section 3
            pieces.setdefault(continued[1], {})[int(continued[2])] = (value, bool(continued[3]))
        elif name.endswith("*") and len(name) > 1:  # RFC 2231 section 4
            pieces.setdefault(name[:-1], {}).setdefault(0, (value, True))
        else:
            parameters[name] = encoded_words.decode(value)
    for name, numbered in pieces.items():
        parameters[name] = _joined(numbered)
    return parameters


def _joined(numbered: dict[int, tuple[bytes, bool]]) -> str:
    """One parameter out of its numbered pieces, as far as they follow each other; the first names the charset."""
    charset: str | None = None
    data = b""
    first = min(numbered)
    for number in range(first, first + len(numbered)):
        if number not in numbered:
            break
        piece, extended = numbered[number]
        if extended and number == first and piece.count(b"'") >= 2:
            label, _, piece = piece.split(b"'", 2)
            charset = label.decode("latin-1") or None
        data += unquote_to_bytes(piece) if extended else piece
    return encoded_words.decode(data) if charset is None else charsets.decode(data, charset).text
