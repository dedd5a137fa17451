"""``gateway serve`` with stub doors: ``serve.py CONFIG``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway import config, daemon
from gateway.daemon import door, supervisor

if __name__ == "__main__":
    supervisor.DOORS.update(dict.fromkeys(supervisor.DOORS, "stub_door"))
    door.SILENCE = float(os.environ.get("STUB_SILENCE", door.SILENCE))
    sys.exit(daemon.serve(config.load(Path(sys.argv[1]))))
