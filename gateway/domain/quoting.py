"""Quoted history in a mail's text, found for the view: what to show, and what to fold away until somebody asks.

Rules: nothing is ever cut. The segments joined are the text, character for character; folding is a suggestion to a
view, and what is filed is the whole. Folded are runs of ``>`` lines with the line that introduces them, and
everything from the header that Outlook puts over the mail it answers. An answer between quoted lines stays visible.
Where nothing would stay visible, nothing is folded: somebody's answer is in there. Linear in the text. Pure; never
raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

FEWEST = 3
"""Quoted lines in a row that are folded; one or two are what an answer refers to."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of whole lines."""

    folded: bool
    text: str


_QUOTED = re.compile(r"[ \t]{0,3}[>|＞]")
_SEPARATOR = re.compile(
    r"[ \t]*-{2,}[ \t]*(?:original message|original appointment|forwarded message|original-nachricht"
    r"|ursprüngliche nachricht|weitergeleitete nachricht|message d'origine|message transféré"
    r"|mensaje original|mensaje reenviado|mensagem original|mensagem encaminhada|messaggio originale"
    r"|oorspronkelijk bericht|ursprungligt meddelande|oprindelig meddelelse|opprinnelig melding|alkuperäinen viesti"
    r"|oryginalna wiadomość"
    r"|původní zpráva|eredeti üzenet|orijinal ileti|исходное сообщение"
    r"|元のメッセージ|原始邮件|原始郵件"
    r"|邮件原件|원본 메시지)[ \t]*-{2,}[ \t]*",
    re.IGNORECASE,
)
_FROM = re.compile(
    r"[ \t*]{0,4}(?:from|von|de|da|van|från|fra|lähettäjä|od|feladó|kimden|gönderen|от|差出人|送信者|发件人|寄件者"
    r"|보낸 사람)[ \t*]{0,3}[:：]",
    re.IGNORECASE,
)
_SENT = re.compile(
    r"[ \t*]{0,4}(?:sent|date|gesendet|datum|envoyé|enviado(?: el| em)?|fecha|data|inviato|verzonden|skickat|sendt|sent"
    r"|lähetetty|wysłano|odesláno|elküldve|gönderildi|tarih|отправлено|дата|送信日時|日時|发送时间|发送日期|日期|寄件日期"
    r"|보낸 날짜)[ \t*]{0,3}[:：]",
    re.IGNORECASE,
)
_RULE = re.compile(r"[ \t]*_{10,}[ \t]*")
_INTRODUCTION = re.compile(
    r"\b(?:wrote|schrieb|a écrit|escribió|escreveu|ha scritto|schreef|skrev|kirjoitti|napisał(?:\(a\))?|napsal|írta"
    r"|yazdı|писал(?:\(а\))?|написал(?:а)?)\b.{0,100}[:：][ \t]*$"
    r"|(?:のメール|書きました|は書いた|写道|寫道|작성|쓴 글).{0,40}[:：]?[ \t]*$",
    re.IGNORECASE,
)
_OPENING = re.compile(r"[ \t]*(?:(?:On|Am|Le|El|Em|Il|Op|Den|På|W dniu|Dnia|Dne)\b|\d{1,4}[./年-])", re.IGNORECASE)
"""How the first of two introducing lines begins."""


def fold(text: str) -> list[Segment]:
    """The text in segments; joined, they are the text."""
    lines = text.splitlines(keepends=True)
    folded = _marked(lines)
    if not any(line.strip() for line, hidden in zip(lines, folded, strict=True) if not hidden):
        folded = [False] * len(lines)
    pairs = zip(folded, lines, strict=True)
    return [
        Segment(hidden, "".join(line for _, line in run)) for hidden, run in groupby(pairs, key=lambda pair: pair[0])
    ]


def _marked(lines: list[str]) -> list[bool]:
    """Which lines are history."""
    folded = [False] * len(lines)
    index = 0
    while index < len(lines):
        if _begins_history(lines, index):
            return folded[:index] + [True] * (len(lines) - index)
        if not _QUOTED.match(lines[index]):
            index += 1
            continue
        end = _end_of_quotation(lines, index)
        if sum(1 for line in lines[index:end] if line.strip()) >= FEWEST:
            for each in range(_introduction(lines, index), end):
                folded[each] = True
        index = end
    return folded


def _begins_history(lines: list[str], index: int) -> bool:
    """Whether Outlook's copy of the mail that is answered begins here."""
    line = lines[index].strip()
    if not line.startswith(("-", "_")) and not _FROM.match(line):
        return False
    if _SEPARATOR.fullmatch(line):
        return True
    if _RULE.fullmatch(line):
        index += 1
    ahead = [each for each in lines[index : index + 8] if each.strip()][:4]
    return len(ahead) >= 3 and _FROM.match(ahead[0]) is not None and any(_SENT.match(each) for each in ahead[1:])


def _end_of_quotation(lines: list[str], index: int) -> int:
    """Behind the last quoted line of a run; a single empty line does not end it."""
    end = index
    while index < len(lines):
        if _QUOTED.match(lines[index]):
            end = index + 1
        elif lines[index].strip() or index > end:
            break
        index += 1
    return end


def _introduction(lines: list[str], index: int) -> int:
    """Where the "On … wrote:" over a quotation begins: it may be two lines, with empty ones below; else *index*."""
    begin = index
    while begin > 0 and index - begin < 2 and not lines[begin - 1].strip():
        begin -= 1
    last = begin - 1
    if last < 0 or _QUOTED.match(lines[last]) or not _INTRODUCTION.search(lines[last].rstrip()[-600:]):
        return index
    # "On Mon, 1 Jan 2024, Ann Doe" / "<ann@example.com> wrote:"
    two_lines = last > 0 and not _OPENING.match(lines[last]) and _OPENING.match(lines[last - 1]) is not None
    return last - 1 if two_lines else last
