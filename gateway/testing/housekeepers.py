"""Housekeeping processes to be killed: the gateway's own chores in real processes, whose clock is a file.

One process imports everything and forks for each housekeeper, so that starting one again takes milliseconds. A
housekeeper runs all jobs side by side, again and again, and writes the moment at which none of them had anything left
to do. ``Housekeepers`` is the test's side, ``main`` the processes'. Passwords are hashed with weak parameters here: a
year of them is not to take a year.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from gateway import chores
from gateway.access import Hashing, Parameters
from gateway.config import Config, load
from gateway.daemon.process import die_with
from gateway.log import configure
from gateway.testing.running import alive
from gateway.testing.waiting import PATIENCE, eventually


class FileClock:
    """A ``gateway.clock.Clock`` that shows what is written in a file; ``go_to`` writes it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def text(self) -> str:
        return self._file.read_text()

    def now(self) -> datetime:
        return datetime.fromisoformat(self.text())

    def monotonic(self) -> float:
        return self.now().timestamp()

    def go_to(self, moment: datetime) -> None:
        _write(self._file, moment.isoformat())


class Housekeepers:
    """Some hosts' housekeeping processes, by number. ``close()`` when done."""

    def __init__(self, config: Path, folder: Path, log: Path, hosts: int) -> None:
        """*folder* gets the clock's file and what the processes say; *log* all they log."""
        self.clock = FileClock(folder / "clock")
        self.kills = 0
        self._folder = folder
        with open(log, "ab") as output:
            self._starter = subprocess.Popen(
                [sys.executable, "-c", "from gateway.testing.housekeepers import main; main()", config, folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env={
                    **os.environ,
                    "SSL_CERT_FILE": os.devnull,
                },  # no webhook here: to read all certificates takes longer
            )
        self._pids = [self._start() for _ in range(hosts)]

    def kill(self, host: int) -> None:
        """SIGKILL, wherever it is, and a new one in its place."""
        os.kill(self._pids[host], signal.SIGKILL)
        self.kills += 1
        self._pids[host] = self._start()

    async def idle(self) -> None:
        """Wait until no job of any host has anything left to do at the moment that the clock shows."""
        await eventually(lambda: all(map(self._idle, self._pids)), "every housekeeper is done", PATIENCE * 4)

    def close(self) -> None:
        self._starter.kill()  # and with it those that it forked
        with self._starter:  # closes its pipes, and waits
            pass

    def _start(self) -> int:
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.write("\n")
        self._starter.stdin.flush()
        return int(self._starter.stdout.readline())

    def _idle(self, pid: int) -> bool:
        assert alive(pid), f"the housekeeper {pid} ended by itself: see its log"
        said = self._folder / f"idle.{pid}"
        return said.exists() and said.read_text() == self.clock.text()


def _write(file: Path, text: str) -> None:
    """Whole or not at all, for somebody else reads it."""
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(text)
    os.replace(draft, file)


def main() -> None:
    """Fork a housekeeper for each line that comes in, and say its process id."""
    parent, asked, folder = os.getpid(), load(Path(sys.argv[1])), Path(sys.argv[2])
    setattr(chores, "Hashing", _weak)  # noqa: B010 - not by an attribute: it is not the module's to give away
    asyncio.run(_work(asked, folder, once=True))  # which imports what is imported late
    for _ in sys.stdin:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)  # who was killed
        pid = os.fork()
        if pid == 0:
            _become_housekeeper(asked, folder, parent)
        print(pid, flush=True)


def _weak(threads: int = 1) -> Hashing:
    return Hashing(Parameters(memory=8, passes=1), threads=threads)


def _become_housekeeper(config: Config, folder: Path, parent: int) -> None:
    """Work until killed; never returns."""
    try:
        die_with(parent)
        configure("info", "text", "housekeeping")
        asyncio.run(_work(config, folder))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(1)


async def _work(config: Config, folder: Path, *, once: bool = False) -> None:
    clock, said = FileClock(folder / "clock"), folder / f"idle.{os.getpid()}"
    async with chores.opened(config, clock) as jobs:
        for job in jobs if once else []:
            await job.run()
        while not once:
            moment = clock.text()
            if not any(await asyncio.gather(*(job.run() for job in jobs))):
                _write(said, moment)
                await asyncio.sleep(0.03)
