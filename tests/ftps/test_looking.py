"""What is left without a finding, by a stop or by another process that died: looked at again, and recorded once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from gateway.clock import SystemClock
from gateway.domain.records import Version, VersionState
from gateway.ftps import door as ftps_door
from gateway.ftps import looking
from gateway.spool import Spool
from gateway.store import Store, endings, one_by_one, uploads
from gateway.store.tables import events, versions
from gateway.testing.ftps import Door
from gateway.testing.waiting import until

from .conftest import MakeDoor

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def left_unseen(make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch) -> tuple[Door, Any]:
    """A door with a version that some process received, and died before it could say what is inside."""
    monkeypatch.setattr(ftps_door, "RECOVER_EVERY", 0.05)
    door = make_door(ftps={"inspect_wait": 0})
    acme = door.customer()
    with monkeypatch.context() as dead, door.talk(acme) as talk:
        dead.setattr(looking.Looking, "later", lambda *args: None)
        assert talk.put("logs.zip", b"PK\3\4 and no more").splitlines()[-1].startswith("226 ")
    return door, acme


def ended(door: Door, at: datetime) -> None:
    async def change(store: Store) -> None:
        async def verb(tx: Any, item: None) -> None:
            await tx.execute(update(versions).values(ended_at=at))

        await store.write(one_by_one(verb), None)

    door.ask(change)


def test_what_another_process_left_unseen_is_looked_at_without_a_restart(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, acme = left_unseen(make_door, monkeypatch)
    ended(door, datetime.now(UTC) - looking.LEFT - timedelta(seconds=1))
    until(lambda: door.versions(acme)[0].inspection, "it is looked at")


def test_what_another_process_may_be_looking_at_is_left_to_it(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, acme = left_unseen(make_door, monkeypatch)
    rounds = list[object]()
    honest = looking.Looking.resume_abandoned

    async def counted(self: looking.Looking) -> None:
        await honest(self)
        rounds.append(self)

    monkeypatch.setattr(looking.Looking, "resume_abandoned", counted)
    until(lambda: len(rounds) > 1, "it looked for what was left")
    assert rounds[0]._tasks == set()  # type: ignore[attr-defined]
    assert door.versions(acme)[0].inspection is None


@pytest.mark.parametrize("first, begun", [(True, 1), (False, 0)])
def test_only_the_first_of_the_doors_processes_takes_up_what_was_left(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch, first: bool, begun: int
) -> None:
    door, _ = left_unseen(make_door, monkeypatch)
    looked = list[str]()

    async def looks(self: looking.Looking, version: Version, begun: Any) -> None:
        looked.append(version.path)

    async def start(store: Store) -> None:
        unused: Any = None
        spool = Spool(door.config.gateway.state_dir)
        process = looking.Looking(unused, store, spool, unused, SystemClock(), first=first)
        for _ in range(2):
            await process.resume()
        await asyncio.gather(*process._tasks)

    monkeypatch.setattr(looking.Looking, "_record", looks)
    door.ask(start)
    assert looked == ["/logs.zip"] * begun


def test_a_finding_is_recorded_once_and_told_once(make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    door, acme = left_unseen(make_door, monkeypatch)
    (version,) = door.versions(acme)

    async def both(store: Store) -> tuple[list[str], Version]:
        for words in ("first", "second"):
            await store.write(endings.inspected, (version.id, {"words": words}, True, LONG_AGO))
        async with store.reading() as connection:
            told = (await connection.execute(select(events.c.type).order_by(events.c.sequence))).scalars()
            return list(told), await uploads.get(connection, version.id)

    told, after = door.ask(both)
    assert (after.state, after.inspection) == (VersionState.DAMAGED, {"words": "first"})
    assert told.count("file.damaged") == 1
