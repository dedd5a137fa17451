"""What a filed mail sets in motion: events, an answered SR, the moment when somebody reads it; and what does not."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from gateway.config.smtp import Smtp
from gateway.domain.events import timestamp
from gateway.domain.records import Request
from gateway.store import Store, updates
from gateway.store.requests import by_number
from gateway.store.tables import deliveries, events, requests
from gateway.testing.mail_door import REGION, MailDoor, mail_door


@pytest.fixture
def door(state: Any) -> Iterator[MailDoor]:
    with mail_door(state, Smtp(closed_mail="file-marked")) as opened:
        acme = opened.add_account()
        opened.add_contact("eva@example.com", acme)
        opened.add_sr("12345", acme)
        opened.add_sr("2", acme, "Awaiting Information", "Info Required from Customer")
        opened.add_sr("3", acme, "Solution Proposed", "Replied")
        opened.add_sr("4", acme, "Closed", "Problem Resolved")
        yield opened


def send(door: MailDoor, sr: str, header: str = "", sender: str = "eva@example.com") -> None:
    raw = f"From: eva@example.com\r\nSubject: SR# {sr}\r\n{header}\r\ntext\r\n"
    with smtplib.SMTP(*door.address, timeout=30) as client:
        client.sendmail(sender, ["support@example.com"], raw)


def rows(door: MailDoor, query: Any) -> list[dict[str, Any]]:
    async def read(store: Store) -> list[dict[str, Any]]:
        async with store.reading() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    return door.run(read)


def happened(door: MailDoor) -> list[dict[str, Any]]:
    return rows(door, select(events).order_by(events.c.sequence))


def test_an_update_is_announced_with_the_moment_at_which_somebody_reads_it(door: MailDoor) -> None:
    send(door, "12345")
    [update] = door.updates("12345")
    [event] = happened(door)
    moment = door.config.next_business_moment(REGION.name, update.received_at)
    assert moment is not None
    assert (event["type"], event["ordering"]) == ("update.filed", "sr 12345")
    assert event["payload"] == {
        "sr": "12345",
        "at": timestamp(update.received_at),
        "update": update.id,
        "account": event["payload"]["account"],
        "sender": "eva@example.com",
        "subject": "SR# 12345",
        "marks": ["unverified"],
        "visibility": "private",
        "next_business_moment": timestamp(moment),
    }


@pytest.mark.parametrize("sr", ["2", "3"])
def test_an_sr_that_waits_for_its_customer_has_its_answer(door: MailDoor, sr: str) -> None:
    send(door, sr)
    assert [event["type"] for event in happened(door)] == ["update.filed", "customer_responded"]
    [row] = rows(door, select(requests).where(requests.c.number == sr))
    assert row["customer_responded_at"] == door.updates(sr)[0].received_at
    assert row["status"] in ("Awaiting Information", "Solution Proposed"), "an analyst decides what it becomes"


@pytest.mark.parametrize("header, sender", [("Auto-Submitted: auto-replied\r\n", "eva@example.com"), ("", "")])
def test_smtp_17_automatic_mail_is_marked_and_is_no_answer_and_gets_none(
    door: MailDoor, header: str, sender: str
) -> None:
    send(door, "2", header, sender)
    assert "automatic" in door.updates("2")[0].marks
    assert [event["type"] for event in happened(door)] == ["update.filed"]
    assert rows(door, select(deliveries)) == [], "nothing is sent to anybody"


def test_a_closed_sr_takes_marked_mail_where_the_rules_say_so(door: MailDoor) -> None:
    send(door, "4")
    assert "closed" in door.updates("4")[0].marks


def test_a_refusal_sets_nothing_in_motion(door: MailDoor) -> None:
    with pytest.raises(smtplib.SMTPDataError):
        send(door, "99999")
    assert happened(door) == []
    assert rows(door, select(deliveries)) == []


def test_automatic_mail_is_refused_where_that_is_asked_for_with_both_telephones(state: Any) -> None:
    with mail_door(state, Smtp(automatic_mail="refuse")) as door:
        acme = door.add_account()
        door.add_contact("eva@example.com", acme)
        door.add_sr("12345", acme)
        send(door, "12345")
        with pytest.raises(smtplib.SMTPDataError) as refused:
            send(door, "12345", "Auto-Submitted: auto-replied\r\n")
        assert REGION.phone[0] in str(refused.value)
        assert str(REGION.after_hours_phone) in str(refused.value)
        assert len(door.updates("12345")) == 1


def test_a_move_of_automatic_mail_is_no_answer(door: MailDoor) -> None:
    send(door, "12345", "Auto-Submitted: auto-replied\r\n")
    send(door, "12345", "X-Other: y\r\n")
    automatic, written = door.updates("12345")
    for each in (automatic, written):
        [to] = door.run(lambda store: waiting(store))
        door.write(lambda tx, each=each, to=to: updates.move(tx, each, to, each.received_at, "moved"))  # type: ignore[misc]
    told = [event["payload"]["update"] for event in happened(door) if event["type"] == "customer_responded"]
    assert told == [written.id]


async def waiting(store: Store) -> list[Request]:
    async with store.reading() as connection:
        found = await by_number(connection, "2")
        assert found is not None
        return [found]
