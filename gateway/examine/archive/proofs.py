"""Whether a file proves by its own bytes that it is whole: the evidence for an upload that ended without farewell.

The question is not "is it intact" but "could it be the beginning of a longer file". So only a format whose whole files
are never beginnings of others counts, and only where the file ends exactly at its end:

- one gzip, bzip2, xz or zstd stream, decoded. A decoder says itself where a stream ends, so what decodes to an end at
  the last byte cannot be a part of a longer stream. It can be the first of several, cut where the second begins:
  nothing shows that, but what is known of programs that write several helps. They are known by gzip's extra
  field (BGZF, mgzip), by a skippable frame first (pzstd), by exactly 900,000 bytes or the like in the first stream
  (pbzip2), and most of what they pack is a tar, which must have its end mark;
- a zip whose end record is its last byte, whose directory ends where that record (or zip64's) begins and fills its
  announced size exactly, whose offsets count from the file's first byte, and whose members have their local headers
  where it says, the first at 0, and do not overlap. A whole zip that is stored in a zip that was cut has its offsets
  from elsewhere;
- a 7z whose first header, which is written last, points at a header that ends with the file and has the right CRC.

Damage is another question: a proof does not compare the CRCs of a zip's or 7z's members.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from gateway.domain.findings import Finding
from gateway.examine.archive import directory, sevenzip, stream, zstd
from gateway.examine.archive.bounds import Bounds, Meter, Stop
from gateway.examine.archive.window import read

GZIP_EXTRA = 4
"""FLG.FEXTRA, RFC 1952 §2.3.1."""
BZIP2_END, BZIP2_MASK = 0x177245385090, (1 << 48) - 1
TAIL = 12
PBZIP2 = 100_000
"""pbzip2 makes a stream of every so many bytes, times 1 to 9 or more."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`how` says what proves it, or why nothing does, for the record."""

    complete: bool
    how: str
    finding: Finding | None = None
    """What is inside, where the proof had to decode everything."""


def proves_itself(path: str | os.PathLike[str], size: int, bounds: Bounds | None = None) -> Proof:
    """Whether the `size` bytes that arrived, and that the file at `path` holds, are a whole archive."""
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != size:
            return Proof(False, "the file has another size")
        meter = Meter(size, bounds or Bounds())
        start = read(file, 0, 16)
        try:
            for codec in stream.CODECS:
                if codec.begins(start):
                    return _stream(codec, file, size, start, meter)
            if start.startswith((directory.LOCAL, directory.END)):
                return _zip(file, size, meter)
            if start.startswith(sevenzip.MAGIC):
                return _sevenzip(file, size, meter)
        except Stop as stop:
            return Proof(False, f"{stop.cause}: {stop.detail}")
        except MemoryError:
            return Proof(False, "it takes too much memory to see")
    return Proof(False, "no format that shows its end")


def _stream(codec: stream.Codec, file: BinaryIO, size: int, start: bytes, meter: Meter) -> Proof:
    if codec.name == "gzip" and len(start) > 3 and start[3] & GZIP_EXTRA:
        return Proof(False, "gzip: an extra field, as of programs that write several members")
    if zstd.is_skippable(start):
        return Proof(False, "zstd: a skippable frame, as of programs that write several frames")
    if not may_end(codec.name, read(file, size - TAIL, TAIL)):
        return Proof(False, f"{codec.name}: no end of a stream at the end")
    streams = stream.Streams(codec, file, meter)
    try:
        streams.run()
    except Stop as stop:
        return Proof(False, f"{stop.cause}: {stop.detail}", streams.finding(stop))
    finding = streams.finding()
    if streams.count > 1:
        return Proof(False, f"{codec.name}: several streams prove nothing", finding)
    if streams.padding:
        return Proof(False, f"{codec.name}: zeros follow the stream", finding)
    if streams.tar.is_tar and streams.tar.end_blocks < 2:
        return Proof(False, f"{codec.name}: the tar inside has no end mark", finding)
    if codec.name == "bzip2" and not streams.tar.is_tar and meter.unpacked and meter.unpacked % PBZIP2 == 0:
        return Proof(False, "bzip2: a round number of bytes, as of programs that write several streams", finding)
    return Proof(True, f"{codec.name}: one stream ends with the file", finding)


def may_end(name: str, tail: bytes) -> bool:
    """Whether a stream may end with these bytes. Saves decoding gigabytes of an upload that was cut, where a format
    lets it: xz by its footer's last two bytes, bzip2 by the mark before its last CRC, which stands on any bit.
    """
    if name == "xz":
        return tail.endswith(b"YZ")
    if name == "bzip2":
        bits = int.from_bytes(tail, "big")
        return any((bits >> (32 + padding)) & BZIP2_MASK == BZIP2_END for padding in range(8))
    return True


def _zip(file: BinaryIO, size: int, meter: Meter) -> Proof:
    found = directory.find(file, size)
    if found is None or found.trailing or found.before or found.wraps or found.split:
        return Proof(False, "zip: no central directory of this file at its end")
    first = found.position
    for entry, _ in directory.members(file, found):
        meter.member()
        first = min(first, entry.position)
    if first != 0:
        return Proof(False, "zip: no member begins with the file")
    return Proof(True, "zip: the central directory ends with the file")


def _sevenzip(file: BinaryIO, size: int, meter: Meter) -> Proof:
    if sevenzip.end(file, meter) != size:
        return Proof(False, "7z: more follows its end")
    return Proof(True, "7z: the header ends with the file")
