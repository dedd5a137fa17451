"""One process of a door for as long as the gateway lives, and the next one when that dies.

Rules: a door that dies is started again, the first few times at once, then after longer and longer pauses, which stay
short where it had served; one that stayed for ``SETTLED`` seconds has a clean slate. One that is silent for
``SILENCE`` seconds hangs and is killed. Until the first ``ready`` a death is not repaired: it ends the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import time
from typing import Any

from gateway.daemon.child import Child
from gateway.daemon.control import Opening
from gateway.doorway import CannotServe
from gateway.log import get
from gateway.tally import Board

SETTLED = 60.0
"""Seconds that a door must live for its death to be the first one again."""

LONGEST_FOR_ONE_THAT_SERVED = 1.0
"""Seconds: a door that was ready is back within two, however often it dies."""

SILENCE = 60.0
"""Seconds without a sign of life after which a door is held to be hung; its event loop gives one every 5 s."""

PAUSES = (0.0, 0.0, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a door is started again, by how often it died in a row; the last one holds from there on."""

log = get("gateway.daemon")


def pause_after(deaths: int, *, served: bool) -> float:
    """Seconds to wait before the door is started again, after so many deaths in a row (1: the first).

    *served*: it was ready before it died, so that starting it again is no use in vain.
    """
    pause = PAUSES[min(deaths, len(PAUSES)) - 1]
    return min(pause, LONGEST_FOR_ONE_THAT_SERVED) if served else pause


def how(code: int) -> str:
    """In words how a process ended."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class Door:
    """A door by its name, with the process that serves it now. Make it inside the running loop.

    Further processes of the same door are Doors of their own, with a name of their own: ``ftps``, ``ftps-2`` …
    """

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self.module = module
        self.others: list[Door] = []
        """Those that serve the same door beside it."""
        self.child = Child(name, module, self._pass_on)
        self._kill_at = math.inf
        self._stopping = asyncio.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    async def open(self, opening: Opening) -> None:
        """Have the first process serve; return when it is ready. Raises CannotServe where it ends instead."""
        self.child.open(opening)
        either: set[asyncio.Future[Any]] = {self.child.ready, self.child.ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self.child.ended.done():
            code = self.child.ended.result()
            raise CannotServe(self.child.cannot or f"the {self.name} door can't be opened: it {how(code)} (see above)")

    async def keep(self, opening: Opening, board: Board) -> None:
        """Serve on, with a new process whenever one dies, until the door is stopped and its process gone.

        What a dead one had counted on *board* is forgotten.
        """
        deaths = 0
        while True:
            since = time.monotonic()
            code = await self._end_of(self.child)
            board.clear(opening.place)
            if self._stopping.is_set():
                return
            deaths = 1 if time.monotonic() - since > SETTLED else deaths + 1
            pause = pause_after(deaths, served=not self.child.ready.cancelled())
            log.error(
                f"the {self.name} door {how(code)} and is started again",
                pid=self.child.pid,
                pause=pause,
                reason=self.child.cannot,
            )
            if await self._stopped_within(pause):
                return
            self.child = Child(self.name, self.module, self._pass_on)
            self.child.open(opening)

    def _pass_on(self, word: str) -> None:
        for other in self.others:
            other.child.tell(word)

    def stop(self, within: float, grace: float) -> None:
        """Have the door end: its transfers within so many seconds, itself in so many more, by force if need be.

        Again, and sooner, for somebody impatient.
        """
        self._kill_at = min(self._kill_at, time.monotonic() + within + grace)
        self._stopping.set()
        self.child.stop(within, grace)

    async def end(self) -> None:
        """Kill what is left of the door; nothing where it has stopped."""
        if not self.child.ended.done():
            self.child.kill()
            await self.child.ended

    async def _end_of(self, child: Child) -> int:
        """Wait for the process's end; kill it when it hangs, or outstays a stop."""
        while not child.ended.done():
            await asyncio.wait({child.ended}, timeout=0.25 if self._stopping.is_set() else 1.0)
            now = time.monotonic()
            if child.ended.done():
                break
            if now > self._kill_at:
                log.warning(f"the {self.name} door did not stop in time and is killed", pid=child.pid)
                child.kill()
                await child.ended
            elif now > child.heard + SILENCE:
                log.error(f"the {self.name} door gives no sign of life and is killed", pid=child.pid)
                child.kill()
                await child.ended
        return child.ended.result()

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()  # also where it was set in the turn in which the time was up
