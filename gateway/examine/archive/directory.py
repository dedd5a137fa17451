"""A zip's central directory: where it is, and its entries one by one, without ever holding them all (APPNOTE 4.3).

Offsets count from the archive's first byte, which is not the file's where something stands before it (a
self-extracting program). Names are not read: they are not paths here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from gateway.domain.findings import Cause
from gateway.examine.archive.bounds import MIB, Stop
from gateway.examine.archive.window import read

LOCAL, CENTRAL, END, END64, LOCATOR = b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7"
LOCAL_RECORD = struct.Struct("<4s5H3L2H")
CENTRAL_RECORD = struct.Struct("<4s6H3L5H2L")
END_RECORD = struct.Struct("<4s4H2LH")
END64_RECORD = struct.Struct("<4sQ2H2L4Q")
LOCATOR_RECORD = struct.Struct("<4sLQL")
LONGEST_COMMENT = 0xFFFF
LONGEST_ENTRY = CENTRAL_RECORD.size + 3 * 0xFFFF
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
"""What a field holds whose value stands in a zip64 record."""
ZIP64_EXTRA = 1
WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the central directory is, in the file."""

    position: int
    size: int
    entries: int
    before: int
    """Bytes in the file before the archive's first."""
    trailing: int
    """Bytes in the file after the archive's last."""
    split: bool
    """Whether this is one part of several."""
    wraps: bool = False
    """Whether positions and sizes are known only modulo 4 GiB: some writers know no zip64."""

    @property
    def end(self) -> int:
        return self.position + self.size


@dataclass(frozen=True, slots=True)
class Entry:
    """What the central directory says of one member, and where in the file its local header should be."""

    position: int
    flags: int
    method: int
    crc: int
    packed: int
    unpacked: int

    @property
    def is_encrypted(self) -> bool:
        return bool(self.flags & 1)


def find(file: BinaryIO, size: int) -> Directory | None:
    """The central directory whose end record ends exactly with the file, else the one nearest to its end, or none."""
    start = max(0, size - END_RECORD.size - LONGEST_COMMENT)
    tail = read(file, start, size - start)
    nearest = None
    at = tail.rfind(END)
    while at >= 0:
        found = _directory(file, start + at, size)
        if found and not found.trailing:
            return found
        nearest = nearest or found
        at = tail.rfind(END, 0, at)
    return nearest


def entries(file: BinaryIO, directory: Directory) -> Iterator[Entry]:
    """Every entry in turn. Stop(CORRUPT) if they do not fill the directory exactly, or their number is another."""
    position, count, window, at, after = directory.position, 0, b"", 0, 0
    while position < directory.end:
        if len(window) - at < LONGEST_ENTRY:
            window, at = read(file, position, min(MIB, directory.end - position)), 0
        entry, length = _entry(window, at, directory.before)
        if directory.wraps:
            entry = _unwrapped(file, entry, after, directory.position)
            after = entry.position + LOCAL_RECORD.size
        yield entry
        position, at, count = position + length, at + length, count + 1
    # Some writers without zip64 let the number wrap.
    if position != directory.end or directory.entries not in (count, count & FULL16):
        raise Stop(Cause.CORRUPT, f"zip: {count} entries where {directory.entries} were announced")


def members(file: BinaryIO, directory: Directory) -> Iterator[tuple[Entry, int]]:
    """Every entry, and where in the file its content begins, by its local header. Raises Stop: CORRUPT if that is not
    where it should be or the content reaches into the directory, BOMB if members overlap.
    """
    claimed = 0
    for entry in entries(file, directory):
        header = read(file, entry.position, LOCAL_RECORD.size)
        if len(header) < LOCAL_RECORD.size or not header.startswith(LOCAL):
            raise Stop(Cause.CORRUPT, f"zip: no local header at {entry.position}")
        *_, name, extra = LOCAL_RECORD.unpack(header)
        content = entry.position + LOCAL_RECORD.size + int(name) + int(extra)
        if content + entry.packed > directory.position:
            raise Stop(Cause.CORRUPT, f"zip: the member at {entry.position} reaches into the directory")
        claimed += content + entry.packed - entry.position
        if claimed > directory.position:
            raise Stop(Cause.BOMB, "zip: members overlap")
        yield entry, content


