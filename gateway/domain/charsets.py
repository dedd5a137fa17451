"""Bytes of mail as text: what charset they are declared in, and what they really are.

Rules: a declared charset is believed where the bytes can be read in it and nothing speaks against it; what speaks
against it is valid UTF-8 under another label, an ISO-2022 escape sequence under a label that has none, and bytes
that the charset does not have. Then, and where nothing is declared, ``guessing`` finds the charset. Labels are
looked up in a table, never handed to Python's codec search: ``idna`` and ``punycode`` take quadratic time,
``unicode_escape`` and ``undefined`` are no charsets, ``utf\\0-8`` raises. A label stands for the superset that
mailers mean by it (WHATWG Encoding): ``shift_jis`` for CP932, ``gb2312`` for GB18030, ``ks_c_5601-1987`` for CP949,
``iso-8859-1`` for windows-1252. Never raises, never loses a byte silently: what no charset can read becomes U+FFFD,
and ``repaired`` says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.domain import guessing, iso2022
from gateway.domain.guessing import strictly

_SUPERSETS = {
    "utf-8": "utf8 utf-8-sig utf8mb4 utf-8-mac unicode-1-1-utf-8 x-unicode20utf8 cp65001 utf",
    "utf-7": "utf7 unicode-1-1-utf-7 x-unicode-2-0-utf-7",
    "utf-16": "utf16 unicode ucs-2 iso-10646-ucs-2 csunicode",
    "utf-16-le": "utf-16le utf16le unicodefeff",
    "utf-16-be": "utf-16be utf16be unicodefffe",
    "utf-32": "utf32 ucs-4",
    "us-ascii": "ascii ansi_x3.4-1968 iso646-us 646 us 7bit",
    "windows-1252": "iso-8859-1 iso8859-1 iso_8859-1 iso88591 latin1 latin-1 l1"
    " cp1252 cp-1252 x-cp1252 windows1252 win-1252 cp819 ibm819 ansi x-ansi iso-8859-1-windows-3.1-latin-1 iso-8859",
    "cp1250": "windows-1250 x-cp1250 win-1250",
    "cp1251": "windows-1251 x-cp1251 win-1251 windows1251",
    "cp1253": "windows-1253 x-cp1253",
    "cp1254": "windows-1254 x-cp1254 iso-8859-9 iso8859-9 latin5 iso-8859-9-windows-latin-5",
    "cp1255": "windows-1255 x-cp1255",
    "cp1256": "windows-1256 x-cp1256",
    "cp1257": "windows-1257 x-cp1257",
    "cp1258": "windows-1258 x-cp1258",
    "cp874": "windows-874 x-cp874 tis-620 tis620 iso-8859-11",
    "iso8859-2": "iso-8859-2 iso_8859-2 latin2 l2",
    "iso8859-3": "iso-8859-3 latin3",
    "iso8859-4": "iso-8859-4 latin4",
    "iso8859-5": "iso-8859-5 cyrillic",
    "iso8859-6": "iso-8859-6 iso-8859-6-i iso-8859-6-e arabic",
    "iso8859-7": "iso-8859-7 greek",
    "iso8859-8": "iso-8859-8 iso-8859-8-i iso-8859-8-e hebrew logical visual",
    "iso8859-10": "iso-8859-10 latin6",
    "iso8859-13": "iso-8859-13",
    "iso8859-14": "iso-8859-14",
    "iso8859-15": "iso-8859-15 iso_8859-15 iso8859-15 latin9 latin-9 l9",
    "iso8859-16": "iso-8859-16",
    "koi8-r": "koi8r koi8 koi cskoi8r cp20866",
    "koi8-u": "koi8u koi8-ru cp21866",
    "mac-roman": "macintosh mac x-mac-roman macroman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "cp437": "ibm437",
    "cp850": "ibm850 cp-850",
    "cp852": "ibm852",
    "cp855": "ibm855",
    "cp858": "ibm858 ibm00858",
    "cp866": "ibm866 csibm866",
    "cp932": "shift_jis shift-jis sjis x-sjis ms_kanji windows-31j cswindows31j ms932 csshiftjis shift_jisx0213"
    " x-ms-cp932",
    "euc_jp": "euc-jp eucjp x-euc x-euc-jp cseucpkdfmtjapanese ujis extended_unix_code_packed_format_for_japanese",
    "iso-2022-jp": "iso2022jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 iso-2022-jp-ms csiso2022jp cp50220 cp50221"
    " cp50222 x-windows-iso2022jp jis",
    "gb18030": "gb2312 gb_2312-80 gbk x-gbk cp936 ms936 windows-936 euc-cn euccn csgb2312 gb-2312 chinese hz-gb",
    "hz": "hz-gb-2312",
    "cp950": "big5 big-5 x-x-big5 cn-big5 csbig5 ms950 windows-950",
    "big5hkscs": "big5-hkscs big5hk",
    "cp949": "euc-kr euckr ks_c_5601-1987 ks_c_5601 ks_c_5601-1989 ksc5601 ksc_5601 korean uhc windows-949 ms949"
    " cseuckr iso-ir-149 x-windows-949",
    "johab": "cp1361",
    "iso2022-kr": "iso-2022-kr csiso2022kr",
}
_CODECS = {label: codec for codec, labels in _SUPERSETS.items() for label in (codec, *labels.split())}
"""Label in lower case → Python codec, or one of ours."""

_SEVEN_BIT = frozenset({"iso2022-kr", "hz", "utf-7"})
"""Charsets besides ISO-2022-JP that write other letters with ASCII bytes."""
_WIDE = frozenset({"utf-16", "utf-16-le", "utf-16-be", "utf-32"})
_MULTIBYTE = frozenset({"cp932", "euc_jp", "gb18030", "cp950", "big5hkscs", "cp949", "johab"})
_WIDER = {"cp950": "big5hkscs", "euc_jp": "euc_jis_2004", "cp932": "shift_jisx0213"}
"""Where the usual superset fails: the next one."""
_FOREIGN = re.compile("[^\x00-\x7f]")
_THREE_BYTES = re.compile(rb"[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, the charset it was read in, and whether that is not the declared one (or could not read every byte)."""

    text: str
    charset: str
    repaired: bool = False


