"""The hashes a client may ask for, to compare with its own."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any, BinaryIO

BLOCK = 1 << 20


class _Crc32:
    """CRC-32 with the face of a hash."""

    def __init__(self) -> None:
        self._crc = 0

    def update(self, block: bytes) -> None:
        self._crc = zlib.crc32(block, self._crc)

    def hexdigest(self) -> str:
        return f"{self._crc:08x}"


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Any:
    return hashlib.sha1(usedforsecurity=False)


ALGORITHMS: dict[str, Any] = {
    "SHA-256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
    "SHA-1": _sha1,
    "MD5": _md5,
    "CRC32": _Crc32,
}
"""The names of draft-ietf-ftpext2-hash, the one we prefer first."""


def of(file: BinaryIO, algorithm: str, first: int, count: int) -> str:
    """The digest, in hex, of *count* bytes of *file* from *first* on. Raises ValueError when there are fewer."""
    digest = ALGORITHMS[algorithm]()
    file.seek(first)
    while count > 0:
        block = file.read(min(BLOCK, count))
        if not block:
            raise ValueError("the file is shorter")
        digest.update(block)
        count -= len(block)
    return str(digest.hexdigest())
