"""What aiosmtpd and the field get wrong at the wire: shown not to happen here, each test named after its line."""

from __future__ import annotations

import contextlib
import inspect
import re
import smtplib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiosmtpd
import pytest

from gateway.config.smtp import Smtp, SmtpLimits
from gateway.domain.replies import Reply
from gateway.smtp.filing import Filing
from gateway.smtp.letter import Letter
from gateway.smtp.session import Session
from gateway.testing import Wire
from gateway.testing.mail_door import MailDoor, mail_door

HEADER = b"From: eva@example.com\r\nSubject: SR# 12345 x\r\n"


@pytest.fixture
def data(door: MailDoor) -> Iterator[Callable[[bytes], str]]:
    """Send a message's DATA, its end included; the reply to it."""
    connections: list[Wire] = []

    def send(raw: bytes) -> str:
        wire = Wire.connect(door.address)
        connections.append(wire)
        wire.reply()
        for line in ("EHLO c.example.com", "MAIL FROM:<eva@example.com>", "RCPT TO:<support@example.com>", "DATA"):
            assert wire.command(line)[0] in "23"
        wire.send_raw(raw)
        return "\n".join(wire.reply())

    yield send
    for wire in connections:
        wire.close()


def test_smtp_1_an_exception_is_451_with_a_number_and_never_its_text(
    door: MailDoor, data: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Filing, arrival: Any) -> Reply:
        raise ValueError("the secret path /var/lib")

    monkeypatch.setattr(Filing, "__call__", fail)
    reply = data(HEADER + b"\r\n.\r\n")
    assert re.fullmatch(r"451 4\.3\.0 .* \([0-9a-f]{8}\)", reply)
    assert "ValueError" not in reply
    assert "secret" not in reply
    monkeypatch.undo()
    assert data(HEADER + b"\r\nafter it\r\n.\r\n").startswith("250")


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
@pytest.mark.parametrize("where", ["gateway.smtp.filing.look", "gateway.smtp.filing.Filing._update"])
def test_smtp_14_a_message_that_we_fail_over_twice_is_held_and_not_deferred_for_ever(
    door: MailDoor, data: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch, where: str, size: int
) -> None:
    def fail(*arguments: Any) -> Any:
        raise ValueError("a defect of ours")

    def raw(received: bytes, word: bytes) -> bytes:
        return received + HEADER + b"Message-ID: <" + word + b"-%d@example.com>\r\n\r\n" % size + (word * size)[:size]

    poison, other = where[-4:].encode(), b"other" + where[-4:].encode()
    monkeypatch.setattr(where, fail)
    assert data(raw(b"", poison) + b"\r\n.\r\n").startswith("451 4.3.0 ")
    assert data(raw(b"", other) + b"\r\n.\r\n").startswith("451 4.3.0 "), "another one fails for the first time"
    second = raw(b"Received: from a relay\r\n", poison) + b"\r\n"
    assert data(second + b".\r\n").startswith("250 2.6.0 Received; a person will look at it; receipt ")
    monkeypatch.undo()
    held = door.ledger()[-1]
    assert (held["outcome"], held["reason"]) == ("quarantined", "defect")
    assert door.raw(held["id"]) == second
    assert {path.name.split(".")[1] for path in Path(door.folder).glob("files/*/*")} <= {
        row["id"] for row in door.ledger() if row["kept"] == "spool"
    }, "of what was deferred nothing is kept"
    assert data(raw(b"", other) + b"\r\n.\r\n").startswith("250 2.6.0 Filed"), "what fails no more is filed"


def test_smtp_14_what_another_process_failed_over_is_held_here_as_well(
    door: MailDoor, data: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*arguments: Any) -> Any:
        raise ValueError("a defect of ours")

    poison = HEADER + b"Message-ID: <poison@example.com>\r\n\r\nThe same to both.\r\n"
    monkeypatch.setattr("gateway.smtp.filing.look", fail)
    assert data(poison + b".\r\n").startswith("451 4.3.0 ")
    words = [word for word in door.said if word.startswith("failed ")]
    assert words
    assert all(re.fullmatch("failed [0-9a-f]{64}", word) for word in words), (
        "no word of a customer's, and none too long"
    )
    with mail_door(tmp_path) as other, smtplib.SMTP(*other.address, timeout=30) as client:
        for word in words:
            other.hear(word)
        code, said = client.docmd("NOOP")  # by now it has heard
        assert code == 250, said
        client.sendmail("eva@example.com", ["support@example.com"], poison)
        [held] = other.ledger()
        assert (held["outcome"], held["reason"]) == ("quarantined", "defect")


