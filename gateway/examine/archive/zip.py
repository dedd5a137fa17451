"""A zip: every member is decoded as it streams by and its CRC compared. Nothing is extracted."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections import Counter
from collections.abc import Callable
from typing import BinaryIO

from gateway.domain.findings import Cause, Finding, Verdict
from gateway.examine.archive import zstd
from gateway.examine.archive.bounds import INPUT, Meter, Stop
from gateway.examine.archive.decoders import RAW_DEFLATE, Decoder, Inflate, Stored, ZipLzma, decoded
from gateway.examine.archive.directory import WRAP, Directory, Entry, find, members
from gateway.examine.archive.window import read

DECODERS: dict[int, Callable[[int], Decoder]] = {
    0: lambda memory: Stored(),
    8: lambda memory: Inflate(RAW_DEFLATE),
    12: lambda memory: bz2.BZ2Decompressor(),
    14: ZipLzma,
    20: zstd.Frame,
    93: zstd.Frame,
    95: lambda memory: lzma.LZMADecompressor(lzma.FORMAT_XZ, memory),
}
"""By compression method (APPNOTE 4.4.5)."""
NAMES = {1: "shrink", 6: "implode", 9: "deflate64", 10: "PKWARE DCL", 96: "jpeg", 97: "WavPack", 98: "PPMd"}
ENCRYPTED = "encrypted"


def look(file: BinaryIO, size: int, meter: Meter) -> Finding:
    """Find the central directory, check every member that it names."""
    directory = find(file, size)
    if directory is None:
        return Finding("zip", Verdict.DAMAGED, Cause.TRUNCATED, detail="no central directory at its end")
    if directory.split:
        return Finding("zip", Verdict.UNCHECKED, Cause.SPLIT)
    try:
        unchecked = check(file, directory, meter)
    except Stop as stop:
        return stop.finding("zip", directory.entries, meter)
    count, unpacked = meter.members, meter.unpacked
    for what, number in unchecked.most_common(1):
        cause = Cause.ENCRYPTED if what == ENCRYPTED else Cause.METHOD
        return Finding("zip", Verdict.UNCHECKED, cause, count, number, f"compressed with {what}", unpacked)
    return Finding("zip", Verdict.INTACT, members=count, unpacked=unpacked)


def check(file: BinaryIO, directory: Directory, meter: Meter) -> Counter[str]:
    """Decode every member that can be; returns how many cannot, by method or ENCRYPTED. Raises Stop."""
    unchecked: Counter[str] = Counter()
    for entry, content in members(file, directory):
        meter.member()
        if entry.is_encrypted:
            unchecked[ENCRYPTED] += 1
        elif decoder := DECODERS.get(entry.method):
            room = directory.position - content if directory.wraps and entry.method else entry.packed
            _check(file, entry, content, room, decoder(meter.bounds.memory), meter)
        else:
            unchecked[NAMES.get(entry.method, f"method {entry.method}")] += 1
    if directory.trailing:
        raise Stop(Cause.TRAILING, f"zip: {directory.trailing} bytes")
    return unchecked


def _check(file: BinaryIO, entry: Entry, position: int, room: int, decoder: Decoder, meter: Meter) -> None:
    """Decode one member, `room` bytes at `position`, and compare its length and CRC."""
    crc, size, end = 0, 0, position + room
    while not decoder.eof:
        data = read(file, position, min(INPUT, end - position)) if decoder.needs_input else b""
        if decoder.needs_input and not data:
            break  # stored and LZMA members may have no end of their own
        position += len(data)
        content = decoded(decoder, data)
        crc, size = zlib.crc32(content, crc), size + len(content)
        meter.output(len(content))
        if size > entry.unpacked and room == entry.packed:
            raise Stop(Cause.CORRUPT, f"zip: the member at {entry.position} is longer than announced")
    if crc != entry.crc or size % WRAP != entry.unpacked % WRAP:
        raise Stop(Cause.CHECKSUM, f"zip: the member at {entry.position} has another CRC or length")
