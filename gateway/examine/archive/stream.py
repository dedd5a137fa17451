"""Compressed streams that follow each other in one file: gzip, bzip2, xz and zstd, and the tar that may be in them.

Every byte is decoded, once, and thrown away; every checksum is compared by its decoder.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from gateway.domain.findings import Cause, Finding, Verdict
from gateway.examine.archive import zstd
from gateway.examine.archive.bounds import INPUT, Meter, Stop
from gateway.examine.archive.decoders import GZIP, Decoder, Inflate, decoded
from gateway.examine.archive.tar import Tar


@dataclass(frozen=True, slots=True)
class Codec:
    """One format: its name, the end of a tar's name in it, how its streams begin, and who decodes them."""

    name: str
    suffix: str
    magic: bytes
    decoder: Callable[[int], Decoder]
    """Takes the bytes that the decoder may need."""
    padding: bool = False
    """Whether zeros may follow a stream."""
    other: Callable[[bytes], bool] = lambda start: False
    """Whether it is some other kind of stream of this format that begins so."""

    def begins(self, start: bytes) -> bool:
        return start.startswith(self.magic) or self.other(start)


CODECS = (
    Codec("gzip", "gz", b"\x1f\x8b", lambda memory: Inflate(GZIP), padding=True),
    Codec("bzip2", "bz2", b"BZh", lambda memory: bz2.BZ2Decompressor()),
    Codec("xz", "xz", b"\xfd7zXZ\0", lambda memory: lzma.LZMADecompressor(lzma.FORMAT_XZ, memory), padding=True),
    Codec("zstd", "zst", zstd.FRAME, zstd.Frame, other=zstd.is_skippable),
)


class Streams:
    """One pass over a file of streams. `run` it; it raises Stop, and says what it saw until then."""

    def __init__(self, codec: Codec, file: BinaryIO, meter: Meter) -> None:
        self.codec = codec
        self.count = 0
        self.padding = 0
        self.tar = Tar(meter.member)
        self._file = file
        self._meter = meter

    def run(self) -> None:
        """Decode everything from the file's beginning to its end."""
        self._file.seek(0)
        start = self._file.read(INPUT)
        while start:
            start = self._following(self._stream(start))
        if self.tar.is_cut:
            raise Stop(Cause.TAR_TRUNCATED, f"after {self.tar.members} members")

    @property
    def format(self) -> str:
        return f"tar.{self.codec.suffix}" if self.tar.is_tar else self.codec.name

    def finding(self, stop: Stop | None = None) -> Finding:
        if stop:
            return stop.finding(self.format, None, self._meter)
        members = self.tar.members if self.tar.is_tar else self.count if self.count > 1 else None
        return Finding(self.format, Verdict.INTACT, members=members, unpacked=self._meter.unpacked)

    def _stream(self, data: bytes) -> bytes:
        """Decode the stream that `data` begins; returns what was read beyond its end."""
        self.count += 1
        decoder = self.codec.decoder(self._meter.bounds.memory)
        while not decoder.eof:
            if decoder.needs_input and not data:
                data = self._file.read(INPUT)
                if not data:
                    raise Stop(Cause.TRUNCATED, f"in stream {self.count}")
            content, data = decoded(decoder, data), b""
            self._meter.output(len(content))
            self.tar.feed(content)
        return decoder.unused_data

    def _following(self, rest: bytes) -> bytes:
        """The beginning of the next stream, or nothing at the file's end."""
        rest = rest or self._file.read(INPUT)
        while self.codec.padding and rest.startswith(b"\0"):
            stripped = rest.lstrip(b"\0")
            self.padding += len(rest) - len(stripped)
            rest = stripped or self._file.read(INPUT)
        if len(rest) < len(self.codec.magic):
            rest += self._file.read(INPUT)
        if not rest or self.codec.begins(rest):
            return rest
        if self.codec.magic.startswith(rest):
            raise Stop(Cause.TRUNCATED, "at the beginning of a stream")
        raise Stop(Cause.TRAILING, f"after {self.count} streams")


def look(codec: Codec, file: BinaryIO, size: int, meter: Meter) -> Finding:
    """Decode the whole file and say how it is."""
    streams = Streams(codec, file, meter)
    try:
        streams.run()
    except Stop as stop:
        return streams.finding(stop)
    return streams.finding()
