"""Found by a Python that has this folder on its path: makes the FTPS door the variant that a measurement asks for.

``unhashed``: an upload's SHA-256 costs nothing, and is a random number. ``cold``: every login is verified in full.
Only to take figures apart; what the gateway then stores is of no use to anybody.
"""

import os
import re
import sys


def _unhashed() -> None:
    from types import SimpleNamespace

    from gateway.spool import incoming

    class NoHash:
        def update(self, block: object) -> None:
            pass

        def hexdigest(self) -> str:
            return os.urandom(32).hex()

    incoming.hashlib = SimpleNamespace(sha256=NoHash)  # type: ignore[attr-defined]


def _cold() -> None:
    from gateway.access.remembered import Remembered

    async def never_shared(self: object, digest: object, check: object) -> object:
        return await check()  # type: ignore[operator]

    Remembered.find = lambda self, digest: None  # type: ignore[method-assign]
    Remembered.once = never_shared  # type: ignore[assignment, method-assign]


if re.search(r"gateway\.daemon\.process ftps(-\d+)? ", " ".join(sys.orig_argv)):
    {"unhashed": _unhashed, "cold": _cold}[os.environ["GATEWAY_BENCH_VARIANT"]]()
