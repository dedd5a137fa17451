"""One mail, to one contact, through the configured relay.

Rules: made of a template and facts that hold no secret; plain text and HTML; ``Auto-Submitted: auto-generated`` (RFC
3834) and a List-Id (RFC 2919), so that nobody's absence note answers it; an empty envelope sender, so that nothing
bounces back here. The Message-ID is made of the delivery's id: sent twice after a crash, it is one and the same mail.
STARTTLS is required where it is configured, and a certificate that does not match is refused.

A 5yz about this mail or its recipient is final; everything else (no connection, refused credentials) is tried again.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from pathlib import Path
from typing import Literal

import aiosmtplib

from gateway.outbox.templates import TemplateError, Templates, Wording
from gateway.outbox.webhook import NotDelivered
from gateway.store.outbox import Delivery

CREDENTIAL = "relay-password"
"""The name under which systemd holds the relay's password (``LoadCredential=relay-password:…``)."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Where mail goes out, and how."""

    host: str
    port: int = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password_file: Path | None = field(default=None, repr=False)
    timeout: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What stands on every mail."""

    organisation: str
    mail_from: str
    list_id: str
    hostname: str


def compose(delivery: Delivery, templates: Templates, letterhead: Letterhead, now: datetime) -> EmailMessage:
    """The mail that *delivery* asks for. Raises NotDelivered."""
    if not delivery.target.isascii():
        raise NotDelivered(f"the address {delivery.target} needs SMTPUTF8 (RFC 6531), which is not sent", final=True)
    facts = dict(delivery.message or {})
    name, language = str(facts.pop("template", "")), str(facts.pop("language", "en"))
    if "days" in facts:  # counted to the day the mail is sent, which may be later than the stage that asked for it
        zone = datetime.fromisoformat(facts["accounts"][0]["next_reset"]).tzinfo
        facts["days"] = max((date.fromisoformat(facts["day"]) - now.astimezone(zone).date()).days, 0)
    try:
        wording = templates.mail(name, language, {**facts, "organisation": letterhead.organisation})
    except TemplateError as error:
        raise NotDelivered(str(error)) from None
    return _message(delivery, wording, str(facts.get("contact", "")), letterhead, now)


@asynccontextmanager
async def connected(relay: Relay) -> AsyncIterator[aiosmtplib.SMTP]:
    """A session with the relay, for one mail or many. Raises NotDelivered."""
    client = aiosmtplib.SMTP(
        hostname=relay.host,
        port=relay.port,
        use_tls=relay.tls == "tls",
        start_tls=relay.tls == "starttls",
        tls_context=ssl.create_default_context() if relay.tls != "none" else None,
        timeout=relay.timeout.total_seconds(),
    )
    try:
        await client.connect()
        if relay.username is not None:
            await client.login(relay.username, password(relay.password_file))
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        client.close()
        raise NotDelivered(f"the relay {relay.host} can't be used: {_brief(error)}") from None
    try:
        yield client
    finally:
        try:
            await client.quit()
        except (aiosmtplib.SMTPException, OSError):
            client.close()


async def send(client: aiosmtplib.SMTP, message: EmailMessage, to: str) -> None:
    """Hand *message* to the relay. Raises NotDelivered."""
    try:
        await client.sendmail("", [to], message.as_bytes())
    except aiosmtplib.SMTPRecipientsRefused as error:
        first = error.recipients[0]
        raise NotDelivered(f"the relay refused the recipient: {_brief(first)}", final=first.code >= 500) from None
    except (aiosmtplib.SMTPDataError, aiosmtplib.SMTPSenderRefused) as error:
        final = isinstance(error, aiosmtplib.SMTPDataError) and error.code >= 500
        raise NotDelivered(f"the relay refused the mail: {_brief(error)}", final=final) from None
    except (aiosmtplib.SMTPException, OSError, asyncio.IncompleteReadError) as error:
        raise NotDelivered(f"the relay failed: {_brief(error)}") from None


def password(file: Path | None, environment: Mapping[str, str] = os.environ) -> str:
    """The relay's password, from its file or systemd's credential. Raises NotDelivered without repeating it."""
    directory = environment.get("CREDENTIALS_DIRECTORY")
    path = file or (Path(directory, CREDENTIAL) if directory else None)
    if path is None:
        raise NotDelivered("the relay needs a password and none is configured ([outbox] relay_password_file)")
    try:
        if file is not None and path.stat().st_mode & 0o077:
            raise NotDelivered(f"the relay's password {path} may be read by others: chmod 600 {path}")
        return path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NotDelivered(f"the relay's password {path} can't be read: {_brief(error)}") from None


def _message(delivery: Delivery, wording: Wording, contact: str, letterhead: Letterhead, now: datetime) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = formataddr((_one_line(letterhead.organisation), letterhead.mail_from))
    message["To"] = formataddr((_one_line(contact), delivery.target))
    message["Subject"] = wording.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{delivery.id}@{letterhead.hostname}>"
    message["List-Id"] = f"<{letterhead.list_id}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(wording.text)
    message.add_alternative(wording.html, subtype="html")
    return message


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _brief(error: Exception) -> str:
    text = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    code = getattr(error, "code", None)
    return " ".join(f"{code} {text}".split() if isinstance(code, int) else str(text).split())[:300]
