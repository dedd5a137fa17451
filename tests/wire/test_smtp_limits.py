"""What one peer may take: every limit is reached, is answered in words, and lets the next one in."""

from __future__ import annotations

import gc
import socket
import threading
import time
from asyncio.sslproto import SSLProtocol
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config.smtp import Smtp, SmtpLimits
from gateway.testing import Wire, until
from gateway.testing.mail_door import mail_door

LOOPBACK = (ip_network("127.0.0.0/8"),)


def begun(wire: Wire) -> Wire:
    wire.talk("""
        S: 220 *
        C: EHLO client.example.com
        S: ...
        S: 250 *
    """)
    return wire


def test_connections_from_one_address_are_limited_and_the_next_may_come_when_one_ends(state: Path) -> None:
    def greeting() -> str:
        with Wire.connect(door.address) as wire:
            return wire.line()

    with mail_door(state, Smtp(limits=SmtpLimits(sessions_per_address=2))) as door:
        with begun(Wire.connect(door.address)), begun(Wire.connect(door.address)):
            assert greeting().startswith("421 4.7.0 Too many connections from your address")
        until(lambda: greeting().startswith("220"), "there is room again")


def test_connections_in_all_are_limited_and_idle_ones_keep_nobody_out(state: Path) -> None:
    to_data = "C: MAIL FROM:<a@example.com>\nS: 250 *\nC: RCPT TO:<support@example.com>\nS: 250 *\nC: DATA\nS: 354 *"
    with (
        mail_door(state, Smtp(limits=SmtpLimits(sessions=2))) as door,
        begun(Wire.connect(door.address)) as idle,
        begun(Wire.connect(door.address)) as one,
    ):
        one.talk(to_data)
        with begun(Wire.connect(door.address)) as two:
            idle.talk("S: 421 4.3.2 Too many connections at the moment*")
            two.talk(to_data)
            with Wire.connect(door.address) as three:  # those who send are not cut
                three.talk("S: 421 4.3.2 Too many connections at the moment*")
            for wire in (one, two):
                wire.talk("C: .\nS: 5*")


def test_who_has_enough_connections_ends_nobody_elses(state: Path) -> None:
    limits = SmtpLimits(sessions=3, sessions_per_address=2)
    to_data = "C: MAIL FROM:<a@example.com>\nS: 250 *\nC: RCPT TO:<support@example.com>\nS: 250 *\nC: DATA\nS: 354 *"
    with mail_door(state, Smtp(limits=limits)) as door:
        elsewhere = socket.create_connection(door.address, 30, ("127.0.0.2", 0))
        with begun(Wire(elsewhere)) as honest, begun(Wire.connect(door.address)) as one:
            one.talk(to_data)
            with begun(Wire.connect(door.address)) as two:
                two.talk(to_data)
                for _ in range(3):
                    with Wire.connect(door.address) as three:
                        three.talk("S: 421 4.7.0 Too many connections from your address*")
                honest.talk("C: NOOP\nS: 250 *")
                for wire in (one, two):
                    wire.talk("C: .\nS: 5*")


def test_who_makes_room_goes_even_in_the_middle_of_a_handshake(state: Path) -> None:
    with (
        mail_door(state, Smtp(limits=SmtpLimits(sessions=1))) as door,
        begun(Wire.connect(door.address)) as shaking,
    ):
        shaking.talk("C: STARTTLS\nS: 220 *")
        shaking.send_raw(b"\x16")
        with begun(Wire.connect(door.address)) as next_one:
            assert shaking.is_closed()
            next_one.talk("C: NOOP\nS: 250 *")


def test_our_own_relays_are_let_in_however_many_there_are(state: Path) -> None:
    settings = Smtp(limits=SmtpLimits(sessions=1), trusted_relays=LOOPBACK)
    with mail_door(state, settings) as door, begun(Wire.connect(door.address)), begun(Wire.connect(door.address)):
        pass


def test_our_own_relays_are_not_limited_by_address(state: Path) -> None:
    settings = Smtp(limits=SmtpLimits(sessions_per_address=1), trusted_relays=LOOPBACK)
    with mail_door(state, settings) as door, begun(Wire.connect(door.address)), begun(Wire.connect(door.address)):
        pass


def test_too_many_errors_end_the_connection(state: Path) -> None:
    with mail_door(state, Smtp(limits=SmtpLimits(errors=3))) as door, begun(Wire.connect(door.address)) as wire:
        wire.talk("""
            C: XYZZY
            S: 500 *
            C: XYZZY
            S: 500 *
            C: XYZZY
            S: 500 *
            S: 421 4.7.0 Too many errors*
        """)
        assert wire.is_closed()


