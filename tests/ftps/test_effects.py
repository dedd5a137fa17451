"""What an upload through the door sets in motion where its Service Request waits for the customer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from gateway.store import Store, one_by_one, requests
from gateway.store.tables import events
from gateway.store.tables import requests as requests_table
from gateway.testing.ftps import Customer, Door


def stands(door: Door, number: str, status: str, substatus: str) -> None:
    async def change(tx: Any, number: str) -> None:
        await requests.set_status(tx, number, status, substatus, datetime.now(UTC), closed=False)

    door.ask(lambda store: store.write(one_by_one(change), number))


def happened(door: Door) -> list[dict[str, Any]]:
    async def read(store: Store) -> list[dict[str, Any]]:
        async with store.reading() as connection:
            found = await connection.execute(select(events).order_by(events.c.sequence))
            return [dict(row) for row in found.mappings()]

    return door.ask(read)


def responded_at(door: Door, number: str) -> datetime | None:
    async def read(store: Store) -> datetime | None:
        async with store.reading() as connection:
            query = select(requests_table.c.customer_responded_at).where(requests_table.c.number == number)
            at: datetime | None = (await connection.execute(query)).scalar_one()
            return at

    return door.ask(read)


@pytest.mark.parametrize("path", ["SR-12345/logs.txt", "SR12345_logs.txt"], ids=["folder", "name"])
@pytest.mark.parametrize(
    "status, substatus",
    [("Awaiting Information", "Info Required from Customer"), ("Solution Proposed", "Replied")],
)
def test_an_upload_answers_an_sr_that_waits_for_its_customer(
    door: Door, acme: Customer, status: str, substatus: str, path: str
) -> None:
    stands(door, "12345", status, substatus)
    with door.client(acme) as client:
        client.put(path, b"the log that was asked for\n" * 1000)
    [version] = door.versions(acme)
    answers = [event for event in happened(door) if event["type"] == "customer_responded"]
    assert [event["ordering"] for event in answers] == ["sr 12345"]
    payload = answers[0]["payload"]
    assert {name: payload[name] for name in ("sr", "account", "status", "by", "file")} == {
        "sr": "12345",
        "account": acme.login,
        "status": status,
        "by": "file",
        "file": version.id,
    }
    assert responded_at(door, "12345") == version.ended_at


def test_only_what_is_complete_is_an_answer_and_only_where_one_is_awaited(door: Door, acme: Customer) -> None:
    def answers() -> int:
        return [event["type"] for event in happened(door)].count("customer_responded")

    with door.talk(acme) as talk:
        talk.put("SR-12345/early.txt", b"nobody asked")
        assert answers() == 0
        stands(door, "12345", "Awaiting Information", "Info Required from Customer")
        assert talk.cut("SR-12345/cut.txt", b"half of").startswith("426")
        assert answers() == 0, "half a file is no answer"
        talk.talk("C: REST 7\nS: 350 *")
        assert talk.put("SR-12345/cut.txt", b" it").startswith("226")
        talk.put("unfiled.txt", b"of no SR")
    assert answers() == 1
