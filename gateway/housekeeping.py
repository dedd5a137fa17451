"""What the gateway does when no customer is at a door: a few named jobs, each run again and again in its own time.

Rules: a job is a coroutine function that does a bounded amount of work, commits it, and says whether more is waiting.
Jobs run side by side and never wait for each other. One that fails is logged with its stack and tried again later and
later, up to ``LONGEST_PAUSE``; its success brings it back to its own rhythm. The others don't notice.

It never listens, never answers a peer, and holds nothing that is not in the store: a crash in the middle of a job is
answered by running the job again, so every job must find its own half-done work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from gateway import chores
from gateway.chores import Job
from gateway.doorway import Doorway
from gateway.log import get

log = get("gateway.housekeeping")

LONGEST_PAUSE = 300.0
"""Seconds: the longest that a failing job is left alone."""


def pause_after(every: float, failures: int) -> float:
    """Seconds until a job's next round: its own rhythm, doubled for each failure in a row."""
    if failures == 0:
        return every
    return min(max(every, 1.0) * 2.0**failures, max(LONGEST_PAUSE, every))


def jobs(doorway: Doorway) -> AbstractAsyncContextManager[Sequence[Job]]:
    """Every job of this gateway, from its configuration, with all it needs open until the jobs have ended."""
    return chores.opened(doorway.config)


async def serve(doorway: Doorway) -> None:
    """Run all jobs until the doorway stops; a job that is at work then may finish until the deadline."""
    async with jobs(doorway) as having:
        running = [asyncio.create_task(repeat(job, doorway.stopping), name=job.name) for job in having]
        doorway.ready()
        try:
            if not await doorway.drained(_all(running)):
                left = [task.get_name() for task in running if not task.done()]
                log.warning("stopped before these jobs came to an end", jobs=", ".join(left))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


async def repeat(job: Job, stopping: asyncio.Event) -> None:
    """Run one job in its rhythm until ``stopping`` is set."""
    failures = 0
    while not stopping.is_set():
        try:
            more = await job.run()
            failures = 0
        except Exception:
            failures += 1
            more = False
            log.exception("a housekeeping job failed", job=job.name, in_a_row=failures)
        if not more:
            await _pause(pause_after(job.every, failures), stopping)


async def _pause(seconds: float, stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
