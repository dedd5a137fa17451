"""How an upload's end is judged: by evidence, not by manners. Pure; the table below is the whole decision.

A client's close_notify says that this was all (RFC 8446 §6.1), unless something speaks against it. An end without it
says nothing: some clients never send one, and a cut connection looks the same. It counts as complete only where the
size that the client announced (``ALLO``), or the content itself, shows that nothing is missing, and another size than
was announced speaks against both. More than was announced, ended by a close_notify, is a file that grew while it was
sent: nothing is missing, and the grounds say so.

It never looks at a file: whether the content proves itself is a fact that is handed in, and ``asks_for_proof`` says
beforehand whether it matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Ending(StrEnum):
    """How the data connection of an upload came to its end."""

    CLOSE_NOTIFY = "close_notify"
    FIN = "fin"
    RESET = "reset"
    BROKEN = "broken"
    """What came was not TLS any more."""
    ABORTED = "aborted"
    """The client said ABOR."""
    STALLED = "stalled"
    """Nothing came for ``stall_timeout``."""
    CONTROL_LOST = "control_lost"
    """The control connection ended first: nobody is there to be told."""
    STOPPED = "stopped"
    """The gateway ended it: shutdown, or the session was ended by an operator or a password reset."""
    FAILED = "failed"
    """The gateway could not go on: the disk, the quota, another session that took the upload over."""


class Grounds(StrEnum):
    """What made an upload complete or incomplete; recorded with the file."""

    CLOSE_NOTIFY = "close_notify"
    GROWN = "close_notify, longer than announced"
    ANNOUNCED = "announced size"
    CONTENT = "content"
    CUT = "cut"
    SHORT = "shorter than announced"
    LONG = "longer than announced, and no close_notify"
    ABORTED = "aborted"
    STALLED = "stalled"
    CONTROL_LOST = "control connection lost"
    STOPPED = "stopped"
    FAILED = "failed"


class Announced(StrEnum):
    """How what arrived compares with what ``ALLO`` announced."""

    NOTHING = "nothing"
    MATCHES = "matches"
    LESS = "less"
    """Less arrived than was announced."""
    MORE = "more"
    """More arrived: a log that grew while it was read, or not what was meant."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the upload is complete, and on what grounds."""

    complete: bool
    grounds: Grounds


ANY = None
_COMPLETE, _PARTIAL = True, False

# ending, announced, content proves itself → complete?, grounds. The first row that fits holds; None fits all.
TABLE: tuple[tuple[Ending | None, Announced | None, bool | None, bool, Grounds], ...] = (
    (Ending.ABORTED, ANY, ANY, _PARTIAL, Grounds.ABORTED),
    (Ending.STALLED, ANY, ANY, _PARTIAL, Grounds.STALLED),
    (Ending.STOPPED, ANY, ANY, _PARTIAL, Grounds.STOPPED),
    (Ending.FAILED, ANY, ANY, _PARTIAL, Grounds.FAILED),
    (ANY, Announced.LESS, ANY, _PARTIAL, Grounds.SHORT),
    (Ending.CLOSE_NOTIFY, Announced.MORE, ANY, _COMPLETE, Grounds.GROWN),
    (Ending.CLOSE_NOTIFY, ANY, ANY, _COMPLETE, Grounds.CLOSE_NOTIFY),
    (ANY, Announced.MORE, ANY, _PARTIAL, Grounds.LONG),
    (ANY, Announced.MATCHES, ANY, _COMPLETE, Grounds.ANNOUNCED),
    (ANY, ANY, True, _COMPLETE, Grounds.CONTENT),
    (Ending.CONTROL_LOST, ANY, ANY, _PARTIAL, Grounds.CONTROL_LOST),
    (ANY, ANY, ANY, _PARTIAL, Grounds.CUT),
)


def compare(announced: int | None, size: int, offset: int) -> Announced:
    """Compare *size* bytes, of which this transfer brought those from *offset* on, with what ``ALLO`` announced.

    Clients that resume announce the whole file, or what is left of it (RFC 959 does not say): both are understood, and
    what could be either proves nothing (half a file is there, the other half is announced, and nothing of it comes).
    """
    if announced is None:
        return Announced.NOTHING
    if announced == size - offset:
        return Announced.MATCHES
    if announced == size:
        return Announced.NOTHING
    return Announced.LESS if size < announced else Announced.MORE


def asks_for_proof(ending: Ending, announced: Announced) -> bool:
    """Whether the judgement hangs on the content proving itself."""
    return judge(ending, announced, True) != judge(ending, announced, False)


def judge(ending: Ending, announced: Announced, proves_itself: bool) -> Judgement:
    """Judge an upload that ended so, with so much announced, whose content proves that it is whole, or does not."""
    for on_ending, on_announced, on_proof, complete, grounds in TABLE:
        if on_ending in (ANY, ending) and on_announced in (ANY, announced) and on_proof in (ANY, proves_itself):
            return Judgement(complete, grounds)
    raise AssertionError("the last row fits all")
