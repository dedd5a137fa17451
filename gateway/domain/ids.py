"""Identifiers: 128 bits, ordered by time, written in 26 lower-case Crockford base-32 characters.

48 bits of milliseconds come first, so that rows and file names of one hour lie together; 80 random bits follow,
so that an identifier can't be guessed from its neighbour. A version's id is its upload's id and its receipt's.
"""

from __future__ import annotations

import re
import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
_FORM = re.compile(f"[0-7][{ALPHABET}]{{{LENGTH - 1}}}")


def new_id(at: float | None = None) -> str:
    """Make a new identifier for the moment *at* (seconds since the epoch; now when None)."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    number = milliseconds << 80 | int.from_bytes(secrets.token_bytes(10), "big")
    return "".join(_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10))


def is_id(text: str) -> bool:
    """Tell whether *text* has the form of an identifier, and so is safe as a file name."""
    return _FORM.fullmatch(text) is not None
