"""How a folder is written down: for people and old clients (LIST), for programs (MLSD, RFC 3659 §7), or names alone.

Pure. Times are UTC. A name goes out with the very bytes it came with; one odd name never breaks a listing.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from gateway.domain.names import to_wire
from gateway.ftps.tree import UNDER_WAY, Node

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
RECENT = timedelta(days=180)
"""Older times are written with their year instead of the time of day, as ``ls`` does."""
FACTS = ("type", "size", "modify", "perm", "unique")
BLOCK = 1 << 16


def stamp(moment: datetime) -> str:
    """YYYYMMDDHHMMSS in UTC (RFC 3659 §2.3)."""
    utc = moment.astimezone(UTC)
    return f"{utc.year:04}{utc:%m%d%H%M%S}"  # the C library writes the year 999 with three digits


def moment(text: str) -> datetime:
    """The time that ``stamp`` wrote, with or without fractions of a second. Raises ValueError."""
    whole, _, fraction = text.partition(".")
    if len(whole) != 14 or not whole.isascii() or not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise ValueError(text)
    return datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def ls_line(node: Node, now: datetime) -> bytes:
    """One line as ``ls -l`` writes it: what every client's parser has seen before."""
    mode = "drwxr-x---" if node.is_folder else "-rw-r-----"
    at = node.modified.astimezone(UTC)
    when = f"{at:%H:%M}" if timedelta(0) <= now - at < RECENT else f" {at.year}"
    head = f"{mode} 1 gateway  gateway  {node.size:>13} {MONTHS[at.month - 1]} {at.day:>2} {when} "
    return head.encode() + to_wire(node.name)


def facts_of(node: Node, chosen: Sequence[str]) -> str:
    """The facts of RFC 3659 §7.5 that were chosen, each with its semicolon."""
    values = {
        "type": "dir" if node.is_folder else "file",
        "size": None if node.is_folder else str(node.size),
        "modify": stamp(node.modified),
        "perm": _permissions(node),
        "unique": None if node.version is None else node.version.id,
    }
    return "".join(f"{name.title()}={values[name]};" for name in FACTS if name in chosen and values[name] is not None)


def _permissions(node: Node) -> str:
    """What may be done with it (RFC 3659 §7.5.5)."""
    if node.is_folder:
        return "celm" if node.reserved or not node.path else "cdeflmp"
    assert node.version is not None
    return "adfrw" if node.version.state in UNDER_WAY else "dfrw"


def machine_line(node: Node, chosen: Sequence[str]) -> bytes:
    """One line of MLSD."""
    return f"{facts_of(node, chosen)} ".encode() + to_wire(node.name)


def matching(nodes: Iterable[Node], pattern: str) -> list[Node]:
    """Those whose name fits *pattern* (``*``, ``?``, ``[…]``), as old clients ask with ``NLST *.zip``."""
    return [node for node in nodes if fnmatch.fnmatchcase(node.name, pattern)]


def is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[")


def as_blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, each with its CRLF, in blocks of a reasonable size."""
    block = bytearray()
    for line in lines:
        block += line + b"\r\n"
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    yield bytes(block)