def test_too_many_commands_without_a_message_end_the_connection(state: Path) -> None:
    with mail_door(state, Smtp(limits=SmtpLimits(commands=3))) as door, begun(Wire.connect(door.address)) as wire:
        wire.talk("""
            C: NOOP
            S: 250 *
            C: NOOP
            S: 250 *
            C: NOOP
            S: 421 4.7.0 Too many commands*
        """)
        assert wire.is_closed()


def test_recipients_beyond_the_limit_are_452_and_the_rest_is_kept(state: Path) -> None:
    with mail_door(state, Smtp(limits=SmtpLimits(recipients=2))) as door, begun(Wire.connect(door.address)) as wire:
        wire.talk("""
            C: MAIL FROM:<a@example.com>
            S: 250 *
            C: RCPT TO:<support@example.com>
            S: 250 *
            C: RCPT TO:<support@example.com>
            S: 250 *
            C: RCPT TO:<support@example.com>
            S: 452 4.5.3 *
            C: DATA
            S: 354 *
        """)


def test_a_number_of_messages_is_enough_for_one_connection(state: Path) -> None:
    with mail_door(state, Smtp(limits=SmtpLimits(messages=1))) as door, begun(Wire.connect(door.address)) as wire:
        wire.talk("""
            C: MAIL FROM:<a@example.com>
            S: 250 *
            C: RCPT TO:<support@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: From: a@example.com
            C: .
            S: ...
            S: 550 5.7.1 *
            C: MAIL FROM:<a@example.com>
            S: 421 4.7.0 *
        """)
        assert wire.is_closed()


def test_who_talks_before_the_greeting_is_sent_away(state: Path) -> None:
    with mail_door(state, Smtp(greeting_delay=timedelta(seconds=20))) as door, Wire.connect(door.address) as wire:
        wire.send("EHLO early.example.com")
        wire.talk("S: 421 4.7.0 You spoke before you were greeted*")
        assert wire.is_closed()


def test_who_waits_for_the_greeting_gets_it(state: Path) -> None:
    with mail_door(state, Smtp(greeting_delay=timedelta(milliseconds=50))) as door:
        begun(Wire.connect(door.address)).close()


