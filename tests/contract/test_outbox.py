"""The outbox's rows, the same on every database: claims, order within an SR, parking, retiring."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.domain.events import EventType, about_request
from gateway.store import Store, one_by_one, outbox

NOW = datetime(2027, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
record = one_by_one(lambda tx, item: outbox.record(tx, item))


async def fill(store: Store) -> None:
    for sr in ("1", "1", "2"):
        await store.write(record, about_request(EventType.UPDATE_FILED, sr, NOW))
    assert await store.write(one_by_one(outbox.route), outbox.Routing(NOW, lambda kind: ["hook"])) == 3


async def claim(store: Store, at: datetime, target: str = "hook") -> list[str]:
    claimed = await store.write(one_by_one(outbox.claim), outbox.Claim("webhook", at, at + HOUR, target=target))
    return [each.id for each in claimed]


async def settle(store: Store, delivery: str, at: datetime, error: str | None, again: datetime | None = None) -> None:
    await store.write(one_by_one(outbox.settle), outbox.Settled(delivery, at, error, again))


async def test_of_one_sr_only_the_first_is_claimed_and_only_once(store: Store) -> None:
    await fill(store)
    first, other = await claim(store, NOW)
    assert await claim(store, NOW) == []
    assert await claim(store, NOW, target="elsewhere") == []
    await settle(store, first, NOW, None)
    (second,) = await claim(store, NOW)
    assert len({first, second, other}) == 3
    assert await claim(store, NOW + HOUR) == [second, other], "a claim that ran out was a crash"


async def test_a_failure_waits_and_what_is_parked_lets_the_next_one_pass(store: Store) -> None:
    await fill(store)
    first, _ = await claim(store, NOW)
    await settle(store, first, NOW, "500", again=NOW + HOUR)
    assert first not in await claim(store, NOW)
    assert first in await claim(store, NOW + HOUR)
    await settle(store, first, NOW + HOUR, "500")
    (second,) = [each for each in await claim(store, NOW + HOUR) if each != first]
    assert second
    before = await store.write(one_by_one(outbox.retry), outbox.Retry(first, NOW + HOUR))
    assert before is not None
    assert (before.state, before.attempts, before.last_error) == ("parked", 2, "500")
    assert first in await claim(store, NOW + HOUR)


async def test_a_late_note_does_not_undo_a_delivery(store: Store) -> None:
    await fill(store)
    first, _ = await claim(store, NOW)
    await settle(store, first, NOW, None)
    await settle(store, first, NOW, "500", again=NOW + HOUR)
    async with store.reading() as connection:
        delivery = await outbox.by_id(connection, first)
        assert await outbox.counted(connection) == {"delivered": 1, "pending": 2, "unrouted": 0}
    assert delivery is not None
    assert delivery.state == "delivered"


async def test_what_arrived_is_dropped_in_the_end_and_what_waits_never(store: Store) -> None:
    await fill(store)
    for delivery in await claim(store, NOW):
        await settle(store, delivery, NOW, None)
    assert await store.write(one_by_one(outbox.retire), NOW + HOUR) == 2
    assert await store.write(one_by_one(outbox.orphaned), ["hook"]) == 0
    assert await store.write(one_by_one(outbox.orphaned), []) == 1
    async with store.reading() as connection:
        (left,) = await outbox.listed(connection)
    assert left.event is not None
    assert left.state == "parked"
