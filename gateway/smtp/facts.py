"""The facts about a message: what is known of it without the store, and with it.

Rules: reading fails for nothing that a stranger writes (what does is a defect of ours, and ``filing`` keeps the message
all the same); what is kept of a header is text that every database takes. Never: a decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.domain.automatic import sign_of
from gateway.domain.calendar import Places, local_day
from gateway.domain.encoded_words import LONGEST, decode
from gateway.domain.headers import Headers
from gateway.domain.identity import message_id
from gateway.domain.plain_text import plain_text
from gateway.domain.policy import Answer, Authentication, Facts, Naming, Standing, TryAgain, Verdict
from gateway.domain.sender import Mailbox, sender_of
from gateway.domain.status import CLOSED
from gateway.domain.subject import Absent, Found, Malformed, NotAtStart, Reading, SubjectGrammar
from gateway.smtp.envelope import POSTMASTER, Arrival
from gateway.store import mails

SUBJECT_MOST = 1_000
"""Characters of a subject that are kept beside the raw mail."""

Judge = Callable[[Arrival, Mailbox], Awaitable[Authentication]]

_NAMING: dict[type[Reading], Naming] = {
    Found: Naming.FOUND,
    NotAtStart: Naming.NOT_AT_START,
    Malformed: Naming.MALFORMED,
    Absent: Naming.ABSENT,
}
NOT_RECORDED = Verdict("not-recorded", TryAgain(Answer.STORE_BUSY))


@dataclass(frozen=True, slots=True)
class Item:
    """One message as the store's group sees it: what is known without the store, and what its rows will say."""

    arrival: Arrival
    sequence: int
    at: datetime
    facts: Facts
    subject: str
    sr: str | None
    message_id: str | None
    content_key: str | None
    sha256: str | None
    raw: bytes | None
    body: str | None
    """The text of a simple mail; None: somebody is to look inside."""
    forced: Verdict | None = None
    """Decided already (a large message whose bytes are gone, a debt): the store only records it."""

    @property
    def id(self) -> str:
        """The mail's, the update's, and the receipt's."""
        return self.arrival.letter.id

    @property
    def identity(self) -> tuple[str, str] | None:
        """What makes another message the same one; None where nothing does."""
        return (self.message_id, self.content_key) if self.message_id and self.content_key else None


async def look(arrival: Arrival, sequence: int, at: datetime, grammar: SubjectGrammar, judge: Judge) -> Item:
    """What is known of a message without the store."""
    letter = arrival.letter
    headers = letter.headers
    sender = sender_of(headers)
    subject = _subject(headers)
    reading = grammar.read(subject)
    authentication = Authentication.OFF
    postmaster = arrival.recipients == (POSTMASTER,)
    if isinstance(sender, Mailbox) and isinstance(reading, Found) and letter.fault is None and not postmaster:
        authentication = await judge(arrival, sender)
    facts = Facts(
        naming=_NAMING[type(reading)],
        sender=sender.address.lower() if isinstance(sender, Mailbox) else None,
        authentication=authentication,
        fault=letter.fault,
        hops=sum(name == "received" for name, _ in headers.fields),
        automatic=sign_of(headers, arrival.sender, subject) is not None,
        irregular_header=bool(headers.defects) or _repeats_a_field(headers),
        postmaster=postmaster,
        subjects_differ=len(set(headers.all("subject"))) > 1,
    )
    raw = letter.raw
    return Item(
        arrival=arrival,
        sequence=sequence,
        at=at,
        facts=facts,
        subject=_storable(subject[:SUBJECT_MOST]),
        sr=reading.number if isinstance(reading, Found) else None,
        message_id=_storable(message_id(headers)),
        content_key=letter.content_key if letter.fault is None else None,
        sha256=hashlib.sha256(raw).hexdigest() if raw is not None else None,
        raw=raw,
        body=plain_text(headers, raw[headers.body_at :]) if raw is not None else None,
    )


def unread(arrival: Arrival, sequence: int, at: datetime) -> Item:
    """A message that could not even be looked at."""
    facts = Facts(naming=Naming.ABSENT, sender=None)
    return Item(arrival, sequence, at, facts, "", None, None, None, None, None, None, NOT_RECORDED)


def complete(
    item: Item, standing: mails.SrStanding | None, before: mails.Known | None, full: bool, places: Places
) -> Facts:
    """The facts with what only the store knows; days are those of the account's place."""
    if standing is None:
        return replace(item.facts, repeats=before is not None, postmaster_full=full)
    return replace(
        item.facts,
        repeats=before is not None,
        postmaster_full=full,
        standing=Standing(
            closed=standing.status == CLOSED,
            account_active=standing.account_active,
            agreement_current=standing.agreement_ends is None
            or local_day(item.at, places.of(standing.region)) <= standing.agreement_ends,
            access=standing.access.get(item.facts.sender or ""),
        ),
    )


_ONCE = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject", "date"}
)
"""Fields that a message has once at most (RFC 5322 section 3.6)."""


def _repeats_a_field(headers: Headers) -> bool:
    names = [name for name, _ in headers.fields if name in _ONCE]
    return len(names) != len(set(names))


def _subject(headers: Headers) -> str:
    """The decoded subject; of several, the first (where they differ, the policy refuses)."""
    value = headers.first("subject") or b""
    # A sign stands for what is not read, so that no number ends there which goes on.
    return decode(value) if len(value) <= LONGEST else decode(value) + "_"


def _storable(text: str | None) -> str:
    """Text that every database takes: no NUL, no lone surrogate."""
    return (text or "").replace("\0", "\ufffd").encode("utf-8", "replace").decode()
