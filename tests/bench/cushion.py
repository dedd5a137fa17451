"""Memory that is at hand when a run begins.

A virtual machine may give memory that was freed back to its host, and each page costs a visit to the host when it is
needed again: on the machine where this was noticed, writing a fresh gigabyte cost 1.3 CPU seconds instead of 0.35.
That is no server's doing, comes and goes with what ran before, and blurs every ratio. So a file lies beside the
servers' bytes; it is removed the moment a run begins, and its pages are what the server's files are made of.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SIZE = 2560 << 20
"""Bytes: a little more than the largest load leaves behind."""
BLOCK = 1 << 20


class Cushion:
    """A file in *folder*, laid before a run and lifted when it begins."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "cushion"

    def lay(self) -> None:
        """Write it; as much of it as leaves the servers twice its size."""
        room = shutil.disk_usage(self._path.parent).free - 2 * SIZE
        block = os.urandom(BLOCK)
        with self._path.open("wb", buffering=0) as file:
            for _ in range(min(SIZE, max(0, room)) // BLOCK):
                file.write(block)

    def lift(self) -> None:
        """Remove it: its memory is free from now on."""
        self._path.unlink(missing_ok=True)
