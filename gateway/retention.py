"""What is removed for good, and when: the bytes of files that customers deleted, once their grace is over.

Rules: only versions whose name was removed; the row stays and tells what there was. Bytes first, row second: a crash in
between leaves a row whose bytes are gone already, and the next purge notes it. Complete versions of names that are
still there, partials and mail are never touched.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from gateway.domain.records import Version
from gateway.spool import Spool
from gateway.store import Store, files, one_by_one


async def purge(store: Store, spool: Spool, now: datetime, grace: timedelta) -> list[Version]:
    """Remove the bytes of versions deleted longer than *grace* ago; return those versions."""
    async with store.reading() as connection:
        gone = await files.purgeable(connection, spool.id, now - grace)
    for version in gone:
        await asyncio.to_thread(spool.remove_incoming, version.id)
        if version.sha256 is not None:
            await asyncio.to_thread(spool.remove, version.sha256, version.id)
        await store.write(one_by_one(files.purged), (version.id, now))
    return gone
