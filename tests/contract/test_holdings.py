"""What the doctor and an import ask of the store, the same on every database."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from gateway.domain.ids import new_id
from gateway.domain.records import Access, Account, AccountState, Contact, Grant, Request
from gateway.store import Store, Transaction, accounts, audit, contacts, holdings, imports, one_by_one, requests
from gateway.store.accounts import Taken

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ENTRY = audit.Entry(NOON, "operator", "import", "crm.csv", {})

stage = one_by_one(imports.stage)
put_in_place = one_by_one(imports.put_in_place)
forget = one_by_one(imports.forget)


def account(login: str = "acme") -> Account:
    return Account(
        id=new_id(), login=login, sold_to="Acme", end_user=login, region=None, state=AccountState.ACTIVE,
        agreement_ends=None, password_hash="hash", password_set_at=NOON, next_reset=NOON, created_at=NOON,
    )  # fmt: skip


def row(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}  # type: ignore[attr-defined]


async def test_an_empty_store_holds_nothing_and_balances(store: Store) -> None:
    async with store.reading() as connection:
        assert await holdings.sealed(connection, None) == []
        assert await holdings.partials(connection, None) == []
        assert await holdings.elsewhere(connection, new_id()) == 0
        assert await holdings.ledger(connection) == holdings.Ledger({}, 0, 0, 0, 0, 0)
        assert await holdings.waiting(connection, NOON) == holdings.Waiting(0, 0, 0, 0)
        assert await holdings.damage(connection) is None


async def test_what_is_staged_is_seen_all_at_once(store: Store) -> None:
    old, new = account("old"), account("new")
    person = Contact(new_id(), "ann@example.com", "Ann", NOON)

    async def prepare(tx: Transaction, item: None) -> None:
        await accounts.add(tx, old)

    await store.write(one_by_one(prepare), None)
    number = {"customer_responded_at": None, "follow_up_off_until": None}
    request = Request("12345", new.id, "Open", "New", None, None, NOON, NOON)
    change = {
        "id": old.id, "sold_to": "Acme", "end_user": "old", "region": "North", "agreement_ends": date(2020, 1, 1),
        "state": "disabled", "next_reset": None, "session_epoch": 1,
    }  # fmt: skip
    for batch in (
        imports.Batch("i1", "accounts", 0, imports.Step.ADD, [row(new)]),
        imports.Batch("i1", "accounts", 1, imports.Step.CHANGE, [change]),
        imports.Batch("i1", "contacts", 2, imports.Step.ADD, [row(person)]),
        imports.Batch("i1", "requests", 3, imports.Step.ADD, [row(request) | number]),
        imports.Batch(
            "i1", "grants", 4, imports.Step.ADD, [row(Grant(person.id, new.id, Access.READ_WRITE, None, "Joe", NOON))]
        ),
    ):
        await store.write(stage, batch)
    async with store.reading() as connection:
        assert [each.login for each in await accounts.everything(connection)] == ["old"]
        assert await imports.left_over(connection) == ["i1"]
    await store.write(put_in_place, ("i1", ENTRY))
    assert await store.write(forget, ("i1", 100)) == 5
    async with store.reading() as connection:
        changed, added = sorted(await accounts.everything(connection), key=lambda each: each.login != "old")
        assert (changed.region, changed.state, changed.agreement_ends) == ("North", "disabled", date(2020, 1, 1))
        assert (changed.password_hash, changed.next_reset, changed.session_epoch) == ("hash", NOON, 1)
        assert added == new
        assert await requests.by_number(connection, "12345") == request
        assert [grant.approved_by for _, grant in await contacts.holders(connection, new.id)] == ["Joe"]
        assert await audit.verify(connection) is None
        assert await imports.left_over(connection) == []


async def test_a_grant_is_removed_and_its_neighbours_stay(store: Store) -> None:
    known, people = [account("one"), account("two")], [Contact(new_id(), f"{n}@example.com", n, NOON) for n in "ab"]

    async def prepare(tx: Transaction, item: None) -> None:
        for each in known:
            await accounts.add(tx, each)
        for person in people:
            await contacts.add(tx, person)
            for each in known:
                await contacts.grant(tx, Grant(person.id, each.id, Access.READ_ONLY, None, None, NOON))

    await store.write(one_by_one(prepare), None)
    gone = row(Grant(people[0].id, known[1].id, Access.READ_ONLY, None, None, NOON))
    await store.write(stage, imports.Batch("i1", "grants", 0, imports.Step.REMOVE, [gone]))
    await store.write(put_in_place, ("i1", ENTRY))
    async with store.reading() as connection:
        left = {(each.contact_id, each.account_id) for each in await contacts.all_grants(connection)}
    assert left == {(person.id, each.id) for person in people for each in known} - {(people[0].id, known[1].id)}


async def test_what_another_hand_added_meanwhile_stops_all_of_it(store: Store) -> None:
    first, second = account("acme"), account("acme")
    await store.write(stage, imports.Batch("i1", "accounts", 0, imports.Step.ADD, [row(account("beta")), row(second)]))

    async def prepare(tx: Transaction, item: None) -> None:
        await accounts.add(tx, first)

    await store.write(one_by_one(prepare), None)
    with pytest.raises(Taken, match="meanwhile"):
        await store.write(put_in_place, ("i1", ENTRY))
    async with store.reading() as connection:
        assert [each.id for each in await accounts.everything(connection)] == [first.id]
        assert await audit.entries(connection) == []
