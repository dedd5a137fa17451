"""Housekeeping: jobs in their own rhythm, failures that keep to themselves."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest

from gateway import housekeeping
from gateway.config import Config
from gateway.doorway import Doorway
from gateway.housekeeping import LONGEST_PAUSE, Job, pause_after, repeat


@pytest.mark.parametrize(
    "every, failures, pause",
    [(10, 0, 10), (10, 1, 20), (10, 2, 40), (10, 50, LONGEST_PAUSE), (0.01, 1, 2), (86400, 3, 86400)],
)
def test_failures_in_a_row_double_the_pause_up_to_a_bound(every: float, failures: int, pause: float) -> None:
    assert pause_after(every, failures) == pause


async def test_a_job_with_more_waiting_runs_again_at_once_and_ends_when_stopped() -> None:
    stopping = asyncio.Event()
    rounds: list[int] = []

    async def run() -> bool:
        rounds.append(len(rounds))
        if len(rounds) == 5:
            stopping.set()
        return True

    await asyncio.wait_for(repeat(Job("busy", 3600, run), stopping), 30)
    assert rounds == [0, 1, 2, 3, 4]


async def test_a_failing_job_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(housekeeping, "LONGEST_PAUSE", 0.0)
    stopping = asyncio.Event()
    failures: list[int] = []

    async def run() -> bool:
        failures.append(1)
        if len(failures) == 3:
            stopping.set()
        raise OSError("the store is away")

    await asyncio.wait_for(repeat(Job("outbox", 0.0, run), stopping), 30)
    assert [vars(record)["facts"] for record in caplog.records] == [{"job": "outbox", "in_a_row": n} for n in (1, 2, 3)]


async def test_serve_lets_a_job_at_work_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, let_go, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run() -> bool:
        at_work.set()
        await let_go.wait()
        finished.set()
        return False

    monkeypatch.setattr(housekeeping, "jobs", lambda doorway: nullcontext([Job("slow", 3600, run)]))
    ready = asyncio.Event()
    doorway = Doorway("housekeeping", Config(), tell_ready=ready.set)
    serving = asyncio.create_task(housekeeping.serve(doorway))
    await asyncio.wait_for(at_work.wait(), 30)
    assert ready.is_set()
    doorway.stop(within=60)
    await asyncio.sleep(0)
    assert not serving.done()
    let_go.set()
    await asyncio.wait_for(serving, 30)
    assert finished.is_set()