def codec_of(label: str | None) -> str | None:
    """The codec a declared charset stands for, or None where the label is missing or unknown."""
    if label is None:
        return None
    return _CODECS.get(label[:80].strip(" \t\r\n\"'<>;").lower().replace("_", "-")) or _CODECS.get(
        label[:80].strip().lower()
    )


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """Read *data*, declared to be in the charset *declared* (as labelled in the mail; None where it says nothing)."""
    codec = codec_of(declared)
    if data.isascii() and codec not in _WIDE:
        return _seven_bit(data, codec)
    if codec not in _WIDE and iso2022.has_escapes(data):
        return Decoded(iso2022.decode(data), "iso-2022-jp", repaired=codec != "iso-2022-jp")
    if codec is not None and (believed := _believed(data, codec)) is not None:
        return Decoded(believed.removeprefix("\ufeff"), codec)
    if codec in _WIDE and len(data) % 2 and (cut := _believed(data[:-1], codec)) is not None:
        return Decoded(cut.removeprefix("\ufeff"), codec, repaired=True)  # a mailer took the last byte for a line end
    if codec == "utf-8" and (nearly := _nearly(data, codec)) is not None:
        return Decoded(nearly.removeprefix("\ufeff"), codec, repaired=True)
    text, found = guessing.guess(data)
    if found == guessing.LAST_RESORT and codec in _MULTIBYTE and (nearly := _nearly(data, codec)) is not None:
        return Decoded(nearly, codec, repaired=True)
    return Decoded(text, found, repaired=declared is not None)


def _seven_bit(data: bytes, codec: str | None) -> Decoded:
    if iso2022.has_escapes(data) and codec != "iso2022-kr":
        return Decoded(iso2022.decode(data), "iso-2022-jp", repaired=codec not in ("iso-2022-jp", None))
    if codec in _SEVEN_BIT:
        try:
            return Decoded(data.decode(codec), codec)
        except UnicodeDecodeError:
            return Decoded(data.decode("ascii"), "us-ascii", repaired=True)
    return Decoded(data.decode("ascii"), "us-ascii")


def _believed(data: bytes, codec: str) -> str | None:
    """The text in the declared charset, or None where the bytes speak against it."""
    if codec in _WIDE:
        return (
            strictly(data, codec)
            if len(data) % 2 == 0 and (b"\0" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"))
            else None
        )
    if codec in ("us-ascii", "iso-2022-jp", *_SEVEN_BIT):
        return None  # eight bits and no escape sequence: anything but that
    if codec == "utf-8":
        return strictly(data, codec)
    text = strictly(data, codec)
    if text is None and codec in _WIDER:
        text = strictly(data, _WIDER[codec])
    if text is None or guessing.outweighed(data, codec):
        return None
    if strictly(data, "utf-8") is None:
        return text
    if codec in _MULTIBYTE and len(_THREE_BYTES.findall(data, 0, 4096)) < 2:
        return text  # two bytes that are both: "\u4e00" in GB 2312 is a Cyrillic letter in UTF-8
    return None


def _nearly(data: bytes, codec: str) -> str | None:
    """The text with a few unreadable bytes, as mailers leave it that cut a quotation in the middle of a character."""
    text = data.decode(codec, "replace")
    most = 10 if codec in _MULTIBYTE else 3  # what is not UTF-8 hardly ever reads as such
    return text if most * text.count("\ufffd") <= len(_FOREIGN.findall(text)) else None
