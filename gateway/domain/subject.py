"""The subject grammar: which Service Request, if any, a mail's subject names.

Rules (PROGRAM.md, "The mail aliases"; every one has rows in ``tests/unit/subjects.toml``):

- The key phrase ``SR# <number>`` stands at the start. Before it may stand only reply and forward prefixes (``Re:``,
  ``AW:``, ``返信：`` …), the words an automatic answer is announced with, tags in brackets, and an opening bracket or
  quote.
- Tolerant in spaces, case, full-width forms and characters that nobody sees; strict in the number: the configured
  pattern over ASCII digits, and a hard right edge. ``12345-6``, ``12345.6``, ``12345a`` and ``12345_6`` are not
  12345.
- A character is folded by its own NFKC form, but only decimal digits may become digits: NFKC alone would read
  ``12345①`` and ``12345²`` as other numbers.
- Letters of scripts that are written without spaces end a number (``12345の件``); numerals of those scripts do not.
- A right-to-left override shows another number than the one that stands there: never read.

Pure: decoding a header's bytes is ``encoded_words``'s work. Never guesses: what is not read is told apart as *not at
the start*, *malformed* and *absent*, so that a reply can say what to write instead. Nothing to crash.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from gateway.domain.automatic import ANNOUNCEMENTS

NUMBER_PATTERN = r"[0-9]{1,12}"
"""What an SR's number looks like unless ``[sr] number_pattern`` says otherwise."""

LONGEST = 1_000
"""Characters of a subject that are read; a line of mail has at most 998 (RFC 5322 section 2.1.1)."""

PREFIXES = (
    "re", "fw", "fwd",  # everywhere; Outlook in many languages
    "aw", "wg", "antw", "antwort",  # German, Dutch
    "sv", "vs", "vb", "vl",  # Swedish, Danish, Norwegian, Finnish
    "tr", "réf", "ref", "ré", "rép",  # French
    "rv", "res", "enc",  # Spanish, Portuguese
    "r", "i", "rif", "doorst",  # Italian, Dutch
    "odp", "pd",  # Polish
    "vá", "továbbítás",  # Hungarian
    "ynt", "İlt", "i̇lt", "ilt", "ılt",  # Turkish
    "atb", "bls", "trs", "tl", "ct", "ym",  # Welsh, Indonesian, Vietnamese, Welsh
    "odg", "prosl", "на", "отв", "ответ", "пересл", "απ", "σχετ", "πρθ",  # Croatian, Russian, Greek
    "השב", "הועבר", "رد", "إعادة توجيه",  # Hebrew, Arabic
    "返信", "転送", "返", "転",  # Japanese
    "回复", "答复", "转发", "回覆", "轉寄", "轉發", "答覆", "回信",  # Chinese, simplified and traditional
    "회신", "전달", "답장",  # Korean
)  # fmt: skip
"""Reply and forward prefixes in the languages of the regions, in any case, without their colon."""

_INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
_RIGHT_TO_LEFT_OVERRIDE = "\u202e"
_COLON = "[:\u2236\ua789]"
_HIDDEN = re.compile(f"[{_INVISIBLE}]+")
_HIDDEN_IN_NUMBER = re.compile(f"(?<=[0-9])[{_INVISIBLE}]+(?=[0-9A-Za-z])")
_UNSPACED = "\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
_CLOSING = r"""\s:;!?()\[\]{}<>"'|«»‘’“”「」『』【】〔〕〈〉《》、。"""
_TRAILING = r"\-.,/*~+&\u2010-\u2015\u2212\u30fb\u30fc"

# What may follow a number. A dash, dot, comma and their like only with a space or the end behind them, a comma also
# before what is no digit: "12345, text" and "12345,text" are 12345; "12345,678" is not.
_EDGE = rf"(?=$|[{_CLOSING}{_UNSPACED}]|,(?![0-9{_TRAILING}])|[{_TRAILING}]+(?:\s|$))"
# Up to three digits, a space and a group of three digits is one number, written with a thousands separator.
_GROUPED = re.compile(r"[0-9]{1,3}")
_GROUP_FOLLOWS = re.compile(r"\s[0-9]{3}(?![0-9])")

