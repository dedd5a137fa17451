"""From event to receiver: every event arrives, in order for its SR, however often things go wrong."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.domain.events import EventType, about_request
from gateway.domain.retry import Patience
from gateway.outbox import Router, WebhookRounds, housework
from gateway.outbox.deliver import KEEP_DELIVERED, wants
from gateway.outbox.webhook import Poster
from gateway.outbox.webhook import Receiver as There
from gateway.store import Store, one_by_one, outbox
from gateway.testing import FakeClock

from .conftest import Post, Receiver, taken

PATIENCE = Patience(timedelta(seconds=30), timedelta(hours=1), timedelta(days=3))
TIMEOUT = timedelta(seconds=10)
record = one_by_one(lambda tx, item: outbox.record(tx, item))


class Way:
    """The way from the store to one receiver."""

    def __init__(self, store: Store, clock: FakeClock, receiver: Receiver, secret_file: Path) -> None:
        self.store, self.clock = store, clock
        self.there = There(f"http://127.0.0.1:{receiver.port}/hook", secret_file)
        self.poster = Poster(TIMEOUT)

    def router(self, *patterns: str) -> Router:
        return Router(self.store, self.clock, [(self.there.name, patterns or ("*",))])

    def rounds(self) -> WebhookRounds:
        return WebhookRounds(self.store, self.clock, self.there, self.poster, PATIENCE, TIMEOUT)

    async def happen(self, sr: str, number: int, type: EventType = EventType.UPDATE_FILED) -> None:
        await self.store.write(record, about_request(type, sr, self.clock.now(), count=number))

    async def listed(self, *states: str) -> list[outbox.Delivery]:
        async with self.store.reading() as connection:
            return await outbox.listed(connection, states or ("pending", "parked", "delivered"))


@pytest.fixture
async def way(store: Store, clock: FakeClock, receiver: Receiver, secret_file: Path) -> AsyncIterator[Way]:
    made = Way(store, clock, receiver, secret_file)
    yield made
    await made.poster.close()


def arrived(receiver: Receiver) -> list[tuple[str, int]]:
    told = [json.loads(post.body)["data"] for post in receiver.posts]
    return [(data["sr"], data["count"]) for data in told]


async def test_an_event_goes_to_who_asked_for_its_kind(way: Way, receiver: Receiver) -> None:
    await way.happen("1", 1)
    await way.happen("1", 2, EventType.FILE_RECEIVED)
    await way.router("file.*").round()
    await way.rounds().round()
    assert arrived(receiver) == [("1", 2)]
    assert not await way.router("*").round(), "what was routed is not routed again"
    assert not await way.rounds().round()


@pytest.mark.parametrize(
    "patterns, wanted",
    [(("*",), True), (("update.*",), True), (("update.filed",), True), (("update",), False), ((), False)],
)
def test_events_are_chosen_by_name_or_with_a_star(patterns: tuple[str, ...], wanted: bool) -> None:
    assert wants(patterns, EventType.UPDATE_FILED) is wanted


async def test_of_one_sr_the_order_holds_through_every_failure(way: Way, receiver: Receiver) -> None:
    chance = random.Random(7)

    async def moody(post: Post) -> bytes:
        return await taken(post) if chance.random() < 0.5 else b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"

    receiver.answer = moody
    good: list[tuple[str, int]] = []

    async def keeping(post: Post) -> bytes:
        answer = await moody(post)
        if answer.startswith(b"HTTP/1.1 204"):
            data = json.loads(post.body)["data"]
            good.append((data["sr"], data["count"]))
        return answer

    receiver.answer = keeping
    for number in range(30):
        await way.happen(str(number % 3), number)
    await way.router().round()
    for _ in range(500):
        await way.rounds().round()
        if not await way.listed("pending"):
            break
        way.clock.advance(timedelta(minutes=10))
    assert len(good) == 30
    for sr in "012":
        numbers = [number for which, number in good if which == sr]
        assert numbers == sorted(numbers)


async def test_trouble_with_one_sr_does_not_hold_up_another(way: Way, receiver: Receiver) -> None:
    async def refusing(post: Post) -> bytes:
        bad = json.loads(post.body)["data"]["sr"] == "1"
        return b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n" if bad else await taken(post)

    receiver.answer = refusing
    for number in range(6):
        await way.happen("1" if number % 2 else "2", number)
    await way.router().round()
    while await way.rounds().round():
        pass
    assert [number for sr, number in arrived(receiver) if sr == "2"] == [0, 2, 4]
    assert {number for sr, number in arrived(receiver) if sr == "1"} == {1}


async def test_a_crash_before_the_note_means_once_more_with_the_same_id(
    way: Way, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await way.happen("1", 1)
    await way.router().round()
    crashed = way.rounds()

    async def dies(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(crashed, "_note", dies)
    with pytest.raises(asyncio.CancelledError):
        await crashed.round()
    assert not await way.rounds().round(), "it is still claimed"
    way.clock.advance(timedelta(hours=1))
    assert await way.rounds().round()
    first, second = receiver.posts
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_two_hosts_post_each_event_once(way: Way, receiver: Receiver, tmp_path: Path, secret_file: Path) -> None:
    for number in range(40):
        await way.happen(str(number), number)
    other = await Store.open(f"sqlite:///{tmp_path}/store.db")
    there = Way(other, way.clock, receiver, secret_file)

    async def work(host: Way) -> None:
        while await host.router().round():
            pass
        while await host.rounds().round():
            pass

    await asyncio.gather(work(way), work(there))
    await there.poster.close()
    await other.close()
    assert sorted(number for _, number in arrived(receiver)) == list(range(40))


async def test_a_parked_delivery_is_seen_and_can_be_tried_again(way: Way, receiver: Receiver) -> None:
    async def gone(_: Post) -> bytes:
        return b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"

    receiver.answer = gone
    await way.happen("1", 1)
    await way.happen("1", 2)
    await way.router().round()
    await way.rounds().round()
    parked, waiting = await way.listed()
    assert (parked.state, parked.attempts, parked.last_error) == ("parked", 1, "answered 410: this receiver is gone")
    assert waiting.state == "pending"
    receiver.answer = taken
    await way.rounds().round()
    before = await way.store.write(one_by_one(outbox.retry), outbox.Retry(parked.id, way.clock.now()))
    assert before is not None
    await way.rounds().round()
    assert [each.state for each in await way.listed()] == ["delivered", "delivered"]
    again = await way.store.write(one_by_one(outbox.retry), outbox.Retry(parked.id, way.clock.now()))
    assert again is not None
    assert again.state == "delivered"
    assert not await way.rounds().round(), "what arrived is not sent again"


async def test_what_waits_for_a_webhook_that_is_gone_is_parked(way: Way) -> None:
    await way.happen("1", 1)
    await way.router().round()
    await Router(way.store, way.clock, []).park_orphans()
    [delivery] = await way.listed()
    assert (delivery.state, delivery.last_error) == ("parked", "this webhook is not in the configuration any more")


async def test_what_arrived_long_ago_is_dropped_and_what_waits_stays(way: Way, receiver: Receiver) -> None:
    await way.happen("1", 1)
    await way.router().round()
    await way.rounds().round()
    receiver.answer = hang_up
    await way.happen("1", 2)
    await way.router().round()
    await way.rounds().round()
    way.clock.advance(KEEP_DELIVERED + timedelta(days=1))
    await housework(way.store, way.clock)
    assert [each.state for each in await way.listed()] == ["pending"]
    async with way.store.reading() as connection:
        assert await outbox.counted(connection) == {"pending": 1, "unrouted": 0}


async def hang_up(_: Post) -> bytes:
    return b""
