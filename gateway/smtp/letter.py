"""One message on its way in: a small one stays in memory, a larger one goes to the spool in blocks.

Rules: at most ``SMALL`` bytes of content and one block are held in memory, whatever the size; the disk is touched in a
thread, never in the event loop; what can't be written is a *fault* that is answered at the end of the message, for only
there a reply can be given (RFC 5321 §4.2.5). Nothing is durable before ``seal``.

A crash leaves a file in ``incoming`` that no row names; ``gateway doctor`` finds it.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from gateway import log as voices
from gateway.domain.headers import Headers, split
from gateway.domain.identity import ContentKey
from gateway.domain.ids import new_id
from gateway.domain.policy import Fault
from gateway.spool import Incoming, Sealed, Spool

SMALL = 64 * 1024
"""Messages up to this size travel in the row's own transaction, and share its flush."""
HEAD_MOST = 256 * 1024
"""The largest header that is read; no mail program makes one like it."""
WRITE_SIZE = 192 * 1024
"""Bytes gathered before a thread writes them: handing over costs about as much as writing them. With the block that
passes that, and what has arrived meanwhile (``stream``), a session holds less than 1 MiB."""

log = voices.get(__name__)
_Result = TypeVar("_Result")


class Letter:
    """The content of one message, block by block. Make one a message; end it with ``seal`` or ``discard``."""

    def __init__(self, spool: Spool, disk: Executor, limit: int) -> None:
        self.id = new_id()
        self.size = 0
        self.fault: Fault | None = None
        self.sealed: Sealed | None = None
        self._spool = spool
        self._disk = disk
        self._limit = limit
        self._held = bytearray()  # until it is known to be large
        self._blocks: list[bytes | bytearray] = []  # of a large one: what no thread has written yet
        self._gathered = 0
        self._headers: Headers | None = None
        self._key: ContentKey | None = None
        self._file: Incoming | None = None

    @property
    def raw(self) -> bytes | None:
        """The whole message if it is small, or else None."""
        return None if self.large or self.fault is not None else bytes(self._held)

    @property
    def path(self) -> Path | None:
        """Where a large message lies while it is not sealed, or None."""
        return self._file.path if self._file is not None else None

    @property
    def headers(self) -> Headers:
        """The header section, split."""
        if self._headers is None:
            self._headers = split(bytes(self._held))
        return self._headers

    @property
    def content_key(self) -> str:
        """What is the same in two messages of the same content (domain/identity.py)."""
        if self._key is None:
            self._key = ContentKey(self.headers)
            self._key.update(memoryview(self._held)[self.headers.body_at :])
        return self._key.hexdigest()

    async def take(self, block: bytes | bytearray) -> None:
        """Take the next block. A limit passed or a failing disk becomes the ``fault``; the rest is thrown away."""
        self.size += len(block)
        if self.fault is not None:
            return
        if self.size > self._limit:
            await self._spoil(Fault.TOO_LARGE)
            return
        if self._file is None:
            self._held += block
            if len(self._held) <= SMALL or not await self._read_header():
                return
            self._blocks, self._held = [self._held], bytearray()
        else:
            self._blocks.append(block)
        self._gathered += len(block)
        if self._gathered >= WRITE_SIZE or self._file is None:
            await self._write()

    async def settle(self) -> None:
        """The message is over: bring what is still in memory to the file, if there is one."""
        if self._blocks and self.fault is None:
            await self._write()

    async def seal(self) -> Sealed:
        """Make a large message durable under its final name. Raises OSError."""
        assert self._file is not None
        self.sealed = await self._in_thread(self._file.seal)
        self._file = None
        return self.sealed

    async def discard(self) -> None:
        """Throw the message away; harmless when it was sealed or is small."""
        self._held.clear()
        self._blocks.clear()
        if self._file is not None:
            file, self._file = self._file, None
            await self._in_thread(file.discard)

    async def remove(self) -> None:
        """Take a sealed message's bytes away again: the policy would not have them."""
        if self.sealed is not None:
            await self._in_thread(lambda: self._spool.remove(self.sealed.sha256, self.id) if self.sealed else None)

    @property
    def large(self) -> bool:
        """Whether its bytes are on their way to the spool."""
        return self._file is not None or self.sealed is not None

    async def _read_header(self) -> bool:
        """Read the header of a large message; whether all of it is there."""
        end = self._held.find(b"\r\n\r\n")
        if end < 0 and not self._held.startswith(b"\r\n"):
            if len(self._held) >= HEAD_MOST:
                await self._spoil(Fault.HEADER_TOO_LARGE)
            return False
        self._headers = split(bytes(self._held[: end + 4] if end >= 0 else self._held[:2]))
        self._key = ContentKey(self._headers)
        return True

    async def _write(self) -> None:
        blocks, self._blocks, self._gathered = self._blocks, [], 0
        try:
            await self._in_thread(lambda: self._append(blocks))
        except OSError as error:
            log.error("a message can't be written", id=self.id, error=error)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            await self._spoil(Fault.DISK_FULL if full else Fault.DISK_FAILED)

    def _append(self, blocks: list[bytes | bytearray]) -> None:
        assert self._key is not None
        body_at = 0
        if self._file is None:
            self._file = self._spool.begin(self.id)
            body_at = self.headers.body_at  # all of the header is in the first block
        for block in blocks:
            with memoryview(block) as view:
                self._file.write(view)
                self._key.update(view[body_at:])
            body_at = 0
        blocks.clear()  # else they live until the executor lets go of its work, beside those that come next

    async def _spoil(self, fault: Fault) -> None:
        """It can't be taken any more: keep what the ledger needs of it, and throw the rest away as it comes."""
        self.fault = fault
        if self._headers is None:
            self._headers = split(bytes(self._held[:SMALL]))
        await self.discard()

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)
