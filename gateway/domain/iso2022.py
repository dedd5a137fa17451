"""ISO-2022-JP as mailers write it: RFC 1468, and the escape sequences and rows beyond it.

Rules: Python's own codecs are strict where mail is not. Row 13 (①, ㈱) and the IBM extensions stand in ordinary
Japanese mail under ``ESC $ B`` (CP50221), half-width katakana under ``ESC ( I``, eight-bit bytes between: all are
read. A line end returns to ASCII (RFC 1468), which repairs what a mailer cut in the middle of an escaped run. What
is no character becomes U+FFFD; nothing raises. Linear in its input.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"\x1b(\$\([A-Z]|\$[@AB]|\([A-Z])")
_MARKS = re.compile(rb"\x1b(?:\$[@B(]|\([IJ])")

_SINGLE = b"(B"
_KATAKANA = b"(I"
_SUPPLEMENT = b"$(D"
_TWO_BYTES = frozenset({b"$@", b"$B", b"$(@", b"$(B"})


def has_escapes(data: bytes) -> bool:
    """Whether *data* switches to a Japanese set anywhere: undeclared ISO-2022-JP is recognised by it."""
    return b"\x1b" in data and _MARKS.search(data) is not None


def decode(data: bytes) -> str:
    """Read ISO-2022-JP. Never raises."""
    text: list[str] = []
    charset = _SINGLE
    position = 0
    for escape in _ESCAPE.finditer(data):
        text.append(_segment(data[position : escape.start()], charset))
        charset, position = escape[1], escape.end()
    text.append(_segment(data[position:], charset))
    return "".join(text)


def _segment(data: bytes, charset: bytes) -> str:
    if not data:
        return ""
    if charset not in _TWO_BYTES and charset != _SUPPLEMENT and charset != _KATAKANA:
        return data.decode("utf-8", "replace") if not data.isascii() else data.decode("ascii")
    line, *rest = data.split(b"\n", 1)
    return _escaped(line, charset) + ("\n" + _segment_behind(rest[0]) if rest else "")


def _segment_behind(data: bytes) -> str:
    return data.decode("ascii") if data.isascii() else data.decode("utf-8", "replace")


def _escaped(line: bytes, charset: bytes) -> str:
    """One line's run in a set that is not ASCII; a CR at its end and spaces within stay what they are."""
    if charset == _KATAKANA:
        return bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in line).decode("cp932", "replace")
    text: list[str] = []
    pair = iter(line)
    for high in pair:
        if not 0x21 <= high <= 0x7E:
            text.append(chr(high) if high < 0x80 else "\ufffd")
            continue
        low = next(pair, None)
        text.append(_character(high, low, charset) if low is not None and 0x21 <= low <= 0x7E else "\ufffd")
    return "".join(text)


def _character(high: int, low: int, charset: bytes) -> str:
    if charset == _SUPPLEMENT:
        return bytes((0x8F, high | 0x80, low | 0x80)).decode("euc_jp", "replace")[:1]
    # JIS X 0208 row and cell to Shift JIS, because CP932 knows the rows that Python's ISO-2022 codecs refuse.
    lead = (high + 1) // 2 + (0x70 if high < 0x5F else 0xB0)
    trail = low + (0x1F if low < 0x60 else 0x20) if high % 2 else low + 0x7E
    return bytes((lead, trail)).decode("cp932", "replace")[:1]
