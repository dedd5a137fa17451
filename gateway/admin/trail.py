"""The audit trail: who did what, when and from where; and whether anybody tampered with it."""

from gateway.admin import views
from gateway.admin.desk import Desk
from gateway.store import audit


async def entries(desk: Desk, limit: int | None = None) -> list[views.View]:
    """The newest entries, the oldest of them first."""
    async with desk.reading() as connection:
        return [
            {
                "sequence": sequence,
                "at": views.moment(entry.at),
                "actor": entry.actor,
                "origin": entry.origin,
                "action": entry.action,
                "subject": entry.subject,
                "detail": entry.detail,
            }
            for sequence, entry in await audit.entries(connection, limit)
        ]


async def verify(desk: Desk) -> views.View:
    """Follow the chain of digests from the first entry to the last."""
    async with desk.reading() as connection:
        broken, newest = await audit.verify(connection), await audit.entries(connection, 1)
    return {"ok": broken is None, "entries": newest[0][0] if newest else 0, "broken_at": broken}
