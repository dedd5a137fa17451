"""Updates: what contacts wrote by mail, as support sees it."""

from pathlib import Path

from gateway.admin import export as exporting
from gateway.admin import views
from gateway.admin.desk import Desk, Refused, request_of
from gateway.domain.policy import Mark
from gateway.domain.records import Update, Visibility
from gateway.store import Transaction, updates


async def of_request(desk: Desk, number: str) -> list[views.View]:
    """An SR's updates, the oldest first."""
    async with desk.reading() as connection:
        await request_of(connection, number)
        return [views.update(each) for each in await updates.of_request(connection, number)]


async def show(desk: Desk, update_id: str) -> views.View:
    """One update with its text."""
    async with desk.reading() as connection:
        found = await update_of(connection, update_id)
    return {
        **views.update(found),
        "body": found.body,
        "mail": found.mail_id,
        "examined": views.moment(found.examined_at),
    }


async def export(desk: Desk, update_id: str, target: Path) -> views.View:
    """Write the mail that an update came in, byte for byte, to *target*, a folder or a new file's path.

    Raises Refused.
    """
    async with desk.reading() as connection:
        found = await exporting.mail(desk, connection, (await update_of(connection, update_id)).mail_id)
    return await exporting.export(found, target)


async def publish(desk: Desk, update_id: str) -> views.View:
    """Let the customer see an update. Raises Refused."""
    now = desk.clock.now()

    async def step(tx: Transaction) -> None:
        found = await update_of(tx, update_id)
        if found.visibility is Visibility.PUBLIC:
            raise Refused(f"update {update_id} is public already; nothing was changed")
        await updates.publish(tx, found, now)

    await desk.act("update publish", update_id, step)
    return await show(desk, update_id)


async def move(desk: Desk, update_id: str, number: str) -> views.View:
    """File an update under another SR, where it is private. Raises Refused."""
    now = desk.clock.now()
    async with desk.reading() as connection:
        before = await update_of(connection, update_id)

    async def step(tx: Transaction) -> None:
        found = await update_of(tx, update_id)
        if number in (found.sr, before.sr):
            raise Refused(f"update {update_id} belongs to SR {number} already; nothing was changed")
        if found.sr != before.sr:
            raise Refused(f"update {update_id} was moved to SR {found.sr} meanwhile; nothing was changed")
        await updates.move(tx, found, await request_of(tx, number), now, Mark.MOVED)

    await desk.act("update move", update_id, step, **{"from": before.sr, "to": number})
    return await show(desk, update_id)


async def update_of(connection: Transaction, update_id: str) -> Update:
    """The update of an id. Raises Refused."""
    found = await updates.by_id(connection, update_id)
    if found is None:
        raise Refused(f"there is no update {update_id}; `gateway update list --sr N` shows an SR's")
    return found