def _directory(file: BinaryIO, position: int, size: int) -> Directory | None:
    """What the end record at `position` says; None if no central directory stands where it points."""
    record = read(file, position, END_RECORD.size)
    if len(record) < END_RECORD.size:
        return None
    _, disk, first_disk, here, total, length, offset, comment = END_RECORD.unpack(record)
    split = disk not in (0, FULL16) or first_disk not in (0, FULL16) or here != total
    trailing = size - position - END_RECORD.size - comment
    end = position
    if found := _end64(file, position):
        end, disks, total64, length64, offset64 = found
        split = split or disks > 1
        total = total64 if total == FULL16 else total
        length = length64 if length == FULL32 else length
        offset = offset64 if offset == FULL32 else offset
    before, wraps = end - length - offset, False
    if before and read(file, 0, 4) == LOCAL:
        # An archive begins at the file's first byte: this directory is another's, of a zip that is stored in one
        # that was cut, unless it is this one's and its position does not fit the field.
        if before % WRAP:
            return None
        before, wraps = 0, True
    fits = trailing >= 0 and before >= 0 and total * CENTRAL_RECORD.size <= length
    if not split and not (fits and (length == 0 or read(file, end - length, 4) == CENTRAL)):
        return None
    return Directory(end - length, length, total, before, trailing, split, wraps)


def _end64(file: BinaryIO, position: int) -> tuple[int, int, int, int, int] | None:
    """Of the zip64 end record before an end record: position, disks, entries, length, offset; None if there is none."""
    locator = read(file, max(0, position - LOCATOR_RECORD.size), LOCATOR_RECORD.size)
    if not locator.startswith(LOCATOR) or len(locator) < LOCATOR_RECORD.size:
        return None
    _, _, offset, disks = LOCATOR_RECORD.unpack(locator)
    # The second: behind a self-extracting program, where the offset is not the file's.
    for at in (offset, position - LOCATOR_RECORD.size - END64_RECORD.size):
        record = read(file, at, END64_RECORD.size) if 0 <= at < position else b""
        if record.startswith(END64) and len(record) == END64_RECORD.size:
            _, length, *_, total, size, start = END64_RECORD.unpack(record)
            if at + 12 + length + LOCATOR_RECORD.size == position:
                return at, disks, total, size, start
    return None


def _entry(window: bytes, at: int, before: int) -> tuple[Entry, int]:
    """The entry at `at`, and its length."""
    if len(window) - at < CENTRAL_RECORD.size or not window.startswith(CENTRAL, at):
        raise Stop(Cause.CORRUPT, "zip: no directory entry where one should stand")
    fields = CENTRAL_RECORD.unpack_from(window, at)
    _, _, _, flags, method, _, _, crc, packed, unpacked, name, extra, comment, _, _, _, offset = fields
    first = at + CENTRAL_RECORD.size + name
    packed, unpacked, offset = _widened(window[first : first + extra], packed, unpacked, offset)
    return Entry(before + offset, flags, method, crc, packed, unpacked), CENTRAL_RECORD.size + name + extra + comment


def _unwrapped(file: BinaryIO, entry: Entry, after: int, end: int) -> Entry:
    """The entry where its local header really is: at the first possible position after the one before."""
    for position in range(entry.position + -(-(after - entry.position) // WRAP) * WRAP, end, WRAP):
        if read(file, position, 4) == LOCAL:
            return replace(entry, position=position)
    return entry


def _widened(extra: bytes, packed: int, unpacked: int, offset: int) -> tuple[int, int, int]:
    """The three values, from the zip64 extra field where they do not fit 32 bits (APPNOTE 4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == ZIP64_EXTRA:
            values = iter(struct.unpack_from(f"<{length // 8}Q", extra.ljust(at + 4 + length, b"\0"), at + 4))
            unpacked = next(values, unpacked) if unpacked == FULL32 else unpacked
            packed = next(values, packed) if packed == FULL32 else packed
            offset = next(values, offset) if offset == FULL32 else offset
        at += 4 + length
    return packed, unpacked, offset
