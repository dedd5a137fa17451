"""``gateway serve`` with stub doors: ``serve.py CONFIG``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway import config, daemon
from gateway.daemon import door, preflight, supervisor


async def look_and_signal(config: config.Config) -> None:
    """The last check of the start, and what the test sends while it is made."""
    os.kill(os.getpid(), getattr(signal, os.environ["STUB_SIGNAL"]))
    await asyncio.sleep(0.1)  # a turn of the loop sees it
    await look(config)


if __name__ == "__main__":
    supervisor.DOORS.update(dict.fromkeys(supervisor.DOORS, "stub_door"))
    door.SILENCE = float(os.environ.get("STUB_SILENCE", door.SILENCE))
    look = preflight.store
    if "STUB_SIGNAL" in os.environ:
        preflight.store = look_and_signal
    sys.exit(daemon.serve(config.load(Path(sys.argv[1]))))
