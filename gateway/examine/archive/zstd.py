"""One Zstandard frame at a time (RFC 8878), with the face of the standard library's decoders.

python-zstandard's decoder takes no limit on what it returns, and a hundred bytes may hold a GiB. A frame is a chain of
blocks of at most 128 KiB decoded, each with its length before it: handed over block by block, output stays bounded,
and where the frame ends is known rather than guessed.
"""

from __future__ import annotations

from enum import Enum, auto

import zstandard

from gateway.domain.findings import Cause
from gateway.examine.archive.bounds import Stop

FRAME = b"\x28\xb5\x2f\xfd"
LARGEST_BLOCK = 128 << 10
RLE, RESERVED = 1, 3  # Block_Type, RFC 8878 §3.1.1.2.2


class Stage(Enum):
    """What comes next in the frame."""

    HEADER = auto()
    BLOCK = auto()
    CHECKSUM = auto()
    SKIPPED = auto()
    END = auto()


def is_skippable(start: bytes | bytearray) -> bool:
    """Whether a skippable frame begins here: user data that decodes to nothing (RFC 8878 §3.1.2)."""
    return start[1:4] == b"\x2a\x4d\x18" and start[0] & 0xF0 == 0x50


class Frame:
    """A frame of content, or a skippable one, which decodes to nothing."""

    def __init__(self, memory: int) -> None:
        self.needs_input = True
        self.unused_data = b""
        self._decoder = zstandard.ZstdDecompressor(max_window_size=memory).decompressobj()
        self._stage = Stage.HEADER
        self._pending = bytearray()
        self._checksum = False
        self._last = False
        self._skip = 0

    @property
    def eof(self) -> bool:
        return self._stage is Stage.END

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most `max_length` bytes, which must be at least a block's 128 KiB."""
        self._pending += data
        decoded: list[bytes] = []
        room = max_length
        self.needs_input = False
        while not self.eof and room >= LARGEST_BLOCK:
            unit = self._unit()
            if unit is None or unit > len(self._pending):
                self.needs_input = True
                break
            piece = b"" if self._stage is Stage.SKIPPED else self._decoder.decompress(bytes(self._pending[:unit]))
            decoded.append(piece)
            room -= len(piece)
            self._advance(unit)
        return b"".join(decoded)

    def _unit(self) -> int | None:
        """The length of what comes next, when enough of it is here to say."""
        pending = self._pending
        if self._stage is Stage.HEADER:
            if is_skippable(pending):
                return 8 if len(pending) >= 8 else None
            return header_length(pending[4]) if len(pending) > 4 else None
        if self._stage is Stage.BLOCK:
            if len(pending) < 3:
                return None
            word = int.from_bytes(pending[:3], "little")
            self._last = bool(word & 1)
            kind, size = word >> 1 & 3, word >> 3
            if kind == RESERVED or size > LARGEST_BLOCK:
                raise Stop(Cause.CORRUPT, "zstd: no block begins where one should")
            return 3 + (1 if kind == RLE else size)
        if self._stage is Stage.SKIPPED:
            return min(self._skip, len(pending)) or None
        return 4

    def _advance(self, unit: int) -> None:
        if self._stage is Stage.HEADER and is_skippable(self._pending):
            self._skip = int.from_bytes(self._pending[4:8], "little")
            self._stage = Stage.SKIPPED
        elif self._stage is Stage.HEADER:
            descriptor = self._pending[4]
            self._checksum = bool(descriptor & 4)
            self._stage = Stage.BLOCK
        elif self._stage is Stage.SKIPPED:
            self._skip -= unit
        elif self._stage is Stage.CHECKSUM or (self._last and not self._checksum):
            self._stage = Stage.END
        elif self._last:
            self._stage = Stage.CHECKSUM
        del self._pending[:unit]
        if self._stage is Stage.SKIPPED and not self._skip:
            self._stage = Stage.END
        if self.eof:
            self.unused_data = bytes(self._pending)
            self._pending.clear()


def header_length(descriptor: int) -> int:
    """Magic number and frame header together, from the Frame_Header_Descriptor (RFC 8878 §3.1.1.1)."""
    single_segment = descriptor >> 5 & 1
    content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
    dictionary_id = (0, 1, 2, 4)[descriptor & 3]
    return 5 + (1 - single_segment) + dictionary_id + content_size
