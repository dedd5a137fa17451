"""The mail door in two processes: one door to everybody who knocks, whichever of them answers."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from email.message import EmailMessage

import pytest

from gateway.smtp.examination import POLL
from gateway.testing import RunningGateway, running_gateway, until
from gateway.testing.waiting import PATIENCE

SETTINGS = {
    "smtp": {"processes": 2, "limits": {"sessions_per_address": 12}},
    "ftps": {"enabled": False},
    "regions": [{"name": "EMEA", "alias": "support@example.com", "phone": "+49 1", "web": "https://help.example.com"}],
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway(SETTINGS) as gateway:
        acme = gateway.add_account()
        gateway.add_contact("eva@example.com", acme.login)
        for number in ("12345", "12346"):
            gateway.add_sr(number, acme.login)
        yield gateway
        gateway.check()


def message(words: str = "Logs.", sr: str = "12345", *, name: str | None = None, attached: bytes = b"") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "eva@example.com", "support@example.com", f"SR# {sr} {words}"
    if name is not None:
        made["Message-ID"] = name
    made.set_content(words + "\n")
    if attached:
        made.add_attachment(attached, maintype="application", subtype="octet-stream", filename="a.bin")
    return made


def both(gateway: RunningGateway, stack: ExitStack) -> dict[str, smtplib.SMTP]:
    """A connection to each process, by the process's name."""
    found: dict[str, smtplib.SMTP] = {}

    def another() -> bool:
        client = gateway.mail()
        assert client.sock is not None
        name = gateway.serving(client.sock)
        if name in found:
            client.close()
        else:
            found[name] = stack.enter_context(client)
        return len(found) == 2

    until(another, "a connection to each process")
    return found


def updates(gateway: RunningGateway, sr: str = "12345") -> list[dict[str, object]]:
    shown: list[dict[str, object]] = gateway.command("sr", "show", sr)["updates"]
    return shown


def test_those_who_come_together_are_shared_out(gateway: RunningGateway) -> None:
    with ExitStack() as stack:
        both(gateway, stack)
        address = gateway.addresses["smtp"]
        clients = [stack.enter_context(socket.create_connection(address, PATIENCE)) for _ in range(8)]
        for client in clients:
            client.recv(100)
        served = Counter(gateway.serving(client) for client in clients)
    assert min(served["smtp"], served["smtp-2"]) >= 2, served


def test_what_either_files_is_looked_into(gateway: RunningGateway) -> None:
    with ExitStack() as stack:
        clients = both(gateway, stack)
        assert sorted(clients) == ["smtp", "smtp-2"]
        for name, client in clients.items():
            client.send_message(message(f"by {name}", attached=os.urandom(2000)))
    for name in clients:
        subject = f"SR# 12345 by {name}"
        until(
            lambda subject=subject: any(
                each["subject"] == subject and each["attachments"] for each in updates(gateway)
            ),
            f"the attachment of what {name} filed",
            within=0.7 * POLL,  # it is told, and does not come upon it by itself
        )


def test_the_same_mail_to_both_at_once_is_one_update(gateway: RunningGateway) -> None:
    with ExitStack() as stack:
        clients = both(gateway, stack)
        for number in range(20):
            twice = message(f"again {number}", "12346", name=f"<{number}@example.com>")
            start = threading.Barrier(2)

            def send(client: smtplib.SMTP, twice: EmailMessage = twice, start: threading.Barrier = start) -> None:
                start.wait()
                client.send_message(twice)

            threads = [threading.Thread(target=send, args=(client,)) for client in clients.values()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    subjects = [each["subject"] for each in updates(gateway, "12346")]
    assert sorted(map(str, subjects)) == sorted(f"SR# 12346 again {number}" for number in range(20))


def test_a_limit_is_everybodys(gateway: RunningGateway) -> None:
    """Whichever process takes them: the twelfth connection from an address is welcome, the thirteenth is not."""
    with ExitStack() as stack:
        wires = []
        names = set()
        for _ in range(12):
            wire = stack.enter_context(gateway.wire("smtp"))
            assert wire.line().startswith("220")
            wires.append(wire)
            names.add(gateway.serving(wire.socket))
        assert names == {"smtp", "smtp-2"}
        with gateway.wire("smtp") as one_more:
            assert one_more.line().startswith("421 4.7.0 Too many connections from your address")
        wires[0].close()

        def greeted() -> bool:
            with gateway.wire("smtp") as wire:
                return wire.line().startswith("220")

        until(greeted, "there is room again")


def test_the_death_of_one_costs_its_own_sessions_only_and_its_counts(gateway: RunningGateway) -> None:
    with ExitStack() as stack:
        clients = both(gateway, stack)
        pid = gateway.pid("smtp-2")
        for _ in range(3):
            stack.enter_context(gateway.wire("smtp")).line()
        os.kill(pid, signal.SIGKILL)
        clients["smtp"].send_message(message("on we go"))
        until(lambda: gateway.doors().get("smtp-2", pid) != pid, "another second process")
        again = both(gateway, stack)
        again["smtp-2"].send_message(message("here I am"))
    with ExitStack() as stack:  # nothing of what the dead one had counted is left
        greetings = [stack.enter_context(gateway.wire("smtp")).line() for _ in range(12)]
        assert all(greeting.startswith("220") for greeting in greetings)


def test_a_kill_of_the_one_that_looks_inside_loses_no_look(gateway: RunningGateway) -> None:
    with ExitStack() as stack:
        clients = both(gateway, stack)
        first = gateway.pid("smtp")
        for number in range(5):
            clients["smtp-2"].send_message(message(f"kept {number}", attached=os.urandom(500)))
        os.kill(first, signal.SIGKILL)
        clients["smtp-2"].send_message(message("kept 5", attached=os.urandom(500)))
    until(lambda: gateway.doors().get("smtp", first) != first, "another first process")
    until(
        lambda: sum(bool(each["attachments"]) for each in updates(gateway) if "kept" in str(each["subject"])) == 6,
        "all attachments",
    )
