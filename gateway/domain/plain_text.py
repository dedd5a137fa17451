"""The text of a simple mail, read at the door; and the form that every mail's text is shown in.

Rules: a simple mail has one part of plain text, in ASCII or UTF-8, written as itself: what is read is what any
reader of mail reads. Whatever asks for more, another charset or encoding, a name, a file within the text, is not
simple: the answer is None, and a worker looks (``examine.mail``). For a simple mail both give the same text. Never
raises; linear.
"""

from __future__ import annotations

import re

from gateway.domain.headers import Headers
from gateway.domain.mime import content_type, read_field

LONGEST = 64 * 1024
"""Bytes of a body that is read at the door."""

_CHARSETS = frozenset({"us-ascii", "ascii", "utf-8", "utf8"})
_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})
_NOT_SIMPLE = (b"\0", b"\x1b", b"\nbegin ", b"\nbegin-base64 ", b"-----BEGIN PGP ")
_EVERYDAY = bytes(range(0x20, 0x7F)) + b"\t\r\n"
"""What nearly every simple mail is made of; a look whether there is anything else costs a fifth of ``readable``."""
_LINE_END = re.compile("\r\n?|\x0c|\x85|\u2028|\u2029")
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def plain_text(headers: Headers, body: bytes) -> str | None:
    """The text of a simple mail, or None where it is not simple."""
    if headers.defects or len(body) > LONGEST or body.startswith(b"begin") or any(sign in body for sign in _NOT_SIMPLE):
        return None
    part = content_type(headers.first("content-type"))
    if part.value != "text/plain" or "name" in part.parameters or headers.first("content-disposition"):
        return None
    if read_field(headers.first("content-transfer-encoding")).value not in _ENCODINGS:
        return None
    if len(headers.all("content-type")) > 1 or len(headers.all("content-transfer-encoding")) > 1:
        return None
    if not body.isascii() and part.parameters.get("charset", "utf-8").lower() not in _CHARSETS - {"us-ascii", "ascii"}:
        return None
    if part.parameters.get("charset", "utf-8").lower() not in _CHARSETS:
        return None
    if not body.translate(None, _EVERYDAY) and "\r" not in (text := body.decode("ascii").replace("\r\n", "\n")):
        return text
    try:
        return readable(body.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError:
        return None


def readable(text: str) -> str:
    """Text as it is kept for people: line ends are LF, control characters (also a terminal's) are U+FFFD."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if text.replace("\n", " ").replace("\t", " ").isprintable():
        return text
    return _CONTROL.sub("\ufffd", _LINE_END.sub("\n", text))
