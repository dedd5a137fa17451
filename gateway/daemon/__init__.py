"""The supervisor: checks everything, opens the ports, keeps each door's processes alive, and ends them in order.

      serve ── preflight ── listening ── Company ── Door ── Child ══ control ══ process ── gateway.ftps.door
                                  (ftps, smtp, …)  (ftps, ftps-2, …)                       gateway.smtp.door …

Rules:

- Nothing is opened before everything is checked; where something can't be, all of it is undone: one line on stderr,
  exit code 2.
- The supervisor owns the listening sockets: while a door is being started again, its clients wait in their queue.
- SIGTERM lets transfers finish for ``drain_timeout``, Ctrl-C for a second, a second Ctrl-C not at all; then they are
  partials. All three end with exit code 0. SIGHUP has the certificates read again.

It never speaks to a client, holds no store and no spool open, and writes nothing but its log.
A crash of it takes the doors along (the kernel sees to it) and leaves nothing: no port, no lock.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import Config


def serve(config: Config, *, opened: Callable[[Mapping[str, str]], None] | None = None) -> int:
    """Serve until a signal says stop; the exit code: 0, or 2 where the configuration can't be served.

    *opened* is called once, when every door answers, with each door's address (``host:port``) by its name.
    """
    # Imported here: the command line's other nouns need not wait for it.
    from gateway.daemon.supervisor import Supervisor
    from gateway.doorway import CannotServe
    from gateway.log import configure

    configure(config.gateway.log_level, config.gateway.log_format, "supervisor")
    try:
        asyncio.run(Supervisor(config, opened).run())
    except CannotServe as error:
        for line in str(error).splitlines():
            print(f"gateway: {line}", file=sys.stderr)
        return 2
    return 0
