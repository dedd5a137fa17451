"""What the world is told: the types of event, and what one event is. ``docs/events/`` has a JSON Schema for each.

Rules: an event is recorded in the transaction that made it true, and says facts, never secrets. ``ordering`` names what
it belongs to: events of one SR (or one account) are delivered in the order in which they were recorded. The id is also
the idempotency key: a receiver that has seen it has seen the event.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from gateway.domain.ids import new_id


class EventType(StrEnum):
    UPDATE_FILED = "update.filed"
    UPDATE_MOVED = "update.moved"
    UPDATE_PUBLISHED = "update.published"
    FILE_RECEIVED = "file.received"
    FILE_INCOMPLETE = "file.incomplete"
    FILE_DAMAGED = "file.damaged"
    FILE_UNFILED = "file.unfiled"
    CUSTOMER_RESPONDED = "customer_responded"
    PASSWORD_RESET_DUE = "password.reset_due"
    PASSWORD_RESET = "password.reset"
    ACCOUNT_LOCKED = "account.locked"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. *payload* is JSON: strings, numbers, lists; times as ``timestamp`` writes them."""

    id: str
    type: EventType
    ordering: str
    payload: dict[str, Any]
    created_at: datetime


def of_request(number: str) -> str:
    """The ordering of everything that belongs to one SR."""
    return f"sr {number}"


def of_account(account_id: str) -> str:
    """The ordering of what belongs to an account and to no SR."""
    return f"account {account_id}"


def timestamp(moment: datetime) -> str:
    """2027-01-05T14:00:00Z, as payloads write times (RFC 3339)."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def about_request(type: EventType, number: str, at: datetime, **facts: Any) -> Event:
    """An event of an SR, as of *at*; *facts* go into its payload."""
    payload = {"sr": number, "at": timestamp(at), **facts}
    return Event(new_id(at.timestamp()), type, of_request(number), payload, at)


def about_account(type: EventType, account_id: str, at: datetime, **facts: Any) -> Event:
    """An event of an ST/EU account that belongs to no SR."""
    return Event(new_id(at.timestamp()), type, of_account(account_id), {"at": timestamp(at), **facts}, at)
