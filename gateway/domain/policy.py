"""The policy: from the facts about a mail to what becomes of it. A table, read from the top; the first fit decides.

Rules: every row has a name (it stands in the ledger, and in docs/operators.md with the row's own words); a decision
needs nothing but the facts and the rules it is given. Detail (closed, read-only, agreement) is for a sender who is
authenticated *and* has access; everybody else gets the general answer, which is the same whether an SR exists or not.

Never: I/O, a word that a peer reads (those stand in ``replies``), or a silent end: each row files, refuses, defers or
quarantines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.domain.records import Access

HOPS_MOST: Final = 100
"""Received fields of a mail that goes round in circles (RFC 5321 §6.3 asks for at least 100)."""


class Fault(StrEnum):
    """What was wrong with a message before anybody looked inside."""

    TOO_LARGE = "too-large"
    BARE_LINE_END = "bare-line-end"
    HEADER_TOO_LARGE = "header-too-large"
    DISK_FULL = "disk-full"
    DISK_FAILED = "disk-failed"


class Authentication(StrEnum):
    """Whether a sender is genuine."""

    OFF = "off"
    """Nobody asked (``sender_authentication = "off"``)."""
    PASS = "pass"
    """The domain in From is aligned with a passing SPF or DKIM result."""
    UNVERIFIED = "unverified"
    """Nothing speaks for it, and its domain does not demand that something does."""
    QUARANTINE = "quarantine"
    """DMARC failed, and the domain asks for quarantine."""
    REJECT = "reject"
    """DMARC failed, and the domain asks for rejection."""
    UNKNOWN = "unknown"
    """DNS did not answer: that is no verdict (RFC 7489 §6.6.2)."""


class Naming(StrEnum):
    """How the subject names a Service Request (domain/subject.py)."""

    FOUND = "found"
    NOT_AT_START = "not-at-start"
    MALFORMED = "malformed"
    ABSENT = "absent"


class Answer(StrEnum):
    """Which reply a peer gets; ``replies.smtp`` has the words."""

    TOO_LARGE = "too-large"
    BARE_LINE_END = "bare-line-end"
    HEADER_TOO_LARGE = "header-too-large"
    DISK_FULL = "disk-full"
    STORE_BUSY = "store-busy"
    LOOPS = "loops"
    POSTMASTER_FULL = "postmaster-full"
    SENDER_UNCLEAR = "sender-unclear"
    SUBJECT_UNCLEAR = "subject-unclear"
    AUTHENTICATION_UNKNOWN = "authentication-unknown"
    NOT_GENUINE = "not-genuine"
    AUTOMATIC = "automatic"
    NO_SR = "no-sr"
    SR_NOT_AT_START = "sr-not-at-start"
    SR_MALFORMED = "sr-malformed"
    GENERAL = "general"
    READ_ONLY = "read-only"
    AGREEMENT_ENDED = "agreement-ended"
    CLOSED = "closed"


TOLD: Final = frozenset({Answer.READ_ONLY, Answer.AGREEMENT_ENDED, Answer.CLOSED})
"""Answers with details, which only an entitled sender gets."""


class Mark(StrEnum):
    """What an analyst sees on an update."""

    UNVERIFIED = "unverified"
    AUTOMATIC = "automatic"
    CLOSED = "closed"
    IRREGULAR_HEADER = "irregular-header"
    UNPARSEABLE = "unparseable"
    """Nobody could look inside; the raw mail is attached."""
    RELEASED = "released"
    """It was quarantined, and an operator let it through."""
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says."""

    refuse_closed: bool = True
    refuse_automatic: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """The Service Request that a subject names, and how its ST/EU account stands."""

    closed: bool
    account_active: bool
    agreement_current: bool
    access: Access | None
    """What the sender was granted on that account."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a decision rests on."""

    naming: Naming
    sender: str | None
    """The one mailbox in the one From field; None where that is not so."""
    authentication: Authentication = Authentication.OFF
    standing: Standing | None = None
    """None: there is no such SR."""
    fault: Fault | None = None
    hops: int = 0
    automatic: bool = False
    irregular_header: bool = False
    repeats: bool = False
    """It was received before: same Message-ID, same content."""
    defect: bool = False
    """This program failed over it, and not for the first time."""
    postmaster: bool = False
    """It is addressed to the postmaster and to nobody else (RFC 5321 §4.5.1)."""
    postmaster_full: bool = False
    """As much mail is held for the postmaster as there may be."""
    subjects_differ: bool = False
    """There are several Subject fields, and they do not say the same."""

    @property
    def access(self) -> Access | None:
        return self.standing.access if self.standing else None

    @property
    def entitled(self) -> bool:
        """May be told details: genuine for certain, and known to the account."""
        return self.authentication is Authentication.PASS and self.access is not None


