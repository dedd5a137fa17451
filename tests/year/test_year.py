"""A simulated year: two hosts do the housekeeping and crash again and again; every promise about resets still holds.

The default suite lives a year of 16 accounts. GATEWAY_YEAR_ACCOUNTS=1000 lives the full one (some minutes), and
GATEWAY_YEAR_SEED another course of events.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from year.world import (
    NEW_YEAR,
    REGIONS,
    Sink,
    check_mails,
    check_resets,
    check_secrets,
    due,
    moments,
    populate,
    relay,
    unfinished,
)

from gateway import chores
from gateway.access import Hashing, Issuer, Keyring, Parameters
from gateway.access.sealing import new_key, write_keys
from gateway.config import Config
from gateway.domain.passwords import generate
from gateway.rotation import Plan
from gateway.store import Store
from gateway.testing import FakeClock

ACCOUNTS = int(os.environ.get("GATEWAY_YEAR_ACCOUNTS", "16"))
SEED = int(os.environ.get("GATEWAY_YEAR_SEED", "1"))
CRASHES = max(0.002, min(0.04, 1 / ACCOUNTS))
"""Of all commits: half of the crashes come just before one, half just after."""


class Crash(BaseException):
    """The process is gone."""


class Host:
    """One housekeeping process: it works until it crashes, and another takes its place."""

    def __init__(self, config: Config, clock: FakeClock) -> None:
        self._config, self._clock = config, clock
        self._life = AsyncExitStack()
        self._jobs: list[chores.Job] | None = None
        self.crashes = 0

    async def work(self) -> None:
        """Do all jobs until none has anything to do, through every crash."""
        while True:
            try:
                if self._jobs is None:
                    self._jobs = await self._life.enter_async_context(chores.opened(self._config, self._clock))
                while any([await job.run() for job in self._jobs]):
                    pass
                return
            except Crash:
                self.crashes += 1
                assert self.crashes < 10_000
                await self.end()

    async def end(self) -> None:
        await self._life.aclose()
        self._jobs = None


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_keys(tmp_path / "sealing.key", [new_key()])
    region = {"alias": "support@example.com", "phone": "+1 555 0100", "web": "https://support.example.com/"}
    return Config.model_validate(
        {
            "gateway": {"state_dir": tmp_path, "hostname": "gateway.example.com"},
            "regions": [{**region, "name": name, "timezone": zone} for name, zone in REGIONS.items()],
            "rotation": {"sealed_passwords": True, "sealing_key": tmp_path / "sealing.key"},
        }
    )


async def test_a_year_of_crashes_resets_each_account_four_times_and_reminds_each_contact_thrice(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    chance = random.Random(SEED)
    passwords: list[str] = []

    def remembered() -> str:
        passwords.append(generate())
        return passwords[-1]

    def quick(**_: Any) -> Hashing:
        return Hashing(Parameters(memory=8, passes=1), threads=1)

    hashing = quick()
    monkeypatch.setattr(chores, "Hashing", quick)
    monkeypatch.setattr(
        chores, "issuer", lambda config, hashing: Issuer(hashing, Keyring(config.rotation.sealing_key), remembered)
    )
    plan, clock = Plan.of(config), FakeClock(NEW_YEAR)
    store = await Store.open(config.store_url)
    known = await populate(store, plan, chores.issuer(config, hashing), chance, ACCOUNTS)
    honest = Store.write

    async def crashing(self: Store, verb: Any, item: Any) -> Any:
        if self is store or (luck := chance.random()) > CRASHES:
            return await honest(self, verb, item)
        if luck < CRASHES / 2:
            raise Crash
        await honest(self, verb, item)
        raise Crash

    monkeypatch.setattr(Store, "write", crashing)
    sink = Sink()
    async with relay(sink) as port:
        outbox_section = config.outbox.model_copy(
            update={"relay": "localhost", "relay_port": port, "relay_tls": "none"}
        )
        config = config.model_copy(update={"outbox": outbox_section})
        hosts = [Host(config, clock), Host(config, clock)]
        for moment in moments(plan, chance):
            if moment > clock.now():
                clock.go_to(moment)
            await asyncio.gather(*(host.work() for host in hosts))
            while await due(store, clock):  # a host that crashed with the lease in its hand is waited for
                clock.advance(timedelta(minutes=6))
                await asyncio.gather(*(host.work() for host in hosts))
            while await unfinished(store):  # what was claimed by who crashed is free again in the end
                clock.advance(timedelta(hours=2))
                await asyncio.gather(*(host.work() for host in hosts))
        for host in hosts:
            await host.end()

    assert sum(host.crashes for host in hosts) > 10, "a year without crashes proves nothing"
    everything = await check_resets(store, plan)
    check_mails(sink, known)
    assert len(passwords) >= 5 * ACCOUNTS
    check_secrets(sink, caplog.text, passwords)
    keys = Keyring(config.gateway.state_dir / "sealing.key")
    for account in everything:
        assert account.sealed_password is not None
        assert account.sealing_key is not None
        assert keys.unseal(account.id, account.sealed_password, account.sealing_key) in passwords
    hashing.close()
    await store.close()
