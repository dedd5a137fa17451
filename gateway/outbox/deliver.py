"""The rounds that housekeeping runs: route new events, try what waits, note how it went.

Rules: what is tried was claimed before and is settled after, each in a commit of its own; whatever goes wrong becomes a
line on the delivery, never a lost one. One webhook's trouble is its own: each has its rounds. A mail that has lost its
sense (its contact left, its date is past) is parked, where it is seen, and not sent.

A crash between the attempt and its note means that the delivery is tried once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import date, datetime, timedelta
from email.message import EmailMessage

from gateway import log as logs
from gateway.clock import Clock
from gateway.domain.events import EventType
from gateway.domain.retry import Patience, pause_after
from gateway.outbox.mail import Letterhead, Relay, compose, connected, send
from gateway.outbox.templates import Templates
from gateway.outbox.webhook import NotDelivered, Poster, Receiver
from gateway.store import Store, bans, contacts, one_by_one, outbox, reveals

log = logs.get(__name__)

_route = one_by_one(outbox.route)
_claim = one_by_one(outbox.claim)
_settle = one_by_one(outbox.settle)
_orphaned = one_by_one(outbox.orphaned)
_retire = one_by_one(outbox.retire)
_forget = one_by_one(bans.forget)
_forget_links = one_by_one(reveals.forget)

KEEP_DELIVERED = timedelta(days=100)
"""How long a delivery is kept after it arrived: longer than a quarter, for it is the proof that a contact was told."""

KEEP_STRIKES = timedelta(days=2)


def wants(patterns: Sequence[str], kind: EventType) -> bool:
    """Whether ``update.*``, ``*`` or a plain name among *patterns* covers an event."""
    return any(kind.value.startswith(each[:-1]) if each.endswith("*") else kind.value == each for each in patterns)


class Router:
    """Turns events into deliveries. *subscriptions* are the webhooks' names with the patterns of each."""

    def __init__(self, store: Store, clock: Clock, subscriptions: Sequence[tuple[str, Sequence[str]]]) -> None:
        self._store = store
        self._clock = clock
        self._subscriptions = subscriptions

    async def round(self) -> bool:
        async with self._store.reading() as connection:
            if not await outbox.any_to_route(connection):
                return False
        item = outbox.Routing(self._clock.now(), self._targets)
        routed = await self._store.write(_route, item)
        return routed == item.limit

    async def park_orphans(self) -> None:
        """At the start: what waits for a webhook that is gone would wait for ever, unseen."""
        parked = await self._store.write(_orphaned, [name for name, _ in self._subscriptions])
        if parked:
            log.warning("deliveries parked, their webhook is not configured any more", deliveries=parked)

    def _targets(self, kind: EventType) -> list[str]:
        return [name for name, patterns in self._subscriptions if wants(patterns, kind)]


