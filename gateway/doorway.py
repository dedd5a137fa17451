"""What a door process is handed by the supervisor, and how the two speak about starting, stopping and reloading.

Each door is one process with one entry, ``async def serve(doorway: Doorway) -> None``, in ``gateway.ftps.door``,
``gateway.smtp.door`` and ``gateway.housekeeping`` (a door without a socket).

The rules a door keeps:

- It accepts on ``doorway.sockets`` (bound and listening, non-blocking, owned by the supervisor) and binds no listening
  address itself. What connects while a door is being restarted waits in that socket's queue.
- It calls ``doorway.ready()`` once, when it can answer a client.
- When ``doorway.stopping`` is set it accepts nothing more (and closes its sockets), lets running transfers finish until
  ``doorway.drain_deadline`` (which may still move *nearer*: an impatient Ctrl-C), then keeps what is left as partials
  and returns. ``doorway.drained(...)`` is that wait. A door that has not ended ten seconds after the deadline (after
  Ctrl-C: three) is killed, and its uploads are made partials by the next start.
- It registers ``doorway.on_reload(hook)`` if it holds anything that SIGHUP renews (certificates). A hook that raises is
  logged and changes nothing: what was loaded before stays.
- Where the door is served by several processes (``doorway.of``), each has its ``place``; they count together by
  ``doorway.tally``, and speak by ``tell_others`` and ``on_word``: short words, which may be lost with a process.
- What the configuration makes impossible it raises as ``CannotServe``, before it is ready. Returning before it is
  stopped, or raising anything else, counts as dying: the supervisor starts the door again.

A door never handles signals, never writes to the terminal but by the log, and never outlives the supervisor. A crash of
the door leaves nothing here: the next one gets the same sockets and a fresh doorway.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.config import Config
from gateway.tally import Tally


class CannotServe(Exception):
    """This configuration can't be served: one clear line for the operator that names the setting or file and what is
    wrong with it. A door raises it from ``serve`` before it is ready; the gateway then ends with exit code 2."""


ReloadHook = Callable[[], Awaitable[None] | None]


def _nobody_listens(*words: str) -> None:
    """A doorway without a supervisor (a test, a benchmark) tells nobody that it is ready, and has no others."""


@dataclass(eq=False)
class Doorway:
    """One door's way in: its name, its sockets, its configuration, and when to stop.

    Make it inside the running loop. A test may make one by itself:
    ``Doorway("smtp", config, (listening_socket,))`` and later ``doorway.stop(within=0)``.
    """

    name: str
    config: Config
    """The validated ``gateway.config.Config``, as it was when the supervisor started."""
    sockets: tuple[socket.socket, ...] = ()
    """Bound, listening, non-blocking; none for housekeeping."""
    tell_ready: Callable[[], None] = _nobody_listens
    place: int = 0
    """Which of the door's processes this is; the first, 0, does what only one may do."""
    of: int = 1
    """How many processes serve the door."""
    tally: Tally = field(default_factory=Tally.alone)
    """What they count together."""
    tell_others: Callable[[str], None] = _nobody_listens
    """Say something short to the door's other processes. From any thread; never blocks; it may be lost."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nothing more is to be accepted. Never cleared."""
    drain_deadline: float = math.inf
    """``time.monotonic()`` at which transfers must have ended; infinite until ``stopping`` is set. Safe to read from
    any thread."""
    kill_at: float = math.inf
    """``time.monotonic()`` at which the supervisor kills the process, if it has not ended by then."""
    _hooks: list[ReloadHook] = field(default_factory=list)
    _ears: list[Callable[[str], None]] = field(default_factory=list)
    _nearer: asyncio.Event = field(default_factory=asyncio.Event)

    def ready(self) -> None:
        """The door can answer a client now."""
        self.tell_ready()

    def on_reload(self, hook: ReloadHook) -> None:
        """Call (and await, if it is a coroutine function) ``hook`` on every reload, in the loop."""
        self._hooks.append(hook)

    def on_word(self, ear: Callable[[str], None]) -> None:
        """Call *ear*, in the loop, with whatever another process of the door tells."""
        self._ears.append(ear)

    def remaining(self) -> float:
        """Seconds left to drain, never below 0; infinite while the door is open."""
        return max(0.0, self.drain_deadline - time.monotonic())

    async def drained(self, transfers: Awaitable[object]) -> bool:
        """Wait until ``stopping``, then for ``transfers`` until the deadline; False: time ran out, cut what is left."""
        finished = asyncio.ensure_future(transfers)
        try:
            await self.stopping.wait()
            while not finished.done() and self.remaining() > 0:
                self._nearer.clear()
                moved = asyncio.ensure_future(self._nearer.wait())
                await asyncio.wait({finished, moved}, timeout=self.remaining(), return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
            if finished.done():
                finished.result()
                return True
            return False
        finally:
            finished.cancel()

    # The supervisor's side, called by the door process (and by tests).

    def stop(self, within: float, grace: float = 10.0) -> None:
        """Accept nothing more, have transfers end within so many seconds, and be gone in *grace* seconds more.

        Again: the nearer deadlines hold.
        """
        now = time.monotonic()
        self.drain_deadline = min(self.drain_deadline, now + within)
        self.kill_at = min(self.kill_at, now + within + grace)
        self.stopping.set()
        self._nearer.set()

    def hear(self, word: str) -> None:
        """Another process of the door says so."""
        for ear in self._ears:
            ear(word)

    async def reload(self) -> list[Exception]:
        """Run every hook; what they raised comes back, and none keeps the next from running."""
        failures: list[Exception] = []
        for hook in self._hooks:
            try:
                waiting = hook()
                if waiting is not None:
                    await waiting
            except Exception as error:
                failures.append(error)
        return failures
