"""What the sessions of the mail door share: settings, replies made once, the certificate, and who is connected.

Rules: limits are counted here and nowhere else, with the door's other processes; a peer that is over one is told so,
and is not merely cut off.
A connection costs one session object; nothing is inspected or compiled for it. A crash ends every connection.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from socket import socket

from aiosmtpd.proxy_protocol import AF, V2_CMD, get_proxy

from gateway import log as voices
from gateway.config.smtp import Smtp
from gateway.domain.replies import Reply
from gateway.domain.replies import smtp as say
from gateway.domain.replies.smtp import Directions
from gateway.domain.throttle import address_subject
from gateway.processors import roam
from gateway.smtp.certificate import Certificate
from gateway.smtp.connection import Farewell
from gateway.smtp.entrance import Entrance
from gateway.smtp.envelope import POSTMASTER, Arrival
from gateway.smtp.letter import Letter
from gateway.smtp.path import Path
from gateway.smtp.session import Session
from gateway.smtp.stream import Incoming, PeerGone
from gateway.spool import Spool
from gateway.tally import Tally

PROXY_PATIENCE = 5.0
"""Seconds for a load balancer to send its PROXY header."""
ROOM_SECONDS = 1.0
EVERYBODY = "everybody"
DISK_THREADS = 4
"""Threads that write and flush messages; more would only wait for the same disk."""

PART_SECONDS = 2.0
"""Seconds that a session has to take its leave which makes room for another."""

log = voices.get(__name__)


class Listener:
    """Accepts connections on given sockets and keeps count of them."""

    def __init__(
        self,
        settings: Smtp,
        *,
        host: str,
        aliases: Mapping[str, Sequence[Directions]],
        spool: Spool,
        certificate: Certificate | None,
        file: Callable[[Arrival], Awaitable[Reply]],
        tally: Tally,
        disk_reserve: int = 0,
    ) -> None:
        """*tally* counts connections, over all processes of the door.

        *disk_reserve*: bytes of the disk below which no message is taken for the time being.
        """
        self.settings = settings
        self.host = host
        self._aliases = aliases
        self._domains = {"", host.lower(), *(alias.rpartition("@")[2] for alias in aliases)}
        self.certificate = certificate
        self.file = file
        self.stopping = False
        extensions = [
            f"SIZE {settings.max_message_size}",
            "8BITMIME",
            "SMTPUTF8",
            "PIPELINING",
            "CHUNKING",
            "ENHANCEDSTATUSCODES",
        ]
        self.hello_protected = say.hello(host, extensions)
        self.hello = say.hello(host, [*extensions, "STARTTLS"]) if certificate is not None else self.hello_protected
        self.too_large = say.too_large(settings.max_message_size, host)
        self._spool = spool
        self._reserve = disk_reserve
        self._room = True
        self._room_looked_at = -math.inf
        self._disk = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="letter", initializer=roam)
        self._sessions: dict[Session, None] = {}  # the oldest first
        self._tally = tally
        self._entrances: list[Entrance] = []
        self._empty = asyncio.Event()
        self._empty.set()

    async def listen(self, sockets: Sequence[socket]) -> None:
        """Accept connections on *sockets* from now on."""
        loop = asyncio.get_running_loop()
        ahead = partial(self._tally.ahead, EVERYBODY) if self._tally.of > 1 else None
        for each in sockets:
            self._entrances.append(Entrance(each, lambda: Session(self, loop), ahead))

    async def close(self, drained: Callable[[Awaitable[object]], Awaitable[bool]]) -> None:
        """Accept nothing more, send idle peers away, wait (as *drained* does) for messages under way, cut the rest."""
        self.stopping = True
        for entrance in self._entrances:
            entrance.close()
        for session in tuple(self._sessions):
            if not session.busy:
                session.end(say.SHUTTING_DOWN)
        if not await drained(self._empty.wait()):
            for session in tuple(self._sessions):
                session.cut()
            await self._empty.wait()
        self._disk.shutdown()

    def letter(self) -> Letter:
        """A place for the next message."""
        return Letter(self._spool, self._disk, self.settings.max_message_size)

    def recipient(self, path: Path) -> str | None:
        """Who is meant by *path*: an alias, the postmaster (RFC 5321 §4.5.1: always), or None: nobody here."""
        alias = str(path).lower()
        if alias in self._aliases:
            return alias
        return POSTMASTER if path.local.lower() == POSTMASTER and path.domain in self._domains else None

    def has_room(self) -> bool:
        """Whether there is room on the disk for a message; looked at once a second at most."""
        now = asyncio.get_running_loop().time()
        if now - self._room_looked_at >= ROOM_SECONDS:
            self._room_looked_at = now
            room = self._spool.free() > self._reserve
            if self._room and not room:
                log.warning("the disk is full: mail is deferred", reserve=self._reserve)
            self._room = room
        return self._room

    async def admit(self, session: Session, inbox: Incoming) -> None:
        """Let a peer in, after its proxy has named it. Raises Farewell over a limit, PeerGone for a false proxy."""
        limits = self.settings.limits
        if self.settings.proxy_protocol:
            session.address = await self._behind_proxy(session.address, inbox)
        self._sessions[session] = None
        everybody, from_there = self._tally.add(EVERYBODY), self._tally.add(subject_of(session.address))
        session.admitted = True
        self._empty.clear()
        if self.stopping:
            raise Farewell(say.SHUTTING_DOWN)
        trusted = self.trusted(session.address)
        if from_there > limits.sessions_per_address and not trusted:
            raise Farewell(say.TOO_MANY_FROM_YOU)
        if everybody > limits.sessions and not self._make_room(session) and not trusted:
            raise Farewell(say.TOO_MANY_SESSIONS)
        if trusted:
            return
        if delay := self.settings.greeting_delay.total_seconds():
            try:
                async with asyncio.timeout(delay):
                    if not len(inbox):
                        await inbox.more()
            except TimeoutError:
                return
            raise Farewell(say.SPOKE_TOO_EARLY)

    def _make_room(self, for_whom: Session) -> bool:
        """End a connection that sends no message, of the peer with most of them the oldest; whether there was one.

        Connections that say nothing keep no customer out.
        """
        idle = [each for each in self._sessions if each is not for_whom and not each.busy]
        ending = sum(each.ending for each in self._sessions)
        idle = [each for each in idle if not each.ending and not self.trusted(each.address)]
        if not idle or ending >= max(1, self.settings.limits.sessions // 4):  # they are there until they are gone
            return False
        crowd = Counter(subject_of(each.address) for each in idle)
        victim = max(idle, key=lambda each: crowd[subject_of(each.address)])  # of equals the first
        victim.end(say.TOO_MANY_SESSIONS)
        # Who is in the middle of a handshake does not hear that.
        asyncio.get_running_loop().call_later(PART_SECONDS, lambda: None if victim.busy else victim.cut())
        return True

    def left(self, session: Session) -> None:
        """The peer is gone."""
        if session.admitted:
            session.admitted = False
            self._sessions.pop(session, None)
            self._tally.let_go(EVERYBODY)
            self._tally.let_go(subject_of(session.address))
            if not self._sessions:
                self._empty.set()

    def trusted(self, address: str) -> bool:
        """Whether a relay of ours is at *address*."""
        return _within(address, self.settings.trusted_relays)

    async def _behind_proxy(self, address: str, inbox: Incoming) -> str:
        if not _within(address, self.settings.proxy_networks):
            raise PeerGone(f"{address} is no proxy of ours")
        try:
            async with asyncio.timeout(PROXY_PATIENCE):
                proxied = await get_proxy(inbox)
        except TimeoutError:
            raise PeerGone(f"{address}: no PROXY header came") from None
        if not proxied.valid:
            raise PeerGone(f"{address}: a false PROXY header: {proxied.error}")
        if proxied.command == V2_CMD.LOCAL:  # the proxy itself: what else it says of addresses is not meant (§2.2)
            return address
        return str(proxied.src_addr) if proxied.family in (AF.INET, AF.INET6) else address


def subject_of(address: str) -> str:
    """Whose connections are counted together: those of an IPv4 address, or of one IPv6 subscriber's network."""
    return address_subject(address) if address else ""


def _within(address: str, networks: Sequence[object]) -> bool:
    if not networks or not address:
        return False
    here = ip_address(address.partition("%")[0])
    here = getattr(here, "ipv4_mapped", None) or here
    return any(here in network for network in networks)  # type: ignore[operator]
