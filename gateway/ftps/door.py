"""The FTPS door's process: puts its parts together, serves, and stops in the order that loses nothing.

The asyncio loop of the process holds the store, the check of passwords and the crew; sessions run in threads beside it
and reach it through the bridge alone. On a stop nothing more is accepted, idle sessions are told, running transfers
finish until the deadline, and what is left then is kept as partials, while the store is still open.

A crash leaves interrupted uploads: the next start makes partials of them before it accepts anybody.
"""

from __future__ import annotations

import asyncio
import math
import time
from functools import partial
from pathlib import Path

from gateway.access import Access, Hashing, Limits
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.doorway import CannotServe, Doorway
from gateway.examine.worker import Crew
from gateway.ftps.bridge import Bridge
from gateway.ftps.identity import BadCertificate, Identity
from gateway.ftps.looking import Looking
from gateway.ftps.ports import Ports
from gateway.ftps.server import Server, Shared
from gateway.ftps.settings import Masquerade, Settings
from gateway.intake import Intake
from gateway.log import get
from gateway.renewal import renewing
from gateway.spool import Spool
from gateway.store import Store

log = get(__name__)

RESUME = "resume"
"""What a process tells the others when a customer goes on there with an upload that one of them may still hold."""

RECOVER_EVERY = 60.0
"""Seconds between two looks for what ended while the store was out of reach, or was left by a process that died."""
CLOSING = 1.0
"""Seconds before it would be killed that the door keeps for itself, to close its store and its crew."""


def _pairs(config: Config) -> list[tuple[Path, Path]]:
    ftps = config.ftps
    named = [(ftps.certificate, ftps.private_key), (ftps.certificate_rsa, ftps.private_key_rsa)]
    pairs = [(certificate, key) for certificate, key in named if certificate is not None and key is not None]
    if not pairs:
        raise CannotServe("[ftps] certificate: is needed to serve FTPS")
    return pairs


async def serve(doorway: Doorway) -> None:
    """Serve until the doorway is stopping."""
    config: Config = doorway.config
    try:
        identity = Identity(_pairs(config))
    except BadCertificate as error:
        raise CannotServe(str(error)) from error
    bridge = Bridge(asyncio.get_running_loop())
    store = await Store.open(config.store_url, busy_timeout=config.store.busy_timeout)
    hashing = Hashing()
    clock = SystemClock()
    spool = Spool(config.gateway.state_dir)
    tell = partial(_tell, doorway)
    flush_every = config.spool.flush_every
    intake = Intake(store, spool, clock, bridge.submit, ask=partial(tell, RESUME), flush_every=flush_every)
    limits = Limits.of(config)
    access = Access(store, hashing, clock, config.places, limits, tally=doorway.tally, tell=doorway.tell_others)
    crew = Crew(math.ceil(config.examine.workers / doorway.of))
    looking = Looking(
        crew,
        store,
        spool,
        bridge,
        clock,
        seconds=config.examine.archive_time.total_seconds(),
        memory=config.examine.memory,
        first=doorway.place == 0,
    )
    try:
        for words in await intake.recover():
            log.warning("an interrupted upload is a partial now", upload=words)
        shared = Shared(
            settings=Settings.of(config),
            clock=clock,
            identity=identity,
            ports=Ports(config.ftps.passive_ports, doorway.tally, place=doorway.place, of=doorway.of),
            masquerade=Masquerade(config.ftps.masquerade_address),
            bridge=bridge,
            store=store,
            spool=spool,
            intake=intake,
            log_in=access.login,
            log_in_at_once=access.at_once,
            looking=looking,
            suspects=access.suspects,
            greet=access.greet,
            note=access.note,
            tally=doorway.tally,
            processes=doorway.of,
        )
        doorway.on_word(partial(_hear, access, intake))
        await access.recall()
        await looking.resume()
        await _serve(doorway, shared, access)
    finally:
        bridge.close()
        await looking.close()
        await crew.close()
        await access.close()
        await asyncio.to_thread(intake.close)
        await asyncio.to_thread(hashing.close)
        await store.close()


def _tell(doorway: Doorway, verb: str, about: str) -> None:
    """Tell the door's other processes."""
    doorway.tell_others(f"{verb} {about}")


def _hear(access: Access, intake: Intake, word: str) -> None:
    """One of them tells us."""
    verb, _, about = word.partition(" ")
    if verb == RESUME:
        intake.let_go(about)
    else:
        access.hear(word)


async def _serve(doorway: Doorway, shared: Shared, access: Access) -> None:
    server = Server(shared, doorway.sockets)
    accepting = asyncio.create_task(asyncio.to_thread(server.serve))
    beside = [
        asyncio.create_task(access.watch(server.logged_in, server.end)),
        asyncio.create_task(renewing(shared.identity.changed, shared.identity.reload, BadCertificate)),
        asyncio.create_task(_recover_abandoned(shared.intake, shared.looking)),
    ]
    doorway.on_reload(shared.identity.reload)
    doorway.ready()
    try:
        await asyncio.wait(
            {accepting, asyncio.create_task(doorway.stopping.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        server.stop()
        await accepting
        cut = False
        while not await asyncio.to_thread(server.join, 0.25 if cut else min(0.25, doorway.remaining())):
            if not cut and doorway.remaining() <= 0:
                server.cut()
                cut = True
            if time.monotonic() > doorway.kill_at - CLOSING:
                log.error("sessions did not end in time")
                break
    finally:
        for task in beside:
            task.cancel()
        await asyncio.to_thread(server.end_serving)


async def _recover_abandoned(intake: Intake, looking: Looking) -> None:
    """Make partials of what was left *receiving*, look at what was left unseen; ask an absent store again."""
    while True:
        await asyncio.sleep(RECOVER_EVERY)
        try:
            for words in await intake.recover_abandoned():
                log.warning("an upload that was left behind is a partial now", upload=words)
            await looking.resume_abandoned()
        except Exception as error:
            log.error("could not look for uploads that were left behind", reason=error)
