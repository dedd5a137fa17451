"""Events to be told to the world. Recorded by whoever makes them true, in the same transaction."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event
from gateway.store.tables import events


async def record(tx: AsyncConnection, *happened: Event) -> None:
    """Record *happened*, in order. Routing and delivery are the outbox's work, later."""
    if happened:
        await tx.execute(
            events.insert(),
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
