"""The mail door's dialogue (RFC 5321 and its extensions), as transcripts."""

from __future__ import annotations

import pytest

from gateway.smtp.order import ORDER, Stage
from gateway.testing import Wire
from gateway.testing.mail_door import MailDoor

MAIL = """\
From: Eva <eva@example.com>\r
Subject: SR# 12345 {subject}\r
Message-ID: <{subject}@client.example.com>\r
\r
text\r
"""


def message(subject: str) -> bytes:
    return MAIL.format(subject=subject.replace(" ", "-")).encode()


def test_a_whole_mail(wire: Wire) -> None:
    wire.talk("""
        C: EHLO client.example.com
        S: 250-gateway.example.com
        S: 250-SIZE 1048576
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-PIPELINING
        S: 250-CHUNKING
        S: 250-ENHANCEDSTATUSCODES
        S: 250 STARTTLS
        C: MAIL FROM:<eva@example.com> SIZE=300 BODY=8BITMIME
        S: 250 2.1.0 *
        C: RCPT TO:<Support@Example.COM>
        S: 250 2.1.5 *
        C: DATA
        S: 354 *
        C: From: eva@example.com
        C: Subject: sr#12345
        C:
        C: ..text
        C: .
        S: 250 2.6.0 Filed under SR 12345; receipt ??????????????????????????
        C: QUIT
        S: 221 2.0.0 *
    """)
    assert wire.is_closed()


def test_helo_knows_no_extensions(wire: Wire) -> None:
    wire.talk("""
        C: HELO client.example.com
        S: 250 gateway.example.com
        C: MAIL FROM:<eva@example.com> SIZE=5
        S: 555 5.5.4 *
        C: MAIL FROM:<eva@example.com>
        S: 250 2.1.0 *
    """)


def test_noop_rset_help_and_vrfy_are_answered_at_any_time(wire: Wire) -> None:
    wire.talk("""
        C: NOOP anything
        S: 250 2.0.0 *
        C: RSET
        S: 250 2.0.0 *
        C: HELP
        S: 214-2.0.0 *
        S: 214 2.0.0 *
        C: VRFY eva
        S: 252 *
        C: MAIL FROM:<eva@example.com>
        S: 503 5.5.1 Say EHLO first
    """)


STAGES = {
    Stage.CONNECTED: [],
    Stage.READY: ["EHLO c.example.com"],
    Stage.SENDER: ["EHLO c.example.com", "MAIL FROM:<a@example.com>"],
    Stage.RECIPIENTS: ["EHLO c.example.com", "MAIL FROM:<a@example.com>", "RCPT TO:<support@example.com>"],
    Stage.CHUNKS: ["EHLO c.example.com", "MAIL FROM:<a@example.com>", "RCPT TO:<support@example.com>", "BDAT 0"],
}
COMMANDS = {"MAIL": "MAIL FROM:<a@example.com>", "RCPT": "RCPT TO:<support@example.com>", "BDAT": "BDAT 0"}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("verb", [verb for verb in ORDER if any(ORDER[verb])])
def test_commands_out_of_order_are_503_and_change_nothing(door: MailDoor, verb: str, stage: Stage) -> None:
    refused = ORDER[verb][stage]
    if refused is None:
        return
    with Wire.connect(door.address) as wire:
        wire.reply()
        for line in STAGES[stage]:
            assert wire.command(line)[0] == "2"
        assert wire.command(COMMANDS.get(verb, verb)) == f"503 5.5.1 {refused.text}"
        further = {Stage.CONNECTED: "EHLO c.example.com", Stage.CHUNKS: "BDAT 0"}
        assert wire.command(further.get(stage, "NOOP"))[0] == "2"


