"""A 7z: its outer headers by hand, its contents through py7zr's decoders, piece by piece.

py7zr's own `testzip` asks for 128 MB at a time, starts a thread per folder and cannot be stopped at a bound; the parts
of it used here do none of that. Its parser raises whatever it stumbles over, so what it raises is taken as damage.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from gateway.domain.findings import Cause, Finding, Verdict
from gateway.examine.archive.bounds import INPUT, OUTPUT, Meter, Stop
from gateway.examine.archive.window import read

MAGIC = b"7z\xbc\xaf\x27\x1c"
START = struct.Struct("<6s2BLQQL")
"""Signature, version, CRC of what follows here: offset, length and CRC of the header, which ends the archive."""


def end(file: BinaryIO, meter: Meter) -> int:
    """Where the archive ends, by its start header. Stop if that or the header at the end is damaged or missing."""
    start = read(file, 0, START.size)
    if len(start) < START.size:
        raise Stop(Cause.TRUNCATED, "7z: no whole start header")
    *_, start_crc, offset, left, header_crc = START.unpack(start)
    if zlib.crc32(start[12:]) != start_crc:
        raise Stop(Cause.CORRUPT, "7z: wrong CRC of the start header")
    position, crc = START.size + int(offset), 0
    while left:
        block = read(file, position, min(INPUT, left))
        if not block:
            raise Stop(Cause.TRUNCATED, "7z: no whole header at its end")
        position, left, crc = position + len(block), left - len(block), zlib.crc32(block, crc)
        meter.tick()
    if crc != header_crc:
        raise Stop(Cause.CORRUPT, "7z: wrong CRC of the header")
    return position


def look(file: BinaryIO, size: int, meter: Meter) -> Finding:
    """Decode every folder (7z's word for a stream of members), compare every member's CRC."""
    members: int | None = None
    try:
        trailing = size - end(file, meter)
        with _judged():
            import py7zr  # takes 0.2 s, and few files need it

            with py7zr.SevenZipFile(file) as archive:
                members = len(archive.files)
                _check(archive, file, meter)
        if trailing:
            raise Stop(Cause.TRAILING, f"7z: {trailing} bytes")
    except Stop as stop:
        return stop.finding("7z", members, meter)
    return Finding("7z", Verdict.INTACT, members=members, unpacked=meter.unpacked)


def _check(archive: Any, file: BinaryIO, meter: Meter) -> None:
    for _ in archive.files:
        meter.member()
    streams = archive.header.main_streams
    if streams is None:
        return
    position, first = START.size + streams.packinfo.packpos, 0
    for folder in streams.unpackinfo.folders:
        inputs = len(folder.packed_indices)
        sizes = streams.packinfo.packsizes[first : first + inputs]
        if inputs != 1:
            raise Stop(Cause.METHOD, what="compressed with BCJ2")
        _folder(folder, file, position, sizes[0], meter)
        position, first = position + sum(sizes), first + inputs


def _folder(folder: Any, file: BinaryIO, position: int, packed: int, meter: Meter) -> None:
    decoder = folder.get_decompressor(packed)
    source = _Source(file, position, decoder)
    for member in folder.files or ():
        crc, left = 0, member.uncompressed
        while left > 0:
            before = source.position
            content = decoder.decompress(source, min(left, OUTPUT))
            if not content and source.position == before:
                raise Stop(Cause.CORRUPT, "7z: a stream ends early")
            crc, left = zlib.crc32(content, crc), left - len(content)
            meter.output(len(content))
        if member.crc32 is not None and crc != member.crc32:
            raise Stop(Cause.CHECKSUM, "7z: wrong CRC of a member")


class _Source(io.RawIOBase):
    """The packed stream, as py7zr's decoder reads it: a block per call, wanted or not. A first stage that holds input
    back gets nothing until it asks, or a stream that packs well would end up in memory whole.
    """

    def __init__(self, file: BinaryIO, position: int, decoder: Any) -> None:
        self.position = position
        self._file = file
        first = decoder.chain[0]
        self._stage = getattr(first, "_decompressor", first)

    def read(self, size: int = -1) -> bytes:
        if not self._wanted():
            return b""
        block = read(self._file, self.position, size)
        self.position += len(block)
        return block

    def _wanted(self) -> bool:
        if accepts := getattr(self._stage, "can_accept_more_data", None):  # brotli
            return bool(accepts())
        return getattr(self._stage, "needs_input", True)  # bz2, lzma; others hold nothing back


@contextmanager
def _judged() -> Iterator[None]:
    """Turn what py7zr raises into a Stop."""
    from py7zr.exceptions import CrcError, PasswordRequired, UnsupportedCompressionMethodError

    try:
        yield
    except (Stop, MemoryError):
        raise
    except PasswordRequired:
        raise Stop(Cause.ENCRYPTED) from None
    except UnsupportedCompressionMethodError as error:
        raise Stop(Cause.METHOD, str(error)[:200], what="compressed with a method of its own") from None
    except CrcError as error:
        raise Stop(Cause.CHECKSUM, str(error)[:200]) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno:  # the disk's, not the archive's
            raise
        raise Stop(Cause.CORRUPT, f"{type(error).__name__}: {error}"[:200]) from None
