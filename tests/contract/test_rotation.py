"""Resets and reminders against a real store: once each, whoever runs them, whenever they crash."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.domain.calendar import Place, Places, local_day
from gateway.domain.ids import new_id
from gateway.domain.records import Access, Account, AccountState, Contact, Grant
from gateway.rotation import Plan, Reminders, Resets
from gateway.store import Store, accounts, audit, contacts, credentials, one_by_one, outbox, reminders
from gateway.store.credentials import Credential

SAINT_JOHN = Place(ZoneInfo("America/Moncton"), telephones=("888-369-5555",))
TOKYO = Place(ZoneInfo("Asia/Tokyo"))
PLAN = Plan(Places(SAINT_JOHN, {"japan": TOKYO}))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DUE = datetime(2027, 1, 5, 14, tzinfo=UTC)
DUE_IN_TOKYO = datetime(2027, 1, 5, 1, tzinfo=UTC)


class Crash(BaseException):
    """The process ends here."""


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()


numbers = itertools.count()


async def issue(account_id: str) -> Credential:
    return Credential(f"hash {next(numbers)}")


async def add_account(store: Store, login: str, region: str | None = None, **values: Any) -> Account:
    account = Account(
        **{
            "id": new_id(),
            "login": login,
            "sold_to": "Reseller",
            "end_user": login,
            "region": region,
            "state": AccountState.ACTIVE,
            "agreement_ends": None,
            "password_hash": f"first {login}",
            "password_set_at": NOW,
            "next_reset": PLAN.first_reset(region, NOW),
            "created_at": NOW,
            **values,
        }
    )
    await store.write(one_by_one(accounts.add), account)
    return account


async def add_contact(store: Store, name: str, *known: Account, access: Access = Access.READ_WRITE) -> Contact:
    contact = await store.write(one_by_one(contacts.add), Contact(new_id(), f"{name}@example.com", name, NOW))
    for account in known:
        await store.write(one_by_one(contacts.grant), Grant(contact.id, account.id, access, None, None, NOW))
    return contact


async def get(store: Store, login: str) -> Account:
    async with store.reading() as connection:
        found = await accounts.by_login(connection, login)
    assert found is not None
    return found


async def mails(store: Store) -> list[tuple[str, str, int | None, list[str]]]:
    """Every mail there is, as (to, template, stage, logins)."""
    async with store.reading() as connection:
        found = await outbox.listed(connection)
    messages = [(each.target, each.message) for each in found if each.message is not None]
    return [(to, m["template"], m.get("days"), [each["login"] for each in m["accounts"]]) for to, m in messages]


async def settle(step: Any) -> int:
    """Run rounds until nothing waits."""
    rounds = 1
    while await step():
        rounds += 1
        assert rounds < 1000
    return rounds


async def test_what_is_due_is_reset_in_batches_and_gets_its_next_date(store: Store) -> None:
    for n in range(7):
        await add_account(store, f"acct{n}")
    clock = Hands()
    resets = Resets(store, clock, PLAN, issue, batch=3)
    assert await settle(resets.round) == 1, "nothing is due yet"
    clock.moment = DUE
    assert await settle(resets.round) == 4
    for n in range(7):
        account = await get(store, f"acct{n}")
        assert account.next_reset == datetime(2027, 4, 6, 13, tzinfo=UTC)
        assert (account.former_hash, account.former_ended_at) == (f"first acct{n}", DUE)
        assert account.session_epoch == 1
    async with store.reading() as connection:
        assert await reminders.count_resets(connection) == 7
        entries = await audit.entries(connection)
        assert await audit.verify(connection) is None
    assert {entry.action for _, entry in entries} == {"account reset"}
    assert "hash" not in str(entries)


async def test_two_hosts_reset_each_account_once(store: Store, database: str) -> None:
    for n in range(20):
        await add_account(store, f"acct{n}")
    other = await Store.open(database)
    clock = Hands()
    clock.moment = DUE
    hosts = [Resets(each, clock, PLAN, issue, batch=4) for each in (store, other)]
    await asyncio.gather(*(host.everything() for host in hosts))
    await asyncio.gather(*(settle(host.round) for host in hosts))
    await other.close()
    async with store.reading() as connection:
        assert await reminders.count_resets(connection) == 20
    assert {(await get(store, f"acct{n}")).session_epoch for n in range(20)} == {1}


async def test_while_one_host_is_at_it_the_other_does_not_even_hash(store: Store) -> None:
    await add_account(store, "acme")
    clock = Hands()
    clock.moment = DUE
    at_it, go_on = asyncio.Event(), asyncio.Event()

    async def slow(account_id: str) -> Credential:
        at_it.set()
        await go_on.wait()
        return await issue(account_id)

    async def never(account_id: str) -> Credential:
        raise AssertionError("hashed in vain")

    first = asyncio.create_task(Resets(store, clock, PLAN, slow).round())
    await at_it.wait()
    second = Resets(store, clock, PLAN, never)
    assert not await second.round()
    go_on.set()
    assert await first
    assert not await second.round()


async def test_a_host_that_died_is_waited_for_and_then_replaced(store: Store) -> None:
    await add_account(store, "acme")
    clock = Hands()
    clock.moment = DUE

    async def dies(account_id: str) -> Credential:
        raise Crash

    with pytest.raises(Crash):
        await Resets(store, clock, PLAN, dies).round()
    second = Resets(store, clock, PLAN, issue)
    assert not await second.round()
    clock.moment += timedelta(minutes=5)
    assert await second.round()
    assert (await get(store, "acme")).session_epoch == 1


async def test_a_reset_planned_for_another_date_does_nothing(store: Store) -> None:
    account = await add_account(store, "acme")
    stale = credentials.Reset(account.id, Credential("late"), DUE, DUE, due_at=DUE - timedelta(days=91))
    assert await store.write(credentials.reset, stale) is None
    assert (await get(store, "acme")).password_hash == "first acme"


async def test_one_that_was_asked_for_keeps_the_quarters_date(store: Store) -> None:
    account = await add_account(store, "acme")
    asked = credentials.Reset(account.id, Credential("new"), NOW, account.next_reset, actor="ann", origin="tty")
    before = await store.write(credentials.reset, asked)
    assert before is not None
    assert before.password_hash == "first acme"
    assert (await get(store, "acme")).next_reset == DUE
    async with store.reading() as connection:
        [(_, entry)] = await audit.entries(connection)
    assert (entry.actor, entry.origin, entry.subject) == ("ann", "tty", "acme")


async def test_an_account_keeps_its_own_rhythm_and_a_broken_one_is_that_of_all(store: Store) -> None:
    clock = Hands()
    await add_account(store, "own", rotation_rule="second monday monthly 09:00")
    await add_account(store, "broken", rotation_rule="whenever")
    clock.moment = DUE
    await settle(Resets(store, clock, PLAN, issue).round)
    assert (await get(store, "own")).next_reset == datetime(2027, 1, 11, 13, tzinfo=UTC)
    assert (await get(store, "broken")).next_reset == datetime(2027, 4, 6, 13, tzinfo=UTC)


async def test_after_a_long_outage_one_reset_is_enough(store: Store) -> None:
    await add_account(store, "acme")
    clock = Hands()
    clock.moment = DUE + timedelta(days=200)
    await settle(Resets(store, clock, PLAN, issue).round)
    account = await get(store, "acme")
    assert account.session_epoch == 1
    assert account.next_reset is not None
    assert account.next_reset > clock.moment


# -- reminders -------------------------------------------------------------------------------------------------------


async def walk(store: Store, clock: Hands, until: datetime = DUE + timedelta(days=1)) -> None:
    """Let time pass, with a round of everything before and after each moment at which something may happen."""
    resets, told = Resets(store, clock, PLAN, issue), Reminders(store, clock, PLAN)
    moments = (due - timedelta(days=days) for due in (DUE, DUE_IN_TOKYO) for days in (14, 7, 1, 0, -1))
    steps = (moment + timedelta(minutes=minutes) for moment in moments for minutes in (-1, 0, 60))
    for clock.moment in sorted(step for step in steps if clock.moment < step <= until):
        await settle(resets.round)
        await settle(told.round)


async def test_22_each_contact_is_reminded_three_times_in_one_digest_and_told_afterwards(store: Store) -> None:
    known = [await add_account(store, f"acct{n}") for n in range(3)]
    await add_contact(store, "reseller", *known)
    await add_contact(store, "one", known[0])
    await walk(store, Hands())
    everything = [each.login for each in known]
    assert sorted(await mails(store), key=str) == sorted(
        [
            *(("one@example.com", "reminder", days, ["acct0"]) for days in (14, 7, 1)),
            *(("reseller@example.com", "reminder", days, everything) for days in (14, 7, 1)),
            ("one@example.com", "reset", None, ["acct0"]),
            ("reseller@example.com", "reset", None, everything),
        ],
        key=str,
    )


async def test_regions_of_one_date_share_a_digest_and_each_resets_in_its_own_morning(store: Store) -> None:
    home, far = await add_account(store, "home"), await add_account(store, "far", region="Japan")
    assert (home.next_reset, far.next_reset) == (DUE, DUE_IN_TOKYO)
    await add_contact(store, "both", home, far)
    await walk(store, Hands())
    assert sorted(await mails(store), key=str) == sorted(
        [
            *(("both@example.com", "reminder", days, ["far", "home"]) for days in (14, 7, 1)),
            ("both@example.com", "reset", None, ["far"]),
            ("both@example.com", "reset", None, ["home"]),
        ],
        key=str,
    )


async def test_only_designated_contacts_of_current_accounts_are_reminded(store: Store) -> None:
    acme = await add_account(store, "acme")
    shut = await add_account(store, "shut", state=AccountState.DISABLED)
    ended = await add_account(store, "ended", agreement_ends=date(2026, 12, 1))
    await add_contact(store, "reader", acme, access=Access.READ_ONLY)
    await add_contact(store, "shut", shut)
    await add_contact(store, "ended", ended)
    left = await add_contact(store, "left", acme)
    known = await store.write(one_by_one(lambda tx, item: contacts.remove(tx, item, NOW)), left.id)
    assert [account.login for account in known] == ["acme"]
    await walk(store, Hands())
    assert await mails(store) == []


async def test_after_an_outage_only_the_latest_stage_is_sent(store: Store) -> None:
    await add_contact(store, "ann", await add_account(store, "acme"))
    clock = Hands()
    clock.moment = DUE - timedelta(hours=20)
    await settle(Reminders(store, clock, PLAN).round)
    await walk(store, clock, DUE - timedelta(hours=1))
    assert await mails(store) == [("ann@example.com", "reminder", 1, ["acme"])]


async def test_two_hosts_and_small_batches_send_no_digest_twice(store: Store, database: str) -> None:
    known = [await add_account(store, f"acct{n:02}") for n in range(20)]
    people = [await add_contact(store, f"person{n}", *known[n:]) for n in range(5)]
    other = await Store.open(database)
    clock = Hands()
    clock.moment = DUE - timedelta(days=14)
    rounds = [Reminders(each, clock, PLAN, batch=3).round for each in (store, other)]
    await asyncio.gather(*(settle(each) for each in rounds))
    sent = await mails(store)
    assert sorted(to for to, *_ in sent) == [person.email for person in people]
    assert {len(logins) for *_, logins in sent} == {20, 19, 18, 17, 16}, "each digest lists all of its contact"
    clock.moment = DUE
    await settle(Resets(other, clock, PLAN, issue, batch=3).round)
    await asyncio.gather(*(settle(each) for each in rounds))
    await other.close()
    told = [logins for _, template, _, logins in await mails(store) if template == "reset"]
    assert sorted(len(logins) for logins in told) == [16, 17, 18, 19, 20]


async def test_a_crash_before_the_commit_sends_later_and_none_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_contact(store, "ann", await add_account(store, "acme"))
    clock = Hands()
    clock.moment = DUE - timedelta(days=14)
    told = Reminders(store, clock, PLAN)

    async def dies(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr(store, "write", dies)
        with pytest.raises(Crash):
            await told.round()
    assert await mails(store) == []
    await settle(told.round)
    await settle(told.round)
    assert len(await mails(store)) == 1


async def test_the_world_is_told_of_each_stage_and_each_reset(store: Store) -> None:
    await add_account(store, "acme")
    await walk(store, Hands())
    await store.write(one_by_one(outbox.route), outbox.Routing(DUE, lambda kind: ["hook"]))
    async with store.reading() as connection:
        told = [each.event for each in await outbox.listed(connection)]
    assert [(event.type.value, event.payload.get("days")) for event in told if event] == [
        ("password.reset_due", 14),
        ("password.reset_due", 7),
        ("password.reset_due", 1),
        ("password.reset", None),
    ]


async def test_a_reset_that_somebody_asked_for_is_told_to_the_contacts(store: Store) -> None:
    account = await add_account(store, "acme")
    await add_contact(store, "ann", account)
    clock = Hands()
    asked = credentials.Reset(account.id, Credential("new"), NOW, account.next_reset)
    await store.write(credentials.reset, asked)
    await settle(Reminders(store, clock, PLAN).round)
    await settle(Reminders(store, clock, PLAN).round)
    assert await mails(store) == [("ann@example.com", "reset", None, ["acme"])]


def test_the_calendar_lists_each_reset_with_its_own_uid() -> None:
    def account(n: int, due: datetime | None) -> Account:
        return Account(f"id{n}", f"acct{n}", "S", "E", None, AccountState.ACTIVE, None, "x", NOW, due)

    listed: Sequence[Account] = [account(1, DUE), account(2, DUE + timedelta(days=91)), account(3, None)]
    text = PLAN.as_calendar(listed, NOW, "files.example.com")
    assert text.count("BEGIN:VEVENT") == 2
    assert "UID:id1-20270105@files.example.com" in text
    assert local_day(DUE, SAINT_JOHN) == date(2027, 1, 5)