_TAG = r"(?!\s*sr\s*\#)"
"""No tag is the phrase itself in brackets."""
_STEP = re.compile(
    rf"""\s*(?:
        (?:{"|".join(sorted(map(re.escape, (*PREFIXES, *ANNOUNCEMENTS)), key=len, reverse=True))})
            (?:\s?\[[0-9]{{1,3}}\]|\s?\([0-9]{{1,3}}\)|\^?[0-9]{{1,3}})? \s*{_COLON}
      | (?: \[ {_TAG} [^\[\]]{{1,80}} \] | 【 {_TAG} [^【】]{{1,80}} 】 | 〔 {_TAG} [^〔〕]{{1,80}} 〕
          | \{{ {_TAG} [^{{}}]{{1,80}} \}} | \( {_TAG} [^()]{{1,40}} \) ) \s*{_COLON}?
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_PHRASE = re.compile(r"(?<!\w)sr\s*#", re.IGNORECASE)
_OPENING = re.compile(r"""\s*[\[({<"'«‘“「『【〔〈《]?\s*""")
_NEARLY = re.compile(r"sr\W{0,3}(?:n[or][.:°º]?|number|id)?\W{0,3}[0-9]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """The subject begins with the key phrase and a number."""

    number: str


@dataclass(frozen=True, slots=True)
class NotAtStart:
    """The key phrase and a number stand in the subject, behind other words."""

    number: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something like the key phrase stands there, but no number can be read from it with certainty."""


@dataclass(frozen=True, slots=True)
class Absent:
    """No key phrase."""


Reading = Found | NotAtStart | Malformed | Absent


class SubjectGrammar:
    """The grammar for one number pattern (a regular expression; its ``\\d`` means ASCII digits)."""

    def __init__(self, number_pattern: str = NUMBER_PATTERN) -> None:
        """Raises re.error where the pattern is none."""
        re.compile(number_pattern)
        self._number = re.compile(rf"\s*(?P<number>(?a:{number_pattern})){_EDGE}")

    def read(self, subject: str) -> Reading:
        """Read a decoded, unfolded subject. Linear in its length; of a very long one only the start counts."""
        text = _fold(subject[:LONGEST] + "_" if len(subject) > LONGEST else subject)
        start = _start(text)
        at_start = _PHRASE.match(text, start)
        phrase = at_start or _PHRASE.search(text)
        if phrase is None:
            return Malformed() if _NEARLY.match(text, start) else Absent()
        number = self._number_at(text, phrase.end())
        if number is None or _RIGHT_TO_LEFT_OVERRIDE in subject[:LONGEST]:
            return Malformed()
        return Found(number) if at_start else NotAtStart(number)

    def _number_at(self, text: str, position: int) -> str | None:
        match = self._number.match(text, position)
        if match is None:
            return None
        number = match["number"]
        if _GROUPED.fullmatch(number) and _GROUP_FOLLOWS.match(text, match.end()):
            return None
        behind = text[match.end() : match.end() + 1]
        if behind.isalpha() and unicodedata.numeric(behind, None) is not None:
            return None  # 12345万 is a larger number, not 12345
        return number


def _start(text: str) -> int:
    """Where the subject proper begins: behind prefixes, tags and an opening bracket or quote."""
    position = 0
    if _PHRASE.match(text):
        return position
    while step := _STEP.match(text, position):
        position = step.end()
    opening = _OPENING.match(text, position)
    return opening.end() if opening else position


def _fold(text: str) -> str:
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", text)
    folded = "".join(character if character.isascii() else _compatible(character) for character in composed)
    return _HIDDEN.sub("", _HIDDEN_IN_NUMBER.sub("\0", folded))


def _compatible(character: str) -> str:
    form = unicodedata.normalize("NFKC", character)
    if unicodedata.category(character) != "Nd" and any(each in "0123456789" for each in form):
        return character
    return form
