"""``[store]``, ``[rotation]``, ``[outbox]``, ``[examine]``: what works behind the doors."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.section import Section
from gateway.config.types import (
    Allowed,
    Count,
    Duration,
    FilePath,
    HostName,
    MailAddress,
    MiB,
    Port,
    Size,
    Words,
    beside,
    reading_from,
)
from gateway.domain.calendar import QUARTERLY, Rhythm

STORE_SCHEMES = ("sqlite", "sqlite+aiosqlite", "postgresql", "postgresql+asyncpg")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def store_url(value: str) -> str:
    """A database's address; a relative SQLite file is beside the configuration file.

    Raises ValueError without repeating the value, for it may hold a password.
    """
    scheme, separator, rest = value.partition("://")
    if scheme not in STORE_SCHEMES or not separator:
        raise ValueError("is no address of a database that is known here")
    file = reading_from.get()
    if scheme.startswith("sqlite") and file is not None and rest.startswith("/") and not rest.startswith("//"):
        return f"{scheme}:///{beside(file, Path(rest[1:]))}"
    return value


def webhook_url(value: str) -> str:
    """HTTPS, or HTTP to this very machine. Raises ValueError without repeating it, for it may hold a secret."""
    parts = urlsplit(value)
    if not parts.hostname or parts.scheme not in {"https", "http"}:
        raise ValueError("is no web address")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("would send customers' data in the clear")
    return value


def rhythm(value: object) -> Rhythm:
    """``"first tuesday quarterly 10:00"``. Raises ValueError."""
    return value if isinstance(value, Rhythm) else Rhythm.parse(str(value))


StoreUrl = Annotated[
    str,
    AfterValidator(store_url),
    Allowed('"sqlite:///gateway.db" (beside this file), "sqlite:////absolute/path.db", "postgresql://user@host/name"'),
]
WebhookUrl = Annotated[str, AfterValidator(webhook_url), Allowed("https://…, or http:// to 127.0.0.1 or localhost")]
ResetRhythm = Annotated[
    Rhythm,
    BeforeValidator(rhythm),
    Allowed('a rhythm: "first tuesday quarterly 10:00" (first to fourth; a weekday; quarterly or monthly; HH:MM)'),
]


class Store(Section):
    """The facts."""

    url: StoreUrl | None = Field(default=None, repr=False, examples=["postgresql://gateway@db.example.com/gateway"])
    """The database. Default: an SQLite file gateway.db in state_dir, good for tens of thousands of accounts. PostgreSQL
    needs the extra postgres, and room for 16 connections of each process (its max_connections).
    """

    busy_timeout: Duration = timedelta(seconds=30)
    """How long the gateway waits for somebody else who has the SQLite file locked (a shell, a backup tool), before it
    gives up with a temporary refusal. Its own processes take turns.
    """


class Rotation(Section):
    """The quarterly reset of every account's password, and what is said before and after it."""

    enabled: bool = True
    """Whether housekeeping resets passwords when they are due. `gateway account rotate --due` works anyhow."""

    rhythm: ResetRhythm = QUARTERLY
    """When passwords are reset, local to the account's region: people are there to read the new one. Every quarter is
    what the programme promises. A weekend or a holiday of the region moves the reset to the next business day.
    """

    overlap: Duration = timedelta(0)
    """How long the former password still works after a reset. 0 s: not at all; "72h" spares those whose scripts hold
    it.
    """

    sealed_passwords: bool = False
    """Whether the current password is also kept sealed (AES-GCM), so that Designated Contacts may look it up. Needs
    sealing_key.
    """

    sealing_key: FilePath | None = Field(default=None, examples=["sealing.key"])
    """The file with the sealing key, mode 0600. Default: the systemd credential "sealing-key" where there is one; named
    (/run/credentials/gateway.service/sealing-key) it is found by the command line, too.
    """


class Webhook(Section):
    """A web address that is told of events, signed as Standard Webhooks describes."""

    url: WebhookUrl = Field(repr=False, examples=["https://crm.example.com/hooks/gateway"])
    """Where events are posted. Redirects are not followed, and an address inside private networks is refused."""

    secret_file: FilePath = Field(examples=["webhook.secret"])
    """The file with the signing secret (whsec_…), mode 0600."""

    private: bool = False
    """Whether the receiver is one of your own inside a private network (10.0.0.0/8 and the like)."""

    events: Words = Field(default=("*",), examples=[["update.filed", "file.*"]])
    """Which events, by name or with a * at the end. Default: all."""


class Outbox(Section):
    """The only way out: mail to contacts through a relay, and webhooks."""

    relay: HostName | None = Field(default=None, examples=["relay.example.com"])
    """The mail relay that takes reminders. Default: none; then mails wait in the outbox, visibly."""

    relay_port: Port = 587
    """The port of the relay: 587 is for submission, 465 for TLS from the start."""

    relay_tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection to the relay is protected. "none" is for a relay on this very machine."""

    relay_username: str | None = Field(default=None, examples=["gateway"])
    """The name to authenticate to the relay with. Default: no authentication."""

    relay_password_file: FilePath | None = Field(default=None, examples=["relay.password"])
    """The file with the relay's password, mode 0600. Default: the systemd credential "relay-password"."""

    mail_from: MailAddress = "support@example.com"
    """The From of what is mailed. The envelope sender is empty, so that nothing bounces back here."""

    list_id: HostName = "password-reminders.example.com"
    """The List-Id (RFC 2919), by which people filter."""

    templates: FilePath | None = Field(default=None, examples=["templates"])
    """A folder with your own wording; what is missing there comes from the gateway's templates. Default: the gateway's.
    """

    webhooks: tuple[Webhook, ...] = ()

    attempt_timeout: Duration = timedelta(seconds=30)
    """How long one attempt of a delivery may take."""

    retry_first: Duration = timedelta(seconds=30)
    """The pause after the first failure; it doubles with each further one, up to retry_most."""

    retry_most: Duration = timedelta(hours=1)
    """The longest pause between two attempts."""

    give_up_after: Duration = timedelta(days=3)
    """When a delivery is parked for a person to look at (`gateway outbox list`, `retry`)."""

    def mistakes(self) -> Iterator[tuple[str, str]]:
        if self.relay_tls == "none" and self.relay is not None and self.relay not in LOOPBACK:
            yield "relay_tls", '"none" would mail in the clear; allowed to a relay on another machine: starttls, tls'
        if self.relay_username and self.relay_tls == "none" and self.relay not in LOOPBACK:
            yield "relay_username", "would send the password in the clear"


class Examine(Section):
    """The killable workers that look inside archives and mails."""

    workers: Count = 2
    """Workers at once. They run niced, so that uploads come first."""

    memory: Size = 768 * MiB
    """Memory that one worker may take before it is ended; costs a mark on what it looked at, nothing else. xz and 7z at
    their highest levels need most of it.
    """

    time: Duration = timedelta(minutes=2)
    """How long one mail may take inside."""

    archive_time: Duration = timedelta(hours=1)
    """How long one archive may take; CRCs of 40 GB are read from disk."""

    depth: Count = 50
    """How deep parts may be nested in a mail."""

    parts: Count = 1000
    """How many parts of a mail are looked at; the raw mail is kept whole in any case."""
