"""The whole of it as housekeeping runs it: a configuration, a relay, a webhook, and a reset that is due."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from gateway import chores
from gateway.access import SealingError
from gateway.access.sealing import Keyring, new_key, write_keys
from gateway.config import Config
from gateway.domain.ids import new_id
from gateway.domain.records import Access, Account, AccountState, Contact, Grant
from gateway.store import Store, accounts, contacts, one_by_one
from gateway.testing import FakeClock

from .conftest import Receiver
from .relay import Sink, running


def configuration(tmp_path: Path, relay: Sink, receiver: Receiver, secret_file: Path) -> Config:
    return Config.model_validate(
        {
            "gateway": {"state_dir": tmp_path, "hostname": "gateway.example.com"},
            "rotation": {"sealed_passwords": True, "sealing_key": tmp_path / "sealing.key"},
            "outbox": {
                "relay": "localhost",
                "relay_port": relay.port,
                "relay_tls": "none",
                "webhooks": [
                    {"url": f"http://127.0.0.1:{receiver.port}/", "secret_file": secret_file, "events": ["password.*"]}
                ],
            },
        }
    )


async def add_account(store: Store, clock: FakeClock) -> Account:
    now = clock.now()
    due = now + timedelta(days=14)
    account = Account(
        new_id(), "acme", "Acme", "Globex", None, AccountState.ACTIVE, None, "x", now, due, created_at=now
    )
    await store.write(one_by_one(accounts.add), account)
    contact = await store.write(one_by_one(contacts.add), Contact(new_id(), "ann@example.com", "Ann", now))
    await store.write(one_by_one(contacts.grant), Grant(contact.id, account.id, Access.READ_WRITE, None, None, now))
    return account


async def test_a_reset_from_its_first_reminder_to_the_last_notice(
    store: Store, clock: FakeClock, tmp_path: Path, receiver: Receiver, secret_file: Path
) -> None:
    (tmp_path / "store.db").rename(tmp_path / "gateway.db")
    await store.close()
    write_keys(tmp_path / "sealing.key", [new_key()])
    async with running(Sink()) as relay:
        config = configuration(tmp_path, relay, receiver, secret_file)
        there = await Store.open(config.store_url)
        account = await add_account(there, clock)
        async with chores.opened(config, clock) as jobs:
            for days in (0, 7, 6, 1, 100):
                clock.advance(timedelta(days=days))
                for _ in range(3):
                    for job in jobs:
                        while await job.run():
                            pass
        async with there.reading() as connection:
            after = await accounts.by_id(connection, account.id)
        await there.close()
    assert after is not None
    assert after.session_epoch == 2, "a hundred days later the next quarter's reset is due"
    assert after.sealed_password is not None
    assert after.sealing_key is not None
    password = Keyring(tmp_path / "sealing.key").unseal(account.id, after.sealed_password, after.sealing_key)
    assert [mail["Subject"].split(",")[0].split(" on ")[0] for mail in relay.mails][:4] == [
        "FTP passwords are reset in 14 days",
        "FTP passwords are reset in 7 days",
        "FTP passwords are reset tomorrow",
        "FTP passwords were reset",
    ]
    told = [json.loads(post.body) for post in receiver.posts]
    assert [event["type"] for event in told][:4] == ["password.reset_due"] * 3 + ["password.reset"]
    for said in [*(mail.as_string() for mail in relay.mails), *(json.dumps(event) for event in told)]:
        assert password not in said


async def test_a_missing_sealing_key_stops_resets_and_nothing_else(
    store: Store, clock: FakeClock, tmp_path: Path, receiver: Receiver, secret_file: Path
) -> None:
    await store.close()
    async with running(Sink()) as relay:
        config = configuration(tmp_path, relay, receiver, secret_file)
        there = await Store.open(config.store_url)
        account = await add_account(there, clock)
        clock.advance(timedelta(days=14))
        async with chores.opened(config, clock) as jobs:
            by_name = {job.name: job for job in jobs}
            with pytest.raises(SealingError, match=r"sealing\.key can't be read"):
                await by_name["password resets"].run()
            await asyncio.gather(*(job.run() for job in jobs if job.name != "password resets"))
        async with there.reading() as connection:
            after = await accounts.by_id(connection, account.id)
        await there.close()
    assert after == account, "no password was replaced by one that nobody can look up"
