"""The records: what the store knows, as frozen values. PROGRAM.md gives the terms.

Times are aware UTC datetimes. Sizes are bytes. States are string enums whose values stand in the public contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any


class AccountState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class Access(StrEnum):
    READ_WRITE = "read-write"
    """A Designated Contact: may report and update Service Requests."""
    READ_ONLY = "read-only"


class Visibility(StrEnum):
    PRIVATE = "private"
    """Support's own eyes only: what every update by mail starts as (PROGRAM.md, "The mail aliases")."""
    PUBLIC = "public"


class VersionState(StrEnum):
    """What became of an upload. RECEIVING → PARTIAL | COMPLETE | DAMAGED; PARTIAL → RECEIVING again on resume."""

    RECEIVING = "receiving"
    PARTIAL = "partial"
    COMPLETE = "complete"
    DAMAGED = "damaged"
    DELETED = "deleted"


class Outcome(StrEnum):
    """What became of a message whose end of data was reached; the ledger has exactly one per message."""

    FILED = "filed"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    DEFERRED = "deferred"
    """Answered 4yz: the sender still holds the message and will come again."""
    REPEATED = "repeated"
    """The same message again after it was filed: 250, and no second update."""


@dataclass(frozen=True, slots=True)
class Account:
    """An ST/EU account: one *Sold To / End User* combination on a maintenance agreement."""

    id: str
    login: str
    sold_to: str
    end_user: str
    region: str | None
    state: AccountState
    agreement_ends: date | None
    password_hash: str
    password_set_at: datetime
    next_reset: datetime | None
    former_hash: str | None = None
    former_ended_at: datetime | None = None
    former_valid_until: datetime | None = None
    sealed_password: bytes | None = field(default=None, repr=False)
    sealing_key: str | None = None
    rotation_rule: str | None = None
    data_binding: str | None = None
    limits: dict[str, int] = field(default_factory=dict)
    session_epoch: int = 0
    created_at: datetime | None = None

    def current_on(self, day: date) -> bool:
        """Whether the combination is on a current maintenance agreement on *day* (its last day included)."""
        return self.agreement_ends is None or day <= self.agreement_ends


@dataclass(frozen=True, slots=True)
class Contact:
    """A person, known by a personal corporate e-mail address (kept lower-case, IDNA in its domain)."""

    id: str
    email: str
    name: str
    created_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """A contact's access to one ST/EU account; who approved it, and for which employer (PROGRAM.md)."""

    contact_id: str
    account_id: str
    access: Access
    employer: str | None
    approved_by: str | None
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """A Service Request (SR): one problem, with a number, a status and everything filed under it."""

    number: str
    account_id: str
    status: str
    substatus: str | None
    priority: str | None
    title: str | None
    created_at: datetime
    status_changed_at: datetime
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """One part of a mail, kept byte for byte in the spool under its own version id."""

    id: str
    position: int
    name: str
    content_type: str
    kind: str
    size: int
    sha256: str
    original: str | None = None
    """What the mail calls it; *name* is safe to show."""
    spool: str = ""
    """Which host's spool holds the bytes."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a contact wrote about a Service Request, by mail."""

    id: str
    sr: str
    visibility: Visibility
    sender: str
    subject: str
    received_at: datetime
    marks: tuple[str, ...]
    mail_id: str
    body: str | None
    examined_at: datetime | None
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one name in an account's tree: an upload, from its first byte to its receipt."""

    id: str
    account_id: str
    path: str
    number: int
    sr: str | None
    state: VersionState
    size: int
    sha256: str | None
    started_at: datetime
    ended_at: datetime | None
    modified_at: datetime | None
    evidence: str | None
    inspection: dict[str, Any] | None
    epoch: int
    durable_size: int
    boot_id: str | None
    spool: str
