"""Updates: what contacts wrote about Service Requests, with the text and the attachments that workers found inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event, EventType, about_request, timestamp
from gateway.domain.records import Attachment, Update, Visibility
from gateway.store import outbox, requests, rows
from gateway.store.tables import attachments, update_bodies, updates


@dataclass(frozen=True, slots=True)
class New:
    """An update to be filed: always private, whatever it is (PROGRAM.md, "The mail aliases")."""

    id: str
    mail_id: str
    sr: str
    account_id: str
    sender: str
    subject: str
    received_at: datetime
    marks: tuple[str, ...]
    answers: bool
    """Whether the SR was waiting for its customer, and this is a person's answer."""
    next_business_moment: datetime | None


async def file(tx: AsyncConnection, new: Sequence[New]) -> None:
    """File updates, and record what the world is to be told of them."""
    if not new:
        return
    await tx.execute(
        updates.insert(),
        [
            {
                "id": each.id,
                "mail_id": each.mail_id,
                "sr": each.sr,
                "visibility": Visibility.PRIVATE.value,
                "sender": each.sender,
                "subject": each.subject,
                "received_at": each.received_at,
                "marks": list(each.marks),
            }
            for each in new
        ],
    )
    answered = {each.sr: each.received_at for each in new if each.answers}
    for number, at in answered.items():
        await requests.change(tx, number, customer_responded_at=at)
    await outbox.record(tx, *(event for each in new for event in _events(each)))


def _events(new: New) -> list[Event]:
    facts: dict[str, Any] = {"update": new.id, "account": new.account_id, "sender": new.sender}
    if new.next_business_moment is not None:
        facts["next_business_moment"] = timestamp(new.next_business_moment)
    at = new.received_at
    filed = about_request(
        EventType.UPDATE_FILED, new.sr, at, **facts, subject=new.subject, marks=list(new.marks), visibility="private"
    )
    return [filed, about_request(EventType.CUSTOMER_RESPONDED, new.sr, at, **facts)] if new.answers else [filed]


async def examined(
    tx: AsyncConnection, update_id: str, at: datetime, body: str, found: Sequence[Attachment], marks: Sequence[str]
) -> bool:
    """Add what a worker found inside, once: False when it was examined before."""
    row = (await tx.execute(select(updates.c.marks, updates.c.examined_at).where(updates.c.id == update_id))).first()
    if row is None or row.examined_at is not None:
        return False
    merged = list(dict.fromkeys([*row.marks, *marks]))
    await tx.execute(update(updates).where(updates.c.id == update_id).values(examined_at=at, marks=merged))
    await tx.execute(update_bodies.insert().values(update_id=update_id, body=body))
    if found:
        await tx.execute(
            attachments.insert(),
            [
                {
                    "id": each.id,
                    "update_id": update_id,
                    "position": each.position,
                    "name": each.name,
                    "content_type": each.content_type,
                    "kind": each.kind,
                    "size": each.size,
                    "sha256": each.sha256,
                }
                for each in found
            ],
        )
    return True


async def unexamined(connection: AsyncConnection, limit: int = 100) -> list[tuple[str, str]]:
    """(update id, mail id) of updates that nobody has looked into, the oldest first."""
    found = await connection.execute(
        select(updates.c.id, updates.c.mail_id)
        .where(updates.c.examined_at.is_(None))
        .order_by(updates.c.id)
        .limit(limit)
    )
    return [(row.id, row.mail_id) for row in found]


async def by_id(connection: AsyncConnection, update_id: str) -> Update | None:
    """One update, with its body and attachments."""
    return next(iter(await _select(connection, updates.c.id == update_id)), None)


async def of_request(connection: AsyncConnection, number: str, *, public_only: bool = False) -> list[Update]:
    """An SR's updates, the oldest first. *public_only*: what its customer may see."""
    conditions = [updates.c.sr == number]
    if public_only:
        conditions.append(updates.c.visibility == Visibility.PUBLIC.value)
    return await _select(connection, *conditions)


async def attachment(connection: AsyncConnection, attachment_id: str) -> Attachment | None:
    """One attachment of any update."""
    found = await connection.execute(select(attachments).where(attachments.c.id == attachment_id))
    row = found.mappings().first()
    return None if row is None else rows.attachment(row)


async def _select(connection: AsyncConnection, *conditions: Any) -> list[Update]:
    found = (
        await connection.execute(
            select(updates, update_bodies.c.body)
            .outerjoin(update_bodies, update_bodies.c.update_id == updates.c.id)
            .where(*conditions)
            .order_by(updates.c.received_at, updates.c.id)
        )
    ).mappings()
    listed = [dict(row) for row in found]
    parts = await connection.execute(
        select(attachments)
        .where(attachments.c.update_id.in_([row["id"] for row in listed]))
        .order_by(attachments.c.position)
    )
    of: dict[str, list[Attachment]] = {}
    for part in parts.mappings():
        of.setdefault(part["update_id"], []).append(rows.attachment(part))
    return [rows.update(row, row.pop("body"), tuple(of.get(row["id"], ()))) for row in listed]
