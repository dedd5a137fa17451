"""One peer's dialogue (RFC 5321): our own command loop, DATA, BDAT, TLS and replies over a ``Connection``.

Rules: what may be said when stands in ``order``, every word we say in ``domain.replies.smtp``; an exception of ours is
``451`` with a number, never its text, and the transaction begins anew; nothing that was sent before TLS is ever read
after it; replies to pipelined commands leave together, and before the session waits for anything.
Never: a decision about a message (``filing`` does that), a look at its content, or a file.

A crash ends the connection; whoever was not answered 250 still holds the message.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from gateway import log as voices
from gateway.domain.policy import Fault
from gateway.domain.replies import Reply
from gateway.domain.replies import smtp as say
from gateway.smtp.connection import Connection, Farewell
from gateway.smtp.data import DataReader, LineEnds
from gateway.smtp.envelope import Arrival, Peer
from gateway.smtp.letter import Letter
from gateway.smtp.order import BEFORE_TLS, FOREIGN, NOT_OFFERED, ORDER, Stage
from gateway.smtp.path import BadPath, Path, parse
from gateway.smtp.stream import LineTooLong, PeerGone

if TYPE_CHECKING:
    from gateway.smtp.listener import Listener

COMMAND_LINE_MOST: Final = 2048
"""Octets of a command line. RFC 5321 §4.5.3.1.4 asks for 512, and every extension adds to it."""
BARE_PATIENCE: Final = 5.0
"""Seconds to wait for more of a message whose line ends are wrong: its sender may think that it has ended."""
FLOOD_FACTOR: Final = 4
"""A message this many times as large as allowed is not listened to until its end."""
_HOST: Final = re.compile(r"[!-~\u0080-\U0010ffff]{1,255}")

log = voices.get(__name__)


class Session(Connection):
    """One connection, from the greeting to its end."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop, listener.settings.command_timeout.total_seconds())
        self._listener = listener
        self._settings = listener.settings
        self._limits = listener.settings.limits
        self._stage = Stage.CONNECTED
        self._extended = False
        self._protected: ssl.SSLObject | None = None
        self._errors = 0
        self._commands = 0
        self._messages = 0
        self.admitted = False
        self._hello = ""
        self._sender: Path | None = None
        self._utf8 = False
        self._recipients: list[str] = []
        self._chunks: Letter | None = None
        self._chunk_ends: LineEnds | None = None

    # --- the dialogue ------------------------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        try:
            try:
                await self._converse()
            except Farewell as farewell:
                await self._part(farewell.reply)
        except OSError as gone:  # PeerGone and TLS errors among them: an answer can't be given any more
            log.debug("the connection ended", peer=self.address, reason=gone)
        except Exception:
            log.exception("the session failed", peer=self.address)
        finally:
            self._listener.left(self)
            await self._drop_chunks()
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            if self.transport is not None:
                self.transport.close()
            # Both know us: together we would keep TLS's buffers until the garbage collector's last generation.
            del self._writer
            self._client_connected_cb = None

    async def _converse(self) -> None:
        await self._listener.admit(self, self._inbox)
        self._say(say.greeting(self._listener.host))
        while True:
            if not self._inbox.has_line:
                await self._flush()
                if self._listener.stopping:
                    raise Farewell(say.SHUTTING_DOWN)
            self._reset_timeout()
            try:
                line = await self._inbox.line(COMMAND_LINE_MOST)
            except LineTooLong:
                self._refuse(say.LINE_TOO_LONG)
                continue
            if (command := _command(line)) is None:
                self._refuse(say.BAD_COMMAND)
                continue
            reply = await self._answer(*command)
            if reply is None:
                continue
            if reply.code >= 500:
                self._refuse(reply)
            else:
                self._say(reply)
            if reply is say.BYE:
                await self._flush()
                return

    async def _answer(self, verb: str, argument: str) -> Reply | None:
        """Run one command and return the reply to it, or None where that has been said."""
        if verb in FOREIGN:
            raise Farewell(say.TOO_MANY_ERRORS)
        self._commands += 1
        if self._commands > self._limits.commands:
            raise Farewell(say.TOO_MANY_COMMANDS)
        allowed = ORDER.get(verb)
        if allowed is None:
            return say.NOT_IMPLEMENTED if verb in NOT_OFFERED else say.UNKNOWN_COMMAND
        if self._settings.require_tls and self._protected is None and verb not in BEFORE_TLS:
            if verb == "BDAT":  # what follows it is no command
                raise Farewell(say.TLS_FIRST)
            return say.TLS_FIRST
        if (out_of_order := allowed[self._stage]) is not None and verb != "BDAT":
            return out_of_order
        try:
            return await VERBS[verb](self, argument)
        except (Farewell, PeerGone, ConnectionError):
            raise
        except Exception:
            number = secrets.token_hex(4)
            log.exception("a command failed", incident=number, verb=verb, peer=self.address)
            if self._on_data:  # the rest of the message is on its way, and must not be taken for commands
                raise Farewell(say.incident(number)) from None
            await self._begin_anew()
            return say.incident(number)

    def _refuse(self, reply: Reply) -> None:
        self._say(reply)
        self._errors += 1
        if self._errors >= self._limits.errors:
            raise Farewell(say.TOO_MANY_ERRORS)

    # --- commands ----------------------------------------------------------------------------------------------------

    async def _ehlo(self, argument: str) -> Reply:
        if not _HOST.fullmatch(argument):
            return say.BAD_HELLO
        await self._begin_anew()
        self._hello, self._extended, self._stage = argument, True, Stage.READY
        return self._listener.hello_protected if self._protected else self._listener.hello

    async def _helo(self, argument: str) -> Reply:
        if not _HOST.fullmatch(argument):
            return say.BAD_HELLO
        await self._begin_anew()
        self._hello, self._extended, self._stage = argument, False, Stage.READY
        return say.hello(self._listener.host)

    async def _noop(self, argument: str) -> Reply:
        return say.OK

    async def _help(self, argument: str) -> Reply:
        return say.HELP

    async def _vrfy(self, argument: str) -> Reply:
        return say.NOT_VERIFIED

    async def _rset(self, argument: str) -> Reply:
        if argument:
            return say.NO_ARGUMENT_EXPECTED
        await self._begin_anew()
        return say.OK

    async def _quit(self, argument: str) -> Reply:
        return say.NO_ARGUMENT_EXPECTED if argument else say.BYE

    async def _starttls(self, argument: str) -> Reply | None:
        if argument:
            return say.NO_ARGUMENT_EXPECTED
        if self._protected is not None:
            return say.TLS_ALREADY
        certificate = self._listener.certificate
        if certificate is None or self.transport is None:
            return say.TLS_NOT_AVAILABLE
        self._say(say.READY_FOR_TLS)
        await self._flush()
        # RFC 3207 §4.2, CVE-2011-0411: what came with STARTTLS in plain text could be anybody's.
        if injected := self._inbox.discard():
            log.warning("plain text behind STARTTLS was thrown away", peer=self.address, octets=injected)
        before = self._writer.transport
        try:
            await self._writer.start_tls(certificate.context)
        except (OSError, ssl.SSLError, AttributeError) as error:
            # Cut in the middle of it, asyncio raises AttributeError and leaves a writer that can't even be deleted.
            self._writer._transport = self._writer.transport or before  # type: ignore[attr-defined]
            raise PeerGone(f"the TLS handshake failed: {error}") from error
        self.transport = self._writer.transport
        self._inbox.set_transport(self.transport)
        self._protected = self.transport.get_extra_info("ssl_object")
        await self._begin_anew()
        self._hello, self._extended, self._stage = "", False, Stage.CONNECTED
        return None

    async def _mail(self, argument: str) -> Reply:
        if argument[:5].upper() != "FROM:":
            return say.MAIL_SYNTAX
        if self._messages >= self._limits.messages:
            raise Farewell(say.TOO_MANY_MESSAGES)
        try:
            path, parameters = parse(argument[5:])
        except BadPath as bad:
            return say.BAD_PARAMETER if bad.parameters else say.BAD_SENDER
        if parameters and not self._extended:
            return say.UNKNOWN_PARAMETER
        utf8 = False
        for name, value in parameters.items():
            if name == "SIZE":
                if value is None or not value.isascii() or not value.isdigit() or len(value) > 20:
                    return say.BAD_PARAMETER
                if int(value) > self._settings.max_message_size:  # RFC 1870 §6.1
                    return self._listener.too_large
            elif name == "BODY":
                if value is None or value.upper() not in ("7BIT", "8BITMIME"):
                    return say.BAD_PARAMETER
            elif name == "SMTPUTF8":
                if value is not None:
                    return say.BAD_PARAMETER
                utf8 = True
            else:
                return say.UNKNOWN_PARAMETER
        if path.international and not utf8:
            return say.NEEDS_SMTPUTF8
        if not self._listener.has_room():
            return say.DISK_FULL
        self._sender, self._utf8, self._stage = path, utf8, Stage.SENDER
        return say.SENDER_OK

    async def _rcpt(self, argument: str) -> Reply:
        if argument[:3].upper() != "TO:":
            return say.RCPT_SYNTAX
        try:
            path, parameters = parse(argument[3:])
        except BadPath as bad:
            return say.BAD_PARAMETER if bad.parameters else say.BAD_RECIPIENT
        if path.null:
            return say.RCPT_SYNTAX
        if parameters:
            return say.UNKNOWN_PARAMETER
        if len(self._recipients) >= self._limits.recipients:
            return say.TOO_MANY_RECIPIENTS
        recipient = self._listener.recipient(path)
        if recipient is None:
            return say.NO_SUCH_RECIPIENT
        self._recipients.append(recipient)
        self._stage = Stage.RECIPIENTS
        return say.RECIPIENT_OK

    async def _data(self, argument: str) -> Reply:
        if argument:
            return say.NO_ARGUMENT_EXPECTED
        self._say(say.START_DATA)
        await self._flush()
        letter = self._listener.letter()
        reader = DataReader()
        self.busy = True
        self._on_data = True
        try:
            self._reset_timeout(self._settings.data_timeout.total_seconds())
            while not reader.ended:
                if reader.line_ends.bare:
                    await self._await_in_vain_hope()
                content = reader.feed(await self._inbox.block())
                if content:
                    await letter.take(content)
                    self._stop_a_flood(letter)
            self._on_data = False
            self._inbox.unread(reader.rest)
            return await self._finish(letter, reader.line_ends)
        finally:
            self.busy = False
            await letter.discard()
            await self._begin_anew()

    async def _bdat(self, argument: str) -> Reply:
        size, _, last = argument.partition(" ")
        if not (size.isascii() and size.isdigit() and len(size) <= 20) or last.strip().upper() not in ("", "LAST"):
            # Where the next command begins can't be known any more (RFC 3030 §2).
            raise Farewell(say.BDAT_SYNTAX)
        out_of_order = ORDER["BDAT"][self._stage]
        left = int(size)
        if left > FLOOD_FACTOR * self._settings.max_message_size:
            raise Farewell(self._listener.too_large)
        self.busy = True
        self._on_data = True
        try:
            self._reset_timeout(self._settings.data_timeout.total_seconds())
            if out_of_order is None and self._chunks is None:
                self._chunks, self._chunk_ends = self._listener.letter(), LineEnds()
                self._stage = Stage.CHUNKS
            while left:
                if not len(self._inbox):  # whoever sent BDAT right behind RCPT may wait for that reply first
                    await self._flush()
                block = await self._inbox.block(left)
                left -= len(block)
                if out_of_order is None and self._chunks is not None and self._chunk_ends is not None:
                    self._chunk_ends.look(block)
                    await self._chunks.take(block)
                    self._stop_a_flood(self._chunks)
            self._on_data = False
            if out_of_order is not None or self._chunks is None or self._chunk_ends is None:
                return out_of_order or say.RECIPIENT_FIRST
            if not last:
                return say.chunk_ok(int(size))
            self._chunk_ends.look(b"", final=True)
            try:
                return await self._finish(self._chunks, self._chunk_ends)
            finally:
                await self._begin_anew()
        finally:
            self.busy = False

    # --- a message ---------------------------------------------------------------------------------------------------

    async def _finish(self, letter: Letter, line_ends: LineEnds) -> Reply:
        """The end of a message: hand it over, and return what became of it."""
        self._messages += 1
        self._commands = 0
        if line_ends.bare and letter.fault in (None, Fault.HEADER_TOO_LARGE):  # a header never ends without its CR LF
            letter.fault = Fault.BARE_LINE_END
        arrival = Arrival(
            peer=Peer(
                self.address,
                self._hello,
                self._protected.version() if self._protected else None,
                self._listener.trusted(self.address),
            ),
            sender=str(self._sender or ""),
            recipients=tuple(dict.fromkeys(self._recipients)),
            letter=letter,
        )
        return await self._listener.file(arrival)

    async def _await_in_vain_hope(self) -> None:
        """The line ends are wrong, so the end of the message may never come: wait a moment, and say so instead."""
        if len(self._inbox):
            return
        try:
            async with asyncio.timeout(BARE_PATIENCE):
                await self._inbox.more()
        except TimeoutError:
            raise Farewell(say.BARE_LINE_END) from None

    def _stop_a_flood(self, letter: Letter) -> None:
        if letter.size > FLOOD_FACTOR * self._settings.max_message_size:
            raise Farewell(self._listener.too_large)

    async def _begin_anew(self) -> None:
        """Forget the transaction (RFC 5321 §4.1.1.5)."""
        self._sender, self._utf8, self._recipients = None, False, []
        self._stage = min(self._stage, Stage.READY)
        await self._drop_chunks()

    async def _drop_chunks(self) -> None:
        if self._chunks is not None:
            chunks, self._chunks, self._chunk_ends = self._chunks, None, None
            await chunks.discard()


VERBS: Final[dict[str, Callable[[Session, str], Awaitable[Reply | None]]]] = {
    "EHLO": Session._ehlo,
    "HELO": Session._helo,
    "NOOP": Session._noop,
    "RSET": Session._rset,
    "QUIT": Session._quit,
    "HELP": Session._help,
    "VRFY": Session._vrfy,
    "STARTTLS": Session._starttls,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "BDAT": Session._bdat,
}


def _command(line: bytes) -> tuple[str, str] | None:
    """Verb and argument; None for what is no command: another line end than CR LF, control characters, no UTF-8."""
    if not line.endswith(b"\r\n"):
        return None
    try:
        text = line[:-2].decode()
    except UnicodeDecodeError:
        return None
    if not text.isprintable():
        return None
    verb, _, argument = text.partition(" ")
    return verb.upper(), argument.strip(" ")
