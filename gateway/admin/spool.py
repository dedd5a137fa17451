"""The bytes: verified against what was received, and removed for good when their time is over.

Rules: verifying reads every byte of this host's spool again and changes nothing; what hosts that share the store have
in theirs is counted. Purging removes what customers deleted longer ago than the grace, and partials that nobody went on
with; it never touches what was acknowledged and is still shown.
"""

import asyncio
from collections.abc import Callable

from gateway import retention
from gateway.admin import views
from gateway.admin.desk import Desk
from gateway.spool import Spool
from gateway.store import Transaction, holdings
from gateway.store.holdings import Held


async def verify(desk: Desk, progress: Callable[[int, int], None] | None = None) -> views.View:
    """Hash every byte in the spool again; *progress* hears bytes done and to do."""
    spool = desk.spool
    async with desk.reading() as connection:
        held = [each for each in await holdings.sealed(connection, spool.id) if not each.deleted]
        elsewhere = await holdings.elsewhere(connection, spool.id)
    problems, done, total = [], 0, sum(each.size for each in held)
    for each in held:
        what = await asyncio.to_thread(_verify, spool, each)
        if what is not None and await _still_held(desk, each):
            problems.append(
                {"id": each.id, "file": each.what, "path": str(spool.path(each.sha256, each.id)), "what": what}
            )
        done += each.size
        if progress is not None:
            progress(done, total)
    return {
        "ok": not problems,
        "checked": len(held),
        "bytes": total,
        "in_other_spools": elsewhere,
        "problems": problems,
    }


async def purge(desk: Desk) -> views.View:
    """Remove what customers deleted longer ago than ``[spool] keep_deleted``, and partials past ``keep_partials``."""
    where, now, keep = (desk.store, desk.spool), desk.clock.now(), desk.config.spool
    deleted = await retention.purge(*where, now, keep.keep_deleted)
    partials = await retention.expire(*where, now, keep.keep_partials)
    gone = [*deleted, *partials]

    async def nothing_more(tx: Transaction) -> None:
        """The rows are written already; only the audit entry is."""

    if gone:
        await desk.act("spool purge", "spool", nothing_more, files=[each.id for each in gone])
    return {
        "purged": len(gone),
        "partials": len(partials),
        "bytes": sum(each.size for each in gone),
        "ids": [each.id for each in gone],
    }


def _verify(spool: Spool, held: Held) -> str | None:
    """What is wrong with some bytes, or None."""
    try:
        size = spool.path(held.sha256, held.id).stat().st_size
        if size != held.size:
            return f"is {size} bytes long, {held.size} were received"
        digest = spool.digest(held.sha256, held.id)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if digest == held.sha256 else f"holds other bytes: their SHA-256 is {digest}"


async def _still_held(desk: Desk, held: Held) -> bool:
    """Whether the store still speaks of it: a purge may have come in between."""
    async with desk.reading() as connection:
        return held in await holdings.sealed(connection, desk.spool.id)
