"""Counting over all processes of one door: how many sessions an account has, an address, everybody.

The counts stand in memory that the processes share (the supervisor's ``Board``). Each process writes its own part and
reads all of them, so no lock is held over processes, and what a process counted is gone with it.

A part is a count-min sketch: each key has a cell in each of ROWS rows, by a hash that is salted anew at every start;
its count is the least of them. Rules: a count is never too low; it is too high only where each of a key's cells is
shared with another key: by chance once in some hundred thousand, with a thousand keys. Whoever counts one more first
adds himself and then looks, so that no limit is ever exceeded, whatever others do at that moment.

A crash of a process leaves counts in its part; the supervisor clears it before the next one starts.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from functools import lru_cache

ROWS = 3
WIDTH = 1 << 16
SALT = 32
PART = ROWS * WIDTH * 2
"""Bytes of one process's part: cells of 16 bits."""
KNOWN = 4096
"""Keys whose cells are remembered."""
AFTER_YOU = 0.005
"""Seconds that a process which is ``ahead`` leaves to the others to accept the next connection."""
_MOST = 0xFFFF


class Board:
    """The memory for the counts of *of* processes; *fd* is to be handed to each."""

    def __init__(self, of: int) -> None:
        self.fd = os.memfd_create("tally", os.MFD_CLOEXEC)
        self._of = of
        os.ftruncate(self.fd, SALT + of * PART)
        os.pwrite(self.fd, os.urandom(SALT), 0)

    def clear(self, place: int) -> None:
        """Forget what a process counted that has ended."""
        os.pwrite(self.fd, bytes(PART), SALT + place * PART)

    def close(self) -> None:
        os.close(self.fd)


class Tally:
    """One process's hand on the counts: its *place* among *of*. From any thread."""

    def __init__(self, fd: int, place: int, of: int) -> None:
        self._memory = mmap.mmap(fd, SALT + of * PART)
        self._salt = self._memory[:SALT]
        whole = memoryview(self._memory)
        self._parts = [whole[SALT + each * PART : SALT + (each + 1) * PART].cast("H") for each in range(of)]
        self._mine = self._parts[place]
        self.of = of
        self._lock = threading.Lock()
        self._cells = lru_cache(maxsize=KNOWN)(self._find)

    @classmethod
    def alone(cls) -> Tally:
        """The tally of a door that is one process."""
        board = Board(1)
        try:
            return cls(board.fd, 0, 1)
        finally:
            board.close()

    @property
    def secret(self) -> bytes:
        """32 random bytes that only the door's processes know; others at each start of the gateway."""
        return hashlib.blake2b(b"secret", digest_size=32, key=self._salt).digest()

    def admit(self, key: str, limit: int) -> bool:
        """Count one more of *key*, unless it has *limit* (0: no limit)."""
        cells = self._cells(key)
        with self._lock:
            self._add(cells, 1)
            if limit and self._sum(cells) > limit:
                self._add(cells, -1)
                return False
            return True

    def add(self, key: str) -> int:
        """Count one more of *key*; how many there are now."""
        cells = self._cells(key)
        with self._lock:
            self._add(cells, 1)
            return self._sum(cells)

    def let_go(self, key: str) -> None:
        """Count one less of *key*, which this process has counted."""
        with self._lock:
            self._add(self._cells(key), -1)

    def count(self, key: str) -> int:
        """How many of *key* there are, in all processes."""
        return self._sum(self._cells(key))

    def here(self, key: str) -> int:
        """How many of them this process has counted."""
        mine = self._mine
        first, second, third = self._cells(key)
        return min(mine[first], mine[second], mine[third])

    def ahead(self, key: str) -> bool:
        """Whether this process has counted more of *key* than another."""
        first, second, third = self._cells(key)
        mine = self.here(key)
        return any(min(part[first], part[second], part[third]) < mine for part in self._parts)

    def _find(self, key: str) -> tuple[int, ...]:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=2 * ROWS, key=self._salt).digest()
        return tuple(row * WIDTH + int.from_bytes(digest[2 * row : 2 * row + 2], "big") for row in range(ROWS))

    def _add(self, cells: tuple[int, ...], one: int) -> None:
        mine = self._mine
        for cell in cells:
            count = mine[cell] + one
            if 0 <= count <= _MOST:
                mine[cell] = count

    def _sum(self, cells: tuple[int, ...]) -> int:
        first, second, third = cells
        total = 0
        for part in self._parts:
            total += min(part[first], part[second], part[third])
        return total
