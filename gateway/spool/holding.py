"""Who holds an upload's bytes: a lock on the file itself, which every process of the host sees and a kill gives back.

Rules: whoever writes an upload, settles what became of it, or sets right what a crash left holds its file, from before
its row says *receiving* until the row says something else. The lock goes with the file through ``incoming`` and
``files``; the name is looked at again once it is there, for the file may have got another one, or none, meanwhile.

A crash leaves nothing: the kernel gives the lock back with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self


class Fenced(Exception):
    """Somebody else holds this upload now; who held it before must not write any more."""


class Hold:
    """A lock on one upload's file, at *path* just now; *incoming* is where it lies while it is incomplete."""

    def __init__(self, path: Path, incoming: Path, fd: int) -> None:
        self.path = path
        self.incoming = incoming
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go. Again: nothing happens."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def unseal(self) -> None:
        """Put a sealed file back under ``incoming``, to be written again. Harmless where it lies there. OSError."""
        os.fchmod(self._fd, 0o600)
        if self.path != self.incoming:
            os.rename(self.path, self.incoming)
            self.path = self.incoming
            sync_directory(self.incoming.parent)

    def remove(self) -> None:
        """Remove the bytes."""
        self.path.unlink(missing_ok=True)

    def recover(self, durable: int, *, same_boot: bool) -> int:
        """Make an interrupted upload a partial again and return its size.

        After a reboot it is cut back to *durable* bytes, for what lies beyond may be garbage; so it is where the disk
        does not take what lies beyond. What is left is durable. One that was sealed when its row had not been committed
        yet comes back from ``files``: all of it was durable. Raises OSError.
        """
        sealed = self.path != self.incoming
        self.unseal()
        if sealed:
            return self.path.stat().st_size
        with open(self.path, "r+b") as file:
            if same_boot:
                with contextlib.suppress(OSError):
                    os.fdatasync(file.fileno())
                    durable = max(durable, os.fstat(file.fileno()).st_size)
            if os.fstat(file.fileno()).st_size > durable:
                os.ftruncate(file.fileno(), durable)
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        sync_directory(self.path.parent)
        return size


def hold(incoming: Path, places: Iterable[Path]) -> Hold | None:
    """Hold the upload that lies at the first of *places* where one is; None: there is none. Raises Fenced, OSError."""
    for path in places:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        held = Hold(path, incoming, fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.lstat()):
                return held
        except FileNotFoundError:
            pass  # it got another name, or none, before it was ours
        except BlockingIOError:
            held.release()
            raise Fenced(f"somebody holds {incoming.name}") from None
        except BaseException:
            held.release()
            raise
        held.release()
    return None


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
