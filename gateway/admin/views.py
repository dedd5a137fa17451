"""What operators and their programs read: records in the shapes of the public contract, plain JSON throughout.

Rules: keys of the contract stay; more may join them. An account is named by its login, an SR by its number, a time is
RFC 3339 in UTC (``Moment``). Never: a password, a hash, a sealed password.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from gateway.domain.moment import Moment
from gateway.domain.records import Account, Attachment, Contact, Grant, Request, Update, Version
from gateway.domain.status import Status

View = dict[str, Any]


def moment(value: datetime | None) -> Moment | None:
    """RFC 3339, to the second: ``2027-01-05T14:00:00Z``; people are shown it in a zone of theirs."""
    return None if value is None else Moment(value)


def account(value: Account, today: date) -> View:
    return {
        "login": value.login,
        "sold_to": value.sold_to,
        "end_user": value.end_user,
        "region": value.region,
        "state": value.state.value,
        "agreement_ends": value.agreement_ends.isoformat() if value.agreement_ends else None,
        "agreement_current": value.current_on(today),
        "next_reset": moment(value.next_reset),
        "password_set": moment(value.password_set_at),
        "data_binding": value.data_binding,
        "limits": value.limits,
        "created": moment(value.created_at),
    }


def contact(value: Contact, grants: Iterable[tuple[Account, Grant]]) -> View:
    return {
        "email": value.email,
        "name": value.name,
        "created": moment(value.created_at),
        "grants": [{"account": holder.login, **grant(each)} for holder, each in grants],
    }


def grant(value: Grant) -> View:
    return {
        "access": value.access.value,
        "employer": value.employer,
        "approved_by": value.approved_by,
        "granted": moment(value.granted_at),
    }


def status_of(value: Request) -> Status:
    """An SR's status; a row without a sub-status has its status' first."""
    return Status(value.status, value.substatus) if value.substatus else Status.first(value.status)


def request(value: Request, login: str) -> View:
    return {
        "number": value.number,
        "status": str(status_of(value)),
        "account": login,
        "title": value.title,
        "priority": value.priority,
        "created": moment(value.created_at),
        "status_changed": moment(value.status_changed_at),
        "closed": moment(value.closed_at),
    }


def file(value: Version, login: str) -> View:
    return {
        "id": value.id,
        "account": login,
        "sr": value.sr,
        "path": value.path,
        "version": value.number,
        "size": max(value.size, value.durable_size),  # while it is on its way: what is on the disk for certain
        "sha256": value.sha256,
        "state": value.state.value,
        "started": moment(value.started_at),
        "ended": moment(value.ended_at),
        "modified": moment(value.modified_at),
    }


def update(value: Update) -> View:
    return {
        "id": value.id,
        "sr": value.sr,
        "visibility": value.visibility.value,
        "sender": value.sender,
        "subject": value.subject,
        "received": moment(value.received_at),
        "marks": list(value.marks),
        "attachments": [attachment(each) for each in value.attachments],
    }


def attachment(value: Attachment) -> View:
    return {
        "name": value.name,
        "size": value.size,
        "sha256": value.sha256,
        "id": value.id,
        "type": value.content_type,
        "kind": value.kind,
    }
