"""Mail to contacts: what it says, how it goes out, and what becomes of it when the relay says no."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.ids import new_id
from gateway.domain.records import Contact
from gateway.domain.retry import Patience
from gateway.outbox import MailRounds, TemplateError, Templates
from gateway.outbox.mail import Letterhead, Relay, password
from gateway.outbox.webhook import NotDelivered
from gateway.store import Store, contacts, one_by_one, outbox
from gateway.testing import FakeClock

from .relay import Sink, running

LETTERHEAD = Letterhead("Example Support", "support@example.com", "resets.example.com", "gateway.example.com")
PATIENCE = Patience(timedelta(seconds=30), timedelta(hours=1), timedelta(hours=2))
ACCOUNT = {
    "login": "acme-globex",
    "sold_to": "Acme <b>& Sons",
    "end_user": "Globex",
    "region": "North America",
    "next_reset": "2026-12-07T10:00-04:00",
    "former_valid_until": None,
    "zone": "America/Moncton",
}
REMINDER = {
    "template": "reminder",
    "language": "en",
    "contact": "Ann Müller",
    "telephones": ["888-369-5555"],
    "accounts": [ACCOUNT],
    "days": 14,
    "day": "2026-12-07",
}
RESET = {**REMINDER, "template": "reset"}
del RESET["days"]


class Post:
    """A store with a contact, and rounds to a relay."""

    def __init__(self, store: Store, clock: FakeClock, templates: Path | None = None) -> None:
        self.store, self.clock, self.templates = store, clock, Templates(templates)
        self.contact = ""

    async def put(self, message: dict[str, Any] = REMINDER, key: str = "k", to: str = "ann@example.com") -> None:
        contact = await self.store.write(one_by_one(contacts.add), Contact(new_id(), to, "Ann", self.clock.now()))
        self.contact = contact.id
        mail = outbox.Mail(to, contact.id, message, key, self.clock.now())
        await self.store.write(one_by_one(outbox.post), [mail])

    def rounds(self, sink: Sink, **relay: Any) -> MailRounds:
        to = Relay("localhost", sink.port, **{"tls": "none", **relay})
        return MailRounds(self.store, self.clock, to, self.templates, LETTERHEAD, PATIENCE)

    async def deliveries(self) -> list[outbox.Delivery]:
        async with self.store.reading() as connection:
            return await outbox.listed(connection, ("pending", "parked", "delivered"))


@pytest.fixture
def post(store: Store, clock: FakeClock) -> Post:
    return Post(store, clock)


async def test_a_reminder_says_what_and_when_and_that_no_password_is_mailed(post: Post) -> None:
    await post.put()
    async with running(Sink()) as sink:
        assert await post.rounds(sink).round()
        assert not await post.rounds(sink).round()
    [mail] = sink.mails
    assert mail["Subject"] == "FTP passwords are reset in 14 days, on 7 December 2026"
    assert mail["From"] == "Example Support <support@example.com>"
    assert mail["To"] == "Ann Müller <ann@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Id"] == "<resets.example.com>"
    [delivery] = await post.deliveries()
    assert mail["Message-ID"] == f"<{delivery.id}@gateway.example.com>"
    text = mail.get_body(("plain",))
    html = mail.get_body(("html",))
    assert text is not None
    assert html is not None
    for part in (text.get_content(), html.get_content()):
        assert "acme-globex" in part
        assert "7 December 2026 at 10:00 (America/Moncton)" in part
        assert "Passwords are never sent by mail" in part
        assert "888-369-5555" in part
        assert "quarter" not in part, "an account may have another rhythm"
    assert "Acme <b>& Sons" in text.get_content()
    assert "Acme &lt;b&gt;&amp; Sons" in html.get_content()
    assert delivery.state == "delivered"


async def test_a_mail_has_no_envelope_sender_so_that_nothing_bounces_back(post: Post) -> None:
    await post.put()
    async with running(Sink()) as sink:
        await post.rounds(sink).round()
    assert sink.envelopes == [("<>", ["ann@example.com"])]


async def test_after_the_reset_a_mail_says_where_to_look(post: Post) -> None:
    await post.put(RESET)
    async with running(Sink()) as sink:
        await post.rounds(sink).round()
    [mail] = sink.mails
    assert mail["Subject"] == "FTP passwords were reset on 7 December 2026"
    text = mail.get_body(("plain",))
    assert text is not None
    assert '"Account Information"' in text.get_content()


async def test_a_late_reminder_counts_the_days_that_are_left(post: Post) -> None:
    await post.put()
    post.clock.advance(timedelta(days=13))
    async with running(Sink()) as sink:
        await post.rounds(sink).round()
    assert sink.mails[0]["Subject"].startswith("FTP passwords are reset tomorrow")


async def test_a_reminder_of_what_is_past_is_parked_and_not_sent(post: Post) -> None:
    await post.put()
    post.clock.advance(timedelta(days=20))
    async with running(Sink()) as sink:
        await post.rounds(sink).round()
    assert sink.mails == []
    assert [(each.state, each.last_error) for each in await post.deliveries()] == [
        ("parked", "not sent: the reset that it announces is past")
    ]


async def test_a_contact_who_left_meanwhile_gets_nothing(post: Post) -> None:
    await post.put()
    now = post.clock.now()
    await post.store.write(one_by_one(lambda tx, item: contacts.remove(tx, item, now)), post.contact)
    async with running(Sink()) as sink:
        await post.rounds(sink).round()
    assert sink.mails == []
    assert [each.last_error for each in await post.deliveries()] == ["not sent: the contact has left"]


async def test_starttls_and_authentication_with_the_certificate_checked(
    post: Post, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    secret = tmp_path / "relay.password"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    await post.put()
    async with running(Sink(), context, "s3cret") as sink:
        await post.rounds(sink, tls="starttls", username="gateway", password_file=secret).round()
    assert sink.tls == [True]


async def test_a_relay_without_starttls_gets_no_mail(post: Post) -> None:
    await post.put()
    async with running(Sink()) as sink:
        assert not await post.rounds(sink, tls="starttls").round()
    assert sink.mails == []
    [delivery] = await post.deliveries()
    assert delivery.state == "pending"
    assert "the relay localhost can't be used" in (delivery.last_error or "")


async def test_a_refused_password_is_tried_again_and_not_shown(
    post: Post, certificate: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    secret = tmp_path / "relay.password"
    secret.write_text("not-the-one\n")
    secret.chmod(0o600)
    await post.put()
    async with running(Sink(), context, "s3cret") as sink:
        await post.rounds(sink, tls="starttls", username="gateway", password_file=secret).round()
    [delivery] = await post.deliveries()
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert "535" in (delivery.last_error or "")
    assert "not-the-one" not in caplog.text + str(delivery)


@pytest.mark.parametrize(
    "rcpt, data, state, reason",
    [
        ("550 5.1.1 no such user", "250 OK", "parked", "refused the recipient: 550 5.1.1 no such user"),
        ("451 4.3.0 later", "250 OK", "pending", "refused the recipient: 451 4.3.0 later"),
        ("250 OK", "554 5.7.1 no thanks", "parked", "refused the mail: 554 5.7.1 no thanks"),
        ("250 OK", "452 4.3.1 full", "pending", "refused the mail: 452 4.3.1 full"),
    ],
)
async def test_a_relay_that_refuses_is_heard(post: Post, rcpt: str, data: str, state: str, reason: str) -> None:
    await post.put()
    async with running(Sink(rcpt=rcpt, data=data)) as sink:
        await post.rounds(sink).round()
    [delivery] = await post.deliveries()
    assert delivery.state == state
    assert delivery.last_error == f"the relay {reason}"


async def test_a_relay_that_is_away_is_tried_later_and_later_then_parked(post: Post) -> None:
    await post.put()
    async with running(Sink()) as gone:
        pass
    rounds = post.rounds(gone)
    pauses = []
    for _ in range(100):
        await rounds.round()
        [delivery] = await post.deliveries()
        if delivery.state == "parked":
            break
        pauses.append(delivery.next_attempt_at - post.clock.now())
        post.clock.go_to(delivery.next_attempt_at)
    assert pauses[:3] == [timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=120)]
    assert delivery.state == "parked"
    await post.store.write(one_by_one(outbox.retry), outbox.Retry(delivery.id, post.clock.now()))
    async with running(Sink()) as sink:
        assert await post.rounds(sink).round()
    assert len(sink.mails) == 1


async def test_many_mails_share_a_session_and_one_bad_one_does_not_hold_the_rest(post: Post) -> None:
    await post.put({**REMINDER, "template": "nowhere"}, "k0", "bad@example.com")
    for n in range(1, 8):
        await post.put(REMINDER, f"k{n}", f"person{n}@example.com")
    async with running(Sink()) as sink:
        await post.rounds(sink).round()
    assert len(sink.mails) == 7
    assert sink.sessions == 1
    [bad] = [each for each in await post.deliveries() if each.state != "delivered"]
    assert bad.last_error == "there is no template nowhere.txt"


async def test_an_address_that_no_relay_takes_is_parked_and_a_defect_of_ours_blocks_nobody(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    await post.put(REMINDER, "k0", "jörg@example.com")
    await post.put({**REMINDER, "accounts": []}, "k1", "defect@example.com")
    await post.put(REMINDER, "k2")
    async with running(Sink()) as sink:
        await post.rounds(sink).round()
    assert [mail["To"] for mail in sink.mails] == ["Ann Müller <ann@example.com>"]
    odd, defect, sent = await post.deliveries()
    assert (odd.state, defect.state, sent.state) == ("parked", "pending", "delivered")
    assert "SMTPUTF8" in (odd.last_error or "")
    assert "a defect of the gateway (IndexError)" in (defect.last_error or "")
    assert "IndexError" in caplog.text


async def test_an_operators_template_goes_before_ours_and_one_language_before_another(
    store: Store, clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr" / "reminder.txt").write_text("Subject: Réinitialisation le {{ day }}\nBonjour {{ contact }}\n")
    (tmp_path / "reset.txt").write_text("Subject: Ours\nHello\n")
    templates = Templates(tmp_path)
    facts = {key: value for key, value in REMINDER.items() if key not in ("template", "language")}
    facts["organisation"] = "X"
    french = templates.mail("reminder", "fr", facts)
    assert (french.subject, french.text) == ("Réinitialisation le 2026-12-07", "Bonjour Ann Müller\n")
    assert "Dear Ann" in french.html, "what is missing there comes from ours"
    assert templates.mail("reset", "fr", facts).subject == "Ours"
    assert templates.mail("reminder", "ja", facts).subject.startswith("FTP passwords")


@pytest.mark.parametrize(
    "template, complaint",
    [
        ("no subject\n", "must begin with a line 'Subject: …'"),
        ("Subject: {{ pasword }}\n", "'pasword' is undefined"),
        ("Subject: {% if %}\n", r"reminder.txt, line 1"),
    ],
)
def test_a_template_with_a_mistake_is_named(tmp_path: Path, template: str, complaint: str) -> None:
    (tmp_path / "reminder.txt").write_text(template)
    with pytest.raises(TemplateError, match=complaint):
        Templates(tmp_path).mail("reminder", "en", {})


async def test_a_name_with_line_breaks_adds_no_header(post: Post) -> None:
    await post.put({**REMINDER, "contact": "Ann\r\nBcc: evil@example.net"})
    async with running(Sink()) as sink:
        await post.rounds(sink).round()
    assert "Bcc" not in sink.mails[0]
    assert sink.envelopes[0][1] == ["ann@example.com"]


def test_the_relays_password_comes_from_a_file_of_ours_or_from_systemd(tmp_path: Path) -> None:
    (tmp_path / "relay-password").write_text("from systemd\n")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert password(None, environment) == "from systemd"
    with pytest.raises(NotDelivered, match="none is configured"):
        password(None, {})
    open_file = tmp_path / "open"
    open_file.write_text("secret")
    open_file.chmod(0o644)
    with pytest.raises(NotDelivered, match="chmod 600"):
        password(open_file, environment)
