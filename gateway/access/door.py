"""The check at a door: a login and a password come in, an admission or a refusal goes out, and later the session's end.

Rules: a banned address or login is refused before anything is verified. Every other answer costs two verifications, or
none where the same right credential was verified minutes ago. A wrong guess is a strike, durable before the refusal
returns. A ban of a login does not keep out the address that this account last logged in from, nor a remembered
credential: a stranger's guesses must not lock a customer out.

It never holds a session and never ends one itself: ``ended`` says which must go, and the door ends them. A crash loses
at most what was seen of clients in the last instant (last login, software).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self, TypeVar

from gateway import log as logs
from gateway.access.hashing import Busy, Hashing
from gateway.access.rate import Rate
from gateway.access.remembered import Remembered
from gateway.access.sightings import Sightings
from gateway.clock import Clock
from gateway.config import Config
from gateway.domain import throttle
from gateway.domain.admission import Admitted, Match, WrongPassword, admit, session_ends
from gateway.domain.calendar import Places
from gateway.domain.events import Event, EventType, about_account
from gateway.domain.records import Account, AccountState
from gateway.domain.replies import Refusal, Reply
from gateway.domain.replies import login as replies
from gateway.store import Store, accounts, bans, one_by_one
from gateway.tally import Tally

log = logs.get(__name__)

Key = TypeVar("Key", bound=Hashable)

_LONGEST = 512
"""Characters of a login or password that are looked at: more than any of ours has."""

_MOST_SUSPECTS = 100_000
"""Addresses that failed of late and are remembered, to be looked up when they connect; the oldest is forgotten."""

SUSPECT = "suspect"
"""What a process tells the others when a login failed from an address …"""
VERIFIED = "verified"
"""… and when a credential was right: they need not verify it again."""

_strike = one_by_one(bans.strike)
_forgive = one_by_one(bans.forgive)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who stands at the door: an address, and what is known of its software and its TLS (for the operator)."""

    address: str
    client: str | None = None
    tls: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How many failures an address and a login have, and how soon they are forgotten."""

    per_address: throttle.Limit = throttle.PER_ADDRESS
    per_login: throttle.Limit = throttle.PER_LOGIN
    checks_per_minute: int = 60
    """Of one address; a credential verified minutes ago needs no check."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """The limits that the configuration sets."""
        asked = config.ftps.limits
        limit = throttle.Limit(asked.failures_before_ban, asked.ban_time)
        return cls(limit, limit, asked.logins_per_minute)


class Access:
    """One process's check. All methods belong to its event loop, but those that say otherwise."""

    def __init__(
        self,
        store: Store,
        hashing: Hashing,
        clock: Clock,
        places: Places | None = None,
        limits: Limits | None = None,
        *,
        tally: Tally | None = None,
        tell: Callable[[str], object] = lambda word: None,
    ) -> None:
        """*tell* is called with what the door's other processes are to ``hear``; they count in the same *tally*."""
        tally = tally or Tally.alone()
        self._store = store
        self._hashing = hashing
        self._clock = clock
        self._places = places or Places()
        self._limits = limits or Limits()
        self._remembered = Remembered(clock, key=tally.secret, tell=lambda verified: tell(f"{VERIFIED} {verified}"))
        self._rate = Rate(clock, self._limits.checks_per_minute, tally)
        self._sightings = Sightings(store)
        self._suspects: dict[str, None] = {}
        self._tell = tell

    async def recall(self) -> None:
        """At the door's start: know the addresses that are banned, so that ``suspects`` knows them."""
        async with self._store.reading() as connection:
            for ban in await bans.active(connection, self._clock.now()):
                self._suspects[ban.subject] = None

    def suspects(self, address: str) -> bool:
        """Whether *address* may be banned: all others need no ``greet``. From any thread, at next to no cost."""
        return throttle.address_subject(address) in self._suspects

    def hear(self, word: str) -> None:
        """Another process of the door tells what happened there; what is none of ours is left alone."""
        verb, _, about = word.partition(" ")
        if verb == SUSPECT:
            self._suspect(about)
        elif verb == VERIFIED:
            self._remembered.learn(about)

    def _suspect(self, subject: str) -> None:
        """A login failed from the address that is *subject*, in this process or in another of the door's."""
        self._suspects[subject] = None
        if len(self._suspects) > _MOST_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    async def greet(self, address: str) -> None:
        """Refuse a banned address before it says a word. Raises Refusal."""
        subject = throttle.address_subject(address)
        async with self._store.glance() as connection:
            strikes = (await bans.of(connection, subject)).get(subject)
        if strikes is None:
            self._suspects.pop(subject, None)
        self._refuse_banned(strikes, subject)

    def at_once(self, login: str, password: str, peer: Peer) -> Admitted | None:
        """From any thread: let *peer* in where nothing has to be verified, counted or forgiven; None: ask ``login``.

        That is a credential that was verified a moment ago. A trip to the loop and back would cost more than the rest.
        """
        if not self._store.answers_here:
            return None
        known = self._store.answer(self._known(login, password, peer))
        if known.match is None or known.of_address is not None or known.of_login is not None:
            return None
        try:
            return self._admit(known, known.match, peer)
        except Refusal:
            return None

    async def login(self, login: str, password: str, peer: Peer) -> Admitted:
        """Let *peer* in as *login*, or raise Refusal with the reply to give."""
        known = await self._known(login, password, peer)
        match, account = known.match, known.account
        try:
            self._refuse_banned(known.of_address, known.by_address)
            if match is None and known.last_login_from != peer.address:
                self._refuse_banned(known.of_login, known.by_login)
            if match is None:
                if not self._rate.take(known.by_address):
                    raise Refusal(replies.TOO_MANY_CHECKS, f"too many logins a minute: {known.by_address}")
                check = partial(self._hashing.match, known.password, *known.hashes)
                match = await (self._remembered.once(known.digest, check) if known.is_active else check())
            admitted = self._admit(known, match, peer)
        except Busy as busy:
            raise Refusal(replies.BUSY, str(busy)) from None
        except WrongPassword as refusal:
            await self._count(known, peer, refusal)
            self._note_failure(known.login, account, peer, refusal)
            raise
        except Refusal as refusal:
            self._note_failure(known.login, account, peer, refusal)
            raise
        if known.of_login is not None:
            await self._store.write(_forgive, known.by_login)
        return admitted

    async def ended(self, sessions: Mapping[Key, Admitted]) -> dict[Key, Reply]:
        """Those *sessions* that must end (a reset, a disabled account, an agreement's end), with the 421 of each."""
        if not sessions:
            return {}
        async with self._store.glance() as connection:
            now_there = await accounts.by_ids(connection, {admitted.account.id for admitted in sessions.values()})
        now = self._clock.now()
        replies = {
            key: session_ends(
                admitted, now_there.get(admitted.account.id), now, self._places.of(admitted.account.region)
            )
            for key, admitted in sessions.items()
        }
        return {key: reply for key, reply in replies.items() if reply is not None}

    async def watch(
        self, sessions: Callable[[], Mapping[Key, Admitted]], end: Callable[[Key, Reply], None], every: float = 0.5
    ) -> None:
        """Look at all *sessions* again and again, and call *end* for each that must go, until cancelled.

        Checks that are a minute old count no more. A look is one query by primary key, and none while nobody is logged
        in. One that fails is logged, and tried again. *end* may be called again for a session that is still there
        at the next look.
        """
        while True:
            self._rate.expire()
            try:
                for key, reply in (await self.ended(sessions())).items():
                    end(key, reply)
            except Exception:
                log.exception("could not look for sessions that must end")
            await asyncio.sleep(every)

    def note(self, account_id: str, **seen: Any) -> None:
        """Keep what was seen of an account's clients, columns of account_activity, soon. From any thread."""
        self._sightings.note(account_id, **seen)

    async def close(self) -> None:
        """Write what was seen last."""
        await self._sightings.close()

    async def _known(self, login: str, password: str, peer: Peer) -> _Known:
        """What is known of who stands there, before anything is verified."""
        login, password = _storable(login), _storable(password)
        by_address, by_login = throttle.address_subject(peer.address), throttle.login_subject(login)
        async with self._store.glance() as connection:
            account = await accounts.by_login(connection, login)
            strikes = await bans.of(connection, by_address, by_login)
            seen = await accounts.activity(connection, account.id if account else "") if by_login in strikes else {}
        hashes = (None, None) if account is None else (account.password_hash, account.former_hash)
        digest = self._remembered.digest(login, password, *hashes)
        # What a disabled account's right password costs must not tell it from a wrong one: it is never remembered.
        is_active = account is None or account.state is AccountState.ACTIVE
        return _Known(
            login=login,
            password=password,
            account=account,
            is_active=is_active,
            hashes=hashes,
            by_address=by_address,
            by_login=by_login,
            of_address=strikes.get(by_address),
            of_login=strikes.get(by_login),
            last_login_from=seen.get("last_login_from"),
            digest=digest,
            match=self._remembered.find(digest) if is_active else None,
        )

    def _admit(self, known: _Known, match: Match, peer: Peer) -> Admitted:
        account, now = known.account, self._clock.now()
        admitted = admit(account, match, now, self._places.of(account.region if account else None))
        seen = {"client": peer.client, "tls": peer.tls}
        self._sightings.note(admitted.account.id, last_login_at=now, last_login_from=peer.address, **seen)
        return admitted

    def _refuse_banned(self, strikes: throttle.Strikes | None, subject: str) -> None:
        now = self._clock.now()
        if strikes is None or strikes.until is None or not strikes.banned(now):
            return
        minutes = math.ceil((strikes.until - now) / timedelta(minutes=1))
        raise Refusal(replies.too_many_failures(subject.startswith("address"), minutes), f"banned: {subject}")

    async def _count(self, known: _Known, peer: Peer, refusal: Refusal) -> None:
        """Make the strikes durable: who closes the connection early must not guess for free."""
        now, by_address, limits = self._clock.now(), known.by_address, self._limits
        self._suspect(by_address)
        self._tell(f"{SUSPECT} {by_address}")
        locked = None if known.account is None else _locked(known.account, peer, now)
        tried = f"{refusal.reason} for {known.login[:64]!r} from {peer.address}"
        await asyncio.gather(
            self._store.write(_strike, bans.Failure(by_address, limits.per_address, now, tried)),
            self._store.write(_strike, bans.Failure(known.by_login, limits.per_login, now, tried, locked)),
        )

    def _note_failure(self, login: str, account: Account | None, peer: Peer, refusal: Refusal) -> None:
        log.info("login refused", login=login[:64], peer=peer.address, reason=refusal.reason)
        if account is not None:
            self._sightings.note(
                account.id,
                last_failure_at=self._clock.now(),
                last_failure_from=peer.address,
                last_failure=refusal.reason,
            )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of who stands at the door, before anything is verified."""

    login: str
    password: str = field(repr=False)
    account: Account | None
    is_active: bool
    hashes: tuple[str | None, str | None]
    by_address: str
    by_login: str
    of_address: throttle.Strikes | None
    of_login: throttle.Strikes | None
    last_login_from: str | None
    digest: bytes
    match: Match | None
    """What was found for this credential a moment ago."""


def _storable(text: str) -> str:
    """What a peer typed, in a form that every database and hash takes; no login and no password is changed by it."""
    return text[:_LONGEST].encode("utf-8", "replace").decode().replace("\0", "?")


def _locked(account: Account, peer: Peer, now: datetime) -> Event:
    return about_account(
        EventType.ACCOUNT_LOCKED,
        account.id,
        now,
        account=account.login,
        sold_to=account.sold_to,
        end_user=account.end_user,
        region=account.region,
        last_failure_from=peer.address,
    )
