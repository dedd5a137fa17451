"""A file that somebody else wrote becomes a version: read once for its hash, and moved, not copied.

Rules: only a regular file with one name is taken, and it is read through the descriptor that it was looked at with: its
size is what was read, its hash is of the same bytes. Durable under its final name, as everything under ``files`` is.

A crash leaves the file where it was, or under ``files`` without a row: ``gateway doctor`` names it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from gateway.spool.holding import sync_directory
from gateway.spool.incoming import Sealed

BLOCK = 1 << 18
"""Bytes read at once: they are still in the processor's cache when they are hashed."""


def adopt(path: Path, place: Callable[[str], Path]) -> Sealed:
    """Move the file at *path* to its *place*, which lies on the same file system and depends on the hash.

    Raises OSError, and then the file is where it was; ValueError where it is no file of its own.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise ValueError(f"{path.name} is no file of its own")
        digest, size = _read(fd)
        final = place(digest)
        os.fchmod(fd, 0o400)
        os.fsync(fd)
        os.rename(path, final)
        try:
            if not os.path.samestat(os.lstat(final), found):
                raise ValueError(f"{path.name} is not what it was")
            sync_directory(final.parent)
        except BaseException:
            os.rename(final, path)
            raise
    finally:
        os.close(fd)
    return Sealed(final, digest, size)


def _read(fd: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with memoryview(bytearray(BLOCK)) as block:
        while count := os.readv(fd, [block]):
            digest.update(block[:count])
            size += count
    return digest.hexdigest(), size
