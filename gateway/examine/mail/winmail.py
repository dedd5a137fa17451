"""Outlook's ``winmail.dat`` (TNEF, MS-OXTNEF), opened with tnefparse where it is installed (extra ``tnef``).

Rules: what is inside is a list of files and perhaps the mail's text; the ``winmail.dat`` itself is kept besides. One
that cannot be opened, or no tnefparse, is no failure: the answer is None. tnefparse counts to whatever number the
file names, four thousand million say, so it gets a budget of processor time. Never raises.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

from gateway.domain import charsets
from gateway.examine.mail.budget import BudgetSpent, budget

logging.getLogger("tnefparse").setLevel(logging.CRITICAL)

MOST_FILES = 200
MOST_OBJECTS = 5_000
SECONDS = 1.0
"""Processor time for one file; a winmail.dat of 30 MB takes a tenth."""


@dataclass(frozen=True, slots=True)
class Winmail:
    """What was inside: (name, bytes) of each file, and the text in plain or in HTML."""

    files: list[tuple[str, bytes]]
    plain: str | None
    html: str | None


def opened(data: bytes) -> Winmail | None:
    """Open a ``winmail.dat``."""
    try:
        from tnefparse import TNEF
    except ImportError:
        return None
    if not _plausible(data):
        return None
    try:
        with budget(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tnef = TNEF(data)
            files = [(_text(each.long_filename()) or "", bytes(each.data)) for each in tnef.attachments[:MOST_FILES]]
            return Winmail(files, _text(getattr(tnef, "body", None)), _text(getattr(tnef, "htmlbody", None)))
    except (Exception, BudgetSpent):  # tnefparse trusts every length it reads
        return None


def _plausible(data: bytes) -> bool:
    """Whether the file is a chain of objects that fits its length (MS-OXTNEF section 2.1): tnefparse copies at each."""
    position, count = 6, 0
    while position < len(data) and count <= MOST_OBJECTS:
        position += 9 + int.from_bytes(data[position + 5 : position + 9], "little") + 2
        count += 1
    return position == len(data) and count <= MOST_OBJECTS


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = charsets.decode(value).text
    return value.strip("\0") if isinstance(value, str) else None
