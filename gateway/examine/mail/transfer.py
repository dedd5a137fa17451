"""Content out of its transfer encoding, byte for byte (RFC 2045 section 6), and files out of uuencoded text.

Rules: what is not damaged comes out exactly as it was sent; what is damaged comes out as far as it can be read, and
the answer says so. base64 in several padded pieces is read to its end (the standard library stops at the first
padding). A body that claims to be base64 and is not stays as it is. Linear. Never raises.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

_NOT_BASE64 = bytes(byte for byte in range(256) if not (chr(byte).isalnum() and byte < 128) and byte not in b"+/=")
MOST_PADDED_PIECES = 100_000
"""Padded pieces of one base64 body that are read; a mailer that pads every line makes 20,000 to the megabyte."""

_WHITE_SPACE = b" \t\r\n\x0b\x0c"
_PADDED = re.compile(rb"[^=]+={0,2}")
_WORDS = re.compile(rb"[^\s=][ \t]+(?=[^\s=])")
"""A gap within a line: base64 that a mailer folded with blanks has one in 76 symbols, a sentence one in six."""
_LINE = re.compile(rb"([A-Za-z0-9+/]+={0,2})[ \t]*\r?\n")
_QP_DAMAGE = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|[ \t]*\Z)")
_BEGIN = re.compile(r"begin(-base64)? [0-7]{3,4} (\S.*)")


@dataclass(frozen=True, slots=True)
class Content:
    """A part's content, and whether every byte of its encoded form made sense."""

    data: bytes
    damaged: bool = False
    behind: bytes = b""
    """Words that stand behind the encoded content, as lists and relays append them without looking."""


def decode(body: bytes, encoding: str) -> Content:
    """Take *body* out of *encoding*, a Content-Transfer-Encoding in lower case; an unknown one is identity."""
    if encoding == "base64":
        return _base64(body)
    if encoding == "quoted-printable":
        return Content(binascii.a2b_qp(body), _QP_DAMAGE.search(body) is not None)
    if encoding in ("x-uuencode", "x-uue", "uuencode", "uue"):
        _, files = files_in(body.decode("latin-1"))
        return files[0][1] if len(files) == 1 else Content(body, damaged=True)
    return Content(body)


def _base64(body: bytes) -> Content:
    try:  # what is as RFC 2045 section 6.8 has it, nearly all, takes half the time
        return Content(binascii.a2b_base64(body.translate(None, b"\r\n"), strict_mode=True))
    except binascii.Error:
        return _damaged_base64(body)


def _damaged_base64(body: bytes) -> Content:
    """What can be read of base64 that a strict reader would not take."""
    end = _end_of_lines(body)
    if end and body[end:].strip() and _are_words(body[end:]):
        return Content(binascii.a2b_base64(body[:end]), damaged=True, behind=body[end:])
    stripped = body.translate(None, _WHITE_SPACE)
    symbols = stripped.translate(None, _NOT_BASE64)
    if _are_words(body) or symbols.count(b"=") > 2 * MOST_PADDED_PIECES:
        return Content(body, damaged=True)
    damaged = len(symbols) != len(stripped)
    pieces = _PADDED.findall(symbols) if b"=" in symbols.rstrip(b"=") else [symbols]
    data: list[bytes] = []
    for piece in pieces:
        quanta = piece.rstrip(b"=")
        damaged |= len(piece) % 4 != 0
        if len(quanta) % 4 == 1:
            quanta = quanta[:-1]
        data.append(binascii.a2b_base64(quanta + b"=" * (-len(quanta) % 4)))
    return Content(b"".join(data), damaged)


def _are_words(body: bytes) -> bool:
    """Whether the bytes are anything but base64."""
    symbols = len(body.translate(None, _WHITE_SPACE).translate(None, _NOT_BASE64))
    return symbols < 0.85 * len(body.translate(None, b"\r\n")) or 20 * len(_WORDS.findall(body)) > symbols


def _end_of_lines(body: bytes) -> int:
    """Where the lines of base64 that *body* begins with are over: all of one width but the last; 0 for none."""
    start = position = len(body) - len(body.lstrip())
    width = symbols = 0
    while line := _LINE.match(body, position):
        width = width or len(line[1])
        if len(line[1]) > width:
            break
        symbols += len(line[1])
        position = line.end()
        if len(line[1]) < width or line[1].endswith(b"="):
            break
    whole = symbols % 4 == 0 and (symbols >= 40 or body[start:position].rstrip().endswith(b"="))
    return position if whole else 0


def files_in(text: str) -> tuple[str, list[tuple[str, Content]]]:
    """The files uuencoded in a text: the text with a line in place of each file, and the files with their names.

    A file that does not end is no file: it stays in the text.
    """
    if "begin" not in text:
        return text, []
    lines = text.splitlines(keepends=True)
    kept: list[str] = []
    files: list[tuple[str, Content]] = []
    index = 0
    while index < len(lines):
        begin = _BEGIN.fullmatch(lines[index].rstrip()) if lines[index].startswith("begin") else None
        content, behind = _file(lines, index + 1, base64=bool(begin[1])) if begin else (None, index + 1)
        if begin and content is not None:
            files.append((begin[2], content))
            kept.append(f"[{begin[2]}]\n")
        else:
            kept.extend(lines[index:behind])
        index = behind
    return "".join(kept), files


def _file(lines: list[str], index: int, *, base64: bool) -> tuple[Content | None, int]:
    """The file whose encoded lines begin at *index*, and the index behind it; None, and where it broke off."""
    data: list[bytes] = []
    while index < len(lines):
        line = lines[index].rstrip("\r\n")
        if line.rstrip() == ("====" if base64 else "end"):
            return Content(b"".join(data)), index + 1
        try:
            data.append(binascii.a2b_base64(line, strict_mode=True) if base64 else _uu_line(line))
        except (binascii.Error, ValueError):
            break
        index += 1
    return None, index


def _uu_line(line: str) -> bytes:
    """One line; mailers strip trailing spaces, and some encoders count one character too many."""
    if not line.strip(" `"):
        return b""
    encoded = line.encode("ascii")
    length = (encoded[0] - 32) & 63
    symbols = (length + 2) // 3 * 4
    if not 0x20 < encoded[0] <= 0x60 or len(encoded) - 1 > symbols + 2:
        raise ValueError(line)
    try:
        return binascii.a2b_uu(encoded[: symbols + 1])
    except binascii.Error:  # it is filled up with something else than zeros, which say nothing
        return binascii.a2b_uu(encoded[: (length * 4 + 2) // 3 + 1])
