"""What is removed for good, and when: what customers deleted, once its grace is over, and partials nobody goes on with.

Rules: only versions whose name was removed, and partials whose last byte came longer ago than they are kept; the row
stays and tells what there was. Bytes first, row second: a crash in between leaves a row whose bytes are gone already,
and the next purge notes it. What was acknowledged and is still there, and mail, is never touched. What a session still
writes to or resumes just now is left for the next purge.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import datetime, timedelta

from gateway.domain.records import Version
from gateway.spool import Fenced, Spool
from gateway.store import Store, files, one_by_one, uploads


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


async def expire(store: Store, spool: Spool, now: datetime, keep: timedelta) -> list[Version]:
    """Remove partials whose last byte came longer than *keep* ago; return them as they were."""
    async with store.reading() as connection:
        stale = await files.stale(connection, spool.id, now - keep)
    gone = []
    for version in stale:
        try:
            hold = await asyncio.to_thread(spool.hold, version.id, version.sha256)
        except Fenced:
            continue
        with hold or nullcontext():  # who resumes needs the hold first: the row stays as it is until then
            async with store.reading() as connection:
                if await uploads.get(connection, version.id) != version:
                    continue
            if hold is not None:
                if hold.path.stat().st_mtime >= (now - keep).timestamp():
                    continue  # it was resumed and broke off by a crash: its row has the older time
                await asyncio.to_thread(hold.remove)
            if await store.write(one_by_one(files.expired), (version.id, version.epoch, now)):
                gone.append(version)
    return gone


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
