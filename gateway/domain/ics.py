"""A calendar file (RFC 5545) of coming password resets, for an administrator's own calendar.

Rules: one event per reset, with a UID made of the account and the date, so that importing the file again moves an
event and never doubles it. Times are UTC. It holds logins and dates, never a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_LENGTH = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Entry:
    """One reset to come."""

    uid: str
    start: datetime
    summary: str
    description: str


def calendar_file(entries: Iterable[Entry], now: datetime) -> str:
    """The file's text, with the CRLF line ends that RFC 5545 section 3.1 asks for."""
    return "".join(f"{line}\r\n" for raw in _lines(entries, now) for line in _folded(raw))


def _lines(entries: Iterable[Entry], now: datetime) -> Iterator[str]:
    yield "BEGIN:VCALENDAR"
    yield "VERSION:2.0"
    yield "PRODID:-//inbound-gateway//password resets//EN"
    yield "METHOD:PUBLISH"
    for entry in entries:
        yield "BEGIN:VEVENT"
        yield f"UID:{_escaped(entry.uid)}"
        yield f"DTSTAMP:{_utc(now)}"
        yield f"DTSTART:{_utc(entry.start)}"
        yield f"DTEND:{_utc(entry.start + _LENGTH)}"
        yield f"SUMMARY:{_escaped(entry.summary)}"
        yield f"DESCRIPTION:{_escaped(entry.description)}"
        yield "TRANSP:TRANSPARENT"
        yield "END:VEVENT"
    yield "END:VCALENDAR"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escaped(text: str) -> str:
    """RFC 5545 section 3.3.11."""
    for plain, escaped in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\r\n", "\\n"), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return "".join(c for c in text if c >= " ")


def _folded(line: str, octets: int = 75) -> Iterator[str]:
    """Lines of at most 75 octets, continued after a space, never cut inside a character (section 3.1)."""
    part, length = "", 0
    for character in line:
        size = len(character.encode())
        if length + size > octets:
            yield part
            part, length = " ", 1
        part += character
        length += size
    yield part
