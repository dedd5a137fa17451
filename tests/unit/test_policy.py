"""The policy's table, row by row: the facts that make a row fit, and what everybody else is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.policy import (
    TABLE,
    Answer,
    Authentication,
    Facts,
    Fault,
    Filed,
    Mark,
    Naming,
    Quarantined,
    Refused,
    Repeated,
    Rules,
    Standing,
    TryAgain,
    decide,
)
from gateway.domain.records import Access

STANDING = Standing(closed=False, account_active=True, agreement_current=True, access=Access.READ_WRITE)
GOOD = Facts(Naming.FOUND, "a@example.com", Authentication.PASS, STANDING)
STRANGER = replace(GOOD, authentication=Authentication.OFF)


def standing(facts: Facts = GOOD, **changes: Any) -> Facts:
    assert facts.standing is not None
    return replace(facts, standing=replace(facts.standing, **changes))


ROWS: dict[str, tuple[Facts, object]] = {
    "too-large": (replace(GOOD, fault=Fault.TOO_LARGE), Refused(Answer.TOO_LARGE)),
    "bare-line-end": (replace(GOOD, fault=Fault.BARE_LINE_END), Refused(Answer.BARE_LINE_END)),
    "header-too-large": (replace(GOOD, fault=Fault.HEADER_TOO_LARGE), Refused(Answer.HEADER_TOO_LARGE)),
    "disk-full": (replace(GOOD, fault=Fault.DISK_FULL), TryAgain(Answer.DISK_FULL)),
    "disk-failed": (replace(GOOD, fault=Fault.DISK_FAILED), TryAgain(Answer.STORE_BUSY)),
    "loop": (replace(GOOD, hops=101), Refused(Answer.LOOPS)),
    "repeat": (replace(GOOD, repeats=True), Repeated()),
    "defect": (Facts(Naming.ABSENT, None, defect=True), Quarantined()),
    "postmaster-full": (
        Facts(Naming.ABSENT, None, postmaster=True, postmaster_full=True),
        TryAgain(Answer.POSTMASTER_FULL),
    ),
    "postmaster": (replace(GOOD, postmaster=True), Quarantined()),
    "subject-unclear": (replace(GOOD, subjects_differ=True), Refused(Answer.SUBJECT_UNCLEAR)),
    "sender-unclear": (replace(GOOD, sender=None), Refused(Answer.SENDER_UNCLEAR)),
    "unknown-authentication": (
        replace(GOOD, authentication=Authentication.UNKNOWN),
        TryAgain(Answer.AUTHENTICATION_UNKNOWN),
    ),
    "not-genuine": (replace(GOOD, authentication=Authentication.REJECT), Refused(Answer.NOT_GENUINE)),
    "automatic": (replace(GOOD, automatic=True), Refused(Answer.AUTOMATIC)),
    "no-sr": (replace(GOOD, naming=Naming.ABSENT, standing=None), Refused(Answer.NO_SR)),
    "sr-malformed": (replace(GOOD, naming=Naming.MALFORMED, standing=None), Refused(Answer.SR_MALFORMED)),
    "sr-not-at-start": (replace(GOOD, naming=Naming.NOT_AT_START, standing=None), Refused(Answer.SR_NOT_AT_START)),
    "unknown-sr": (replace(GOOD, standing=None), Refused(Answer.GENERAL)),
    "no-access": (standing(access=None), Refused(Answer.GENERAL)),
    "account-disabled": (standing(account_active=False), Refused(Answer.GENERAL)),
    "agreement-ended-told": (standing(agreement_current=False), Refused(Answer.AGREEMENT_ENDED)),
    "agreement-ended": (standing(STRANGER, agreement_current=False), Refused(Answer.GENERAL)),
    "read-only-told": (standing(access=Access.READ_ONLY), Refused(Answer.READ_ONLY)),
    "read-only": (standing(STRANGER, access=Access.READ_ONLY), Refused(Answer.GENERAL)),
    "closed-told": (standing(closed=True), Refused(Answer.CLOSED)),
    "closed": (standing(STRANGER, closed=True), Refused(Answer.GENERAL)),
    "suspect": (replace(GOOD, authentication=Authentication.QUARANTINE), Quarantined()),
    "update": (GOOD, Filed()),
}
"""By the row's name: facts that it is the first to fit, and its decision."""


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_each_row_decides_about_its_facts(row: Any) -> None:
    facts, decision = ROWS[row.name]
    verdict = decide(facts, Rules(refuse_automatic=True))
    assert (verdict.row, verdict.decision) == (row.name, decision)


def test_every_row_has_a_name_of_its_own_and_words() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE) == len(ROWS)
    assert all(row.words.strip() and "|" not in row.words for row in TABLE)


UNTOLD = [
    replace(STRANGER, standing=None),
    standing(STRANGER, access=None),
    standing(STRANGER, access=None, closed=True),
    standing(STRANGER, access=None, agreement_current=False),
    standing(STRANGER, access=Access.READ_ONLY),
    standing(STRANGER, closed=True),
    standing(STRANGER, agreement_current=False),
    standing(STRANGER, account_active=False),
    standing(GOOD, access=None),
    standing(GOOD, access=None, closed=True),
]


@pytest.mark.parametrize("facts", UNTOLD)
def test_smtp_13_who_is_not_entitled_gets_the_one_general_answer(facts: Facts) -> None:
    assert decide(facts, Rules()).decision == Refused(Answer.GENERAL)


@pytest.mark.parametrize("authentication", Authentication)
def test_smtp_13_nobody_without_a_read_write_grant_files_anything(authentication: Authentication) -> None:
    for access in (None, Access.READ_ONLY):
        facts = replace(standing(access=access), authentication=authentication)
        for rules in (Rules(), Rules(refuse_closed=False)):
            assert not isinstance(decide(facts, rules).decision, Filed | Quarantined)


@pytest.mark.parametrize("authentication", [Authentication.OFF, Authentication.UNVERIFIED])
def test_anything_short_of_a_pass_is_marked_unverified(authentication: Authentication) -> None:
    verdict = decide(replace(GOOD, authentication=authentication), Rules())
    assert (verdict.decision, verdict.marks) == (Filed(), (Mark.UNVERIFIED,))


def test_closed_and_automatic_mail_is_filed_with_a_mark_where_the_rules_say_so() -> None:
    facts = replace(standing(closed=True), automatic=True, irregular_header=True)
    verdict = decide(facts, Rules(refuse_closed=False))
    assert verdict.decision == Filed()
    assert verdict.marks == (Mark.AUTOMATIC, Mark.CLOSED, Mark.IRREGULAR_HEADER)


def test_what_is_held_keeps_its_marks_for_the_day_it_is_released() -> None:
    verdict = decide(replace(GOOD, authentication=Authentication.QUARANTINE), Rules())
    assert verdict.marks == (Mark.UNVERIFIED,)


def test_a_repeat_is_answered_even_when_access_has_ended_since() -> None:
    assert decide(replace(standing(access=None), repeats=True), Rules()).decision == Repeated()
