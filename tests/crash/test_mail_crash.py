"""The mail door is killed while mail comes in: what was answered 250 is there, once, and the doctor finds nothing."""

from __future__ import annotations

import os
import signal
import smtplib
import threading
from collections import Counter
from email.message import EmailMessage
from email.policy import SMTP
from itertools import cycle

from gateway.testing import RunningGateway, running_gateway, until

SENDERS = 4
KILLS = 2
DOORS = ["smtp", "smtp-2"]


def mail(name: str, *, large: bool) -> bytes:
    message = EmailMessage()
    message["From"], message["To"] = "eva@example.com", "support@example.com"
    message["Subject"], message["Message-ID"] = f"SR# 12345 {name}", f"<{name}@client.example.com>"
    message.set_content("text\n")
    message.add_attachment(
        os.urandom(150_000 if large else 50), maintype="application", subtype="zip", filename="a.zip"
    )
    return message.as_bytes(policy=SMTP)


class Sender(threading.Thread):
    """A relay: sends one mail after the other, and each again until it is answered."""

    def __init__(self, gateway: RunningGateway, number: int) -> None:
        super().__init__(daemon=True)
        self.gateway, self.number = gateway, number
        self.stopping = threading.Event()
        self.answered: list[str] = []

    def run(self) -> None:
        count = 0
        while not self.stopping.is_set():
            name = f"mail-{self.number}-{count}"
            raw = mail(name, large=count % 3 == 2)
            while not self.delivered(raw):
                pass
            self.answered.append(name)
            count += 1

    def delivered(self, raw: bytes) -> bool:
        try:
            with smtplib.SMTP(*self.gateway.addresses["smtp"], timeout=30) as client:
                client.sendmail("eva@example.com", ["support@example.com"], raw)
        except (smtplib.SMTPException, OSError):
            self.stopping.wait(0.02)
            return False
        return True


def test_what_was_answered_250_survives_kill_9_and_is_there_once() -> None:
    with running_gateway({"smtp": {"processes": len(DOORS)}, "ftps": {"enabled": False}}) as gateway:
        account = gateway.add_account()
        gateway.add_contact("eva@example.com", account.login)
        gateway.add_sr("12345", account.login)
        senders = [Sender(gateway, number) for number in range(SENDERS)]
        for sender in senders:
            sender.start()

        def answered() -> int:
            return sum(len(sender.answered) for sender in senders)

        for _, door in zip(range(KILLS), cycle(DOORS), strict=False):
            more = answered() + 2 * SENDERS
            until(lambda more=more: answered() >= more, "mail comes in")  # type: ignore[misc]
            pid = gateway.pid(door)
            os.kill(pid, signal.SIGKILL)
            until(lambda door=door, pid=pid: gateway.doors().get(door, pid) != pid, "it is started again")  # type: ignore[misc]
        more = answered() + SENDERS
        until(lambda: answered() >= more, "mail comes in again")
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(60)
        names = {name for sender in senders for name in sender.answered}

        def examined() -> bool:
            return all(each["attachments"] for each in gateway.command("update", "list", "--sr", "12345"))

        until(examined, "every mail was looked into")
        updates = gateway.command("update", "list", "--sr", "12345")
        found = Counter(each["subject"].removeprefix("SR# 12345 ") for each in updates)
        assert set(found) >= names, "answered and lost"
        assert set(found.values()) == {1}, "filed twice"
        gateway.check()
