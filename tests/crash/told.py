"""What clients were told, and whether the gateway has exactly that: the judge of every crash test.

A client that got a 226 or 250 was told *kept*; one that got 4xx or 5xx was told *not kept*; one whose connection ended
before a reply was told nothing, and then both are right, but never half of it.
"""

from __future__ import annotations

import contextlib
import ftplib
import hashlib
import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from gateway.testing import Login, RunningGateway

SENDER, ALIAS, SR = "eva@example.com", "support@example.com", "12345"

LOST = (OSError, EOFError, ssl.SSLError, ftplib.Error, smtplib.SMTPException)
"""What a client meets when its server dies."""


@dataclass(frozen=True)
class Told:
    """The end of one upload or mail: the reply's code (0: the connection ended first) and its words."""

    code: int
    words: str = ""

    @property
    def kept(self) -> bool:
        return 200 <= self.code < 300

    @property
    def nothing(self) -> bool:
        return self.code == 0

    @property
    def receipt(self) -> str:
        return re.search(r"[Rr]eceipt:? (\w{26})", self.words)[1]  # type: ignore[index]

    @classmethod
    def by(cls, error: Exception) -> Told:
        """What an FTP or SMTP client's exception says."""
        if isinstance(error, smtplib.SMTPResponseException):
            return cls(error.smtp_code, str(error.smtp_error))
        words = str(error)
        return cls(int(words[:3]), words) if isinstance(error, ftplib.Error) and words[:3].isdigit() else cls(0, words)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def connect(gateway: RunningGateway, account: Login) -> ftplib.FTP_TLS:
    """Python's own client in binary mode; not logged in again where the door died meanwhile."""
    client = gateway.ftp(account)
    try:
        client.voidcmd("TYPE I")
    except BaseException:
        client.close()
        raise
    return client


def upload(
    client: ftplib.FTP_TLS,
    path: str,
    content: bytes,
    rest: int | None = None,
    before_end: Callable[[], object] = lambda: None,
) -> Told:
    """Send *content* as *path* (from *rest* on) and, after *before_end*, end in order; what the client was told."""
    try:
        with client.transfercmd(f"STOR {path}", rest) as data, contextlib.suppress(*LOST):
            data.sendall(content[rest or 0 :])
            before_end()
            assert isinstance(data, ssl.SSLSocket)
            data.unwrap()
        words = client.voidresp()
    except LOST as error:
        return Told.by(error)
    return Told(int(words[:3]), words)


def message(subject: str, content: bytes = b"It happened again.\n") -> EmailMessage:
    """A mail to the SR; the same subject makes the same mail, Message-ID included, as a relay's retry would be."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"Eva <{SENDER}>", ALIAS, f"SR# {SR} {subject}"
    mail["Message-ID"] = f"<{sha256(subject.encode())[:20]}@client.example.com>"
    mail.set_content(content.decode("ascii"), cte="7bit")
    return mail


def send(gateway: RunningGateway, mail: EmailMessage) -> Told:
    """Send one mail over a connection of its own; what the client was told."""
    try:
        with gateway.mail() as client:
            client.mail(SENDER)
            client.rcpt(ALIAS)
            code, words = client.data(mail.as_bytes(policy=SMTP))
    except LOST as error:
        return Told.by(error)
    return Told(code, words.decode())


class Kept:
    """What the gateway has of an account, read with its own command line."""

    def __init__(self, gateway: RunningGateway, account: Login, sr: str | None = SR) -> None:
        self._gateway = gateway
        self.files: list[dict[str, Any]] = gateway.command("file", "list", "--account", account.login)
        self.updates: list[dict[str, Any]] = gateway.command("update", "list", "--sr", sr) if sr else []

    def versions(self, path: str) -> list[dict[str, Any]]:
        return [file for file in self.files if file["path"] == "/" + path]

    def judge_upload(self, path: str, content: bytes, told: Told) -> None:
        """Fail where the versions of *path*, sent once, are not what was told."""
        found = self.versions(path)
        assert len(found) <= 1, f"shown twice: {found}"
        complete = [file for file in found if file["state"] == "complete"]
        if told.kept:
            assert complete, f"acknowledged and lost: {path}: {told.words} {found}"
            assert complete[0]["id"] == told.receipt
        elif not told.nothing:
            assert not complete, f"refused and yet complete: {path}: {told.words}"
        for file in complete:
            assert (file["size"], file["sha256"]) == (len(content), sha256(content)), f"not what was sent: {path}"

    def judge_mail(self, subject: str, told: Told) -> None:
        """Fail where the updates with *subject* are not what was told of the one mail."""
        found = [each for each in self.updates if each["subject"] == f"SR# {SR} {subject}"]
        assert len(found) <= 1, f"shown twice: {found}"
        if told.kept:
            assert found, f"acknowledged and lost: {subject}: {told.words}"
            assert found[0]["id"] == told.receipt
        elif not told.nothing:
            assert not found, f"refused and yet filed: {subject}: {told.words}"

    def audit(self) -> None:
        """Every byte under its hash, and a doctor who finds nothing wrong: the end of every crash test."""
        verified = self._gateway.run("spool", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        self._gateway.check()
