"""Mail that no person wrote is recognised by its signs; mail that a person wrote is not."""

import pytest

from gateway.domain.automatic import ANNOUNCEMENTS, Automatic, announces, sign_of
from gateway.domain.headers import split


@pytest.mark.parametrize(
    "field, sign",
    [
        (b"Auto-Submitted: auto-replied", Automatic.AUTO_SUBMITTED),
        (b"Auto-Submitted: auto-generated (rejected)", Automatic.AUTO_SUBMITTED),
        (b"auto-submitted: AUTO-REPLIED; owner-email=a@example.com", Automatic.AUTO_SUBMITTED),
        (b"Auto-Submitted: no", None),
        (b"Auto-Submitted: no (a person)", None),
        (b"Precedence: bulk", Automatic.PRECEDENCE),
        (b"Precedence: BULK", Automatic.PRECEDENCE),
        (b"Precedence: list", None),
        (b"Precedence: auto_reply", Automatic.PRECEDENCE),
        (b"Precedence: first-class", None),
        (b"X-Auto-Response-Suppress: All", Automatic.RESPONSE_SUPPRESSED),
        (b"X-Auto-Response-Suppress: DR, OOF, AutoReply", Automatic.RESPONSE_SUPPRESSED),
        (b"X-Auto-Response-Suppress: None", None),
        (b"Content-Type: multipart/report; report-type=delivery-status; boundary=x", Automatic.REPORT),
        (b"Content-Type: multipart/mixed; boundary=multipart/report", None),
        (b"X-Autoreply: yes", Automatic.AUTORESPONDER),
        (b"List-Id: <team.example.com>", None),
        (b"X-Mailer: Autoreply", None),
    ],
)
def test_signs_in_the_header(field: bytes, sign: Automatic | None) -> None:
    headers = split(b"From: a@example.com\r\n" + field + b"\r\n\r\n")
    assert sign_of(headers, "a@example.com", "SR# 12345") == sign


@pytest.mark.parametrize("envelope", ["", "<>", " "])
def test_null_sender_is_a_sign(envelope: str) -> None:
    assert sign_of(split(b"From: a@example.com\r\n\r\n"), envelope, "SR# 12345") == Automatic.NULL_SENDER


@pytest.mark.parametrize("words", ANNOUNCEMENTS)
def test_vacation_subjects_in_the_languages_of_the_regions(words: str) -> None:
    for subject in (f"{words}: SR# 12345", f"{words.upper()}：SR# 12345", words, f"Re: [EXT] {words.title()} : x"):
        assert announces(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "SR# 12345",
        "Re: SR# 12345 read",
        "SR# 12345: Out of Office add-in crashes",
        "Reading list: SR# 12345",
        "",
        "Re:",
    ],
)
def test_a_persons_subject_is_no_sign(subject: str) -> None:
    assert not announces(subject)


def test_the_notes_agents_own_wording() -> None:
    assert announces("AUTO: Ann Doe is out of the office (returning 05/01/2024)")
