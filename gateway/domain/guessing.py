"""Which charset eight-bit bytes are in, when nothing says so or what says so is wrong.

Rules: UTF-8 proves itself. Else every charset of the regions reads a sample, and what it then reads is weighed:
kana, Hangul, the frequent ideographs of its own standard, Cyrillic in one case and in one script per word, accented
letters among ASCII ones speak for it; half-width katakana, rare ideographs, lonely ones, private-use characters
and controls against. The weights are a table. A guess is a guess: it is only asked where there is nothing to believe.
Never raises; linear.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

SAMPLE = 8 * 1024
"""Bytes that are weighed, from the first eight-bit one on."""

MARGIN = 0.3
"""How much heavier another charset must weigh before a declared one is not believed."""

FEW = 6
"""Letters outside ASCII below which a declared charset is believed whatever they weigh."""

LAST_RESORT = "windows-1252"
"""Reads everything, and is what mail without a label was written in for two decades."""

_C1 = {byte: bytes((byte,)).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xA0)}

_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_KANA = re.compile("[\u3041-\u309f\u30a1-\u30fe]")
_HALF_WIDTH = re.compile("[\uff61-\uff9f]")
_IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_WIDE_SIGN = re.compile("[\u2010-\u203b\u2190-\u2193\u2460-\u2473\u25a0-\u25ef\u3000-\u3020\uff01-\uff5e]")
_PRIVATE = re.compile("[\ue000-\uf8ff\x80-\x9f\ufffd]")
_JAMO = re.compile("[\u3131-\u318e]")
_UNITS = (
    "年月日时時分秒点點号號第天周週度回次个個件台名人行列页頁层層楼樓版本章條条项項万萬元円"
    "년월일시분초개명번원회차대층장"
)
_LONELY = re.compile(
    rf"(?<![^\x00-\x7f])(?![{_UNITS}])[\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff01-\uff5e](?![^\x00-\x7f])"
)
"""Among ASCII on both sides, and no unit that stands between numbers: such is "°C" and "¡O" in a reading that takes the
letter for a second byte."""


def guess(data: bytes) -> tuple[str, str]:
    """The text of *data* and the charset it was read in; LAST_RESORT where nothing better was found."""
    for mark, codec in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark) and (text := strictly(data, codec)) is not None:
            return text.removeprefix("\ufeff"), codec
    if (text := strictly(data, "utf-8")) is not None:
        return text, "utf-8"
    weights = _weigh(data)
    for codec in sorted(weights, key=lambda each: weights[each], reverse=True):
        if codec == LAST_RESORT:
            break
        if (text := strictly(data, codec)) is not None:
            return text, codec
    return data.decode("latin-1").translate(_C1), LAST_RESORT


def outweighed(data: bytes, declared: str) -> bool:
    """Whether bytes that can be read in the *declared* charset are far likelier in another one."""
    weights = _weigh(data)
    best = max(weights, key=lambda each: weights[each])
    if declared not in weights:
        return False
    lonely = _share(_LONELY, strictly(data, declared) or "") if declared in _IDEOGRAPHIC_CODECS else 0.0
    if weights[best] < weights[declared] + 0.6 * lonely + MARGIN:  # where it is declared, loneliness is no objection
        return False
    if (
        best == LAST_RESORT
        and declared in _CYRILLIC_CODECS
        and not _MIXED_SCRIPT.search(strictly(data, declared) or "")
    ):
        return False  # units ("5 А") and № alone: Latin letters that were taken for Cyrillic stand among ASCII ones
    text = strictly(data, best)
    return text is not None and _foreign(text) >= FEW


def _weigh(data: bytes) -> dict[str, float]:
    """How likely each candidate is for the first eight-bit stretch; those that cannot read it are left out."""
    first = _EIGHT_BIT.search(data)
    sample = data[first.start() : first.start() + SAMPLE] if first else b""
    weights = {LAST_RESORT: _latin(sample.decode("latin-1").translate(_C1))}
    for codec, weigh in _CANDIDATES:
        if text := _read(sample, codec):
            weights[codec] = weigh(text)
    return weights


def strictly(data: bytes, codec: str) -> str | None:
    """The text of *data* in *codec*, or None where a byte cannot be read in it."""
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


def _read(sample: bytes, codec: str) -> str | None:
    """The sample in *codec*; a character cut off at the sample's end is no objection."""
    try:
        return codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return None


def _count(pattern: re.Pattern[str], text: str) -> int:
    return len(pattern.findall(text))


def _share(pattern: re.Pattern[str], text: str) -> float:
    return _count(pattern, text) / (_foreign(text) or 1)


def _foreign(text: str) -> int:
    return sum(1 for character in text if character > "\x7f")


