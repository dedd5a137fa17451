"""The events' JSON Schemas: one for every type, and every type's real event fits its own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.access import Access, Hashing, Limits, Parameters, Peer
from gateway.domain.events import EventType
from gateway.domain.ids import new_id
from gateway.domain.records import Account, AccountState, Outcome, Request
from gateway.domain.replies import Refusal
from gateway.domain.throttle import Limit
from gateway.intake import Intake, Source
from gateway.outbox.webhook import envelope
from gateway.rotation import Plan, Reminders
from gateway.spool import Spool
from gateway.store import Store, Transaction, accounts, credentials, one_by_one, outbox, requests, updates
from gateway.store.tables import mails
from gateway.testing import FakeClock

DOCS = Path(__file__).parents[2] / "docs/events"


def mistakes(value: Any, schema: dict[str, Any], where: str = "event") -> list[str]:
    """What is wrong with *value*, by the part of JSON Schema that the documents use."""
    names = schema.get("type", [])
    kinds = {"string": str, "integer": int, "array": list, "object": dict, "null": type(None)}
    wanted = [names] if isinstance(names, str) else names
    unknown = set(schema) - {
        "$schema", "$id", "title", "description", "type", "const", "enum", "pattern", "format", "minimum", "items",
        "required", "properties", "additionalProperties",
    }  # fmt: skip
    assert not unknown, f"the test does not know {unknown}"
    if wanted and not any(type(value) is kinds[name] for name in wanted):
        return [f"{where} is a {type(value).__name__}"]
    found = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{where} is {value}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where} is {value}")
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append(f"{where} is {value!r}")
        if schema.get("format") == "date-time" and datetime.fromisoformat(value).tzinfo is None:
            found.append(f"{where} has no zone")
    if isinstance(value, list):
        found += [line for each in value for line in mistakes(each, schema["items"], f"{where}[]")]
    if isinstance(value, int) and value < schema.get("minimum", value):
        found.append(f"{where} is {value}")
    if isinstance(value, dict) and "properties" in schema:
        found += [f"{where} has no {name}" for name in schema["required"] if name not in value]
        for name, each in value.items():
            if name in schema["properties"]:
                found += mistakes(each, schema["properties"][name], f"{where}.{name}")
            else:
                found.append(f"{where}.{name} is not documented")
    return found


def test_every_type_has_a_schema_and_stands_on_the_page() -> None:
    page = (DOCS / "README.md").read_text()
    assert {path.stem for path in DOCS.glob("*.json")} == {kind.value for kind in EventType}
    assert all(f"[`{kind.value}`]({kind.value}.json)" in page for kind in EventType)


def test_the_check_itself_finds_mistakes() -> None:
    schema = json.loads((DOCS / "password.reset_due.json").read_text())
    assert mistakes(
        {"type": "x", "timestamp": "2027-01-05T10:00:00", "id": 5, "data": {"days": 3, "odd": 1}}, schema
    ) == [
        "event.type is x",
        "event.timestamp has no zone",
        "event.id is a int",
        *(f"event.data has no {name}" for name in ("at", "account", "sold_to", "end_user", "region", "due")),
        "event.data.days is 3",
        "event.data.odd is not documented",
    ]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(f"sqlite:///{tmp_path}/store.db")
    yield opened
    await opened.close()


async def test_real_events_fit_their_schemas(store: Store, tmp_path: Path) -> None:
    clock = FakeClock()
    now = clock.now()
    due = now + timedelta(days=10)
    account = Account(
        new_id(), "acme", "Acme", "Globex", None, AccountState.ACTIVE, None, "x", now, due, created_at=now
    )

    async def begin(tx: Transaction, _: None) -> None:
        await accounts.add(tx, account)
        for number in ("12345", "777"):
            await requests.add(tx, Request(number, account.id, "Awaiting Information", None, None, None, now, now))

    await store.write(one_by_one(begin), None)
    await tell_of_updates(store, account, now)
    await tell_of_files(store, account, tmp_path, clock)
    await tell_of_passwords(store, account, clock, due)
    await store.write(one_by_one(outbox.route), outbox.Routing(now, lambda kind: ["hook"]))
    async with store.reading() as connection:
        told = [envelope(each.event) for each in await outbox.listed(connection) if each.event]
    assert {event["type"] for event in told} == {kind.value for kind in EventType}
    for event in told:
        schema = json.loads((DOCS / f"{event['type']}.json").read_text())
        assert mistakes(json.loads(json.dumps(event)), schema) == []


async def tell_of_updates(store: Store, account: Account, now: datetime) -> None:
    mail_id, update_id = new_id(), new_id()

    async def step(tx: Transaction, _: None) -> None:
        await tx.execute(
            mails.insert().values(
                id=mail_id, run=new_id(), sequence=1, received_at=now, envelope_from="ann@example.com", recipients=[],
                size=1, kept="none", outcome=Outcome.FILED.value, code=250, marks=[],
            )
        )  # fmt: skip
        later = now + timedelta(hours=12)
        new = updates.New(
            update_id,
            mail_id,
            "12345",
            account.id,
            "ann@example.com",
            "logs",
            now,
            ("after-hours",),
            True,
            later,
            "text",
        )
        await updates.file(tx, [new])
        filed = await updates.by_id(tx, update_id)
        other = await requests.by_number(tx, "777")
        assert filed is not None
        assert other is not None
        await updates.publish(tx, filed, now)
        await updates.move(tx, filed, other, now, "moved")

    await store.write(one_by_one(step), None)


async def tell_of_files(store: Store, account: Account, tmp_path: Path, clock: FakeClock) -> None:
    loop = asyncio.get_running_loop()
    intake = Intake(store, Spool(tmp_path), clock, lambda work: asyncio.run_coroutine_threadsafe(work, loop))

    def send() -> None:
        for name, sr, end in (
            ("a", "12345", "whole"),
            ("b", None, "whole"),
            ("c", None, "cut"),
            ("d", "777", "damaged"),
        ):
            upload = intake.begin(Source(account.id, account.login, f"/{name}.zip", sr))
            upload.write(memoryview(name.encode() * 10))
            if end == "cut":
                upload.keep("no close_notify")
            else:
                upload.complete("close_notify", damaged=end == "damaged")

    await asyncio.to_thread(send)
    await asyncio.to_thread(intake.close)


async def tell_of_passwords(store: Store, account: Account, clock: FakeClock, due: datetime) -> None:
    await Reminders(store, clock, Plan()).round()
    hashing = Hashing(Parameters(memory=8, passes=1), threads=1)
    door = Access(store, hashing, clock, limits=Limits(per_login=Limit(1, timedelta(minutes=1))))
    with pytest.raises(Refusal):
        await door.login("acme", "wrong", Peer("192.0.2.1"))
    await door.close()
    hashing.close()
    for at, planned in ((clock.now(), None), (due, due)):
        item = credentials.Reset(account.id, credentials.Credential("new"), at, due, planned, at + timedelta(hours=1))
        assert await store.write(credentials.reset, item) is not None
