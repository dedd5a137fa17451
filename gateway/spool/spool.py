"""The spool's folders: where an upload begins, where a version lies, and what is there after a crash."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Container, Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from gateway.domain.ids import is_id, new_id
from gateway.spool import adopting, holding
from gateway.spool.holding import Fenced, Hold, sync_directory
from gateway.spool.incoming import READ_BLOCK, Incoming, Sealed

SHARDS = [f"{number:02x}" for number in range(256)]


def boot_id() -> str:
    """What the kernel calls this boot: what was written under another one may be lost in part."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Spool:
    """The bytes below *root*. Raises OSError where the directory can't be made or used."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.files = root / "files"
        self._open: dict[str, Incoming] = {}
        self._mutex = threading.Lock()
        for folder in (self.incoming, self.files):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(os.listdir(self.files)) < len(SHARDS):
            for shard in SHARDS:
                (self.files / shard).mkdir(mode=0o700, exist_ok=True)
            sync_directory(self.files)
            sync_directory(root)

    @cached_property
    def id(self) -> str:
        """This spool's own name: several hosts may share a store, and each row names the spool that has its bytes.

        It is made when it is first asked for.
        """
        return _name(self.root)

    def begin(self, upload: str, *, hashing: bool = True) -> Incoming:
        """Start an upload under its id. With *hashing* false the hash is taken when it is asked for."""
        return self._register(upload, self._new(upload, hashing).create())

    def adopt(self, path: Path, version: str) -> Sealed:
        """Make a file below *root* that somebody else wrote a version; it is moved. Raises OSError, ValueError."""
        return adopting.adopt(path, lambda sha256: self.path(sha256, version))

    def hold(self, upload: str, sha256: str | None = None, *, search: bool = False) -> Hold | None:
        """Hold an upload that lies under ``incoming``, or sealed with *sha256*, or with *search* wherever it is sealed.

        None: there is none. Raises Fenced where somebody holds it, in this process or another.
        """
        incoming = self._incoming_path(upload)

        def places() -> Iterator[Path]:
            yield incoming
            if search:
                yield from self._sealed(upload)
            elif sha256 is not None:
                yield self.path(sha256, upload)
            yield incoming  # it was sealed when we looked there first, and put back when we looked under ``files``

        return holding.hold(incoming, places())

    def resume(self, hold: Hold, offset: int, *, hashing: bool = True) -> Incoming:
        """Go on at *offset* bytes with the partial that *hold* is of.

        Raises FileNotFoundError, ValueError (beyond its end); the hold is still the caller's then.
        """
        upload = hold.incoming.name
        return self._register(upload, self._new(upload, hashing).reopen(hold, offset))

    def fence(self, upload: str) -> None:
        """Make sure that no session of this process writes to the upload any more."""
        with self._mutex:
            held = self._open.get(upload)
        if held is not None:
            held.fence()

    def size_of_incoming(self, upload: str) -> int | None:
        """How many bytes of an upload are there now; None when it is not there."""
        with self._mutex:
            held = self._open.get(upload)
        if held is not None:
            return held.size
        try:
            return self._incoming_path(upload).stat().st_size
        except FileNotFoundError:
            return None

    def path(self, sha256: str, version: str) -> Path:
        """Where a version's bytes lie."""
        return self.files / sha256[:2] / f"{sha256}.{version}"

    def open(self, sha256: str, version: str) -> BinaryIO:
        """Open a version for reading, unbuffered."""
        return open(self.path(sha256, version), "rb", buffering=0)

    def open_incoming(self, upload: str) -> BinaryIO:
        """Open a partial for reading, unbuffered."""
        return open(self._incoming_path(upload), "rb", buffering=0)

    def incoming_path(self, upload: str) -> Path:
        """Where an upload's bytes lie while it is incomplete."""
        return self._incoming_path(upload)

    def remove(self, sha256: str, version: str) -> None:
        """Remove a version's bytes (purge; a repeated upload that needs no version of its own)."""
        self.path(sha256, version).unlink(missing_ok=True)

    def sweep(self, known: Container[str], still: Callable[[str], bool], *, idle: float = 60.0) -> list[str]:
        """Remove what lies under ``incoming`` that no row knows, nobody holds, and nobody wrote for *idle* seconds.

        A crash leaves such files: small uploads and mails that were under way, of which nothing was acknowledged. What
        was *known* before is asked again of each (*still*) once it is held: its row may have come meanwhile.
        """
        removed = []
        for entry in list(os.scandir(self.incoming)):
            with contextlib.suppress(FileNotFoundError, Fenced):  # sealed, discarded or held while we look
                if entry.name in known or time.time() - entry.stat().st_mtime < idle:
                    continue
                path = Path(entry.path)
                held = holding.hold(path, [path])
                if held is not None:
                    with held:
                        if not still(entry.name):
                            held.remove()
                            removed.append(entry.name)
        return removed

    def all_incoming(self) -> Iterator[tuple[str, int]]:
        """Every file under ``incoming``: its name and size."""
        for entry in sorted(os.scandir(self.incoming), key=lambda entry: entry.name):
            with contextlib.suppress(FileNotFoundError):  # sealed or discarded while we look
                yield entry.name, entry.stat().st_size

    def all_files(self) -> Iterator[tuple[str, str, int]]:
        """Every file under ``files``: hash and id from its name (both empty for a foreign name), and size."""
        for shard in sorted(os.scandir(self.files), key=lambda entry: entry.name):
            for entry in os.scandir(shard.path) if shard.is_dir() else [shard]:
                sha256, _, version = entry.name.partition(".")
                known = len(sha256) == 64 and is_id(version)
                with contextlib.suppress(FileNotFoundError):  # purged while we look
                    yield sha256 if known else "", version if known else entry.name, entry.stat().st_size

    def digest(self, sha256: str, version: str) -> str:
        """The hash of the bytes that are really there (for ``spool verify``)."""
        digest = hashlib.sha256()
        with self.open(sha256, version) as file:
            while block := file.read(READ_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def free(self) -> int:
        """Bytes that may still be written to the disk."""
        return shutil.disk_usage(self.root).free

    def _new(self, upload: str, hashing: bool) -> Incoming:
        return Incoming(
            self._incoming_path(upload), lambda sha256: self.path(sha256, upload), self._unregister, hashing=hashing
        )

    def _sealed(self, upload: str) -> Iterator[Path]:
        """Where an upload lies whose hash nobody knows. Goes through all names there are."""
        for shard in SHARDS:
            for name in os.listdir(self.files / shard):
                if name.endswith(f".{upload}"):
                    yield self.files / shard / name

    def _incoming_path(self, upload: str) -> Path:
        if not is_id(upload):
            raise ValueError(f"not an id: {upload!r}")
        return self.incoming / upload

    def _register(self, upload: str, incoming: Incoming) -> Incoming:
        with self._mutex:
            self._open[upload] = incoming
        return incoming

    def _unregister(self, incoming: Incoming) -> None:
        with self._mutex:
            if self._open.get(incoming.path.name) is incoming:
                del self._open[incoming.path.name]


def name_of(root: Path) -> str | None:
    """The id of the spool below *root*; None where there is none yet. Makes nothing."""
    try:
        return (root / "spool.id").read_text().strip()
    except FileNotFoundError:
        return None


def _name(root: Path) -> str:
    """The id in ``spool.id``, made by whoever comes first."""
    file = root / "spool.id"
    if (known := name_of(root)) is not None:
        return known
    draft = root / f"spool.id.{new_id()}"
    draft.write_text(new_id() + "\n")
    with contextlib.suppress(FileExistsError):
        os.link(draft, file)
    draft.unlink()
    sync_directory(root)
    return file.read_text().strip()