def test_smtp_14_what_we_failed_over_is_not_held_for_the_stores_sake(
    door: MailDoor, data: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Filing, tx: Any, items: Any) -> Any:
        raise OSError("the disk of the store is full")

    raw = HEADER + b"Message-ID: <again@example.com>\r\n\r\nthrice\r\n.\r\n"
    monkeypatch.setattr(Filing, "settle", fail)
    for _ in range(3):
        assert data(raw).startswith("451 4.3.0 ")
    monkeypatch.undo()
    assert data(raw).startswith("250 2.6.0 Filed")


@pytest.mark.parametrize("to", ["postmaster", "Postmaster@example.com", "POSTMASTER@gateway.example.com"])
def test_the_postmaster_has_mail_and_it_is_held_whatever_it_says(state: Path, to: str) -> None:
    """RFC 5321 section 4.5.1."""
    with mail_door(state, Smtp(limits=SmtpLimits(postmaster=2))) as door:
        acme = door.add_account()
        door.add_contact("eva@example.com", acme)
        door.add_sr("12345", acme)
        with Wire.connect(door.address) as wire:
            wire.reply()
            wire.command("EHLO c.example.com")
            for sender, expected in (("", "250 "), ("eva@example.com", "250 "), ("", "452 4.2.2 ")):
                wire.command(f"MAIL FROM:<{sender}>")
                assert wire.command(f"RCPT TO:<{to}>").startswith("250 2.1.5")
                wire.command("DATA")
                wire.send_raw(HEADER + b"\r\n" + sender.encode() + b"\r\n.\r\n")
                assert wire.reply()[-1].startswith(expected)
            wire.command("MAIL FROM:<eva@example.com>")
            assert wire.command("RCPT TO:<postmaster@example.org>").startswith("550 5.1.1"), "nobody's but ours"
            wire.command(f"RCPT TO:<{to}>")
            wire.command("RCPT TO:<support@example.com>")
            wire.command("DATA")
            wire.send_raw(HEADER + b"\r\nto the alias as well\r\n.\r\n")
            assert wire.reply()[-1].startswith("250 2.6.0 Filed")
        assert [row["reason"] for row in door.ledger()] == ["postmaster", "postmaster", "postmaster-full", "update"]
        assert len(door.updates()) == 1


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
def test_smtp_15_a_retry_is_told_the_receipt_of_the_first(
    door: MailDoor, data: Callable[[bytes], str], size: int
) -> None:
    raw = HEADER + f"Message-ID: <retry-{size}@example.com>\r\n\r\n".encode() + b"x" * size + b"\r\n.\r\n"
    first = data(raw)
    assert first.startswith("250 ")
    assert data(raw) == first


