"""The doorway: stopping, draining, reloading."""

from __future__ import annotations

import asyncio
import math

import pytest

from gateway.config import Config
from gateway.doorway import Doorway


async def test_an_open_door_has_no_deadline() -> None:
    doorway = Doorway("smtp", Config())
    assert doorway.remaining() == math.inf
    assert not doorway.stopping.is_set()


async def test_transfers_that_end_in_time_are_drained() -> None:
    doorway = Doorway("smtp", Config())
    last_byte = asyncio.Event()
    drained = asyncio.create_task(doorway.drained(last_byte.wait()))
    doorway.stop(within=60)
    await asyncio.sleep(0)
    last_byte.set()
    assert await drained is True


async def test_a_transfer_that_outlasts_the_deadline_is_not_waited_for() -> None:
    doorway = Doorway("smtp", Config())
    drained = asyncio.create_task(doorway.drained(asyncio.Event().wait()))
    doorway.stop(within=0.01)
    assert await drained is False


async def test_a_second_stop_moves_the_deadline_nearer_but_never_further() -> None:
    doorway = Doorway("smtp", Config())
    drained = asyncio.create_task(doorway.drained(asyncio.Event().wait()))
    doorway.stop(within=3600)
    await asyncio.sleep(0)
    doorway.stop(within=0)
    assert await drained is False
    doorway.stop(within=3600)
    assert doorway.remaining() == 0


async def test_a_transfer_that_raises_is_heard_of() -> None:
    doorway = Doorway("smtp", Config())

    async def transfers() -> None:
        raise OSError("disk")

    doorway.stop(within=60)
    with pytest.raises(OSError, match="disk"):
        await doorway.drained(transfers())


async def test_a_reload_hook_that_fails_keeps_no_other_from_running() -> None:
    doorway = Doorway("smtp", Config())
    ran: list[str] = []

    async def certificates() -> None:
        ran.append("certificates")

    def broken() -> None:
        raise ValueError("wrong pair")

    doorway.on_reload(broken)
    doorway.on_reload(certificates)
    assert [str(error) for error in await doorway.reload()] == ["wrong pair"]
    assert ran == ["certificates"]
