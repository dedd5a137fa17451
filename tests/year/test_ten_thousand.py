"""The quarter's day at its largest: every account of a big organisation is due at once, and one command resets them.

The default suite has 2,000 accounts and a fifth of the time, ``make year`` 10,000 in a minute. Hashing is real, but as
cheap as argon2 can be: what a hash costs is a matter of choice, and what is held here is everything around it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from year.world import configuration

from gateway.access import Hashing, Keyring, Parameters
from gateway.admin import Desk, resets
from gateway.config import load
from gateway.domain.ids import new_id
from gateway.domain.records import Account, AccountState
from gateway.rotation import Plan
from gateway.store import Store, Transaction, accounts, audit, one_by_one, tables
from gateway.testing import FakeClock

ACCOUNTS = int(os.environ.get("GATEWAY_DUE_ACCOUNTS", "2000"))
LONGEST = 60 * ACCOUNTS / 10_000
"""Seconds: 10,000 accounts in a minute, hashing apart; six to nine here."""

MADE = datetime(2026, 12, 20, tzinfo=UTC)
REGIONS = {"North": "America/Moncton", "South": "UTC"}


async def test_every_account_that_is_due_is_reset_once_within_a_minute(tmp_path: Path) -> None:
    config = load(configuration(tmp_path, REGIONS))
    plan, store = Plan.of(config), await Store.open(config.store_url)
    made = [account(plan, number) for number in range(ACCOUNTS)]
    await store.write(one_by_one(add_all), made)
    day = max(each.next_reset for each in made if each.next_reset) + timedelta(hours=1)
    desk = Desk(config, store, "operator", clock=FakeClock(day))
    heard: list[tuple[int, int]] = []
    with closing(Hashing(Parameters(memory=8, passes=1), threads=1)) as hashing:
        begun = time.monotonic()
        done = await resets.reset_due(desk, lambda *of: heard.append(of), hashing)
        took = time.monotonic() - begun
        assert await resets.reset_due(desk, lambda *of: None, hashing) == {"reset": 0, "due": 0}
    print(f"{ACCOUNTS} accounts reset in {took:.1f} s")
    assert done == {"reset": ACCOUNTS, "due": ACCOUNTS}
    await check(desk, made, day)
    steps = [count for count, _ in heard]
    assert steps == sorted(steps)
    assert heard[-1] == (ACCOUNTS, ACCOUNTS), "the bar reaches its end"
    assert len(heard) >= ACCOUNTS / 1000, "and moves on its way there"
    assert took < LONGEST
    await store.close()


async def check(desk: Desk, made: Sequence[Account], day: datetime) -> None:
    """Each account has one new password, one reset for its due date, one entry in an unbroken trail."""
    async with desk.reading() as connection:
        after = {each.id: each for each in await accounts.everything(connection)}
        rows = (await connection.execute(select(tables.resets.c.account_id, tables.resets.c.due_at))).all()
        entries = [entry for _, entry in await audit.entries(connection) if entry.action == "account reset"]
        assert await audit.verify(connection) is None
    assert Counter((row.account_id, row.due_at) for row in rows) == Counter((each.id, each.next_reset) for each in made)
    assert Counter(entry.subject for entry in entries) == Counter(each.login for each in made)
    assert len({each.password_hash for each in after.values()}) == len(made)
    keys = Keyring(desk.config.rotation.sealing_key)
    for before in made:
        now = after[before.id]
        assert (now.session_epoch, now.former_hash, now.password_set_at) == (1, before.password_hash, day)
        assert now.next_reset is not None
        assert now.next_reset > day
    one = after[made[-1].id]
    assert keys.unseal(one.id, one.sealed_password or b"", one.sealing_key or "")


def account(plan: Plan, number: int) -> Account:
    region = list(REGIONS)[number % len(REGIONS)]
    return Account(
        id=new_id(),
        login=f"account{number:05}",
        sold_to="Reseller",
        end_user=f"End User {number}",
        region=region,
        state=AccountState.ACTIVE,
        agreement_ends=None,
        password_hash=f"first {number}",
        password_set_at=MADE,
        next_reset=plan.first_reset(region, MADE),
        created_at=MADE,
    )


async def add_all(tx: Transaction, made: Sequence[Account]) -> None:
    await tx.execute(
        tables.accounts.insert(), [{name: getattr(each, name) for name in each.__dataclass_fields__} for each in made]
    )
