"""The mail door's process: builds what the door needs, serves until it is told to stop, and lets messages finish.

Rules: it is ready only when it can file a message, not merely accept a connection. A renewed certificate is taken up by
the next STARTTLS. Never: a signal handler, a socket of its own (``doorway`` hands them in).

A crash loses connections, and no message that was answered 250.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from gateway import log as voices
from gateway.clock import SystemClock
from gateway.config.model import Config
from gateway.config.regions import Region
from gateway.domain.policy import Rules
from gateway.domain.replies import smtp as say
from gateway.domain.replies.smtp import Directions
from gateway.domain.subject import SubjectGrammar
from gateway.doorway import Doorway
from gateway.examine.mail import ANSWER_MOST
from gateway.examine.worker import Crew, Limits
from gateway.renewal import renewing
from gateway.smtp.authentication import Authenticator
from gateway.smtp.certificate import REFUSALS, Certificate
from gateway.smtp.examination import Examination
from gateway.smtp.facts import Judge
from gateway.smtp.failures import Failures
from gateway.smtp.filing import Filing
from gateway.smtp.listener import Listener
from gateway.spool import Spool
from gateway.store import Store
from gateway.tally import Tally

FILED: Final = "filed"
"""What a process tells the others when it has filed an update that is to be looked into …"""
FAILED: Final = "failed"
"""… and when our own code failed over a message, with a sign by which it is known again."""
RING_EVERY: Final = 0.05
"""Seconds between two such words."""

log = voices.get(__name__)


async def serve(doorway: Doorway) -> None:
    """Serve the mail door until *doorway* says stop."""
    config: Config = doorway.config
    spool = await asyncio.to_thread(Spool, config.gateway.state_dir)
    store = await Store.open(config.store_url, busy_timeout=config.store.busy_timeout)
    crew = Crew(config.examine.workers, worker_limits(config))
    authenticator = Authenticator(config.smtp)
    beside: list[asyncio.Task[None]] = []
    try:
        bounds = {"deepest": config.examine.depth, "most_parts": config.examine.parts}
        lookers = config.examine.workers
        examination = Examination(store, spool, crew, SystemClock(), lookers=lookers, bounds=bounds)
        looking = _look_inside(doorway, examination)
        news = examination.wake if looking is not None else Bell(doorway).ring
        failures = Failures(partial(_tell, doorway))
        doorway.on_word(lambda word: _learn(failures, word))
        certificate = Certificate.of(config)
        listener, filing = build(config, store, spool, authenticator.judge, news, doorway.tally, failures, certificate)
        await listener.listen(doorway.sockets)
        if certificate is not None:
            doorway.on_reload(certificate.reload)
            beside.append(asyncio.create_task(renewing(certificate.changed, certificate.reload, REFUSALS)))
        doorway.ready()
        log.info("the mail door is open", run=filing.run)
        stopping = asyncio.create_task(doorway.stopping.wait())
        ends: set[asyncio.Task[Any]] = {stopping} if looking is None else {stopping, looking}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            stopping.cancel()
            for each in ends - {stopping}:
                each.result()  # raises what it died of: the door is started again
        await listener.close(doorway.drained)
        await filing.close()
        if looking is not None:
            looking.cancel()
            await asyncio.wait({looking})
    finally:
        for task in beside:
            task.cancel()
        await authenticator.close()
        await crew.close()
        await store.close()


def _look_inside(doorway: Doorway, examination: Examination) -> asyncio.Task[None] | None:
    """Have what is filed looked into: by the door's first process, whom the others wake, for each update once."""
    if doorway.place > 0:
        return None
    doorway.on_word(lambda word: examination.wake() if word == FILED else None)
    return asyncio.create_task(examination.run(), name="examination")


def _tell(doorway: Doorway, sign: str) -> None:
    """What failed here is to be known to the other processes."""
    doorway.tell_others(f"{FAILED} {sign}")


def _learn(failures: Failures, word: str) -> None:
    """Another process says what failed there."""
    verb, _, sign = word.partition(" ")
    if verb == FAILED:
        failures.remember(sign)


class Bell:
    """Wakes the process that looks into updates, at most once in RING_EVERY."""

    def __init__(self, doorway: Doorway) -> None:
        self._doorway = doorway
        self._rings: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """There is an update that nobody has looked into."""
        if self._rings is None:
            self._rings = asyncio.get_running_loop().call_later(RING_EVERY, self._tell)

    def _tell(self) -> None:
        self._rings = None
        self._doorway.tell_others(FILED)


def build(
    config: Config,
    store: Store,
    spool: Spool,
    judge: Judge,
    filed: Callable[[], None],
    tally: Tally,
    failures: Failures,
    certificate: Certificate | None = None,
) -> tuple[Listener, Filing]:
    """The door's parts, wired together; *filed* is called when an update is to be looked into."""
    settings = config.smtp
    hostname = config.gateway.hostname
    aliases = {region.alias: _directions(config.regions_of(region.alias)) for region in config.regions}
    filing = Filing(
        store=store,
        clock=SystemClock(),
        grammar=SubjectGrammar(config.sr.number_pattern),
        rules=Rules(
            refuse_closed=settings.closed_mail == "refuse",
            refuse_automatic=settings.automatic_mail == "refuse",
        ),
        regions=aliases,
        too_large=say.too_large(settings.max_message_size, hostname),
        spool=spool.id,
        next_business_moment=config.next_business_moment,
        judge=judge,
        filed=filed,
        places=config.places,
        postmaster_most=settings.limits.postmaster,
        failures=failures,
    )
    listener = Listener(
        settings,
        host=hostname,
        aliases=aliases,
        spool=spool,
        certificate=certificate,
        file=filing,
        tally=tally,
        disk_reserve=config.spool.free_disk_reserve,
    )
    return listener, filing


def worker_limits(config: Config) -> Limits:
    """What a look into one mail may take."""
    seconds = config.examine.time.total_seconds()
    return Limits(
        cpu_seconds=seconds,
        wall_seconds=2 * seconds,
        memory=config.examine.memory,
        output=ANSWER_MOST,
        written=config.smtp.max_message_size,
    )


def _directions(regions: Sequence[Region]) -> tuple[Directions, ...]:
    return tuple(Directions(each.name, each.web, each.phone, each.after_hours_phone) for each in regions)
