"""Updates: what contacts wrote about Service Requests, with the text and the attachments that workers found inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event, EventType, about_request, timestamp
from gateway.domain.policy import Mark
from gateway.domain.records import Attachment, Request, Update, Visibility
from gateway.domain.status import Status
from gateway.store import accounts, outbox, requests, rows
from gateway.store.tables import attachments, mails, update_bodies, updates
from gateway.store.tables import requests as requests_table


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
    body: str | None = None
    """The text of a simple mail, which needs no further look; None: somebody is to look inside."""
    login: str | None = None
    """The account's login, where it is known already."""


_FILE, _WRITE, _ATTACH = updates.insert(), update_bodies.insert(), attachments.insert()


async def file(tx: AsyncConnection, new: Sequence[New]) -> None:
    """File updates, and record what the world is to be told of them."""
    if not new:
        return
    await tx.execute(
        _FILE,
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
                "examined_at": None if each.body is None else each.received_at,
            }
            for each in new
        ],
    )
    bodies = [{"update_id": each.id, "body": each.body} for each in new if each.body is not None]
    if bodies:
        await tx.execute(_WRITE, bodies)
    answered = {each.sr: each.received_at for each in new if each.answers}
    for number, at in answered.items():
        await requests.responded(tx, number, at)
    strangers = {each.account_id for each in new if each.login is None}
    logins = await accounts.logins(tx, strangers) if strangers else {}
    await outbox.record(tx, *(event for each in new for event in _events(each, each.login or logins[each.account_id])))


def _events(new: New, login: str) -> list[Event]:
    facts: dict[str, Any] = {"update": new.id, "account": login, "sender": new.sender}
    if new.next_business_moment is not None:
        facts["next_business_moment"] = timestamp(new.next_business_moment)
    at = new.received_at
    filed = about_request(
        EventType.UPDATE_FILED, new.sr, at, **facts, subject=new.subject, marks=list(new.marks), visibility="private"
    )
    return [filed, about_request(EventType.CUSTOMER_RESPONDED, new.sr, at, **facts)] if new.answers else [filed]


@dataclass(frozen=True, slots=True)
class Inside:
    """What somebody who looked inside an update found there."""

    id: str
    at: datetime
    body: str
    attachments: tuple[Attachment, ...]
    marks: tuple[str, ...]


async def examined(tx: AsyncConnection, inside: Inside) -> bool:
    """Add what was found inside an update, once: False when somebody was quicker."""
    row = (await tx.execute(select(updates.c.marks, updates.c.examined_at).where(updates.c.id == inside.id))).first()
    if row is None or row.examined_at is not None:
        return False
    marks = list(dict.fromkeys([*row.marks, *inside.marks]))
    await tx.execute(update(updates).where(updates.c.id == inside.id).values(examined_at=inside.at, marks=marks))
    await tx.execute(update_bodies.insert().values(update_id=inside.id, body=inside.body))
    if inside.attachments:
        await tx.execute(
            _ATTACH,
            [
                {"update_id": inside.id, **{name: getattr(each, name) for name in _ATTACHMENT}}
                for each in inside.attachments
            ],
        )
    return True


async def publish(tx: AsyncConnection, chosen: Update, at: datetime) -> None:
    """Let the customer see an update from now on."""
    await tx.execute(update(updates).where(updates.c.id == chosen.id).values(visibility=Visibility.PUBLIC.value))
    await outbox.record(
        tx, about_request(EventType.UPDATE_PUBLISHED, chosen.sr, at, update=chosen.id, sender=chosen.sender)
    )


async def move(tx: AsyncConnection, chosen: Update, to: Request, at: datetime, mark: str) -> None:
    """File an update under another SR. It is private there, for what its SR's customer may see was decided elsewhere.

    The SR that it leaves waits for its customer again, if this was taken for the answer; the other one has it, unless
    no person wrote it.
    """
    marks = list(dict.fromkeys([*chosen.marks, mark]))
    values = {"sr": to.number, "visibility": Visibility.PRIVATE.value, "marks": marks}
    await tx.execute(update(updates).where(updates.c.id == chosen.id).values(**values))
    await tx.execute(
        update(requests_table)
        .where(requests_table.c.number == chosen.sr, requests_table.c.customer_responded_at == chosen.received_at)
        .values(customer_responded_at=None)
    )
    login = (await accounts.logins(tx, {to.account_id}))[to.account_id]
    facts = {"update": chosen.id, "account": login, "sender": chosen.sender}
    await outbox.record(tx, about_request(EventType.UPDATE_MOVED, to.number, at, **facts, moved_from=chosen.sr))
    if Status(to.status, to.substatus or "").waits_for_customer and Mark.AUTOMATIC not in chosen.marks:
        await requests.responded(tx, to.number, chosen.received_at)
        await outbox.record(tx, about_request(EventType.CUSTOMER_RESPONDED, to.number, at, **facts))


async def unexamined(connection: AsyncConnection, spool: str, limit: int = 100) -> list[tuple[str, str]]:
    """(update id, mail id) of updates that nobody has looked into, the oldest first.

    Left out are those whose mails lie in another spool than *spool*: only their own host can read them.
    """
    found = await connection.execute(
        select(updates.c.id, updates.c.mail_id)
        .join(mails, mails.c.id == updates.c.mail_id)
        .where(updates.c.examined_at.is_(None), mails.c.spool.is_(None) | (mails.c.spool == spool))
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


_ATTACHMENT = tuple(Attachment.__dataclass_fields__)
