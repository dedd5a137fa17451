"""The peer's bytes as they come: a command line, or everything that has arrived, as one block without a copy.

Rules: the buffer is bounded (reading pauses above ``HIGH_WATER``); a block is handed over whole, never line by line,
for a message of short lines must not cost a Python object per line. It never interprets a byte of a message.

aiosmtpd reads through ``asyncio.StreamReader``; this one takes its place, so that nobody needs its private buffer.
"""

from __future__ import annotations

import asyncio
from typing import cast

HIGH_WATER = 96 * 1024
"""Bytes held before the transport is told to wait. One ``recv`` of asyncio's (256 KiB) may come on top."""

BLOCK_MOST = 256 * 1024
"""Bytes handed over at once, as much as one ``recv`` of asyncio's brings."""
LARGE = 16 * 1024
"""Bytes that come at once and are no commands: a message. They are handed over as they came, not copied."""


class LineTooLong(Exception):
    """A command line ran past its limit; what came of it has been thrown away, up to and with its line end."""


class PeerGone(ConnectionError):
    """The peer ended the connection; nothing of it is left to read."""


class Incoming(asyncio.StreamReader):
    """What one peer has sent and nobody has read yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=HIGH_WATER, loop=loop)
        self._held = bytearray()
        self._fresh: bytes | bytearray | memoryview = b""  # a large piece behind what is held, as it came
        self._ended = False
        self._failure: Exception | None = None
        self._interruption: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._source: asyncio.ReadTransport | None = None
        self._resting = False
        self._event_loop = loop
        self.moved_at = 0.0
        """When something last arrived, by the loop's clock: who watches the time sees here that data moves."""

    # --- the transport's side ---

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        """Take bytes from *transport* from now on (a second time after STARTTLS)."""
        self._source = cast(asyncio.ReadTransport, transport)
        self._resting = False

    def feed_data(self, data: bytes | bytearray | memoryview) -> None:  # type: ignore[override]
        self.moved_at = self._event_loop.time()
        if len(data) >= LARGE and not self._held and not self._fresh:
            self._fresh = data
        else:
            self._gather()
            self._held += data
        self._wake()
        if len(self._held) + len(self._fresh) > HIGH_WATER and not self._resting and self._source is not None:
            self._source.pause_reading()
            self._resting = True

    def _gather(self) -> None:
        if self._fresh:
            self._held += self._fresh
            self._fresh = b""

    def feed_eof(self) -> None:
        self._ended = True
        self._wake()

    def set_exception(self, exc: Exception) -> None:
        self._failure = exc
        self.feed_eof()

    def exception(self) -> Exception | None:
        return self._failure

    def at_eof(self) -> bool:
        return self._ended and not len(self)

    def _wake(self) -> None:
        if self._waiting is not None:
            if not self._waiting.done():
                self._waiting.set_result(None)
            self._waiting = None

    # --- the session's side ---

    def __len__(self) -> int:
        return len(self._held) + len(self._fresh)

    def __bool__(self) -> bool:
        return True

    @property
    def has_line(self) -> bool:
        """Whether a whole command line is here: a peer may send several at once (PIPELINING, RFC 2920)."""
        self._gather()
        return b"\n" in self._held

    def interrupt(self, reason: Exception) -> None:
        """Have whoever waits for more, now or next, get *reason* raised."""
        self._interruption = reason
        self._wake()

    async def more(self) -> None:
        """Wait for bytes beyond those held. Raises PeerGone when none will come, and what ``interrupt`` was given."""
        if self._interruption is None:
            if self._ended:
                raise PeerGone(str(self._failure or "end of stream"))
            await self._arrival()
        if self._interruption is not None:
            raise self._interruption

    async def _arrival(self) -> None:
        """Wait until something arrives or the stream ends."""
        if self._resting and self._source is not None:
            self._resting = False
            self._source.resume_reading()
        self._waiting = self._event_loop.create_future()
        await self._waiting

    async def drain_away(self) -> None:
        """Throw away what the peer still sends, until it ends the connection."""
        while not self._ended:
            self.discard()
            await self._arrival()
        self.discard()

    # What aiosmtpd's reader of the PROXY protocol uses:

    async def read(self, n: int = -1) -> bytes:
        """At most *n* bytes of what is there, at least one. Raises PeerGone."""
        return bytes(await self.block(n if n > 0 else BLOCK_MOST))

    async def readexactly(self, n: int) -> bytes:
        """*n* bytes. Raises PeerGone."""
        while len(self) < n:
            await self.more()
        self._gather()
        taken = bytes(self._held[:n])
        del self._held[:n]
        return taken

    async def readuntil(self, separator: bytes = b"\n") -> bytes:  # type: ignore[override]
        """Up to and with *separator*. Raises PeerGone, LineTooLong."""
        self._gather()
        while (end := self._held.find(separator)) < 0:
            if len(self._held) > HIGH_WATER:
                raise LineTooLong
            await self.more()
            self._gather()
        return await self.readexactly(end + len(separator))

    async def line(self, limit: int) -> bytes:
        """The next command line with its line end. Raises LineTooLong, PeerGone."""
        searched = 0
        too_long = False
        self._gather()
        while (end := self._held.find(b"\n", searched)) < 0:
            searched = len(self._held)
            if searched > limit:
                too_long = True
                self._held.clear()
                searched = 0
            await self.more()
            self._gather()
        line = bytes(self._held[: end + 1])
        del self._held[: end + 1]
        if too_long or len(line) > limit:
            raise LineTooLong
        return line

    async def block(self, most: int = BLOCK_MOST) -> bytes | bytearray:
        """What is here, at most *most* bytes, waiting until there is something. Raises PeerGone."""
        while not len(self):
            await self.more()
        most = min(most, BLOCK_MOST)
        block: bytes | bytearray
        if not self._held and isinstance(self._fresh, bytes) and len(self._fresh) <= most:
            block, self._fresh = self._fresh, b""
            return self._taken(block)
        self._gather()
        if len(self._held) > most:
            block = self._held[:most]
            del self._held[:most]
        else:
            block, self._held = self._held, bytearray()
        return self._taken(block)

    def _taken(self, block: bytes | bytearray) -> bytes | bytearray:
        """There is room for more, perhaps."""
        if self._resting and self._source is not None and not self._ended and len(self._held) <= HIGH_WATER:
            self._resting = False
            self._source.resume_reading()
        return block

    def unread(self, rest: bytes | bytearray) -> None:
        """Give back what came after the end of a message: the next commands."""
        if rest:
            self._gather()
            self._held[:0] = rest

    def discard(self) -> int:
        """Forget what was sent before TLS (RFC 3207 §4.2: it could be anybody's); return how much it was."""
        count = len(self)
        self._held.clear()
        self._fresh = b""
        return count