class _Rounds:
    """What both kinds of rounds share: claiming, and noting the end of an attempt."""

    def __init__(self, store: Store, clock: Clock, patience: Patience, timeout: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._patience = patience
        self._claimed_for = 2 * timeout + timedelta(minutes=1)

    async def _claim(self, kind: str, limit: int, target: str | None = None) -> list[outbox.Delivery]:
        now = self._clock.now()
        async with self._store.reading() as connection:
            if not await outbox.any_to_try(connection, kind, now, target):
                return []
        return await self._store.write(_claim, outbox.Claim(kind, now, now + self._claimed_for * limit, limit, target))

    async def _note(self, delivery: outbox.Delivery, failure: NotDelivered | None) -> None:
        now = self._clock.now()
        if failure is None:
            await self._store.write(_settle, outbox.Settled(delivery.id, now))
            return
        pause = None if failure.final else pause_after(delivery.attempts, self._patience, failure.pause)
        await self._store.write(
            _settle, outbox.Settled(delivery.id, now, str(failure), None if pause is None else now + pause)
        )
        facts = {"delivery": delivery.id, "target": delivery.target, "reason": str(failure)}
        if pause is None:
            log.warning("a delivery was parked: gateway outbox list", **facts)
        else:
            log.info("a delivery failed and is tried again", pause=str(pause), **facts)


class WebhookRounds(_Rounds):
    """One webhook's rounds."""

    LIMIT = 20

    def __init__(
        self, store: Store, clock: Clock, receiver: Receiver, poster: Poster, patience: Patience, timeout: timedelta
    ) -> None:
        super().__init__(store, clock, patience, timeout)
        self._receiver = receiver
        self._poster = poster

    async def round(self) -> bool:
        """Try what waits, what belongs to different SRs side by side; True if something arrived."""
        claimed = await self._claim(outbox.WEBHOOK, self.LIMIT, self._receiver.name)
        arrived = await asyncio.gather(*(self._try(delivery) for delivery in claimed))
        return any(arrived)

    async def _try(self, delivery: outbox.Delivery) -> bool:
        failure: NotDelivered | None = None
        try:
            if delivery.event is None:
                raise NotDelivered("its event is gone", final=True)
            await self._poster.post(delivery.event, self._receiver, self._clock.now())
        except NotDelivered as error:
            failure = error
        except Exception as error:
            failure = _defect(delivery, error)
        await self._note(delivery, failure)
        return failure is None


class MailRounds(_Rounds):
    """The rounds of mail. One session with the relay takes many mails."""

    LIMIT = 50

    def __init__(
        self, store: Store, clock: Clock, relay: Relay, templates: Templates, letterhead: Letterhead, patience: Patience
    ) -> None:
        super().__init__(store, clock, patience, relay.timeout)
        self._relay = relay
        self._templates = templates
        self._letterhead = letterhead

    async def round(self) -> bool:
        """Send what waits; True if something was taken."""
        claimed = await self._claim(outbox.MAIL, self.LIMIT)
        if not claimed:
            return False
        async with self._store.reading() as connection:
            here = await contacts.here(connection, [_contact_of(each) for each in claimed])
        taken = 0
        async with AsyncExitStack() as session:
            client = None
            unusable: NotDelivered | None = None
            for delivery in claimed:
                failure: NotDelivered | None = None
                try:
                    message = self._compose(delivery, _contact_of(delivery) in here)
                    if unusable is not None:
                        raise unusable
                    if client is None or not client.is_connected:
                        try:
                            client = await session.enter_async_context(connected(self._relay))
                        except NotDelivered as error:
                            unusable = error
                            raise
                    await send(client, message, delivery.target)
                    taken += 1
                except NotDelivered as error:
                    failure = error
                except Exception as error:
                    failure = _defect(delivery, error)
                await self._note(delivery, failure)
        return taken > 0

    def _compose(self, delivery: outbox.Delivery, here: bool) -> EmailMessage:
        now = self._clock.now()
        if not here:
            raise NotDelivered("not sent: the contact has left", final=True)
        if _too_late(delivery, now):
            raise NotDelivered("not sent: the reset that it announces is past", final=True)
        return compose(delivery, self._templates, self._letterhead, now)


async def housework(store: Store, clock: Clock) -> bool:
    """Drop what has served its time: deliveries that arrived long ago, strikes that have faded."""
    now = clock.now()
    await store.write(_retire, now - KEEP_DELIVERED)
    await store.write(_forget, now - KEEP_STRIKES)
    await store.write(_forget_links, now - KEEP_DELIVERED)
    return False


def _defect(delivery: outbox.Delivery, error: Exception) -> NotDelivered:
    """Our own bug, with its stack in the log; it must not keep the deliveries after it from going out."""
    log.exception("a delivery met a defect of ours", delivery=delivery.id, target=delivery.target)
    return NotDelivered(f"a defect of the gateway ({type(error).__name__}); the log has its stack")


def _contact_of(delivery: outbox.Delivery) -> str:
    return delivery.ordering.removeprefix("contact ")


def _too_late(delivery: outbox.Delivery, now: datetime) -> bool:
    message = delivery.message or {}
    return message.get("template") == "reminder" and date.fromisoformat(message["day"]) < now.date() - timedelta(days=1)