def test_http_is_sent_away_at_its_first_word(state: Path) -> None:
    with mail_door(state) as door, Wire.connect(door.address) as wire:
        wire.talk("S: 220 *")
        wire.send_raw(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@example.com>\r\n")
        wire.talk("S: 421 *")
        assert wire.is_closed()


def test_a_silent_peer_is_told_goodbye(state: Path) -> None:
    settings = Smtp(command_timeout=timedelta(seconds=2))
    with mail_door(state, settings) as door, begun(Wire.connect(door.address)) as wire:
        wire.talk("S: 421 4.4.2 *")
        assert wire.is_closed()


def test_smtp_6_the_time_out_is_renewed_while_data_moves(state: Path) -> None:
    """A message that takes more than twice the time-out, a little at a time, arrives."""
    patience = 2.0
    settings = Smtp(data_timeout=timedelta(seconds=patience), command_timeout=timedelta(seconds=30))
    with mail_door(state, settings) as door, begun(Wire.connect(door.address)) as wire:
        wire.talk("""
            C: MAIL FROM:<a@example.com>
            S: 250 *
            C: RCPT TO:<support@example.com>
            S: 250 *
            C: DATA
            S: 354 *
        """)
        pause = threading.Event()
        begin = time.monotonic()
        while time.monotonic() - begin < 2.5 * patience:
            wire.send_raw(b"slow: line\r\n")
            pause.wait(patience / 20)
        wire.talk("""
            C: .
            S: ...
            S: 550 *
        """)


def test_a_message_that_stops_moving_is_given_up(state: Path) -> None:
    settings = Smtp(data_timeout=timedelta(milliseconds=300))
    with mail_door(state, settings) as door, begun(Wire.connect(door.address)) as wire:
        wire.talk("""
            C: MAIL FROM:<a@example.com>
            S: 250 *
            C: RCPT TO:<support@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: Subject: never ends
            S: 421 4.4.2 *
        """)
        assert door.ledger() == []


def test_tls_may_be_required(state: Path) -> None:
    with mail_door(state, Smtp(require_tls=True)) as door, begun(Wire.connect(door.address)) as wire:
        wire.talk("""
            C: MAIL FROM:<a@example.com>
            S: 530 5.7.0 *
            C: STARTTLS
            S: 220 *
            TLS
            C: EHLO client.example.com
            S: ...
            S: 250 *
            C: MAIL FROM:<a@example.com>
            S: 250 *
        """)


PROXY_2 = bytes.fromhex("0d0a0d0a000d0a515549540a") + b"\x21\x11\x00\x0c" + socket.inet_aton("192.0.2.7") * 2 + bytes(4)


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n", PROXY_2], ids=["v1", "v2"])
def test_a_proxy_of_ours_names_the_client(state: Path, header: bytes) -> None:
    settings = Smtp(proxy_protocol=True, proxy_networks=LOOPBACK)
    with mail_door(state, settings) as door, Wire.connect(door.address) as wire:
        wire.send_raw(header)
        begun(wire).talk("""
            C: MAIL FROM:<a@example.com>
            S: 250 *
            C: RCPT TO:<support@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: .
            S: ...
            S: 550 *
        """)
        assert door.ledger()[-1]["peer"] == "192.0.2.7"


def test_what_a_proxy_says_of_addresses_in_a_call_of_its_own_is_not_meant(state: Path) -> None:
    """PROXY protocol section 2.2, LOCAL: a health check is nobody's mail."""
    settings = Smtp(proxy_protocol=True, proxy_networks=LOOPBACK)
    with mail_door(state, settings) as door, Wire.connect(door.address) as wire:
        wire.send_raw(PROXY_2.replace(b"\x21\x11", b"\x20\x11"))
        begun(wire)
        wire.talk("C: MAIL FROM:<a@example.com>\nS: 250 *\nC: RCPT TO:<support@example.com>\nS: 250 *")
        wire.talk("C: DATA\nS: 354 *\nC: .\nS: ...\nS: 550 *")
        assert door.ledger()[-1]["peer"] == "127.0.0.1"


@pytest.mark.parametrize(
    "header", [b"EHLO client.example.com\r\n", b"PROXY TCP4 nonsense\r\n", b"PROXY " + b"x" * 200_000]
)
def test_what_is_no_proxy_header_ends_the_connection_unanswered(state: Path, header: bytes) -> None:
    settings = Smtp(proxy_protocol=True, proxy_networks=LOOPBACK)
    with mail_door(state, settings) as door, Wire.connect(door.address) as wire:
        wire.send_raw(header)
        assert wire.is_closed()


def test_a_stranger_may_not_play_the_proxy(state: Path) -> None:
    settings = Smtp(proxy_protocol=True, proxy_networks=(ip_network("192.0.2.0/24"),))
    with mail_door(state, settings) as door, Wire.connect(door.address) as wire:
        assert wire.is_closed()


def test_a_stopping_door_sends_idle_peers_away_and_lets_a_message_finish(state: Path) -> None:
    with mail_door(state) as door:
        acme = door.add_account()
        door.add_contact("eva@example.com", acme)
        door.add_sr("12345", acme)
        idle, busy = begun(Wire.connect(door.address)), begun(Wire.connect(door.address))
        busy.talk("""
            C: MAIL FROM:<eva@example.com>
            S: 250 *
            C: RCPT TO:<support@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: From: eva@example.com
            C: Subject: SR# 12345 the last one
        """)
        stopping = threading.Thread(target=door.stop, args=(20.0,), daemon=True)
        stopping.start()
        idle.talk("S: 421 4.3.2 *")
        assert idle.is_closed()
        busy.talk("""
            C:
            C: text
            C: .
            S: 250 2.6.0 Filed under SR 12345*
            S: 421 4.3.2 *
        """)
        idle.close()
        busy.close()
        stopping.join(30)
        assert not stopping.is_alive()


def test_a_tls_session_that_has_ended_keeps_no_buffers(state: Path) -> None:
    """A quarter of a MiB each: a busy hour of them would stay until the garbage collector's last generation."""

    def kept() -> int:
        return sum(isinstance(each, SSLProtocol) for each in gc.get_objects())

    with mail_door(state) as door:
        gc.collect()
        before = kept()
        gc.disable()
        try:
            for _ in range(10):
                with begun(Wire.connect(door.address)) as wire:
                    wire.talk("C: STARTTLS\nS: 220 *")
                    wire.start_tls()
                    wire.talk("C: EHLO client.example.com\nS: ...\nS: 250 *\nC: QUIT\nS: 221 *")
            until(lambda: kept() <= before, "what they took is given back")
        finally:
            gc.enable()
