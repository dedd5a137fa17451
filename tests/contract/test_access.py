"""Who gets in over FTPS, who does not, what each is told, and who must go: with a real store and real argon2id."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.access import Access, Admitted, Hashing, Issuer, Limits, Parameters, Peer
from gateway.domain.calendar import Place, Places
from gateway.domain.ids import new_id
from gateway.domain.records import Account, AccountState
from gateway.domain.replies import Refusal, Reply
from gateway.domain.throttle import Limit
from gateway.store import Store, accounts, audit, bans, credentials, one_by_one
from gateway.tally import Board, Tally

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DUE = datetime(2027, 1, 5, 14, tzinfo=UTC)
PEER = Peer("192.0.2.7", "FileZilla", "TLSv1.3")
STRANGER = Peer("198.51.100.9")


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment, self.seconds = NOW, 0.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, by: timedelta) -> None:
        self.moment += by
        self.seconds += by.total_seconds()


class Site:
    """A store with one account, and any number of doors to it, each as good as a process of its own."""

    def __init__(self, store: Store) -> None:
        self.store, self.clock = store, Hands()
        self.doors: list[Access] = []
        self.hashing = Hashing(Parameters(memory=64, passes=1), threads=2)
        self.issuer = Issuer(self.hashing)
        place = Place(ZoneInfo("America/Moncton"), telephones=("888-369-5555",))
        self.places = Places(by_region={"north america": place})
        self.limits = Limits(Limit(8, timedelta(minutes=15)), Limit(5, timedelta(minutes=15)))

    def door(self) -> Access:
        self.doors.append(Access(self.store, self.hashing, self.clock, self.places, self.limits))
        return self.doors[-1]

    def processes(self, count: int) -> list[Access]:
        """The processes of one door: each hears what the others tell."""
        made: list[Access] = []
        board = Board(count)

        def teller(mine: int) -> Callable[[str], None]:
            return lambda word: [each.hear(word) for place, each in enumerate(made) if place != mine] and None

        for place in range(count):
            more = {"tally": Tally(board.fd, place, count), "tell": teller(place)}
            made.append(Access(self.store, self.hashing, self.clock, self.places, self.limits, **more))  # type: ignore[arg-type]
        board.close()
        self.doors += made
        return made

    async def add(self, login: str = "acme", **values: object) -> str:
        account_id = new_id()
        issued = await self.issuer.issue(account_id)
        account = Account(
            id=account_id,
            login=login,
            sold_to="Acme",
            end_user=login,
            region="North America",
            state=AccountState.ACTIVE,
            agreement_ends=None,
            password_hash=issued.credential.password_hash,
            password_set_at=NOW,
            next_reset=DUE,
            created_at=NOW,
        )
        await self.store.write(one_by_one(accounts.add), account)
        if values:
            await self.change(login, **values)
        return issued.password

    async def change(self, login: str = "acme", **values: object) -> None:
        account = await self.account(login)

        async def verb(tx: object, item: str) -> None:
            await accounts.change(tx, item, **values)  # type: ignore[arg-type]

        await self.store.write(one_by_one(verb), account.id)

    async def account(self, login: str = "acme") -> Account:
        async with self.store.reading() as connection:
            found = await accounts.by_login(connection, login)
        assert found is not None
        return found

    async def reset(self, overlap: timedelta | None = None) -> str:
        account = await self.account()
        issued = await self.issuer.issue(account.id)
        now = self.clock.now()
        until = None if overlap is None else now + overlap
        item = credentials.Reset(account.id, issued.credential, now, DUE + timedelta(days=91), overlap_until=until)
        assert await self.store.write(credentials.reset, item) is not None
        return issued.password

    async def refused(self, door: Access, login: str, password: str, peer: Peer = PEER) -> Reply:
        with pytest.raises(Refusal) as refusal:
            await door.login(login, password, peer)
        return refusal.value.reply


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    store = await Store.open(f"sqlite:///{tmp_path}/store.db")
    made = Site(store)
    yield made
    for door in made.doors:
        await door.close()
    await store.close()
    made.hashing.close()


async def test_the_230_says_when_the_password_ends(site: Site) -> None:
    password = await site.add()
    admitted = await site.door().login("acme", password, PEER)
    assert admitted.reply == Reply(230, ("Login successful. Password valid until 5 January 2027, 44 days.",))
    assert admitted.valid_until == DUE


async def test_every_answer_costs_the_same_two_verifications(site: Site) -> None:
    password = await site.add()
    disabled = await site.add("shut", state="disabled")
    former, present = password, await site.reset()
    for login, given in [
        ("acme", present), ("acme", "wrong"), ("nobody", "wrong"), ("shut", disabled), ("acme", former), ("nobody", ""),
    ]:  # fmt: skip
        before = site.hashing.verifications
        with suppress(Refusal):
            await site.door().login(login, given, PEER)
        assert site.hashing.verifications - before == 2, (login, given)


async def test_wrong_and_unknown_hear_the_same_words(site: Site) -> None:
    await site.add()
    door = site.door()
    wrong = await site.refused(door, "acme", "xxxx-xxxx")
    assert wrong == await site.refused(door, "nobody", "xxxx-xxxx")
    assert wrong == Reply(530, ("Login incorrect.",))


async def test_22_last_quarters_password_is_told_so_to_who_knows_it_exactly(site: Site) -> None:
    former = await site.add()
    site.clock.advance(timedelta(days=44))
    await site.reset()
    door = site.door()
    told = await site.refused(door, "acme", former)
    assert told.code == 530
    assert told.text.startswith("This password ended on 5 January 2027; ask one of your company's Designated Contacts")
    assert "888-369-5555" in told.text
    assert await site.refused(door, "acme", former[:-1]) == await site.refused(door, "nobody", former)


async def test_a_former_password_is_no_strike(site: Site) -> None:
    former = await site.add()
    await site.reset()
    door = site.door()
    for _ in range(20):
        assert "ended on" in (await site.refused(door, "acme", former)).text


async def test_in_the_overlap_the_former_password_works_and_says_so(site: Site) -> None:
    former = await site.add()
    present = await site.reset(overlap=timedelta(hours=72))
    door = site.door()
    admitted = await door.login("acme", former, PEER)
    assert admitted.with_former
    assert "Password valid until 25 November 2026, 3 days" in admitted.reply.text
    assert not (await door.login("acme", present, PEER)).with_former
    site.clock.advance(timedelta(hours=72))
    assert "ended on 25 November 2026" in (await site.refused(door, "acme", former)).text


async def test_a_disabled_account_says_what_a_wrong_password_hears(site: Site) -> None:
    password = await site.add(state="disabled")
    door = site.door()
    for count in (1, 2, 3):
        assert await site.refused(door, "acme", password) == Reply(530, ("Login incorrect.",))
        assert site.hashing.verifications == 2 * count, "never remembered: each costs what a wrong one costs"


async def test_the_right_password_after_the_agreement_is_told_whom_to_call(site: Site) -> None:
    password = await site.add(agreement_ends=date(2026, 11, 21))
    reply = await site.refused(site.door(), "acme", password)
    assert reply.code == 530
    assert "ended on 21 November 2026" in reply.text
    assert "888-369-5555" in reply.text
    assert await site.refused(site.door(), "acme", "wrong") == Reply(530, ("Login incorrect.",))


async def test_the_last_day_of_an_agreement_is_the_regions_own(site: Site) -> None:
    password = await site.add(agreement_ends=date(2026, 11, 22))
    site.clock.moment = datetime(2026, 11, 23, 3, 59, tzinfo=UTC)  # 23:59 in Saint John
    await site.door().login("acme", password, PEER)
    site.clock.advance(timedelta(minutes=1))
    await site.refused(site.door(), "acme", password)


async def test_ten_connections_pay_for_one_hash(site: Site) -> None:
    password = await site.add()
    door = site.door()
    await asyncio.gather(*(door.login("acme", password, PEER) for _ in range(10)))
    for _ in range(10):
        await door.login("acme", password, PEER)
    assert site.hashing.verifications == 2
    site.clock.advance(timedelta(minutes=6))
    await door.login("acme", password, PEER)
    assert site.hashing.verifications == 4


async def test_what_one_process_verified_costs_the_others_no_check(site: Site) -> None:
    password = await site.add()
    one, other = site.processes(2)
    await one.login("acme", password, PEER)
    assert site.hashing.verifications == 2
    await other.login("acme", password, PEER)
    assert site.hashing.verifications == 2
    await site.refused(one, "acme", "wrong", STRANGER)
    assert site.hashing.verifications == 4
    await site.refused(other, "acme", "wrong", STRANGER)
    assert site.hashing.verifications == 6, "a wrong one is never remembered"
    assert other.suspects(STRANGER.address)
    present = await site.reset()
    for door in (one, other):
        assert "ended on" in (await site.refused(door, "acme", password)).text
        await door.login("acme", present, PEER)
    site.clock.advance(timedelta(minutes=6))
    before = site.hashing.verifications
    await other.login("acme", present, PEER)
    assert site.hashing.verifications == before + 2, "nor for ever"


async def test_a_reset_ends_a_remembered_credential_at_once_in_every_process(site: Site) -> None:
    former = await site.add()
    doors = [site.door() for _ in range(3)]
    for door in doors:
        await door.login("acme", former, PEER)
    present = await site.reset()
    for door in doors:
        assert "ended on" in (await site.refused(door, "acme", former)).text
        await door.login("acme", present, PEER)


async def test_a_remembered_credential_does_not_outlive_a_disabled_account(site: Site) -> None:
    password = await site.add()
    door = site.door()
    await door.login("acme", password, PEER)
    await site.change(state="disabled")
    assert await site.refused(door, "acme", password) == Reply(530, ("Login incorrect.",))


async def test_guessing_bans_the_address_and_the_ban_ends(site: Site) -> None:
    password = await site.add()
    door = site.door()
    for guess in range(8):
        await site.refused(door, f"guess{guess}", "wrong", STRANGER)
    for login in ("acme", "nobody"):
        reply = await site.refused(site.door(), login, password, STRANGER)
        assert reply == Reply(421, ("Too many failed logins from your address; please wait 15 minutes.",))
    with pytest.raises(Refusal):
        await door.greet(STRANGER.address)
    await door.greet(PEER.address)
    verifications = site.hashing.verifications
    await site.refused(door, "acme", "wrong", STRANGER)
    assert site.hashing.verifications == verifications, "while banned nothing is verified"
    site.clock.advance(timedelta(minutes=15))
    await door.login("acme", password, STRANGER)


async def test_a_locked_login_is_audited_told_to_the_world_and_liftable(site: Site) -> None:
    password = await site.add()
    door = site.door()
    for _ in range(5):
        await site.refused(door, "acme", "wrong", STRANGER)
    reply = await site.refused(door, "acme", password, Peer("203.0.113.5"))
    assert reply == Reply(530, ("Too many failed logins for this name; please wait 15 minutes.",))
    async with site.store.reading() as connection:
        assert [ban.subject for ban in await bans.active(connection, site.clock.now())] == ["login acme"]
        assert [entry.action for _, entry in await audit.entries(connection)] == ["ban"]
    assert await site.store.write(one_by_one(bans.forgive), "login acme")
    await door.login("acme", password, STRANGER)


async def test_unknown_names_are_locked_in_the_same_words(site: Site) -> None:
    door = site.door()
    for _ in range(5):
        await site.refused(door, "nobody", "wrong", STRANGER)
    assert "for this name" in (await site.refused(door, "nobody", "wrong", PEER)).text


async def test_a_strangers_guesses_do_not_lock_the_customer_out(site: Site) -> None:
    password = await site.add()
    door = site.door()
    await door.login("acme", password, PEER)
    await door.close()
    for _ in range(5):
        await site.refused(door, "acme", "wrong", STRANGER)
    await site.door().login("acme", password, PEER)


async def test_a_right_login_wipes_its_strikes(site: Site) -> None:
    password = await site.add()
    door = site.door()
    for _ in range(4):
        await site.refused(door, "acme", "wrong")
    await door.login("acme", password, PEER)
    async with site.store.reading() as connection:
        assert await bans.of(connection, "login acme") == {}
        assert (await bans.of(connection, "address 192.0.2.7"))["address 192.0.2.7"].score == 4


async def test_addresses_of_one_ipv6_subscriber_are_one(site: Site) -> None:
    door = site.door()
    for host in range(8):
        await site.refused(door, f"guess{host}", "wrong", Peer(f"2001:db8::{host:x}"))
    with pytest.raises(Refusal):
        await door.greet("2001:db8::ffff")
    await door.greet("2001:db8:0:1::1")


async def test_what_was_seen_of_a_client_is_kept(site: Site) -> None:
    password = await site.add()
    door = site.door()
    await door.login("acme", password, PEER)
    await site.refused(door, "acme", "wrong", STRANGER)
    await door.close()
    async with site.store.reading() as connection:
        seen = await accounts.activity(connection, (await site.account()).id)
    assert (seen["last_login_from"], seen["client"], seen["tls"]) == ("192.0.2.7", "FileZilla", "TLSv1.3")
    assert (seen["last_failure_from"], seen["last_failure"]) == ("198.51.100.9", "wrong password")


async def test_too_many_logins_at_once_are_asked_to_come_again(site: Site) -> None:
    site.hashing.close()
    site.hashing = Hashing(Parameters(memory=64, passes=1), threads=1, waiting=3)
    door, stuck, busy = site.door(), threading.Event(), asyncio.Semaphore(0)
    site.hashing._threads.submit(stuck.wait)

    async def refused(n: int) -> int:
        code = (await site.refused(door, f"name{n}", "wrong", Peer(f"192.0.2.{n}"))).code
        busy.release()
        return code

    answers = [asyncio.create_task(refused(n)) for n in range(10)]
    for _ in range(7):
        await busy.acquire()
    stuck.set()
    assert sorted(await asyncio.gather(*answers)) == [421] * 7 + [530] * 3


async def test_an_address_may_have_so_many_passwords_checked_a_minute(site: Site) -> None:
    password = await site.add()
    site.limits = Limits(Limit(1000, timedelta(minutes=15)), Limit(1000, timedelta(minutes=15)), checks_per_minute=6)
    door = site.door()
    await door.login("acme", password, PEER)
    for n in range(5):
        assert (await site.refused(door, f"name{n}", "wrong")).code == 530
    reply = await site.refused(door, "acme", "wrong")
    assert reply == Reply(421, ("Too many logins from your address; please try again in a minute.",))
    assert (await site.refused(door, "acme", "wrong", STRANGER)).code == 530
    await door.login("acme", password, PEER)
    site.clock.advance(timedelta(seconds=59))
    assert (await site.refused(door, "acme", "wrong")).code == 421
    site.clock.advance(timedelta(seconds=1))
    assert (await site.refused(door, "acme", "wrong")).code == 530


async def test_checks_are_counted_over_all_processes_and_by_whom_they_were_counted(site: Site) -> None:
    site.limits = Limits(Limit(1000, timedelta(minutes=15)), Limit(1000, timedelta(minutes=15)), checks_per_minute=4)
    one, other = site.processes(2)
    answers = [(await site.refused(door, f"name{n}", "wrong")).code for n in range(3) for door in (one, other)]
    assert answers == [530] * 4 + [421] * 2
    watch = asyncio.create_task(one.watch(dict, lambda key, reply: None, every=0.01))
    site.clock.advance(timedelta(seconds=60))
    await asyncio.sleep(0.1)  # one lets go of its two as time goes by, though nobody comes to it
    answers = [(await site.refused(other, f"name{n}", "wrong")).code for n in range(5)]
    assert answers == [530] * 4 + [421]
    watch.cancel()


async def test_a_login_and_a_password_of_any_kind_are_only_wrong(site: Site) -> None:
    door = site.door()
    for n, odd in enumerate(["", "a" * 10_000, "\0", "käse", "'; DROP TABLE accounts", "\udcff", "%s %n"]):
        reply = await site.refused(door, odd, odd, Peer(f"192.0.2.{n}"))
        assert reply == Reply(530, ("Login incorrect.",))


async def test_no_password_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    former = await site.add()
    present = await site.reset()
    door = site.door()
    await door.login("acme", present, PEER)
    await site.refused(door, "acme", former)
    await site.refused(door, "acme", "my-typing-mistake")
    for secret in (former, present, "my-typing-mistake"):
        assert secret not in caplog.text


# -- sessions that must end ------------------------------------------------------------------------------------------


async def ended(door: Access, **sessions: Admitted) -> dict[str, str]:
    return {name: reply.text for name, reply in (await door.ended(sessions)).items()}


async def test_22_a_reset_ends_the_sessions_before_it(site: Site) -> None:
    former = await site.add()
    door = site.door()
    session = await door.login("acme", former, PEER)
    assert await ended(door, session=session) == {}
    present = await site.reset()
    assert "was reset" in (await ended(door, session=session))["session"]
    assert await ended(door, session=await door.login("acme", present, PEER)) == {}


async def test_in_the_overlap_sessions_live_until_its_end(site: Site) -> None:
    former = await site.add()
    door = site.door()
    early = await door.login("acme", former, PEER)
    await site.reset(overlap=timedelta(hours=1))
    late = await door.login("acme", former, PEER)
    assert await ended(door, early=early, late=late) == {}
    site.clock.advance(timedelta(hours=1))
    assert set(await ended(door, early=early, late=late)) == {"early", "late"}


async def test_a_second_reset_ends_the_overlaps_sessions_too(site: Site) -> None:
    former = await site.add()
    door = site.door()
    await site.reset(overlap=timedelta(hours=1))
    session = await door.login("acme", former, PEER)
    site.clock.advance(timedelta(minutes=1))
    await site.reset(overlap=timedelta(hours=1))
    assert set(await ended(door, session=session)) == {"session"}


@pytest.mark.parametrize(
    "change, words",
    [({"state": "disabled"}, "was disabled"), ({"agreement_ends": date(2026, 11, 21)}, "agreement of this account")],
)
async def test_a_closed_account_ends_its_sessions(site: Site, change: dict[str, object], words: str) -> None:
    password = await site.add()
    door = site.door()
    session = await door.login("acme", password, PEER)
    await site.change(**change)
    assert words in (await ended(door, session=session))["session"]


async def test_an_agreement_that_ends_tonight_ends_its_sessions_at_midnight(site: Site) -> None:
    password = await site.add(agreement_ends=date(2026, 11, 22))
    door = site.door()
    session = await door.login("acme", password, PEER)
    site.clock.moment = datetime(2026, 11, 23, 3, 59, tzinfo=UTC)
    assert await ended(door, session=session) == {}
    site.clock.advance(timedelta(minutes=1))
    assert set(await ended(door, session=session)) == {"session"}


async def test_the_watch_tells_every_door_and_survives_a_failing_store(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    former = await site.add()
    doors = [site.door() for _ in range(2)]
    told: asyncio.Queue[tuple[int, Reply]] = asyncio.Queue()
    sessions: list[Mapping[int, Admitted]] = [
        {n: await door.login("acme", former, PEER)} for n, door in enumerate(doors)
    ]

    def watch(n: int) -> asyncio.Task[None]:
        return asyncio.create_task(
            doors[n].watch(lambda: sessions[n], lambda key, reply: told.put_nowait((key, reply)), every=0.01)
        )

    monkeypatch.setattr(doors[0], "ended", None)
    watches = [watch(n) for n in range(2)]
    async with asyncio.timeout(20):
        while "could not look" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0)
        monkeypatch.undo()
        await site.reset()
        heard: set[int] = set()
        while heard != {0, 1}:
            key, reply = await told.get()
            assert reply.code == 421
            heard.add(key)
    for task in watches:
        task.cancel()
    await asyncio.gather(*watches, return_exceptions=True)
