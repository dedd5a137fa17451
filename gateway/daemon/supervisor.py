"""The order of things: check, open, keep, stop. See the package's own docstring for the rules."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway.config import Config
from gateway.daemon import listening, notify, preflight
from gateway.daemon.company import Company, processes
from gateway.daemon.door import Door
from gateway.log import get

DOORS = {
    "ftps": "gateway.ftps.door",
    "smtp": "gateway.smtp.door",
    "console": "gateway.console.door",
    "housekeeping": "gateway.housekeeping",
}
"""Every door, and the module whose ``serve(doorway)`` it is."""

GRACE = 10.0
"""Seconds after ``drain_timeout`` that a door has to file what is left as partials and end by itself."""

IMPATIENT = 1.0, 3.5
"""Seconds that transfers may go on after Ctrl-C, and those that a door has then: within the promised 5 s."""

AT_ONCE = 0.0, 1.0
"""The same after a second Ctrl-C."""

RELOAD_PATIENCE = 10.0
"""Seconds after which systemd is told that a reload is over, whatever the doors say."""

log = get("gateway.daemon")


class Supervisor:
    """One run of the gateway."""

    def __init__(
        self,
        config: Config,
        opened: Callable[[Mapping[str, str]], None] | None = None,
        modules: Mapping[str, str] = DOORS,
    ) -> None:
        self.config = config
        self.opened = opened
        self.modules = dict(modules)
        self.companies: list[Company] = []
        self.stopping = asyncio.Event()
        self._reload: asyncio.Task[None] | None = None
        self._reload_wanted = False
        self._on_a_terminal = os.isatty(2)

    async def run(self) -> None:
        """Serve until stopped. Raises CannotServe, with everything undone, where the doors can't be opened."""
        self._listen_to_signals()
        sockets: listening.Sockets = {}
        lock = None
        try:
            # The processes import their doors while the checks run; they serve when they are opened, and not before.
            self.companies = [self._company(name) for name in ("ftps", "smtp", "console") if self._enabled(name)]
            preflight.machine(self.config)
            lock = await preflight.state_directory(self.config)
            await preflight.store(self.config)
            if self.stopping.is_set():  # the processes have ended unopened
                return
            sockets = listening.bind(self.config)
            opening = [each.open(self.config, lock, sockets.get(each.name, ())) for each in self.companies]
            opened = asyncio.gather(*opening)
            if await self._unless_stopped(opened):
                self._say_open(sockets)
                housekeeping = self._company("housekeeping")  # only now: customers come first
                self.companies.append(housekeeping)
                housekeeping.start(self.config, lock)
            else:  # a door that is ready may have customers, and ends as doors do; the others have been ended
                opened.cancel()
                await asyncio.gather(opened, return_exceptions=True)
            await self._keep(sockets, [each.keep() for each in self.companies])
        finally:
            listening.close(sockets)
            for company in self.companies:
                await company.end()
            if lock is not None:
                os.close(lock)

    def _enabled(self, name: str) -> bool:
        config = self.config
        return {
            "ftps": config.ftps.enabled,
            "smtp": config.smtp.enabled,
            "console": config.console.enabled,
        }[name]

    def _company(self, name: str) -> Company:
        asked = {"ftps": self.config.ftps.processes, "smtp": self.config.smtp.processes}
        return Company(name, self.modules[name], processes(name, asked.get(name, 1)))

    @property
    def doors(self) -> list[Door]:
        """Every process of every door."""
        return [door for company in self.companies for door in company.doors]

    async def _unless_stopped(self, doors: asyncio.Future[list[None]]) -> bool:
        """Wait for the doors; False when somebody says stop before."""
        stopped = asyncio.ensure_future(self.stopping.wait())
        either: set[asyncio.Future[Any]] = {doors, stopped}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self.stopping.is_set():
            return False
        doors.result()
        return True

    def _say_open(self, sockets: listening.Sockets) -> None:
        addresses = {name: listening.address_of(each[0]) for name, each in sockets.items()}
        in_words = ", ".join(f"{name} on {address}" for name, address in addresses.items())
        log.info("open", **addresses)
        notify.tell(notify.READY, f"STATUS=open: {in_words}")
        if self.opened:
            self.opened(addresses)

    async def _keep(self, sockets: listening.Sockets, keeping: Sequence[Awaitable[None]]) -> None:
        """Keep the doors until they have stopped."""
        watchdog = asyncio.create_task(_feed_watchdog())
        kept = asyncio.gather(*keeping)
        try:
            await self._unless_stopped(kept)
            notify.tell(notify.STOPPING)
            listening.close(sockets)  # the doors close theirs: who comes now is refused, not left waiting
            await kept
        finally:
            watchdog.cancel()
            kept.cancel()

    # Signals.

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, self.config.gateway.drain_timeout.total_seconds(), GRACE)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _interrupt(self) -> None:
        self._stop(*(AT_ONCE if self.stopping.is_set() else IMPATIENT))

    def _stop(self, within: float, grace: float) -> None:
        log.info("stopping", transfers_may_go_on_for=within)
        self.stopping.set()
        for door in self.doors:
            door.stop(within, grace)

    def _hang_up(self) -> None:
        """Reload; but where the terminal is gone that the gateway was started from, stop as for Ctrl-C."""
        if self._on_a_terminal and not os.isatty(2):
            self._interrupt()
        elif not self.stopping.is_set():
            self._reload_wanted = True  # also while one is under way: it may have read the files before they changed
            if self._reload is None or self._reload.done():
                self._reload = asyncio.create_task(self._reload_doors())

    async def _reload_doors(self) -> None:
        notify.tell(notify.reloading())
        while self._reload_wanted and not self.stopping.is_set():
            self._reload_wanted = False
            log.info("reading the certificates again")
            children = [door.child for door in self.doors]
            for child in children:
                child.reload()
            done = [asyncio.ensure_future(child.reloaded.wait()) for child in children]
            await asyncio.wait(done, timeout=RELOAD_PATIENCE)
            for each in done:
                each.cancel()
        notify.tell(notify.READY)


async def _feed_watchdog() -> None:
    interval = notify.watchdog_interval()
    while interval is not None:
        notify.tell(notify.WATCHDOG)
        await asyncio.sleep(interval)
