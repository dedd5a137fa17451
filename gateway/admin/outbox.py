"""The outbox: what waits to be told to the world, what was given up, and trying it again."""

from gateway.admin import views
from gateway.admin.desk import Desk, Refused
from gateway.store import Transaction, outbox
from gateway.store.outbox import Delivery


async def listing(desk: Desk, *, delivered: bool = False) -> list[views.View]:
    """Deliveries that wait or are parked, the oldest first; *delivered*: the ones that arrived as well."""
    states = ("pending", "parked", "delivered") if delivered else ("pending", "parked")
    async with desk.reading() as connection:
        return [_view(each) for each in await outbox.listed(connection, states)]


async def retry(desk: Desk, delivery_id: str) -> views.View:
    """Try a delivery again now. Raises Refused where there is none, or it has arrived."""

    async def step(tx: Transaction) -> Delivery:
        before = await outbox.retry(tx, outbox.Retry(delivery_id, desk.clock.now()))
        if before is None:
            raise Refused(f"there is no delivery {delivery_id}; `gateway outbox list` shows what waits")
        if before.state == "delivered":
            raise Refused(f"the delivery {delivery_id} has arrived already; nothing was changed")
        after = await outbox.by_id(tx, delivery_id)
        assert after is not None
        return after

    return _view(await desk.act("outbox retry", delivery_id, step))


def _view(delivery: Delivery) -> views.View:
    return {
        "id": delivery.id,
        "kind": delivery.kind,
        "target": delivery.target,
        "event": delivery.event.type.value if delivery.event else None,
        "ordering": delivery.ordering,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt": views.moment(delivery.next_attempt_at),
        "last_error": delivery.last_error,
        "created": views.moment(delivery.created_at),
        "delivered": views.moment(delivery.delivered_at),
    }
