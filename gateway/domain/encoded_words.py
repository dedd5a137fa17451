"""A header field's words as text: RFC 2047 encoded words, and the raw 8-bit and ISO-2022-JP bytes that mailers send.

Rules: neighbouring encoded words of one charset are joined *as bytes* before they are decoded, because mailers split
them in the middle of a character; base64 that is split in the middle of a quantum is joined before that. Bytes
outside encoded words are ASCII, else UTF-8, else what ``charsets`` finds them to be. An encoded word that cannot be
read stays as written. Linear in its input; of a field longer than ``LONGEST`` only the start is read. Never raises.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

from gateway.domain import charsets

LONGEST = 8 * 1024
"""Bytes of one field that are decoded: a thousand characters in any encoding."""

_OPENING = re.compile(rb"=\?([!-<>@-~]{1,60})\?([bBqQ])\?")  # RFC 2047 section 2
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_BREAKS = re.compile(r"[\r\n\t\v\f\x1c-\x1f\x85\u2028\u2029]+ *")


@dataclass(slots=True)
class _Word:
    charset: str
    encoding: bytes
    text: bytes


def decode(value: bytes) -> str:
    """A field's value as one line of text; folds, tabs and control line breaks become a space."""
    value = _cut(value)
    if b"=?" not in value:
        if value.isascii() and b"\x1b" not in value:
            return _one_line(value.decode("ascii"))
        return _one_line(charsets.decode(value).text)
    text: list[str] = []
    pending: list[_Word] = []
    position = 0
    while opening := _OPENING.search(value, position):
        end = value.find(b"?=", opening.end())
        if end < 0:
            break  # nothing behind here can be an encoded word
        between = value[position : opening.start()]
        if between.strip(b" \t\r\n") or not pending:  # RFC 2047 section 6.2: white space between two words is not shown
            text.append(_flush(pending))
            text.append(charsets.decode(between).text)
        pending.append(_Word(_label(opening[1]), opening[2].upper(), value[opening.end() : end]))
        position = end + 2
    text.append(_flush(pending))
    text.append(charsets.decode(value[position:]).text)
    return _one_line("".join(text))


def _cut(value: bytes) -> bytes:
    """What is decoded of a value: not a part of a UTF-8 character, or somebody would guess at the charset of it all."""
    if len(value) <= LONGEST:
        return value
    end = LONGEST
    while end > LONGEST - 4 and value[end] & 0xC0 == 0x80:
        end -= 1
    return value[:end]


def _label(charset: bytes) -> str:
    return charset.decode("ascii").partition("*")[0].lower()  # RFC 2231 section 5: a language may follow


def _flush(words: list[_Word]) -> str:
    """The text of a run of neighbouring encoded words; empties the run."""
    text: list[str] = []
    while words:
        charset = words[0].charset
        count = next((index for index, word in enumerate(words) if word.charset != charset), len(words))
        run, words[:count] = words[:count], []
        text.append(charsets.decode(_joined(run), charset).text)
    return "".join(text)


def _joined(run: list[_Word]) -> bytes:
    data: list[bytes] = []
    quantum = b""
    for word in run:
        if word.encoding == b"Q":
            data.append(_base64(quantum) + binascii.a2b_qp(word.text, header=True))
            quantum = b""
            continue
        quantum += _NOT_BASE64.sub(b"", word.text)
        if len(quantum) % 4 == 0 or b"=" in word.text:
            data.append(_base64(quantum))
            quantum = b""
    return b"".join(data) + _base64(quantum)


def _base64(text: bytes) -> bytes:
    """Decode base64 that may lack its padding; a single character left over carries no byte."""
    text = text[: len(text) - 1] if len(text) % 4 == 1 else text
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))


def _one_line(text: str) -> str:
    return text if text.isprintable() else _BREAKS.sub(" ", text)
