"""What is to be told to the world: events, and the deliveries that carry them, to webhooks and to contacts by mail.

An event is recorded by whoever makes it true, in the same transaction. Routing turns it into one delivery for each
receiver; a mail is a delivery from the beginning. A delivery is pending until it is delivered, or parked for a person.

Rules: a delivery is claimed for a while before it is tried, so that two hosts don't try it at once; a claim that runs
out is a crash, and the delivery is tried again: at least once. Of one receiver's deliveries that belong together (the
same ``ordering``) only the first that is pending may be claimed: that is the order per SR.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event, EventType
from gateway.domain.ids import new_id
from gateway.store.tables import deliveries, events

WEBHOOK = "webhook"
MAIL = "mail"
PENDING = "pending"
DELIVERED = "delivered"
PARKED = "parked"

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to a contact: what its template needs, never a secret. *unique_key* keeps it from being sent twice."""

    to: str
    contact_id: str
    message: dict[str, Any]
    unique_key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to tell to one receiver, and how far it has come. *event* is there for webhooks, *message* for mail."""

    id: str
    sequence: int
    kind: str
    target: str
    ordering: str
    state: str
    attempts: int
    next_attempt_at: datetime
    created_at: datetime
    delivered_at: datetime | None
    last_error: str | None
    event: Event | None
    message: dict[str, Any] | None


_RECORD, _POST = events.insert(), deliveries.insert()


async def record(tx: AsyncConnection, *happened: Event) -> None:
    """Record *happened*, in order. Routing and delivery are the outbox's work, later."""
    if happened:
        await tx.execute(
            _RECORD,
            [
                {
                    "id": event.id,
                    "type": event.type.value,
                    "ordering": event.ordering,
                    "payload": event.payload,
                    "created_at": event.created_at,
                }
                for event in happened
            ],
        )


async def post(tx: AsyncConnection, mails: Iterable[Mail]) -> int:
    """Put *mails* into the outbox, but those whose unique key is known there; how many were new."""
    wanted = {mail.unique_key: mail for mail in mails}
    for some in _portions(list(wanted)):
        known = await tx.execute(select(deliveries.c.unique_key).where(deliveries.c.unique_key.in_(some)))
        for key in known.scalars():
            del wanted[key]
    if wanted:
        await tx.execute(
            _POST,
            [
                {
                    "id": new_id(mail.at.timestamp()),
                    "kind": MAIL,
                    "target": mail.to,
                    "ordering": f"contact {mail.contact_id}",
                    "message": mail.message,
                    "unique_key": mail.unique_key,
                    "state": PENDING,
                    "next_attempt_at": mail.at,
                    "created_at": mail.at,
                }
                for mail in wanted.values()
            ],
        )
    return len(wanted)


async def posted(connection: AsyncConnection, unique_keys: Collection[str]) -> set[str]:
    """Those of several unique keys that mails in the outbox have, whatever became of them."""
    found: set[str] = set()
    for some in _portions(list(unique_keys)):
        known = await connection.execute(select(deliveries.c.unique_key).where(deliveries.c.unique_key.in_(some)))
        found |= {key for key in known.scalars() if key is not None}
    return found


@dataclass(frozen=True, slots=True)
class Routing:
    """Which webhooks an event goes to, by its type; the first *limit* events that wait are routed."""

    at: datetime
    webhooks: Callable[[EventType], Sequence[str]]
    limit: int = 500


async def route(tx: AsyncConnection, item: Routing) -> int:
    """Turn events into deliveries, in their order; how many events that were."""
    found = await tx.execute(
        select(events.c.sequence, events.c.id, events.c.type, events.c.ordering)
        .where(events.c.routed_at.is_(None))
        .order_by(events.c.sequence)
        .limit(item.limit)
    )
    waiting = found.all()
    made = [
        {
            "id": new_id(item.at.timestamp()),
            "event_id": row.id,
            "kind": WEBHOOK,
            "target": target,
            "ordering": row.ordering,
            "state": PENDING,
            "next_attempt_at": item.at,
            "created_at": item.at,
        }
        for row in waiting
        for target in item.webhooks(EventType(row.type))
    ]
    if made:
        await tx.execute(_POST, made)
    for some in _portions([row.sequence for row in waiting]):
        await tx.execute(update(events).where(events.c.sequence.in_(some)).values(routed_at=item.at))
    return len(waiting)


async def any_to_route(connection: AsyncConnection) -> bool:
    """Whether an event waits to be routed: a look that holds no writer up."""
    found = await connection.execute(select(events.c.sequence).where(events.c.routed_at.is_(None)).limit(1))
    return found.first() is not None


