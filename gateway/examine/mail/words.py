"""The text of one part: mail-parser first, the standard library beside it, the charsets of the regions behind both.

Rules: each reader is asked about one part at a time, under a header that is made here from what was read of the
part's own: no stranger's parameter ever reaches their parsers. A reader's answer stands unless there is a *doubt*
about it; the doubts are listed in `doubt`, and docs/quirks.md names each with its test. The last reader always has
an answer. A part past ``LONGEST`` bytes is cut before it is read. A long text in undoubted ASCII or UTF-8 is decoded
in one piece and read by nobody else: the parsers go through it line by line, twenty times as slowly, and find nothing.
Never raises.
"""

from __future__ import annotations

import email
import email.policy
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage

import mailparser

from gateway.domain import charsets
from gateway.domain.charsets import Decoded

LONGEST = 256 * 1024
"""Bytes of one part's content that are read as text."""
SHORT = 32 * 1024
"""Bytes of a text that the parsers are asked about although it is plainly ASCII or UTF-8."""

logging.getLogger("mailparser").setLevel(logging.CRITICAL)  # it quotes the stranger's bytes

_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_LABEL = re.compile(r"[A-Za-z0-9_.:+-]{1,60}")
_SLOW = re.compile(r"[^\w\s\x00-\x7f]{500}")
"""Perhaps a run of combining marks, which mail-parser's normalisation takes quadratic time over."""
_SUSPECT = re.compile("[\ufffd\x1b\x00\x80-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Words:
    """A part's text, who read it, and whether its charset had to be repaired."""

    text: str
    reader: str
    repaired: bool


def read(content: bytes, subtype: str, declared: str | None) -> Words:
    """Read the decoded *content* of a ``text/<subtype>`` part that is declared to be in the charset *declared*."""
    content = content[:LONGEST]
    if declared is None and subtype == "html" and (meta := _META.search(content, 0, 4096)):
        declared = meta[1].decode("ascii")
    own = charsets.decode(content, declared)
    plainly = own.charset in ("us-ascii", "utf-8") and not own.repaired and len(content) > SHORT
    if plainly or not content.strip() or _SLOW.search(own.text):
        return Words(own.text, "charsets", own.repaired)
    for name, reader in _READERS:
        try:
            text = reader(content, subtype, declared)
        except Exception:  # mail-parser raises outside its own hierarchy, the standard library LookupError and more
            continue
        if text is not None and not doubt(text, content, own):
            return Words(text.removeprefix("\ufeff"), name, repaired=False)
    return Words(own.text, "charsets", own.repaired)


def doubt(text: str, content: bytes, own: Decoded) -> str | None:
    """Why a reader's text is not believed, or None."""
    if own.repaired:
        return "the charset is not the declared one"
    if not content.isascii() and own.charset not in ("utf-8", "windows-1252") and not _agrees(text, own):
        return "a superset of the declared charset reads it otherwise"
    if _SUSPECT.search(text) and not _SUSPECT.search(own.text):
        return "characters are left undecoded"
    if content.strip() and not text.strip():
        return "the text is lost"
    return None


def _agrees(text: str, own: Decoded) -> bool:
    return text.split() == own.text.split()


def _mail(content: bytes, subtype: str, declared: str | None) -> bytes:
    """A message of one text part; eight bits, so that no transfer encoding stands between the readers and the bytes."""
    known = charsets.codec_of(declared) is not None and _LABEL.fullmatch(declared or "")
    charset = f'; charset="{declared}"' if known else ""
    head = f"MIME-Version: 1.0\r\nContent-Type: text/{subtype}{charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return head.encode("ascii") + content


def _mail_parser(content: bytes, subtype: str, declared: str | None) -> str | None:
    parsed = mailparser.parse_from_bytes(_mail(content, subtype, declared))
    texts = parsed.text_html if subtype == "html" else parsed.text_plain
    return texts[0] if len(texts) == 1 and not parsed.has_defects else None


def _standard_library(content: bytes, subtype: str, declared: str | None) -> str | None:
    message = email.message_from_bytes(_mail(content, subtype, declared), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    text = message.get_content()
    return text if isinstance(text, str) and not message.defects else None


_READERS: tuple[tuple[str, Callable[[bytes, str, str | None], str | None]], ...] = (
    ("mail-parser", _mail_parser),
    ("standard-library", _standard_library),
)
