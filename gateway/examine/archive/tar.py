"""A tar read as it streams by: whether it is one, how many members it has, whether it ends where it should.

Contents are skipped, names never looked at. Headers are those of POSIX pax and GNU tar (tar(5)); which types carry
data is as in the standard library's tarfile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from gateway.domain.findings import Cause, Finding, Verdict
from gateway.examine.archive.bounds import INPUT, Meter, Stop
from gateway.examine.archive.window import read

BLOCK = 512
END = bytes(BLOCK)
DESCRIPTIONS = b"xgXLKNV"
"""Types that describe the next member, or the archive, and are no members."""
WITHOUT_DATA = b"123456"
LARGEST_PAX = 1 << 20


class Tar:
    """Feed it the stream. Calls `member` for each; raises Stop(CORRUPT) where a header should stand and none does."""

    def __init__(self, member: Callable[[], None] = lambda: None) -> None:
        self.is_tar: bool | None = None
        """Known after the first block."""
        self.members = 0
        self.end_blocks = 0
        """Two zero blocks make the end mark that every tar should have."""
        self.skip = 0
        """Bytes that nobody needs to see: who reads a file may seek over them instead of feeding them."""
        self._member = member
        self._next: Callable[[bytes], None] = self._header
        self._part = bytearray()
        self._wanted = BLOCK
        self._then_skip = 0
        self._pax_size: int | None = None
        self._described = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more needs to be fed: no tar, or its end mark was seen."""
        return self.is_tar is False or self.end_blocks >= 2

    @property
    def is_cut(self) -> bool:
        """Whether the stream ended inside a member (its padding to a whole block included)."""
        inside = self.skip or self._part or self._described or self._next != self._header
        return bool(self.is_tar and not self.end_blocks and inside)

    def feed(self, data: bytes) -> None:
        position = 0
        while position < len(data) and not self.is_over:
            left = len(data) - position
            if self.skip:
                step = min(self.skip, left)
                self.skip -= step
            else:
                step = min(self._wanted - len(self._part), left)
                self._part += data[position : position + step]
                if len(self._part) == self._wanted:
                    whole, self._part = bytes(self._part), bytearray()
                    self._next(whole)
            position += step

    def _header(self, block: bytes) -> None:
        if self.is_tar and block == END:
            self.end_blocks += 1
        elif is_header(block):
            self.is_tar, self.end_blocks = True, 0
            self._entry(block, block[156:157])
        elif self.is_tar and not self.end_blocks:
            raise Stop(Cause.CORRUPT, "tar: no header where one should stand")
        else:
            self.is_tar = bool(self.is_tar)

    def _entry(self, block: bytes, kind: bytes) -> None:
        size = number(block[124:136])
        self._described = kind in DESCRIPTIONS
        if kind == b"x" and 0 < size <= LARGEST_PAX:
            self._next, self._wanted, self._then_skip = self._pax, size, -size % BLOCK
            return
        if not self._described:
            self.members += 1
            self._member()
            if self._pax_size is not None:
                size, self._pax_size = self._pax_size, None
            if kind in WITHOUT_DATA or (kind == b"\0" and block[:100].rstrip(b"\0").endswith(b"/")):
                size = 0
        self.skip = size + -size % BLOCK
        if kind == b"S" and block[482]:
            self._next, self.skip, self._then_skip = self._sparse, 0, self.skip

    def _pax(self, records: bytes) -> None:
        self._pax_size = pax_size(records)
        self._next, self._wanted, self.skip = self._header, BLOCK, self._then_skip

    def _sparse(self, block: bytes) -> None:
        """More of a GNU sparse member's map, which stands between its header and its data."""
        if not block[504]:
            self._next, self.skip = self._header, self._then_skip


def look(file: BinaryIO, size: int, meter: Meter) -> Finding:
    """Count the members of a tar that nobody compressed, passing over their contents."""
    tar, position = Tar(meter.member), 0
    try:
        while position < size and not tar.is_over:
            if tar.skip:
                step = min(tar.skip, size - position)
                tar.skip -= step
            else:
                data = read(file, position, INPUT)
                step = len(data)
                tar.feed(data)
            position += step
            meter.tick()
        if tar.is_cut:
            raise Stop(Cause.TRUNCATED, f"tar: after {tar.members} members")
    except Stop as stop:
        return stop.finding("tar", None, meter)
    return Finding("tar", Verdict.NOT_COMPRESSED, members=tar.members)


def is_header(block: bytes) -> bool:
    """Whether the checksum fits. Old tars summed the bytes as signed ones."""
    try:
        announced = number(block[148:156])
    except Stop:
        return False
    rest = block[:148] + block[156:]
    total = sum(rest) + 8 * ord(" ")
    return announced in (total, total - 256 * sum(byte > 127 for byte in rest))


def number(field: bytes) -> int:
    """Octal digits, or GNU's base 256 if the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        raise Stop(Cause.CORRUPT, "tar: no number where one should stand") from None


def pax_size(records: bytes) -> int | None:
    """The member's size, if its pax header gives one: records of "<length> <key>=<value>\\n"."""
    while records:
        digits, space, _ = records[:20].partition(b" ")
        if not (space and digits.isdigit() and int(digits) > len(digits) + 1):
            return None
        key, _, value = records[len(digits) + 1 : int(digits)].partition(b"=")
        if key == b"size" and value.strip().isdigit():
            return int(value)
        records = records[int(digits) :]
    return None
