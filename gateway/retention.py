"""What is removed for good, and when: the bytes of files that customers deleted, once their grace is over.

Rules: only versions whose name was removed; the row stays and tells what there was. Bytes first, row second: a crash in
between leaves a row whose bytes are gone already, and the next purge notes it. Complete versions of names that are
still there, partials and mail are never touched. What a session still writes to, which will be told that the file was
removed, is left for the next purge.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from gateway.domain.records import Version
from gateway.spool import Fenced, Spool
from gateway.store import Store, files, one_by_one


async def purge(store: Store, spool: Spool, now: datetime, grace: timedelta) -> list[Version]:
    """Remove the bytes of versions deleted longer than *grace* ago; return those versions."""
    async with store.reading() as connection:
        gone = await files.purgeable(connection, spool.id, now - grace)
    purged = []
    for version in gone:
        if await asyncio.to_thread(_remove, spool, version):
            await store.write(one_by_one(files.purged), (version.id, now))
            purged.append(version)
    return purged


def _remove(spool: Spool, version: Version) -> bool:
    """Remove a version's bytes, wherever they lie; False: somebody holds them."""
    try:
        hold = spool.hold(version.id, version.sha256)
    except Fenced:
        return False
    if hold is not None:
        with hold:
            hold.remove()
    return True
