"""What must hold before a port is opened: files on this machine, a state directory that can be written and that nobody
else serves, a store that this program knows.

Each check raises CannotServe with one line a problem. The state directory is then held by a lock that the doors share:
a second gateway can't serve it, and a new one starts only when the last door of the old one is gone.
A crash leaves the lock file, which means nothing without the lock on it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import time
from pathlib import Path

from gateway.config import Config, problem
from gateway.config.machine import serve_problems
from gateway.doorway import CannotServe

LOCK_PATIENCE = 2.0
"""Seconds that the doors of a supervisor that was killed may take to be gone."""


def machine(config: Config) -> None:
    """Certificates belong to their keys, the state directory can be used: everything that is wrong, at once."""
    problems = serve_problems(config)
    if problems:
        raise CannotServe("\n".join(str(each) for each in problems))


async def state_directory(config: Config) -> int:
    """Make the state directory where it is missing, see that it can be written, and hold it: the lock's descriptor."""
    path = config.gateway.state_dir
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_something(path)
        lock = os.open(path / "gateway.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(config, f"{path} can't be written: {error.strerror}") from error
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise _unusable(config, f"{path} is served by another gateway") from None
            await asyncio.sleep(0.05)


def _write_something(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"probe")
        probe.flush()
        os.fsync(probe.fileno())


def _unusable(config: Config, what: str) -> CannotServe:
    return CannotServe(str(problem(config, "gateway.state_dir", what)))


async def store(config: Config) -> None:
    """The store opens and has this program's schema; an older one is brought up to it, a newer one refused."""
    from gateway.store import Store, StoreError  # SQLAlchemy's import is slow: only when serving

    try:
        opened = await Store.open(config.store_url)
    except StoreError as error:
        raise CannotServe(str(error)) from error
    await opened.close()
