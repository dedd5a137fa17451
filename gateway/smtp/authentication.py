"""Who says that a sender is genuine: a worker that asks the DNS, our own relay, or nobody.

Rules: nobody is asked about a mail that would be refused whoever wrote it. A message that a worker dies of is judged as
if none of its signatures were right: whoever can write such a message could else write as anybody. A worker that waits
too long for the DNS is no verdict (*unknown*: the sender tries again). Nobody waits for another's name servers: each
peer has one judgement at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

from gateway import log as voices
from gateway.config.smtp import Smtp
from gateway.domain import authentication_results
from gateway.domain.policy import Authentication
from gateway.domain.sender import Mailbox
from gateway.domain.throttle import address_subject
from gateway.examine.worker import Crew, Limits, Reason, WorkerDied
from gateway.smtp.envelope import Arrival

TASK = "gateway.examine.sender:authenticate"
BUDGET = Limits(cpu_seconds=10.0, wall_seconds=25.0, memory=1 << 30)
"""What one sender may cost; DKIM hashes the whole message."""
WORKERS = 4
"""Most of their time they wait for the DNS."""
_NEEDED = ("dkim", "spf", "authheaders", "dns")

log = voices.get(__name__)


class NotInstalled(Exception):
    """``sender_authentication = "verify"`` needs the extra ``mailauth``; the text says what is missing."""


class Authenticator:
    """Judges senders as ``[smtp] sender_authentication`` says."""

    def __init__(self, settings: Smtp) -> None:
        """Raises NotInstalled."""
        self._settings = settings
        self._crew: Crew | None = None
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        if settings.sender_authentication == "verify":
            missing = [name for name in _NEEDED if find_spec(name) is None]
            if missing:
                raise NotInstalled(
                    f'[smtp] sender_authentication = "verify" needs {", ".join(missing)}: '
                    "install inbound-gateway[mailauth]"
                )
            self._crew = Crew(WORKERS, BUDGET)

    async def judge(self, arrival: Arrival, sender: Mailbox) -> Authentication:
        """Whether *sender* is who wrote the message."""
        match self._settings.sender_authentication:
            case "verify":
                async with self._turn(sender.domain if arrival.peer.trusted else address_subject(arrival.peer.address)):
                    return await self._verify(arrival, sender)
            case "trusted-relay":
                return self._believe(arrival, sender)
            case _:
                return Authentication.OFF

    @asynccontextmanager
    async def _turn(self, whose: str) -> AsyncIterator[None]:
        """One judgement at a time for a peer, or for a domain behind our own relay: who sends many delays himself."""
        lock, users = self._turns.get(whose) or (asyncio.Lock(), 0)
        self._turns[whose] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns.pop(whose)
            if users > 1:
                self._turns[whose] = lock, users - 1

    async def close(self) -> None:
        if self._crew is not None:
            await self._crew.close()

    def _believe(self, arrival: Arrival, sender: Mailbox) -> Authentication:
        authserv_id = self._settings.authserv_id
        if authserv_id is None or not arrival.peer.trusted:
            return Authentication.UNVERIFIED
        return authentication_results.read(arrival.letter.headers.fields, authserv_id, sender.domain)

    async def _verify(self, arrival: Arrival, sender: Mailbox) -> Authentication:
        assert self._crew is not None
        raw, path = arrival.letter.raw, arrival.letter.path
        facts: dict[str, Any] = {
            "domain": sender.domain,
            "peer": arrival.peer.address,
            "hello": arrival.peer.hello,
            "sender": arrival.sender,
            "name_servers": list(self._settings.name_servers),
        }
        message: dict[str, Any] = {
            "path": str(path) if path is not None else None,
            "message": raw.decode("latin-1") if raw is not None else None,
        }
        try:
            try:
                answer = await self._crew.run(TASK, **facts, **message)
            except WorkerDied as death:
                log.warning("a worker died judging a sender", id=arrival.letter.id, reason=death.reason.value)
                if death.reason is Reason.WALL:
                    return Authentication.UNKNOWN
                answer = await self._crew.run(TASK, **facts, signatures=False)
            verdict = Authentication(answer["verdict"])
        except WorkerDied:  # not of the message, then
            return Authentication.UNKNOWN
        except (KeyError, ValueError):
            log.warning("a worker's answer about a sender is no answer", id=arrival.letter.id)
            return Authentication.UNKNOWN
        log.info("sender judged", id=arrival.letter.id, verdict=verdict.value, because=str(answer.get("because"))[:500])
        return verdict