@pytest.mark.parametrize(
    "line, reply",
    [
        ("XYZZY", "500 5.5.1 "),
        ("EXPN list", "502 5.5.1 "),
        ("AUTH PLAIN AGEAYg==", "502 5.5.1 "),
        ("QUIT now", "501 5.5.4 "),
        ("RSET now", "501 5.5.4 "),
        ("EHLO", "501 5.5.4 "),
        ("EHLO two words", "501 5.5.4 "),
        ("", "500 5.5.1 "),
        ("MAIL <a@example.com>", "501 5.5.4 "),
        ("MAIL FROM:<a@example.com> BODY=9BIT", "501 5.5.4 "),
        ("MAIL FROM:<a@example.com> SIZE=x", "501 5.5.4 "),
        ("MAIL FROM:<a@example.com> RET=HDRS", "555 5.5.4 "),
        ("MAIL FROM:<a@@example.com>", "553 5.1.7 "),
        ("MAIL FROM:<jürgen@example.com>", "553 5.6.7 "),
        ("MAIL FROM:<a@example.com> SIZE=1048577", "552-5.3.4 "),
        ("NOOP \x07", "500 5.5.2 "),
        ("NOOP \x00", "500 5.5.2 "),
        ("NOOP " + "x" * 3000, "500 5.5.6 "),
        (b"NOOP \xff", "500 5.5.2 "),
    ],
)
def test_what_is_wrong_is_said_with_its_enhanced_code(door: MailDoor, line: str | bytes, reply: str) -> None:
    with Wire.connect(door.address) as wire:
        wire.reply()
        wire.command("EHLO client.example.com")
        assert wire.command(line).startswith(reply)
        assert wire.command("NOOP").startswith("250"), "and the dialogue goes on"


def test_recipients_are_the_aliases_and_nothing_is_relayed(wire: Wire) -> None:
    wire.talk("""
        C: EHLO client.example.com
        S: ...
        S: 250 *
        C: MAIL FROM:<>
        S: 250 2.1.0 *
        C: RCPT TO:<eva@example.com>
        S: 550 5.1.1 *
        C: RCPT TO:<support@elsewhere.example.net>
        S: 550 5.1.1 *
        C: RCPT TO:<"support@example.com"@elsewhere.example.net>
        S: 550 5.1.1 *
        C: RCPT TO:<support%example.com@gateway.example.com>
        S: 550 5.1.1 *
        C: RCPT TO:<@relay.example.net:support@example.com>
        S: 250 2.1.5 *
        C: RCPT TO:<support@example.com> NOTIFY=NEVER
        S: 555 5.5.4 *
    """)


def test_smtputf8_lets_an_address_beyond_ascii_in(wire: Wire) -> None:
    wire.talk("""
        C: EHLO client.example.com
        S: ...
        S: 250 *
        C: MAIL FROM:<jürgen@bücher.example> SMTPUTF8
        S: 250 2.1.0 *
    """)


def test_pipelined_commands_are_answered_in_order(door: MailDoor) -> None:
    """RFC 2920: a whole transaction but for the message in one packet, the next transaction behind the message."""
    with Wire.connect(door.address) as wire:
        wire.reply()
        wire.command("EHLO client.example.com")
        transaction = (
            b"MAIL FROM:<eva@example.com>\r\nRCPT TO:<support@example.com>\r\nRCPT TO:<nobody@example.com>\r\nDATA\r\n"
        )
        wire.send_raw(transaction)
        wire.talk("""
            S: 250 2.1.0 *
            S: 250 2.1.5 *
            S: 550 5.1.1 *
            S: 354 *
        """)
        wire.send_raw(message("first") + b".\r\n" + transaction + message("second") + b".\r\nQUIT\r\n")
        wire.talk("""
            S: 250 2.6.0 Filed under SR 12345*
            S: 250 2.1.0 *
            S: 250 2.1.5 *
            S: 550 5.1.1 *
            S: 354 *
            S: 250 2.6.0 Filed under SR 12345*
            S: 221 *
        """)


def test_a_client_that_closes_its_half_behind_quit_is_answered(door: MailDoor) -> None:
    import socket

    with Wire.connect(door.address) as wire:
        wire.reply()
        wire.send_raw(
            b"EHLO c.example.com\r\nMAIL FROM:<>\r\nRCPT TO:<support@example.com>\r\nDATA\r\n"
            + message("half-closed")
            + b".\r\nQUIT\r\n"
        )
        wire.socket.shutdown(socket.SHUT_WR)
        wire.talk("""
            S: 250-gateway.example.com
            S: ...
            S: 250 STARTTLS
            S: 250 2.1.0 *
            S: 250 2.1.5 *
            S: 354 *
            S: 250 2.6.0 *
            S: 221 *
        """)
        assert wire.is_closed()