@dataclass(frozen=True, slots=True)
class Filed:
    """An update of the SR, private, with marks."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """250 again, and no second update."""


@dataclass(frozen=True, slots=True)
class Refused:
    answer: Answer


@dataclass(frozen=True, slots=True)
class TryAgain:
    answer: Answer


@dataclass(frozen=True, slots=True)
class Quarantined:
    """250; a person looks at it and releases or discards it."""


Decision = Filed | Repeated | Refused | TryAgain | Quarantined
_Condition = Callable[[Facts, Rules], bool]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: its *name*, *when* it fits, what is *then* done, and what that is in words."""

    name: str
    when: _Condition
    then: Decision
    words: str


def _fault(fault: Fault) -> _Condition:
    return lambda facts, rules: facts.fault is fault


def _naming(naming: Naming) -> _Condition:
    return lambda facts, rules: facts.naming is naming


def _authentication(*verdicts: Authentication) -> _Condition:
    return lambda facts, rules: facts.authentication in verdicts


def _standing(condition: Callable[[Standing], bool], *, entitled: bool = False) -> _Condition:
    return lambda facts, rules: (
        facts.standing is not None and condition(facts.standing) and (facts.entitled or not entitled)
    )


def _ended(standing: Standing) -> bool:
    return not standing.agreement_current


def _reader(standing: Standing) -> bool:
    return standing.access is Access.READ_ONLY


def _closed(*, entitled: bool) -> _Condition:
    fits = _standing(lambda standing: standing.closed, entitled=entitled)
    return lambda facts, rules: rules.refuse_closed and fits(facts, rules)


