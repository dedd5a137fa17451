"""Updates: what contacts wrote by mail, as support sees it."""

from gateway.admin import views
from gateway.admin.desk import Desk, Refused, request_of
from gateway.domain.records import Update
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


async def update_of(connection: Transaction, update_id: str) -> Update:
    """The update of an id. Raises Refused."""
    found = await updates.by_id(connection, update_id)
    if found is None:
        raise Refused(f"there is no update {update_id}; `gateway update list --sr N` shows an SR's")
    return found
