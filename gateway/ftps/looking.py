"""Looking inside what was received: before the 226 where that is quick, afterwards in the background where it is not.

Rules: what parses a stranger's bytes beyond the first few runs in the crew's killable workers. The customer waits
``inspect_wait`` seconds at most; what takes longer goes on, and is recorded when it is done. "Intact" is said of what
was looked at to its end, and of nothing else. A finding is recorded once: two processes may look at one version,
and the second changes nothing.

A crash leaves versions without a finding. The first of the door's processes looks at them again: all of them at its
start, and while it serves those that another process must have left, for nothing takes so long.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.domain.records import Version
from gateway.domain.replies.findings import answer
from gateway.examine.archive.bounds import Meter
from gateway.examine.archive.formats import recognised
from gateway.examine.looks import MEMORY, SECONDS, look, prove
from gateway.examine.worker import Crew
from gateway.ftps.bridge import Bridge
from gateway.log import get
from gateway.spool import Spool
from gateway.store import Store, endings, uploads

log = get(__name__)

PROOF_WAIT = 60.0
"""Seconds that the proof of a whole archive may take: the client that never says close_notify waits for its 226."""

LEFT = timedelta(minutes=10)
"""How long ago a version without a finding has ended, if whoever looked at it must have died."""

Finding = dict[str, Any]


@dataclass(eq=False)
class Look:
    """A look that has begun: what it found, once it has."""

    running: Future[Finding] | None
    found: Finding | None = None

    def so_far(self) -> Finding | None:
        """What was found; None while the look goes on."""
        if self.found is None and self.running is not None and self.running.done():
            self.found = self.running.result()
        return self.found


@dataclass(eq=False)
class Proof:
    """A look that has begun whether a file is whole."""

    running: Future[Any]

    def ended(self) -> tuple[bool, Finding | None]:
        """Whether it is proved, and what was found if that took a look. One that goes on is given up: no proof."""
        if not self.running.done():
            self.running.cancel()
            return False, None
        proof = self.running.result()
        return bool(proof["complete"]), proof["finding"]


class Looking:
    """One process's looks; the *first* of the door's takes up what was left. ``begin``, ``prove`` and ``later`` are for
    sessions' threads."""

    def __init__(
        self,
        crew: Crew,
        store: Store,
        spool: Spool,
        bridge: Bridge,
        clock: Clock,
        *,
        seconds: float = SECONDS,
        memory: int = MEMORY,
        first: bool = True,
    ) -> None:
        self._crew = crew
        self._store = store
        self._spool = spool
        self._bridge = bridge
        self._clock = clock
        self._seconds = seconds
        self._memory = memory
        self._first = first
        self._unrecorded: set[str] = set()  # versions that this process looks at, or could not record
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, path: Path) -> Look:
        """Start to look inside the file at *path*. What is no archive is seen at once, from its first bytes."""
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            name, glance = recognised(file, size)
            if name is None:
                return Look(None, answer(glance(file, size, Meter(size))))
        return Look(self._bridge.submit(self._look(path)))

    def prove(self, path: Path, size: int) -> Proof:
        """Start to look whether the file shows by itself that nothing of it is missing."""
        return Proof(self._bridge.submit(self._prove(path, size)))

    def later(self, version: Version, begun: Look) -> None:
        """Record what *begun* finds of *version* when it is done."""
        self._bridge.post(lambda: self._keep(version, begun))

    async def resume(self) -> None:
        """At the start: look at what a crash or a stop left without a finding."""
        await self._take_up(None)

    async def resume_abandoned(self) -> None:
        """Now and then: the same for what another process, which has died, left without one."""
        await self._take_up(self._clock.now() - LEFT)

    async def _take_up(self, ended_before: datetime | None) -> None:
        if not self._first:
            return
        async with self._store.reading() as connection:
            left = await uploads.without_finding(connection, self._spool.id, ended_before)
        for version in left:
            if version.id not in self._unrecorded:
                self._keep(version, None)

    async def close(self) -> None:
        """Give up the looks under way; the next start begins them again."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _keep(self, version: Version, begun: Look | None) -> None:
        self._unrecorded.add(version.id)
        task = asyncio.get_running_loop().create_task(self._record(version, begun))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _look(self, path: Path) -> Coroutine[Any, Any, dict[str, Any]]:
        return look(self._crew, str(path), seconds=self._seconds, memory=self._memory)

    def _prove(self, path: Path, size: int) -> Coroutine[Any, Any, dict[str, Any]]:
        seconds = min(PROOF_WAIT, self._seconds)
        return prove(self._crew, str(path), size, seconds=seconds, memory=self._memory)

    async def _record(self, version: Version, begun: Look | None) -> None:
        try:
            found = None
            if begun is not None and begun.running is not None:
                found = await asyncio.wrap_future(begun.running)
            if found is None or found["cause"] == "failed":  # it may have been looked for under its former name
                assert version.sha256 is not None
                found = await self._look(self._spool.path(version.sha256, version.id))
            damaged = found["verdict"] == "damaged"
            await self._store.write(endings.inspected, (version.id, found, damaged, self._clock.now()))
            self._unrecorded.discard(version.id)
        except Exception:
            log.exception("what is inside could not be recorded", version=version.id)
