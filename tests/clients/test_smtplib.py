"""Python's own mail client against the mail door."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from gateway.config.smtp import Smtp
from gateway.domain.records import Access, Visibility
from gateway.testing.mail_door import REGION, MailDoor, mail_door


@pytest.fixture
def door(tmp_path: Path) -> Iterator[MailDoor]:
    """A door with Eva (read-write), Rita (read-only), an open and a closed SR of theirs, and one of another company."""
    with mail_door(tmp_path, Smtp(max_message_size=8 << 20)) as opened:
        acme, other = opened.add_account("acme"), opened.add_account("other")
        opened.add_contact("eva@example.com", acme)
        opened.add_contact("rita@example.com", acme, access=Access.READ_ONLY)
        opened.add_contact("oscar@example.net", other)
        opened.add_sr("12345", acme)
        opened.add_sr("777", acme, "Closed", "Problem Resolved")
        opened.add_sr("888", other)
        yield opened


def mail(
    subject: str, sender: str = "Eva Example <eva@example.com>", body: str = "It happened again.\n"
) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, REGION.alias, subject
    message["Message-ID"] = f"<{abs(hash((subject, sender, body)))}@client.example.com>"
    message.set_content(body)
    return message


def wire(message: EmailMessage) -> bytes:
    return message.as_bytes(policy=SMTP)


def send(door: MailDoor, message: EmailMessage, *, tls: bool = False) -> tuple[int, str]:
    """The reply at the end of the data."""
    with smtplib.SMTP(*door.address, local_hostname="client.example.com", timeout=30) as client:
        client.ehlo()
        if tls:
            client.starttls()
            client.ehlo()
        client.mail("bounces@example.com")
        client.rcpt(REGION.alias)
        code, text = client.data(wire(message))
        return code, text.decode()


@pytest.mark.parametrize("tls", [False, True])
def test_a_designated_contacts_mail_is_filed_private_and_kept_byte_for_byte(door: MailDoor, tls: bool) -> None:
    message = mail("Re: SR# 12345 router down")
    code, text = send(door, message, tls=tls)
    assert code == 250
    [update] = door.updates("12345")
    assert text == f"2.6.0 Filed under SR 12345; receipt {update.id}"
    assert (update.visibility, update.sender, update.sr) == (Visibility.PRIVATE, "eva@example.com", "12345")
    assert update.subject == "Re: SR# 12345 router down"
    assert door.raw(update.mail_id) == wire(message)


def test_a_large_mail_goes_to_the_spool_byte_for_byte(door: MailDoor) -> None:
    message = mail("SR# 12345 log", body="0123456789abcdef" * 4 + "\n" + ".dots\n..and dots\n" * 60_000)
    code, _ = send(door, message)
    assert code == 250
    [update] = door.updates("12345")
    assert door.ledger()[-1]["kept"] == "spool"
    assert door.raw(update.mail_id) == wire(message)


@pytest.mark.parametrize(
    "message",
    [
        mail("Router down, please open a new SR"),
        mail("SR# 99999 unknown"),
        mail("SR# 888 foreign"),
        mail("SR# 777 closed"),
        mail("SR# 12345 from a reader", "rita@example.com"),
        mail("SR# 12345 from a stranger", "mallory@example.org"),
        mail("About SR# 12345"),
    ],
    ids=lambda message: str(message["Subject"]),
)
def test_what_can_not_be_filed_is_refused_with_web_form_and_telephone(door: MailDoor, message: EmailMessage) -> None:
    code, text = send(door, message)
    assert code == 550
    assert REGION.web in text
    assert REGION.phone[0] in text
    assert door.updates("12345") == door.updates("777") == door.updates("888") == []
    [row] = door.ledger()
    assert (row["outcome"], row["kept"], row["sequence"]) == ("refused", "none", 1)


def test_unknown_foreign_closed_and_unwritable_srs_are_refused_in_the_same_words(door: MailDoor) -> None:
    said = {
        send(door, mail("SR# 99999")),
        send(door, mail("SR# 888")),
        send(door, mail("SR# 777")),
        send(door, mail("SR# 12345", "rita@example.com")),
        send(door, mail("SR# 12345", "mallory@example.org")),
        send(door, mail("SR# 888", "mallory@example.org")),
    }
    assert len(said) == 1


def test_one_message_twice_is_one_update_and_250_both_times(door: MailDoor) -> None:
    message = mail("SR# 12345 once")
    first, again = send(door, message), send(door, message)
    assert first == again
    assert first[0] == 250
    assert len(door.updates("12345")) == 1
    assert [row["outcome"] for row in door.ledger()] == ["filed", "repeated"]


def test_too_large_a_mail_is_refused_and_ftps_recommended(door: MailDoor) -> None:
    code, text = send(door, mail("SR# 12345 core", body="x" * 70 + "\n" + "y" * 100_000 * 90))
    assert code == 552
    assert "FTPS" in text
    assert "gateway.example.com" in text
    assert door.ledger()[-1]["reason"] == "too-large"


def test_the_ledger_has_no_gap(door: MailDoor) -> None:
    for number in range(12):
        send(door, mail(f"SR# {12345 if number % 2 else 99999} mail {number}"))
    rows = door.ledger()
    assert [row["sequence"] for row in rows] == list(range(1, 13))
    assert len({row["run"] for row in rows}) == 1


def test_nobody_waits_for_a_session_that_says_nothing(tmp_path: Path) -> None:
    with mail_door(tmp_path, Smtp(command_timeout=timedelta(seconds=1))) as door, smtplib.SMTP(*door.address) as client:
        assert client.getreply()[0] == 421
