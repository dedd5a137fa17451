"""One upload's bytes while they arrive: write, flush, then seal under the final name, keep as a partial, or discard.

Rules: whoever resumes *fences* the one who held the file before: from then on an old session's ``write`` raises
``Fenced`` and changes nothing. The hash always covers what is in the file: a resumed prefix is hashed again in a thread
of its own while the rest arrives. Nothing is truncated before the first new byte is there. After a flush that failed
nothing more is believed: the kernel tells of lost bytes once, and would call the next flush a success.

The file is locked (``holding``) as long as this object is not released: who settles what became of the upload seals or
keeps it *held*, and releases it when its row is there.

A crash leaves the file as far as the kernel wrote it; only what ``flush`` returned is promised.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.processors import roam
from gateway.spool.holding import Fenced, Hold, sync_directory

READ_BLOCK = 1 << 20
STRETCH = 64 * READ_BLOCK
"""Bytes of a resumed prefix that are hashed between two looks whether anybody still wants its hash."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A durable version: *path* below the spool, *size* in bytes, *sha256* in hex."""

    path: Path
    sha256: str
    size: int


class Incoming:
    """The open file of one upload. One thread writes; ``flush`` and ``fence`` may come from others."""

    def __init__(
        self, path: Path, place: Callable[[str], Path], closed: Callable[[Incoming], None], *, hashing: bool
    ) -> None:
        self.path = path
        self._place = place
        self._closed = closed
        self._mutex = threading.Lock()
        self._fenced = False
        self._fd = -1
        self._hold: Hold | None = None  # the lock, where it is not the descriptor's own
        self._sealed: Path | None = None
        self._ended = False  # sealed or kept: nothing is written any more, but the file may still be held
        self._hash = hashlib.sha256() if hashing else None
        self._catch_up: threading.Thread | None = None
        self._hashed = 0
        self._stale_end = False
        self._named = False  # whether the name under incoming/ is durable, too
        self._durable = 0
        self._syncing = threading.Lock()  # one flush at a time: the kernel tells only one of two of lost bytes
        self._doubt: OSError | None = None  # what a flush said that failed: the kernel says it once, and then forgets
        self.size = 0

    def create(self) -> Incoming:
        """Make the file; it must not exist."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return self

    def reopen(self, hold: Hold, offset: int) -> Incoming:
        """Go on at *offset* bytes with a partial, whose *hold* is this object's from now on, and is released with it.

        Raises ValueError beyond its end; the hold is still the caller's then.
        """
        hold.unseal()
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            if not 0 <= offset <= size:
                raise ValueError(f"there are {size} bytes, not {offset}")
            os.lseek(fd, offset, os.SEEK_SET)
            self._fd, self.size, self._durable = fd, offset, offset
            self._stale_end = size > offset
            if self._hash is not None and offset:
                self._catch_up = threading.Thread(target=self._hash_prefix, name=f"hash {self.path.name}", daemon=True)
                self._catch_up.start()
        except BaseException:
            self._fd = -1
            os.close(fd)
            raise
        self._hold = hold
        return self

    def write(self, block: memoryview) -> None:
        """Append *block*. Raises Fenced, or OSError when the disk refuses (what was written before stays)."""
        with self._mutex:
            self._check()
            if self._stale_end:
                os.ftruncate(self._fd, self.size)
                self._stale_end = False
            following = self._hash is not None and self._catch_up is None
            rest = block
            try:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            finally:
                written = len(block) - len(rest)
                self.size += written
                if following and self._hash is not None:
                    self._hash.update(block[:written])
                    self._hashed = self.size

    def flush(self) -> int:
        """Make what is there durable, bytes and name, and return how many bytes that is."""
        with self._mutex:
            self._check()
            size, fd = self.size, os.dup(self._fd)
        try:
            self._sync(os.fdatasync, fd)
        finally:
            os.close(fd)
        if not self._named:
            sync_directory(self.path.parent)
            self._named = True
        with self._mutex:
            self._durable = max(self._durable, size)
        return size

    def seal(self, *, held: bool = False) -> Sealed:
        """Give the bytes their final name, durably: fsync, rename, fsync of the directory. Ends this object.

        *held*: the file stays locked until ``release``; ``unseal`` takes it back until then.
        Raises OSError when the disk refuses; the upload can then still be kept as a partial.
        """
        with self._mutex:
            self._check()
            if self._stale_end:
                os.ftruncate(self._fd, self.size)
                self._stale_end = False
        digest = self.sha256()
        with self._mutex:
            self._check()
            if os.fstat(self._fd).st_size != self.size:
                raise OSError(f"{self.path.name}: the file has another length than was written")
            final = self._place(digest)
            try:
                os.fchmod(self._fd, 0o400)
                self._sync(os.fsync, self._fd)
                os.rename(self.path, final)
                sync_directory(final.parent)
            except OSError:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(final, self.path)
                os.fchmod(self._fd, 0o600)
                raise
            self._sealed, self._ended = final, True
            if not held:
                self._close()
        return Sealed(final, digest, self.size)

    def unseal(self) -> None:
        """Nobody was told of what was sealed *held*: have it under ``incoming`` again, to be kept. Raises OSError."""
        with self._mutex:
            assert self._sealed is not None
            assert self._fd >= 0
            os.fchmod(self._fd, 0o600)
            os.rename(self._sealed, self.path)
            sync_directory(self.path.parent)
            self._sealed, self._ended = None, False

    def keep(self, *, held: bool = False) -> int:
        """Leave a durable partial behind and return its size. Ends this object; *held* as in ``seal``.

        What a resuming session did not get to write anew is still there, and stays; what a failed flush left in doubt
        is cut off.
        """
        try:
            self.flush()
        except OSError:
            if self._doubt is None:
                raise
        with self._mutex:
            self._check_held()
            if self._doubt is not None:
                os.ftruncate(self._fd, self._durable)
            size = os.fstat(self._fd).st_size
            self._ended = True
            if not held:
                self._close()
        return size

    def discard(self) -> None:
        """Remove the bytes. Ends this object; harmless when it has ended."""
        with self._mutex:
            if not self._ended and self._fd >= 0:
                self.path.unlink(missing_ok=True)
            self._close()

    def fence(self) -> None:
        """Take the file away from whoever writes: returns when no further byte can come from there.

        What was sealed and is held stays so until its row is there.
        """
        with self._mutex:
            self._fenced = True
            if self._sealed is None:
                self._close()

    def release(self) -> None:
        """Let go of the file, whatever state it is in. Again: nothing happens."""
        with self._mutex:
            self._ended = True
            self._close()

    @property
    def behind(self) -> int:
        """Bytes that ``seal`` has still to flush or to hash, which is what takes its time."""
        follows = self._hash is not None and self._catch_up is None
        return self.size - min(self._durable, self.size if follows else self._hashed)

    def sha256(self) -> str:
        """The hash of all that was written, in hex."""
        thread = self._catch_up
        if thread is not None:
            thread.join()
        with self._mutex:
            if self._hash is None:
                self._hash = hashlib.sha256()
            self._follow()
            return self._hash.hexdigest()

    def _hash_prefix(self) -> None:
        """Hash what stands in the file until the writer is caught up with; the writer then goes on by itself."""
        roam()
        while True:
            with self._mutex:
                if self._ended or self._fd < 0:
                    return
                if self.size - self._hashed <= READ_BLOCK:
                    self._follow()
                    self._catch_up = None
                    return
                fd = os.dup(self._fd)
                end = min(self.size, self._hashed + STRETCH)
            try:
                self._advance(fd, end)
            finally:
                os.close(fd)

    def _follow(self) -> None:
        if self._hashed < self.size:
            self._check_held()
            self._advance(self._fd, self.size)

    def _advance(self, fd: int, end: int) -> None:
        assert self._hash is not None
        while self._hashed < end:
            block = os.pread(fd, min(READ_BLOCK, end - self._hashed), self._hashed)
            if not block:
                raise OSError(f"{self.path.name}: shorter than it was")
            self._hash.update(block)
            self._hashed += len(block)

    def _sync(self, flush: Callable[[int], None], fd: int) -> None:
        with self._syncing:
            self._check_doubt()
            try:
                flush(fd)
            except OSError as error:
                self._doubt = error
                raise

    def _check(self) -> None:
        self._check_held()
        self._check_doubt()

    def _check_doubt(self) -> None:
        if self._doubt is not None:
            raise OSError(self._doubt.errno, f"{self.path.name}: a flush of it failed before")

    def _check_held(self) -> None:
        if self._fenced:
            raise Fenced("this upload was resumed by another session")
        if self._ended or self._fd < 0:
            raise ValueError("this upload has ended")

    def _close(self) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            os.close(fd)
        finally:
            if self._hold is not None:
                self._hold.release()
            self._closed(self)