def test_bdat_takes_chunks_and_commands_between_them(wire: Wire, door: MailDoor) -> None:
    raw = message("chunks") + b".\r\n..\r\n.\r\nthese dots are content\r\n"
    wire.talk("""
        C: EHLO client.example.com
        S: ...
        S: 250 *
        C: MAIL FROM:<eva@example.com>
        S: 250 *
        C: RCPT TO:<support@example.com>
        S: 250 *
    """)
    wire.send_raw(b"BDAT 40\r\n" + raw[:40])
    wire.talk("S: 250 2.0.0 40 octets received")
    assert wire.command("NOOP").startswith("250")
    assert wire.command("DATA").startswith("503")
    wire.send_raw(b"BDAT %d\r\n" % (len(raw) - 40) + raw[40:] + b"BDAT 0 LAST\r\n")
    wire.talk(f"S: 250 2.0.0 {len(raw) - 40} octets received")
    wire.talk("S: 250 2.6.0 Filed under SR 12345; receipt *")
    assert door.raw(door.updates()[-1].mail_id) == raw


def test_replies_leave_before_a_chunk_is_waited_for(wire: Wire) -> None:
    """RFC 2920 section 3.1: who pipelines BDAT may look at the reply to RCPT before the chunk is sent."""
    wire.command("EHLO c.example.com")
    wire.send_raw(b"MAIL FROM:<eva@example.com>\r\nRCPT TO:<support@example.com>\r\nBDAT 5\r\n")
    wire.talk("""
        S: 250 2.1.0 *
        S: 250 2.1.5 *
    """)
    wire.send_raw(b"12345")
    wire.talk("S: 250 2.0.0 5 octets received")


def test_bdat_without_a_transaction_swallows_its_chunk(wire: Wire) -> None:
    wire.talk("""
        C: EHLO client.example.com
        S: ...
        S: 250 *
    """)
    wire.send_raw(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    wire.talk("""
        S: 503 5.5.1 Say MAIL FROM first
        S: 250 2.0.0 OK
    """)


def test_bdat_with_nonsense_for_a_size_ends_the_connection(wire: Wire) -> None:
    """Where the next command begins can't be known any more."""
    wire.talk("""
        C: EHLO client.example.com
        S: ...
        S: 250 *
        C: BDAT many LAST
        S: 501 5.5.4 *
    """)
    assert wire.is_closed()


def test_starttls_begins_anew(wire: Wire) -> None:
    wire.talk("""
        C: EHLO plain.example.com
        S: ...
        S: 250 STARTTLS
        C: MAIL FROM:<eva@example.com>
        S: 250 *
        C: STARTTLS
        S: 220 2.0.0 *
        TLS
        C: RCPT TO:<support@example.com>
        S: 503 5.5.1 Say EHLO first
        C: EHLO client.example.com
        S: 250-gateway.example.com
        S: ...
        S: 250 ENHANCEDSTATUSCODES
        C: STARTTLS
        S: 503 5.5.1 *
        C: RCPT TO:<support@example.com>
        S: 503 5.5.1 Say MAIL FROM first
        C: MAIL FROM:<eva@example.com>
        S: 250 *
    """)


def test_nothing_sent_before_tls_is_answered_within_it(door: MailDoor) -> None:
    """Command injection (CVE-2011-0411): RFC 3207 section 4.2."""
    with Wire.connect(door.address) as wire:
        wire.reply()
        wire.command("EHLO plain.example.com")
        wire.send_raw(b"STARTTLS\r\nEHLO injected.example.net\r\nMAIL FROM:<forged@example.net>\r\n")
        wire.talk("S: 220 *")
        wire.start_tls()
        wire.talk("""
            C: NOOP
            S: 250 2.0.0 OK
            C: MAIL FROM:<eva@example.com>
            S: 503 5.5.1 Say EHLO first
        """)


def test_a_message_cut_by_the_peer_leaves_nothing(door: MailDoor) -> None:
    before = len(door.ledger())
    with Wire.connect(door.address) as wire:
        wire.reply()
        for line in STAGES[Stage.RECIPIENTS]:
            wire.command(line)
        wire.command("DATA")
        wire.send_raw(message("cut") + b"x" * 200_000)
    with Wire.connect(door.address) as wire:
        wire.talk("S: 220 *")
    assert len(door.ledger()) == before
    from gateway.testing import until

    until(lambda: not list((door.folder / "incoming").iterdir()), "the cut message's bytes are gone")