TABLE: Final[tuple[Row, ...]] = (
    Row("too-large", _fault(Fault.TOO_LARGE), Refused(Answer.TOO_LARGE),
        "Larger than `max_message_size`: refused, FTPS is recommended"),
    Row("bare-line-end", _fault(Fault.BARE_LINE_END), Refused(Answer.BARE_LINE_END),
        "A CR or LF stands alone (SMTP smuggling): refused"),
    Row("header-too-large", _fault(Fault.HEADER_TOO_LARGE), Refused(Answer.HEADER_TOO_LARGE),
        "A header of more than 256 KiB: refused"),
    Row("disk-full", _fault(Fault.DISK_FULL), TryAgain(Answer.DISK_FULL),
        "No room on the disk: deferred, the sender tries again"),
    Row("disk-failed", _fault(Fault.DISK_FAILED), TryAgain(Answer.STORE_BUSY),
        "The disk could not be written: deferred"),
    Row("loop", lambda facts, rules: facts.hops > HOPS_MOST, Refused(Answer.LOOPS),
        "More than 100 Received fields: refused"),
    Row("repeat", lambda facts, rules: facts.repeats, Repeated(),
        "The same Message-ID and content was received before: 250 again, one update"),
    Row("defect", lambda facts, rules: facts.defect, Quarantined(),
        "This program failed over the message for the second time: held for a person"),
    Row("postmaster-full", lambda facts, rules: facts.postmaster and facts.postmaster_full,
        TryAgain(Answer.POSTMASTER_FULL),
        "To `postmaster` alone, and `limits.postmaster` mails are held already: deferred"),
    Row("postmaster", lambda facts, rules: facts.postmaster, Quarantined(),
        "To `postmaster` alone (RFC 5321 section 4.5.1), whatever the subject: held for the operator"),
    Row("sender-unclear", lambda facts, rules: facts.sender is None, Refused(Answer.SENDER_UNCLEAR),
        "Not exactly one From field with exactly one mailbox: refused"),
    Row("subject-unclear", lambda facts, rules: facts.subjects_differ, Refused(Answer.SUBJECT_UNCLEAR),
        "Several Subject fields that differ (a signature covers one of them): refused"),
    Row("no-sr", _naming(Naming.ABSENT), Refused(Answer.NO_SR),
        "No `SR# <number>` in the subject (a new SR by mail): refused with web form and telephone"),
    Row("sr-malformed", _naming(Naming.MALFORMED), Refused(Answer.SR_MALFORMED),
        "No number can be read with certainty after `SR#`: refused with the right form"),
    Row("sr-not-at-start", _naming(Naming.NOT_AT_START), Refused(Answer.SR_NOT_AT_START),
        "`SR# <number>` does not stand at the start: refused with the right form"),
    Row("unknown-authentication", _authentication(Authentication.UNKNOWN), TryAgain(Answer.AUTHENTICATION_UNKNOWN),
        "DNS did not answer about the sender's domain: deferred"),
    Row("not-genuine", _authentication(Authentication.REJECT), Refused(Answer.NOT_GENUINE),
        "DMARC failed and the sender's domain asks for rejection: refused"),
    Row("automatic", lambda facts, rules: facts.automatic and rules.refuse_automatic, Refused(Answer.AUTOMATIC),
        "Automatic mail where `automatic_mail = \"refuse\"`: refused"),
    Row("unknown-sr", lambda facts, rules: facts.standing is None, Refused(Answer.GENERAL),
        "No such SR: the general answer"),
    Row("no-access", lambda facts, rules: facts.access is None, Refused(Answer.GENERAL),
        "The sender has no access to the SR's ST/EU account: the general answer"),
    Row("account-disabled", _standing(lambda standing: not standing.account_active), Refused(Answer.GENERAL),
        "The ST/EU account is disabled: the general answer"),
    Row("agreement-ended-told", _standing(_ended, entitled=True), Refused(Answer.AGREEMENT_ENDED),
        "The maintenance agreement has ended, genuine sender with access: refused, and told so"),
    Row("agreement-ended", _standing(_ended), Refused(Answer.GENERAL),
        "The maintenance agreement has ended, sender not authenticated: the general answer"),
    Row("read-only-told", _standing(_reader, entitled=True), Refused(Answer.READ_ONLY),
        "Read-only access, genuine sender: refused, and told so"),
    Row("read-only", _standing(_reader), Refused(Answer.GENERAL),
        "Read-only access, sender not authenticated: the general answer"),
    Row("closed-told", _closed(entitled=True), Refused(Answer.CLOSED),
        "The SR is closed, genuine sender with access: refused with the regional telephone, and told so"),
    Row("closed", _closed(entitled=False), Refused(Answer.GENERAL),
        "The SR is closed, sender not authenticated: the general answer"),
    Row("suspect", _authentication(Authentication.QUARANTINE), Quarantined(),
        "DMARC failed and the sender's domain asks for quarantine: held for a person"),
    Row("update", lambda facts, rules: True, Filed(),
        "A Designated Contact's mail about an open SR: filed, private"),
)  # fmt: skip
"""From the top; the last row always fits."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is done, which row said so, and the marks that go with what is kept."""

    row: str
    decision: Decision
    marks: tuple[Mark, ...] = ()


def decide(facts: Facts, rules: Rules) -> Verdict:
    """The first row that fits."""
    row = next(row for row in TABLE if row.when(facts, rules))
    return Verdict(row.name, row.then, marks(facts) if isinstance(row.then, Filed | Quarantined) else ())


def marks(facts: Facts) -> tuple[Mark, ...]:
    """What an analyst is to see on the update."""
    found = (
        (Mark.UNVERIFIED, facts.authentication is not Authentication.PASS),
        (Mark.AUTOMATIC, facts.automatic),
        (Mark.CLOSED, facts.standing is not None and facts.standing.closed),
        (Mark.IRREGULAR_HEADER, facts.irregular_header),
    )
    return tuple(mark for mark, holds in found if holds)