def _japanese(text: str) -> float:
    good = 1.0 * _count(_KANA, text) + 0.9 * _count(_WIDE_SIGN, text) + 0.6 * _frequent(text, "shift_jis", 0x88, 0x97)
    return (good - 0.6 * _count(_LONELY, text) - 0.6 * _count(_HALF_WIDTH, text) - 3.0 * _count(_PRIVATE, text)) / (
        _foreign(text) or 1
    )


def _simplified(text: str) -> float:
    good = 0.9 * _count(_WIDE_SIGN, text) + 0.85 * _frequent(text, "gb2312", 0xB0, 0xD7)
    return (good - 0.6 * _count(_LONELY, text) - 3.0 * _count(_PRIVATE, text) - 1.0 * _count(_KANA, text)) / (
        _foreign(text) or 1
    )


def _traditional(text: str) -> float:
    good = 0.9 * _count(_WIDE_SIGN, text) + 0.85 * _frequent(text, "big5", 0xA4, 0xC6)
    return (good - 0.6 * _count(_LONELY, text) - 3.0 * _count(_PRIVATE, text) - 1.0 * _count(_KANA, text)) / (
        _foreign(text) or 1
    )


def _korean(text: str) -> float:
    good = 0.95 * _frequent(text, "euc_kr", 0xB0, 0xC8) + 0.9 * _count(_WIDE_SIGN, text)
    return (good - 0.6 * _count(_LONELY, text) - 3.0 * _count(_PRIVATE, text) - 1.0 * _count(_JAMO, text)) / (
        _foreign(text) or 1
    )


def _frequent(text: str, standard: str, first: int, last: int) -> int:
    """How many ideographs or syllables stand in the rows of their standard that hold the frequent ones."""
    letters = "".join(_IDEOGRAPH.findall(text) + _HANGUL.findall(text))
    return sum(1 for letter in letters if first <= (letter.encode(standard, "ignore") or b"\0")[0] <= last)


_CYRILLIC = re.compile("[\u0400-\u045f\u0490\u0491]")
_CYRILLIC_LOWER = re.compile("[\u0430-\u045f]")
_CAPITALS = re.compile("(?<![\u0400-\u0491])[\u0400-\u042f]{2,}(?![\u0400-\u0491])")
"""A word in capitals: a heading, or a log's ОШИБКА."""
_CASE_TURNS = re.compile("(?<=[\u0430-\u045f])[\u0400-\u042f]")
_MIXED_SCRIPT = re.compile("(?<=[A-Za-z])[\u0400-\u045f]|[\u0400-\u045f](?=[A-Za-z])")
_ALONE = re.compile("(?<![\u0400-\u0491])[\u0400-\u0491](?![\u0400-\u0491])")
_ACCENTED = re.compile("[\u00c0-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e]")
_ACCENTED_RUN = re.compile(
    "(?<=[\u00c0-\u00ff\u0160-\u017e])[\u00c0-\u00ff\u0160-\u017e](?=[\u00c0-\u00ff\u0160-\u017e])"
)
_TYPOGRAPHIC = re.compile("[\u2013\u2014\u2018-\u201e\u2026\u20ac\u00a0\u00a7\u00ab\u00b0\u00b4\u00bb]")
_SIGN = re.compile(
    "(?<![^\x00-\x7f])[\u00a1-\u00a6\u00a8-\u00aa\u00ac\u00ae\u00af\u00b1-\u00b3\u00b5-\u00ba\u00bc-\u00bf\u00d7\u00f7](?![^\x00-\x7f])"
)
"""A sign of Latin-1 among ASCII: ¡ ¿ ± µ º ª ² ½ ©."""


def _cyrillic(text: str) -> float:
    good = 0.45 * _count(_CYRILLIC, text) + 0.35 * _count(_CYRILLIC_LOWER, text) + 0.3 * _count(_TYPOGRAPHIC, text)
    good += 0.35 * sum(map(len, _CAPITALS.findall(text)))
    bad = _count(_ALONE, text) + _count(_CASE_TURNS, text) + _count(_MIXED_SCRIPT, text) + 3 * _count(_PRIVATE, text)
    return (good - bad) / (_foreign(text) or 1)


def _latin(text: str) -> float:
    good = 0.6 * _count(_ACCENTED, text) + 0.5 * (_count(_TYPOGRAPHIC, text) + _count(_SIGN, text))
    bad = 1.0 * _count(_ACCENTED_RUN, text) + 1.0 * _count(_PRIVATE, text)
    return (good - bad) / (_foreign(text) or 1)


_IDEOGRAPHIC_CODECS = ("cp932", "euc_jp", "gb18030", "cp950", "cp949")
_CYRILLIC_CODECS = ("cp1251", "koi8-r", "cp866")
_CANDIDATES: tuple[tuple[str, Callable[[str], float]], ...] = (
    ("cp932", _japanese),
    ("euc_jp", _japanese),
    ("gb18030", _simplified),
    ("cp950", _traditional),
    ("cp949", _korean),
    ("cp1251", _cyrillic),
    ("koi8-r", _cyrillic),
    ("cp866", _cyrillic),
)
