"""A simulated year of two hosts' housekeeping in processes of their own, killed by SIGKILL at any instant.

The default suite lives a year of 24 accounts, ``make year`` one of 1,000 with more kills. GATEWAY_YEAR_SEED gives
another course of events.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from year.world import (
    NEW_YEAR,
    Sink,
    check_mails,
    check_resets,
    check_secrets,
    configuration,
    due,
    moments,
    populate,
    relay,
    unfinished,
)

from gateway.access import Hashing, Issuer, Keyring, Parameters
from gateway.config import load
from gateway.rotation import Plan
from gateway.store import Store
from gateway.testing.housekeepers import FileClock, Housekeepers

ACCOUNTS = int(os.environ.get("GATEWAY_YEAR_ACCOUNTS", "24"))
SEED = int(os.environ.get("GATEWAY_YEAR_SEED", "1"))
KILLED = float(os.environ.get("GATEWAY_YEAR_KILLS", "0.3"))
"""Kills a moment at which something may happen, on the average."""


async def settle(hosts: Housekeepers, chance: random.Random) -> None:
    """Let both hosts do what there is to do, and kill one of them now and then."""
    kills, longest = int(KILLED + chance.random()), min(2.0, 0.1 + ACCOUNTS / 500)
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0, longest))  # the point of it: at any instant
        hosts.kill(chance.randrange(2))
    await hosts.idle()


async def test_a_year_of_two_processes_killed_at_any_instant_keeps_every_promise(tmp_path: Path) -> None:
    chance, sink = random.Random(SEED), Sink()
    (tmp_path / "said").mkdir()
    async with relay(sink) as port:
        outbox = {"relay": "localhost", "relay_port": port, "relay_tls": "none"}
        file = configuration(tmp_path, outbox=outbox)
        config = load(file)
        plan, keys = Plan.of(config), Keyring(config.rotation.sealing_key)
        store, clock = await Store.open(config.store_url), FileClock(tmp_path / "said" / "clock")
        hashing = Hashing(Parameters(memory=8, passes=1), threads=1)
        known = await populate(store, plan, Issuer(hashing, keys), chance, ACCOUNTS)
        clock.go_to(NEW_YEAR)
        with closing(Housekeepers(file, tmp_path / "said", tmp_path / "log", hosts=2)) as hosts:
            for moment in moments(plan, chance):
                clock.go_to(max(moment, clock.now()))
                await settle(hosts, chance)
                while await due(store, clock):  # a host that was killed with the lease in its hand is waited for
                    clock.go_to(clock.now() + timedelta(minutes=6))
                    await settle(hosts, chance)
                while await unfinished(store):  # what was claimed by who was killed is free again in the end
                    clock.go_to(clock.now() + timedelta(hours=2))
                    await settle(hosts, chance)
    assert hosts.kills > 10, "a year without crashes proves nothing"
    everything = await check_resets(store, plan)
    check_mails(sink, known)
    passwords = [keys.unseal(each.id, each.sealed_password or b"", each.sealing_key or "") for each in everything]
    logged = (tmp_path / "log").read_text()
    assert logged.count("passwords reset") >= 8, "they did log"
    check_secrets(sink, logged, passwords)
    print(f"{ACCOUNTS} accounts, {hosts.kills} kills, {len(sink.raw)} mails taken, {len(sink.taken)} different ones")
    hashing.close()
    await store.close()
