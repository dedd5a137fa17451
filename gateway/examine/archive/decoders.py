"""Decoders with one face: what bz2 and lzma of the standard library have, for the other methods too.

A decoder decodes one stream: feed it blocks (an empty one unless it `needs_input`), take at most `max_length` bytes at
a time, until `eof`; what followed the stream in the last block is its `unused_data`. What a decoder raises becomes a
`Stop` in one place, `decoded`.
"""

from __future__ import annotations

import lzma
import zlib
from typing import Protocol

import zstandard

from gateway.domain.findings import Cause
from gateway.examine.archive.bounds import OUTPUT, Stop

RAW_DEFLATE, GZIP = -zlib.MAX_WBITS, 16 + zlib.MAX_WBITS


class Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decoded(decoder: Decoder, data: bytes) -> bytes:
    """The next bytes out of `decoder`; Stop if it cannot decode what it was given."""
    try:
        return decoder.decompress(data, OUTPUT)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError) as error:
        raise Stop(diagnosis(str(error)), str(error)) from None


def diagnosis(message: str) -> Cause:
    """What the decoders' messages mean: their exceptions have no finer types."""
    if "memory" in message.lower():  # lzma: "Memory usage limit exceeded", zstd: "Frame requires too much memory"
        return Cause.MEMORY
    if "incorrect data check" in message or "incorrect length check" in message or "match checksum" in message:
        return Cause.CHECKSUM
    return Cause.CORRUPT


class Inflate:
    """zlib's decoder: raw deflate, or one gzip member, whose CRC and length zlib checks (RFC 1952 §2.3.1)."""

    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    @property
    def needs_input(self) -> bool:
        return not (self._full or self._inflate.unconsumed_tail)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        decoded = self._inflate.decompress(self._inflate.unconsumed_tail or data, max_length)
        self._full = len(decoded) == max_length  # zlib may hold more, though all input is taken
        return decoded


class Stored:
    """No compression. It has no end of its own."""

    eof, needs_input, unused_data = False, True, b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return data


class ZipLzma:
    """LZMA as zip holds it: a version, the length of the properties, the properties, a raw stream (APPNOTE 5.8.8)."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._start = b""
        self._lzma: lzma.LZMADecompressor | None = None

    @property
    def eof(self) -> bool:
        return self._lzma is not None and self._lzma.eof

    @property
    def needs_input(self) -> bool:
        return self._lzma is None or self._lzma.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._lzma.unused_data if self._lzma else b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._lzma is None:
            self._start += data
            if len(self._start) < 9:
                return b""
            self._lzma, data = self._open(self._start[:9]), self._start[9:]
        return self._lzma.decompress(data, max_length)

    def _open(self, start: bytes) -> lzma.LZMADecompressor:
        literal, dictionary = start[4], int.from_bytes(start[5:9], "little")
        if start[2:4] != b"\x05\x00" or literal >= 9 * 5 * 5:
            raise lzma.LZMAError("not LZMA properties")
        if dictionary > self._memory:
            raise lzma.LZMAError("memory for the dictionary")
        properties = {
            "lc": literal % 9,
            "lp": literal // 9 % 5,
            "pb": literal // 45,
            "dict_size": max(dictionary, 4096),
        }
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, **properties}])
