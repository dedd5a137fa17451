"""One peer's connection: its life, its patience, and the bytes that we say. aiosmtpd's SMTP class without its dialogue.

Rules: nothing is inspected or made for a connection that it may never need; replies gather until somebody flushes them;
the time-out is renewed while data moves; last words are let be read before the connection is cut.
Never: a decision, or a command's meaning (``session`` has those).

What is kept of aiosmtpd: the life of a connection, its session and envelope. What is not, and why: docs/quirks.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, cast

from aiosmtpd.smtp import SMTP

from gateway.domain.replies import Reply
from gateway.domain.replies import smtp as say
from gateway.smtp.stream import Incoming

LINGER: Final = 2.0
"""Seconds in which a peer may read our last words before the connection is cut."""


class Farewell(Exception):
    """The connection ends with these last words."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Connection(SMTP):
    """A connection from its first byte to its last; what is said over it is a subclass's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        """*patience*: seconds to wait for the peer where nothing else is said."""
        # aiosmtpd's own constructor looks through all members of itself and of its handler, for every connection: more
        # work than a whole mail. What its inherited methods use is set here; the test suite pins aiosmtpd's version.
        self._inbox = Incoming(loop)
        asyncio.StreamReaderProtocol.__init__(self, self._inbox, self._cb_client_connected, loop)
        self.loop = loop
        self.transport = None
        self.session = None
        self.envelope = None
        self._original_transport = None
        self._timeout_handle = None
        self._timeout_duration = patience
        self._handler_coroutine = None
        self._out = bytearray()
        self._patience = 0.0
        self._since = 0.0
        self._on_data = False
        self.address = ""
        """Where the peer is: the client behind a proxy, if one told us."""
        self.ending = False
        """Whether it was told to end."""
        self.busy = False
        """Whether a message is on its way in or being filed: a shutdown waits for that."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the dialogue."""
        peer = transport.get_extra_info("peername")
        # A socket that listens on "::" shows IPv4 peers in IPv6 clothes (RFC 4291 §2.5.5.2).
        self.address = peer[0].removeprefix("::ffff:") if peer else ""
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the dialogue, which ends when it next reads: what it is at is finished, for the peer meant it."""
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = None

    def eof_received(self) -> bool:
        """The peer says no more; what it has said is answered (``printf … | nc`` is a client, too)."""
        return bool(asyncio.StreamReaderProtocol.eof_received(self))

    def end(self, reply: Reply) -> None:
        """Say these last words as soon as the session waits for the peer."""
        self.ending = True
        self._inbox.interrupt(Farewell(reply))

    def cut(self) -> None:
        """End the connection now, whatever is under way."""
        if self.transport is not None:
            cast(asyncio.WriteTransport, self.transport).abort()

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Wait so long for the peer from now on (aiosmtpd makes a timer a command; this one is moved when it rings)."""
        self._patience = duration or self._timeout_duration
        self._since = self.loop.time()
        due = self._since + self._patience
        if self._timeout_handle is None or self._timeout_handle.when() > due:
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._timeout_handle = self.loop.call_at(due, self._timeout_cb)

    def _timeout_cb(self) -> None:
        moved = self._inbox.moved_at if self._on_data else 0.0
        due = max(self._since, moved) + self._patience
        if due > self.loop.time() or (self.busy and not self._on_data):
            due = max(due, self.loop.time() + 1.0)
            self._timeout_handle = self.loop.call_at(due, self._timeout_cb)
        else:
            self._timeout_handle = None
            self.end(say.TIMED_OUT)

    # --- what we say -------------------------------------------------------------------------------------------------

    def _say(self, reply: Reply) -> None:
        self._out += say.render(reply)

    async def _flush(self) -> None:
        if self._out:
            out, self._out = self._out, bytearray()
            self._writer.write(out)
            if self._writer.transport.get_write_buffer_size():  # the peer reads slowly; else there is nothing to await
                await self._writer.drain()

    async def _part(self, reply: Reply) -> None:
        """Say the last words and let them be read: closing with unread bytes would reset the connection under them."""
        self._say(reply)
        await self._flush()
        if self.transport is None:
            return
        if self._writer.can_write_eof():
            self._writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._inbox.drain_away()