@pytest.mark.parametrize("by", ["DATA", "BDAT"])
def test_smtp_1_the_rest_of_a_message_that_failed_is_not_taken_for_commands(
    door: MailDoor, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Whoever wrote the message would speak in the name of the relay that brings it."""

    async def fail(self: Letter, block: bytes) -> None:
        raise OSError("the disk")

    monkeypatch.setattr(Letter, "take", fail)
    body = HEADER + b"\r\n" + b"x\r\n" * 200_000 + b"MAIL FROM:<forged@example.com>\r\n"
    with Wire.connect(door.address) as wire:
        wire.reply()
        for line in ("EHLO c.example.com", "MAIL FROM:<eva@example.com>", "RCPT TO:<support@example.com>"):
            assert wire.command(line).startswith("250")
        if by == "DATA":
            assert wire.command("DATA").startswith("354")
        else:
            wire.send_raw(f"BDAT {len(body)} LAST\r\n".encode())
        with contextlib.suppress(OSError):
            wire.send_raw(body)
        assert wire.reply()[-1].startswith("451 4.3.0 ")
        assert wire.is_closed()


def test_smtp_1_the_transaction_begins_anew_after_an_exception(door: MailDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: Session, argument: str) -> Reply:
        raise RuntimeError("ours")

    from gateway.smtp import session

    monkeypatch.setitem(session.VERBS, "RCPT", fail)
    with Wire.connect(door.address) as wire:
        wire.reply()
        wire.command("EHLO c.example.com")
        wire.command("MAIL FROM:<eva@example.com>")
        assert wire.command("RCPT TO:<support@example.com>").startswith("451 4.3.0 ")
        assert wire.command("MAIL FROM:<eva@example.com>").startswith("250"), "nothing is left of the old one"


@pytest.mark.parametrize(
    "body",
    [
        b"a\nb\r\n",
        b"a\rb\r\n",
        b"a\n.\nMAIL FROM:<forged@example.com>\r\n",
        b"a\n.\r\nMAIL FROM:<x@example.com>\r\n",
        b"a\r.\r\r\n",
    ],
)
def test_smtp_2_a_bare_cr_or_lf_is_refused(door: MailDoor, data: Callable[[bytes], str], body: bytes) -> None:
    assert data(HEADER + b"\r\n" + body + b".\r\n").startswith("550 5.5.2 ")
    assert door.ledger()[-1]["reason"] == "bare-line-end"


def test_smtp_2_a_message_in_nothing_but_lf_is_told_so_without_waiting_for_its_end(
    data: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.smtp.session.BARE_PATIENCE", 0.5)
    assert data(HEADER.replace(b"\r\n", b"\n") + b"\ntext\n.\n").startswith("550 5.5.2 ")


@pytest.mark.parametrize(
    "line", [b"EHLO x\rReceived: evil\r\n", b"EHLO x\nReceived: evil\r\n", b"MAIL FROM:<a\r@example.com>\r\n"]
)
def test_smtp_3_no_cr_or_lf_gets_into_what_is_kept_of_a_command(door: MailDoor, line: bytes) -> None:
    with Wire.connect(door.address) as wire:
        wire.reply()
        wire.send_raw(line)
        assert wire.reply()[0].startswith("500 5.5.2")


def test_smtp_3_no_reply_can_hold_a_line_break() -> None:
    for text in ("a\r\nb", "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="line break"):
            Reply(250, (text,))


@pytest.mark.parametrize("length", [998, 1_001, 5_000, 900_000])
def test_smtp_4_a_long_line_is_taken(door: MailDoor, data: Callable[[bytes], str], length: int) -> None:
    body = b"%d " % length + b"x" * length + b"\r\n"
    assert data(HEADER + b"\r\n" + body + b".\r\n").startswith("250 ")
    assert door.raw(door.ledger()[-1]["id"]).endswith(body)


def test_smtp_6_no_limit_is_shared_between_connections(door: MailDoor) -> None:
    """aiosmtpd keeps its limits of command lines in one dictionary for the whole process."""
    shared = dict(Session.command_size_limits)
    with Wire.connect(door.address) as first, Wire.connect(door.address) as second:
        for wire in (first, second):
            wire.reply()
            for _ in range(20):
                wire.command("EHLO c.example.com")
            assert wire.command("NOOP " + "x" * 1900).startswith("250")
            assert wire.command("NOOP " + "x" * 2100).startswith("500 5.5.6")
    assert dict(Session.command_size_limits) == shared


def test_smtp_7_a_connection_costs_no_look_through_all_members(door: MailDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> Any:
        raise AssertionError("inspect.getmembers was called")

    monkeypatch.setattr(inspect, "getmembers", never)
    with Wire.connect(door.address) as wire:
        wire.talk("S: 220 *")


def test_aiosmtpd_is_the_version_whose_constructor_is_replaced() -> None:
    assert aiosmtpd.__version__ == "1.4.6"


def test_nul_is_kept_in_the_raw_mail(door: MailDoor, data: Callable[[bytes], str]) -> None:
    body = b"a\0b\r\n"
    assert data(HEADER + b"\r\n" + body + b".\r\n").startswith("250 ")
    assert door.raw(door.updates()[-1].mail_id).endswith(body)


def test_nul_in_a_header_is_refused_for_readers_differ_in_what_they_see(data: Callable[[bytes], str]) -> None:
    assert data(HEADER + b"X: \0\r\n\r\n.\r\n").startswith("550-5.6.0 ")


@pytest.mark.parametrize(
    "field",
    [
        b"X-Old : 1",
        b"Subject: SR# 12345 x",
        b"Date: Mon, 23 Nov 2026 01:00:00 +0000\r\nDate: Mon, 23 Nov 2026 02:00:00 +0000",
        b"To: a@example.com\r\nTo: b@example.com",
        b"Message-ID: <1@example.com>\r\nMessage-ID: <2@example.com>",
    ],
)
def test_an_irregular_header_is_marked(door: MailDoor, data: Callable[[bytes], str], field: bytes) -> None:
    assert data(HEADER + field + b"\r\n\r\ntext\r\n.\r\n").startswith("250 ")
    assert "irregular-header" in door.updates()[-1].marks


@pytest.mark.parametrize("field", [b"Subject: SR# 777 x", b"Subject:", b"Subject : SR# 777 x", b"SUBJECT: hello"])
def test_smtp_19_subjects_that_differ_are_refused_for_a_signature_covers_one_of_them(
    door: MailDoor, data: Callable[[bytes], str], field: bytes
) -> None:
    for raw in (HEADER + field + b"\r\n", field + b"\r\n" + HEADER):
        assert data(raw + b"\r\ntext\r\n.\r\n").startswith("550-5.6.0 The message must have one Subject")
        assert door.ledger()[-1]["reason"] == "subject-unclear"


def test_size_is_enforced_early_and_late(door: MailDoor, data: Callable[[bytes], str]) -> None:
    limit = door.config.smtp.max_message_size
    with Wire.connect(door.address) as wire:
        wire.reply()
        wire.command("EHLO c.example.com")
        early = wire.command(f"MAIL FROM:<eva@example.com> SIZE={limit + 1}")
    fill = HEADER + b"\r\n"
    line = b"z" * 76 + b"\r\n"
    exact = fill + line * ((limit - len(fill)) // len(line))
    exact += b"y" * (limit - len(exact) - 2) + b"\r\n"
    assert len(exact) == limit
    assert data(exact + b".\r\n").startswith("250 ")
    late = data(exact[:-2] + b"y\r\n.\r\n")
    for reply in (early, late):
        assert reply.startswith("552-5.3.4 ")
        assert "FTPS" in reply
        assert "gateway.example.com" in reply


def test_a_flood_is_not_listened_to_until_its_end(state: Path) -> None:
    with mail_door(state, Smtp(max_message_size=100_000)) as door, Wire.connect(door.address) as wire:
        wire.reply()
        for line in ("EHLO c.example.com", "MAIL FROM:<eva@example.com>", "RCPT TO:<support@example.com>", "DATA"):
            wire.command(line)
        wire.send_raw(b"x" * 500_000)
        assert wire.reply()[0].startswith("552-5.3.4 "), "answered though the message has not ended"
        assert wire.is_closed()


def test_a_large_header_is_a_definite_refusal(door: MailDoor, data: Callable[[bytes], str]) -> None:
    header = b"".join(b"X-Filler-%d: %s\r\n" % (number, b"x" * 70) for number in range(6_000))
    assert data(header + HEADER + b"\r\ntext\r\n.\r\n").startswith("552 5.3.4 ")


def test_smtp_14_what_can_not_be_recorded_is_deferred_and_the_ledger_has_no_gap(
    door: MailDoor, data: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Filing, tx: Any, items: Any) -> Any:
        raise OSError("the disk of the store is gone")

    assert data(HEADER + b"\r\nbefore\r\n.\r\n").startswith("250 ")
    monkeypatch.setattr(Filing, "settle", fail)
    assert data(HEADER + b"\r\nmeanwhile\r\n.\r\n").startswith("451 4.3.0 ")
    monkeypatch.undo()
    assert data(HEADER + b"\r\nafter\r\n.\r\n").startswith("250 ")
    from gateway.testing import until

    def gapless() -> bool:
        sequences = [row["sequence"] for row in door.ledger()]
        return sequences == list(range(1, max(sequences) + 1))

    until(gapless, "the deferred message has its row")
    assert [row["outcome"] for row in door.ledger()][-3:] == ["filed", "deferred", "filed"]


def test_one_mail_to_several_aliases_is_one_update(state: Path) -> None:
    from gateway.testing.mail_door import REGION

    japan = REGION.model_copy(update={"name": "Japan", "alias": "japan@example.com", "web": "https://jp.example.com/"})
    with mail_door(state, regions=(REGION, japan)) as door:
        acme = door.add_account()
        door.add_contact("eva@example.com", acme)
        door.add_sr("12345", acme)
        with smtplib.SMTP(*door.address, timeout=30) as client:
            raw = HEADER + b"Message-ID: <1@client.example.com>\r\n\r\ntext\r\n"
            client.sendmail("eva@example.com", ["support@example.com", "japan@example.com"], raw)
            client.sendmail("eva@example.com", ["japan@example.com"], raw)
            with pytest.raises(smtplib.SMTPDataError) as refused:
                client.sendmail(
                    "eva@example.com", ["support@example.com", "japan@example.com"], b"Subject: new\r\n\r\n"
                )
        assert len(door.updates()) == 1
        assert b"https://jp.example.com/" in refused.value.smtp_error
        assert REGION.web.encode() in refused.value.smtp_error


@pytest.mark.parametrize(
    "change, repeated",
    [
        (lambda raw: b"Received: from a by b; today\r\n" + raw, True),
        (lambda raw: raw.replace(b"text", b"test"), False),
        (lambda raw: raw.replace(b"12345 x", b"12345 y"), False),
        (lambda raw: raw.replace(b"<2@", b"<3@"), False),
    ],
    ids=["a new trace field", "another body", "another subject", "another id"],
)
def test_smtp_15_same_id_and_same_content_is_a_retry_and_nothing_else_is(
    state: Path, change: Callable[[bytes], bytes], repeated: bool
) -> None:
    raw = HEADER + b"Message-ID: <2@client.example.com>\r\n\r\ntext\r\n"
    with mail_door(state) as door:
        acme = door.add_account()
        door.add_contact("eva@example.com", acme)
        door.add_sr("12345", acme)
        with smtplib.SMTP(*door.address, timeout=30) as client:
            for each in (raw, change(raw)):
                client.sendmail("eva@example.com", ["support@example.com"], each)
        assert len(door.updates()) == (1 if repeated else 2)
