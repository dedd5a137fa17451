r"""Names of a customer's files: from the bytes on the wire to the text in the store and back, and whose SR they name.

Rules:

- A path is a tuple of names. ``.`` and empty names vanish, ``..`` goes up and stops at the account's root.
- A name is NFC text. A byte that is no UTF-8 is kept as ``\xhh``, and so comes back as it was: a backslash of the
  customer's own is refused, so the two can't be confused.
- NUL, control characters, backslashes and over-long names are refused, in words.
- ``/SR-…`` belongs to Service Requests. A folder of that form is made and removed by the SR, never by the customer.
- A number has a hard right edge: ``SR123456`` is not SR 12345, and neither is ``SR12345-6``.

Nothing here is ever a path on a disk: a name is a row (docs/design.md).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

Path = tuple[str, ...]
"""A place in an account's tree; the root is ``()``."""

NAME_BYTES = 255
"""Longest name on the wire: what file systems and clients agree on."""
PATH_BYTES = 4096
DEPTH = 64
"""Most names in a path: a bound for recursive clients, not for people."""

DEFAULT_NUMBER = r"[0-9]{1,12}"

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
"""Unicode's control characters (category Cc)."""
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


class BadName(ValueError):
    """A name that can't be kept; the text says why, for the customer."""


# -- the wire ----------------------------------------------------------------------------------------------------------


def from_wire(raw: bytes) -> str:
    r"""The text of a name: UTF-8 in normal form C, other bytes as ``\xhh``. Raises BadName."""
    if b"\\" in raw:
        raise BadName("a name may not hold a backslash")
    text = raw.decode() if raw.isascii() else _beyond_ascii(raw)
    if CONTROL.search(text):
        raise BadName("a name may not hold NUL or control characters")
    if len(to_wire(text)) > NAME_BYTES:
        raise BadName(f"a name may be {NAME_BYTES} bytes long at most")
    return text


def _beyond_ascii(raw: bytes) -> str:
    decoded = raw.decode("utf-8", "surrogateescape")
    return "".join(
        unicodedata.normalize("NFC", part) if index % 2 == 0 else "".join(f"\\x{ord(odd) - 0xDC00:02x}" for odd in part)
        for index, part in enumerate(re.split("([\udc80-\udcff]+)", decoded))
    )


def to_wire(text: str) -> bytes:
    """The bytes of a name, as ``from_wire`` got them."""
    if "\\x" not in text:
        return text.encode()
    parts = _ESCAPED.split(text)
    return b"".join(part.encode() if index % 2 == 0 else bytes([int(part, 16)]) for index, part in enumerate(parts))


def resolve(current: Path, argument: bytes) -> Path:
    """Where *argument* leads from the folder *current*, never above the root. Raises BadName."""
    if len(argument) > PATH_BYTES:
        raise BadName(f"a path may be {PATH_BYTES} bytes long at most")
    path = [] if argument.startswith(b"/") else list(current)
    for raw in argument.split(b"/"):
        if raw in (b"", b"."):
            continue
        if raw == b"..":
            del path[-1:]
            continue
        path.append(from_wire(raw))
    if len(path) > DEPTH:
        raise BadName(f"a path may be {DEPTH} folders deep at most")
    return tuple(path)


def as_text(path: Path) -> str:
    """A path as the store and the operator write it: ``/``, ``/a/b``."""
    return "/" + "/".join(path)


def from_text(text: str) -> Path:
    """The path that ``as_text`` wrote."""
    return tuple(name for name in text.split("/") if name)


def on_wire(path: Path) -> bytes:
    """A path as the customer reads it."""
    return b"/" + b"/".join(to_wire(name) for name in path)


def is_provisional(path: str) -> bool:
    """Whether a path's name says that its client will rename it when all has come (WinSCP, lftp and their like)."""
    return path.lower().endswith((".part", ".filepart"))


# -- Service Requests --------------------------------------------------------------------------------------------------


def folder_of(number: str) -> str:
    """The name of an SR's folder."""
    return f"SR-{number}"


def folder_number(name: str, number_pattern: str = DEFAULT_NUMBER) -> str | None:
    """The number of the SR whose folder has this name, in any case of letters; None for any other name."""
    found = re.fullmatch(rf"SR-({number_pattern})", name, re.IGNORECASE | re.ASCII)
    return None if found is None else found[1]


def is_reserved(path: Path) -> bool:
    """Whether a folder of this path is an SR's, or could be: made, renamed and removed by the SR alone."""
    return len(path) == 1 and path[0][:3].upper() == "SR-"


def numbers_in(path: Path, number_pattern: str = DEFAULT_NUMBER) -> Iterator[str]:
    """The SR numbers that a file's path may mean, the strongest first: its folder's, then the one its name begins with.

    Whether the account has such an SR is for the store to say.
    """
    if len(path) > 1:
        number = folder_number(path[0], number_pattern)
        if number is not None:
            yield number
            return
    name = unicodedata.normalize("NFKC", path[-1])
    # SR12345…, SR#12345…, SR-12345…, SR_12345…, SR 12345…; or 12345_…
    marked = re.match(rf"SR[ _]?[#-]?[ _]?({number_pattern})(?![^\W_])(?!-[0-9])", name, re.IGNORECASE)
    bare = re.match(rf"({number_pattern})_", name)
    for found in (marked, bare):
        if found is not None:
            yield found[1]
