"""Which format a file is of, by its first bytes, and who looks inside."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

from gateway.domain.findings import Cause, Finding, Verdict
from gateway.examine.archive import directory, sevenzip, stream, tar, zip
from gateway.examine.archive.bounds import Bounds, Meter
from gateway.examine.archive.window import read

ZIP = (b"PK\3\4", b"PK\5\6", b"PK00PK\3\4")
"""A member first, no member, and what was meant for several parts but fitted one."""
ZIP_PART = b"PK\7\x08PK\3\4"
FOREIGN = {
    b"Rar!\x1a\x07": "rar",
    b"LZIP\1": "lzip",
    b"\x89LZO\0\r\n": "lzop",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x5d\0\0": "lzma",
    b"\x1f\x9d": "compress (.Z)",
    b"\x1f\x1e": "pack (.z)",
    b"MSCF\0\0\0\0": "cab",
    b"\x60\xea": "arj",
}
"""Compressed, but by programs whose formats nothing here can read."""

Look = Callable[[BinaryIO, int, Meter], Finding]


def examine(path: str | os.PathLike[str], bounds: Bounds) -> Finding:
    """Look inside the file at `path`."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        name, look = recognised(file, size)
        try:
            return look(file, size, Meter(size, bounds))
        except MemoryError:
            return Finding(name, Verdict.UNCHECKED, Cause.MEMORY)


def recognised(file: BinaryIO, size: int) -> tuple[str | None, Look]:
    """The format's name and who looks into it."""
    start = read(file, 0, tar.BLOCK)
    if not start:
        return None, lambda *_: Finding(None, Verdict.EMPTY)
    for codec in stream.CODECS:
        if codec.begins(start):
            return codec.name, partial(stream.look, codec)
    if start.startswith(sevenzip.MAGIC):
        return "7z", sevenzip.look
    if start.startswith(ZIP):
        return "zip", zip.look
    if start.startswith(ZIP_PART):
        return "zip", lambda *_: Finding("zip", Verdict.UNCHECKED, Cause.SPLIT)
    if len(start) == tar.BLOCK and tar.is_header(start):
        return "tar", tar.look
    for magic, name in FOREIGN.items():
        if start.startswith(magic):
            return name, lambda *_, name=name: Finding(name, Verdict.UNCHECKED, Cause.FOREIGN)
    if (found := directory.find(file, size)) and not found.trailing:  # behind a self-extracting program
        return "zip", zip.look
    return None, lambda *_: Finding(None, Verdict.NOT_COMPRESSED)
