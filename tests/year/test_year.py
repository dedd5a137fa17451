"""A simulated year: two hosts do the housekeeping and crash again and again; every promise about resets still holds.

The default suite lives a year of 24 accounts. GATEWAY_YEAR_ACCOUNTS=1000 lives the full one (some minutes), and
GATEWAY_YEAR_SEED another course of events.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway import chores
from gateway.access import Hashing, Issuer, Keyring, Parameters
from gateway.access.sealing import new_key, write_keys
from gateway.config import Config
from gateway.domain.calendar import STAGES, local_day
from gateway.domain.ids import new_id
from gateway.domain.passwords import ALPHABET, generate
from gateway.domain.records import Access, Account, AccountState, Contact, Grant
from gateway.rotation import Plan
from gateway.store import Store, Transaction, accounts, audit, contacts, one_by_one, outbox, reminders
from gateway.testing import FakeClock

ACCOUNTS = int(os.environ.get("GATEWAY_YEAR_ACCOUNTS", "24"))
SEED = int(os.environ.get("GATEWAY_YEAR_SEED", "1"))
CRASHES = max(0.002, min(0.04, 1 / ACCOUNTS))
"""Of all commits: half of the crashes come just before one, half just after."""

NEW_YEAR = datetime(2026, 12, 20, tzinfo=UTC)
REGIONS = {"North": "America/Moncton", "Japan": "Asia/Tokyo"}


class Crash(BaseException):
    """The process is gone."""


class Sink:
    """A relay that keeps what it takes."""

    def __init__(self) -> None:
        self.taken: dict[str, EmailMessage] = {}
        self.raw: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        from email import message_from_bytes
        from email.policy import default

        assert isinstance(envelope.content, bytes)
        self.raw.append(envelope.content)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.taken[mail["Message-ID"]] = mail
        return "250 OK"


@asynccontextmanager
async def relay(sink: Sink) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(sink, hostname="relay", loop=loop), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


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


async def populate(store: Store, plan: Plan, issuer: Issuer, chance: random.Random) -> dict[str, list[str]]:
    """Accounts in two regions, people with one account or many; whom each Designated Contact is told of."""
    made = []
    for n in range(ACCOUNTS):
        region = chance.choice(list(REGIONS))
        account_id = new_id()
        credential = (await issuer.issue(account_id)).credential
        account = Account(
            id=account_id,
            login=f"account{n:04}",
            sold_to="Reseller",
            end_user=f"End User {n}",
            region=region,
            state=AccountState.ACTIVE,
            agreement_ends=None,
            password_hash=credential.password_hash,
            password_set_at=NEW_YEAR,
            next_reset=plan.first_reset(region, NEW_YEAR),
            sealed_password=credential.sealed_password,
            sealing_key=credential.sealing_key,
            created_at=NEW_YEAR,
        )
        made.append(account)
    people = []
    for n in range(ACCOUNTS // 4):
        many = chance.randint(1, 3) if n else ACCOUNTS // 2
        people.append((Contact(new_id(), f"person{n}@example.com", f"Person {n}", NEW_YEAR), chance.sample(made, many)))

    async def everything(tx: Transaction, _: None) -> None:
        for account in made:
            await accounts.add(tx, account)
        for person, known in people:
            await contacts.add(tx, person)
            for account in known:
                await contacts.grant(tx, Grant(person.id, account.id, Access.READ_WRITE, None, None, NEW_YEAR))

    await store.write(one_by_one(everything), None)
    return {person.email: [account.login for account in known] for person, known in people}


def moments(plan: Plan, chance: random.Random) -> list[datetime]:
    """When something may happen, and some moments when nothing should."""
    found = [NEW_YEAR + timedelta(days=chance.uniform(0, 366)) for _ in range(20)]
    for region in REGIONS:
        due = NEW_YEAR
        for _ in range(4):
            due = plan.first_reset(region, due)
            found += [due - timedelta(days=days) for days in STAGES]
            found += [due, due + timedelta(hours=1)]
    return sorted(found)


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
    known = await populate(store, plan, chores.issuer(config, hashing), chance)
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
    async with store.reading() as connection:
        everything = await accounts.everything(connection)
        for account in everything:
            resets = await reminders.resets_of(connection, account.id)
            days = [local_day(each, plan.place_of(account)).isoformat() for each in resets]
            assert days == ["2027-01-05", "2027-04-06", "2027-07-06", "2027-10-05"], account.login
            assert account.session_epoch == 4
        assert await audit.verify(connection) is None
        assert await outbox.listed(connection) == [], "nothing waits and nothing was parked"
    check_mails(sink, known)
    check_secrets(sink, caplog.text, passwords)
    keys = Keyring(config.gateway.state_dir / "sealing.key")
    for account in everything:
        assert account.sealed_password is not None
        assert account.sealing_key is not None
        assert keys.unseal(account.id, account.sealed_password, account.sealing_key) in passwords
    hashing.close()
    await store.close()


async def due(store: Store, clock: FakeClock) -> bool:
    async with store.reading() as connection:
        return bool(await accounts.due(connection, clock.now(), limit=1))


async def unfinished(store: Store) -> bool:
    async with store.reading() as connection:
        return bool(await outbox.listed(connection, [outbox.PENDING], limit=1))


def check_mails(sink: Sink, known: dict[str, list[str]]) -> None:
    """Three reminders a contact and date, each listing every account of theirs; told of each reset afterwards."""
    reminded: Counter[tuple[str, str]] = Counter()
    told: Counter[tuple[str, str, str]] = Counter()
    for mail in sink.taken.values():
        to = mail["To"].addresses[0].addr_spec
        body = mail.get_body(("plain",))
        assert body is not None
        logins = re.findall(r"account\d{4}", body.get_content())
        day = mail["Subject"].rpartition(" on ")[2]
        if "were reset" in mail["Subject"]:
            told.update((to, day, login) for login in logins)
        else:
            assert sorted(logins) == sorted(known[to])
            reminded[to, day] += 1
    quarters = ("5 January 2027", "6 April 2027", "6 July 2027", "5 October 2027")
    assert reminded == Counter({(to, day): 3 for to in known for day in quarters})
    assert told == Counter(
        {(to, day, login): 1 for to, logins in known.items() for day in quarters for login in logins}
    )


def check_secrets(sink: Sink, logged: str, passwords: list[str]) -> None:
    """No password is in a mail or a log; looked for by its form, and each one by its text."""
    assert len(passwords) >= 5 * ACCOUNTS
    form = re.compile(rf"(?:[{ALPHABET}]{{4}}-){{6}}[{ALPHABET}]{{4}}")
    said = logged + "".join(raw.decode() for raw in sink.raw)
    assert form.search(passwords[0])
    assert form.search(said) is None
    assert not any(password in said for password in passwords)
