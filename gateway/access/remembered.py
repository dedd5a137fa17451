"""Credentials that were verified a moment ago: a client that opens ten connections pays for one hash.

Rules: what is remembered is a keyed digest of the login, the password *and the stored hashes*; the key is random, lives
as long as the gateway and never leaves the door's processes, who tell each other what they verified. A reset changes
the stored hash, so in every process the next login asks under another digest and finds nothing: no message has to
arrive, nothing has to be emptied. Equal checks under way at once share one.

It never holds a password, and a crash leaves nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import timedelta

from gateway.clock import Clock
from gateway.domain.admission import Match


class Remembered:
    """Matches of the last minutes, the most recent ``room`` of them."""

    def __init__(
        self,
        clock: Clock,
        keep: timedelta = timedelta(minutes=5),
        room: int = 10_000,
        *,
        key: bytes | None = None,
        tell: Callable[[str], object] = lambda word: None,
    ) -> None:
        """*key* is that of all the door's processes, and *tell* has the others ``learn`` what was found here."""
        self._clock = clock
        self._keep = keep.total_seconds()
        self._room = room
        self._key = key or secrets.token_bytes(32)
        self._tell = tell
        self._known: OrderedDict[bytes, tuple[Match, float]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Future[Match]] = {}

    def digest(self, login: str, password: str, present: str | None, former: str | None) -> bytes:
        """What stands for this credential against these stored hashes."""
        parts = (login, password, present or "", former or "")
        text = b"".join(len(part := each.encode()).to_bytes(4, "big") + part for each in parts)
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    def find(self, digest: bytes) -> Match | None:
        """The match that was found for *digest* within the last minutes. From any thread."""
        found = self._known.get(digest)
        if found is None:
            return None
        match, until = found
        if self._clock.monotonic() < until:
            return match
        self._known.pop(digest, None)
        return None

    async def once(self, digest: bytes, check: Callable[[], Awaitable[Match]]) -> Match:
        """Run *check*, or wait for the same one that is under way; remember what it found, unless it is nothing."""
        asked = self._asked.get(digest)
        if asked is None:
            asked = self._asked[digest] = asyncio.ensure_future(check())
            asked.add_done_callback(lambda done: self._settle(digest, done))
        return await asyncio.shield(asked)

    def _settle(self, digest: bytes, done: asyncio.Future[Match]) -> None:
        self._asked.pop(digest, None)
        if done.cancelled() or done.exception() is not None or done.result() is Match.NEITHER:
            return
        self._keep_in_mind(digest, done.result())
        self._tell(f"{digest.hex()} {done.result().value}")

    def learn(self, word: str) -> None:
        """Another process verified a credential: what ``tell`` was given there."""
        digest, _, match = word.partition(" ")
        self._keep_in_mind(bytes.fromhex(digest), Match(match))

    def _keep_in_mind(self, digest: bytes, match: Match) -> None:
        self._known[digest] = (match, self._clock.monotonic() + self._keep)
        self._known.move_to_end(digest)
        while len(self._known) > self._room:
            self._known.popitem(last=False)
