"""A few bytes of a file, wherever it stands."""

from __future__ import annotations

import os
from typing import BinaryIO

LAST_POSITION = (1 << 63) - 1


def read(file: BinaryIO, position: int, size: int) -> bytes:
    """Up to `size` bytes at `position`; none where no file can be (an archive's offsets may be anything)."""
    return os.pread(file.fileno(), size, position) if 0 <= position <= LAST_POSITION else b""
