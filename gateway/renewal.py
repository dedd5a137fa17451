"""Certificates that were renewed on the disk are taken into use without anybody asking, and no session is dropped.

Rule: what can't be served is refused, once in the log, and the old goes on; it is tried again until it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from gateway.log import get

log = get(__name__)

LOOK_EVERY = 5.0
"""Seconds between two looks at the files."""

Stamp = tuple[int, int, int] | None


def stamps(files: Iterable[Path]) -> tuple[Stamp, ...]:
    """What tells whether a file is another than it was; None for one that is not there."""

    def stamp(file: Path) -> Stamp:
        try:
            found = file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    return tuple(map(stamp, files))


async def renewing(
    changed: Callable[[], bool], reload: Callable[[], object], refusals: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """Call *reload* whenever the files have *changed*; it raises one of *refusals* for what can't be served."""
    refused = None
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if not changed():
            continue
        try:
            reload()
            log.info("certificates read again")
        except refusals as error:
            if str(error) != refused:
                log.error("new certificate refused, the old one goes on", reason=error)
            refused = str(error)
