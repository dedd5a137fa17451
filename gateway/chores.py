"""Which jobs housekeeping has: built from the configuration, over one store.

- *password resets*: those that are due, a batch at a time (rotation/resets)
- *reminders*: to Designated Contacts, before and after (rotation/reminders)
- *routing*, *webhook …*, *mail*: what the world is told (outbox)
- *retiring*: what has served its time

Rules: everything a job needs is opened here once and closed here last. A job whose needs are not met (a sealing key
that can't be read) fails when it runs, visibly, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from gateway.access import Hashing, Issuer
from gateway.clock import Clock, SystemClock
from gateway.config import Config
from gateway.domain.retry import Patience
from gateway.outbox import MailRounds, Router, Templates, WebhookRounds, housework
from gateway.outbox.mail import Letterhead, Relay
from gateway.outbox.webhook import Poster, Receiver
from gateway.rotation import Plan, Reminders, Resets
from gateway.store import Store
from gateway.store.credentials import Credential


@dataclass(frozen=True)
class Job:
    """``run()`` does one bounded round and returns True if it should be called again at once (more is waiting)."""

    name: str
    every: float
    """Seconds between the end of a round and the start of the next."""
    run: Callable[[], Awaitable[bool]]


@asynccontextmanager
async def opened(config: Config, clock: Clock | None = None) -> AsyncIterator[list[Job]]:
    """Every job of this gateway, with what it works on open until this is left."""
    clock = clock or SystemClock()
    store = await Store.open(config.store_url, busy_timeout=config.store.busy_timeout)
    hashing = Hashing(threads=1)  # resets are nobody's hurry; logins are, in another process
    poster = Poster(config.outbox.attempt_timeout)
    try:
        yield [*_rotation(config, store, clock, hashing), *await _outbox(config, store, clock, poster)]
    finally:
        await poster.close()
        await asyncio.to_thread(hashing.close)
        await store.close()


def issuer(config: Config, hashing: Hashing) -> Issuer:
    """What makes new passwords, sealing them where that is asked for. Raises SealingError."""
    return Issuer.of(config, hashing)


def _rotation(config: Config, store: Store, clock: Clock, hashing: Hashing) -> list[Job]:
    plan = Plan.of(config)

    async def issue(account_id: str) -> Credential:
        return (await issuer(config, hashing).issue(account_id)).credential

    told = Job("reminders", 20.0, Reminders(store, clock, plan).round)
    if not config.rotation.enabled:
        return [told]
    return [Job("password resets", 10.0, Resets(store, clock, plan, issue).round), told]


async def _outbox(config: Config, store: Store, clock: Clock, poster: Poster) -> list[Job]:
    asked = config.outbox
    patience = Patience(asked.retry_first, asked.retry_most, asked.give_up_after)
    receivers = [(Receiver(hook.url, hook.secret_file, hook.private), hook.events) for hook in asked.webhooks]
    router = Router(store, clock, [(receiver.name, events) for receiver, events in receivers])
    await router.park_orphans()

    async def retire() -> bool:
        return await housework(store, clock)

    jobs = [Job("routing", 1.0, router.round), Job("retiring", timedelta(hours=1).total_seconds(), retire)]
    for receiver, _ in receivers:
        rounds = WebhookRounds(store, clock, receiver, poster, patience, asked.attempt_timeout)
        jobs.append(Job(f"webhook {receiver.name}", 1.0, rounds.round))
    if asked.relay is not None:
        relay = Relay(
            host=asked.relay,
            port=asked.relay_port,
            tls=asked.relay_tls,
            username=asked.relay_username,
            password_file=asked.relay_password_file,
            timeout=asked.attempt_timeout,
        )
        letterhead = Letterhead(config.gateway.organisation, asked.mail_from, asked.list_id, config.gateway.hostname)
        rounds_of_mail = MailRounds(store, clock, relay, Templates(asked.templates), letterhead, patience)
        jobs.append(Job("mail", 5.0, rounds_of_mail.round))
    return jobs
