"""The quarantine: mails that the policy would neither file nor refuse, for a person to release or discard.

Rules: a mail is decided about once; releasing files it as any update is filed, private, with a mark, and somebody looks
inside it then; discarding removes its bytes and keeps its row in the ledger. Both are audited.
A crash between a discard's commit and the removal of a large mail's file leaves a file that ``gateway doctor`` names.
"""

import asyncio
from pathlib import Path

from gateway.admin import export as exporting
from gateway.admin import views
from gateway.admin.desk import Desk, Refused, account_of_id, request_of
from gateway.domain.policy import Mark
from gateway.store import Transaction, quarantine, updates
from gateway.store.quarantine import Held


async def everything(desk: Desk, *, decided: bool = False) -> list[views.View]:
    """What is held, the oldest first; *decided*: what was released and discarded, too."""
    async with desk.reading() as connection:
        found = await quarantine.everything(connection, None if decided else quarantine.HELD)
    return [_view(each) for each in found]


async def release(desk: Desk, mail_id: str, number: str | None = None) -> views.View:
    """File a held mail under the SR that it names, or another. Raises Refused."""
    now = desk.clock.now()

    async def step(tx: Transaction) -> None:
        held = await _held(tx, mail_id)
        to = await request_of(tx, number or held.sr or "")
        status = views.status_of(to)
        region = (await account_of_id(tx, to.account_id)).region
        marks = (*held.marks, Mark.RELEASED, *((Mark.CLOSED,) if status.closed else ()))
        await quarantine.decide(tx, mail_id, quarantine.RELEASED, now, desk.actor)
        await updates.file(
            tx,
            [
                updates.New(
                    id=mail_id,
                    mail_id=mail_id,
                    sr=to.number,
                    account_id=to.account_id,
                    sender=held.sender or held.envelope_from,
                    subject=held.subject or "",
                    received_at=held.received_at,
                    marks=tuple(dict.fromkeys(marks)),
                    answers=status.waits_for_customer and Mark.AUTOMATIC not in marks,
                    next_business_moment=desk.config.next_business_moment(region, now),
                )
            ],
        )

    await desk.act("quarantine release", mail_id, step, sr=number)
    return await _show(desk, mail_id)


async def discard(desk: Desk, mail_id: str) -> views.View:
    """Throw a held mail away; the ledger keeps its row. Raises Refused."""
    now = desk.clock.now()

    async def step(tx: Transaction) -> Held:
        held = await _held(tx, mail_id)
        await quarantine.decide(tx, mail_id, quarantine.DISCARDED, now, desk.actor)
        await quarantine.forget_bytes(tx, mail_id)
        return held

    held = await desk.act("quarantine discard", mail_id, step)
    if held.kept == "spool" and held.sha256:
        await asyncio.to_thread(desk.spool.remove, held.sha256, mail_id)
    return await _show(desk, mail_id)


async def export(desk: Desk, mail_id: str, target: Path) -> views.View:
    """Write a mail as it came to *target*, a folder or a new file's path, to be read before it is decided about.

    Raises Refused.
    """
    async with desk.reading() as connection:
        if await quarantine.by_id(connection, mail_id) is None:
            raise _unknown(mail_id)
        found = await exporting.mail(desk, connection, mail_id)
    return await exporting.export(found, target)


def _unknown(mail_id: str) -> Refused:
    return Refused(f"there is no mail {mail_id} in quarantine; `gateway quarantine list` shows all")


async def _held(tx: Transaction, mail_id: str) -> Held:
    found = await quarantine.by_id(tx, mail_id)
    if found is None:
        raise _unknown(mail_id)
    if found.state != quarantine.HELD:
        raise Refused(f"mail {mail_id} was {found.state} already; nothing was changed")
    return found


async def _show(desk: Desk, mail_id: str) -> views.View:
    async with desk.reading() as connection:
        found = await quarantine.by_id(connection, mail_id)
    assert found is not None
    return _view(found)


def _view(held: Held) -> views.View:
    return {
        "id": held.id,
        "state": held.state,
        "received": views.moment(held.received_at),
        "sender": held.sender,
        "envelope_from": held.envelope_from,
        "subject": held.subject,
        "sr": held.sr,
        "reason": held.reason,
        "size": held.size,
        "decided": views.moment(held.decided_at),
        "decided_by": held.decided_by,
    }