async def any_to_try(connection: AsyncConnection, kind: str, now: datetime, target: str | None = None) -> bool:
    """Whether a delivery is due: a look that holds no writer up. It may turn out to be claimed."""
    query = select(deliveries.c.sequence).where(
        deliveries.c.kind == kind, deliveries.c.state == PENDING, deliveries.c.next_attempt_at <= now
    )
    if target is not None:
        query = query.where(deliveries.c.target == target)
    return (await connection.execute(query.limit(1))).first() is not None


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask for up to *limit* deliveries of a *kind* (to one *target*), to be settled before *until*."""

    kind: str
    at: datetime
    until: datetime
    limit: int = 20
    target: str | None = None


async def claim(tx: AsyncConnection, item: Claim) -> list[Delivery]:
    """Claim what may be tried now: due, unclaimed, and the first of its receiver and ordering that is pending."""
    earlier = deliveries.alias("earlier")
    first = ~(
        select(earlier.c.sequence)
        .where(
            earlier.c.target == deliveries.c.target,
            earlier.c.ordering == deliveries.c.ordering,
            earlier.c.state == PENDING,
            earlier.c.sequence < deliveries.c.sequence,
        )
        .exists()
    )
    mine = deliveries.c.kind == item.kind
    if item.target is not None:
        mine &= deliveries.c.target == item.target
    found = await tx.execute(
        select(deliveries.c.sequence)
        .where(
            mine,
            deliveries.c.state == PENDING,
            deliveries.c.next_attempt_at <= item.at,
            (deliveries.c.claimed_until.is_(None)) | (deliveries.c.claimed_until <= item.at),
            first,
        )
        .order_by(deliveries.c.next_attempt_at, deliveries.c.sequence)
        .limit(item.limit)
    )
    sequences = list(found.scalars())
    if not sequences:
        return []
    await tx.execute(
        update(deliveries)
        .where(deliveries.c.sequence.in_(sequences))
        .values(claimed_until=item.until, attempts=deliveries.c.attempts + 1)
    )
    return await _deliveries(tx, deliveries.c.sequence.in_(sequences))


@dataclass(frozen=True, slots=True)
class Settled:
    """How an attempt went. Delivered when *error* is None; else tried again at *next_attempt_at*, parked when None."""

    id: str
    at: datetime
    error: str | None = None
    next_attempt_at: datetime | None = None


async def settle(tx: AsyncConnection, item: Settled) -> None:
    """Note an attempt's end and let go of the claim. What was delivered meanwhile stays delivered."""
    values: dict[str, Any] = {"claimed_until": None, "last_error": item.error}
    if item.error is None:
        values |= {"state": DELIVERED, "delivered_at": item.at}
    elif item.next_attempt_at is None:
        values |= {"state": PARKED}
    else:
        values |= {"next_attempt_at": item.next_attempt_at}
    await tx.execute(
        update(deliveries).where(deliveries.c.id == item.id, deliveries.c.state != DELIVERED).values(**values)
    )


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a delivery again now: one that is parked, or one that waits for its next attempt."""

    id: str
    at: datetime


async def retry(tx: AsyncConnection, item: Retry) -> Delivery | None:
    """Make a delivery pending and due; what it was before, None when there is none. A delivered one stays so."""
    before = await by_id(tx, item.id)
    if before is not None and before.state != DELIVERED:
        await tx.execute(
            update(deliveries)
            .where(deliveries.c.id == item.id)
            .values(state=PENDING, next_attempt_at=item.at, claimed_until=None, attempts=0)
        )
    return before


async def orphaned(tx: AsyncConnection, known: Collection[str]) -> int:
    """Park what waits for webhooks that are not *known* any more, so that it is seen; how much that was."""
    gone = await tx.execute(
        update(deliveries)
        .where(
            deliveries.c.kind == WEBHOOK,
            deliveries.c.state == PENDING,
            deliveries.c.target.not_in(list(known)),
        )
        .values(state=PARKED, claimed_until=None, last_error="this webhook is not in the configuration any more")
    )
    return gone.rowcount


async def by_id(connection: AsyncConnection, delivery_id: str) -> Delivery | None:
    found = await _deliveries(connection, deliveries.c.id == delivery_id)
    return found[0] if found else None


async def listed(
    connection: AsyncConnection, states: Collection[str] = (PENDING, PARKED), limit: int | None = None
) -> list[Delivery]:
    """The deliveries in some states, oldest first."""
    return await _deliveries(connection, deliveries.c.state.in_(list(states)), limit)


async def counted(connection: AsyncConnection) -> dict[str, int]:
    """How many deliveries are in each state, and how many events wait to be routed ("unrouted")."""
    by_state = await connection.execute(
        select(deliveries.c.state, func.count().label("how_many")).group_by(deliveries.c.state)
    )
    unrouted = await connection.execute(select(func.count()).select_from(events).where(events.c.routed_at.is_(None)))
    return {row.state: row.how_many for row in by_state} | {"unrouted": unrouted.scalar_one()}


async def retire(tx: AsyncConnection, before: datetime) -> int:
    """Drop deliveries that arrived before *before*, then events that no delivery needs; how many deliveries."""
    gone = await tx.execute(
        delete(deliveries).where(deliveries.c.state == DELIVERED, deliveries.c.delivered_at < before)
    )
    needed = select(deliveries.c.event_id).where(deliveries.c.event_id.is_not(None))
    await tx.execute(delete(events).where(events.c.routed_at < before, events.c.id.not_in(needed)))
    return gone.rowcount


async def _deliveries(connection: AsyncConnection, condition: Any, limit: int | None = None) -> list[Delivery]:
    found = await connection.execute(
        select(
            deliveries,
            events.c.type.label("event_type"),
            events.c.payload.label("event_payload"),
            events.c.created_at.label("event_at"),
        )
        .join(events, events.c.id == deliveries.c.event_id, isouter=True)
        .where(condition)
        .order_by(deliveries.c.sequence)
        .limit(limit)
    )
    return [_delivery(row) for row in found.mappings()]


def _delivery(row: Any) -> Delivery:
    event = None
    if row["event_id"] is not None:
        event = Event(
            row["event_id"], EventType(row["event_type"]), row["ordering"], row["event_payload"], row["event_at"]
        )
    return Delivery(
        id=row["id"],
        sequence=row["sequence"],
        kind=row["kind"],
        target=row["target"],
        ordering=row["ordering"],
        state=row["state"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        created_at=row["created_at"],
        delivered_at=row["delivered_at"],
        last_error=row["last_error"],
        event=event,
        message=row["message"],
    )


def _portions(values: list[Any]) -> Iterable[list[Any]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
