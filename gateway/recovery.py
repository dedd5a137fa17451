"""What a crash, a kill or an absent store left of uploads: partials that can be resumed, and leftovers that go.

Rules: nothing that somebody holds is touched, in this process or another: the lock on its file comes first (``spool``),
then the row is seized, and only then the bytes are set right. So any process of a door may look, at any time.

A crash in the middle leaves a row that says *receiving* and that nobody holds, for the next look.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from gateway.domain.records import Version
from gateway.spool import Fenced, Hold, Spool
from gateway.store import Store, files, one_by_one, uploads

PAUSE = 0.25
"""Seconds in which an upload that was sealed gets its row; to search for its bytes goes through all there are."""


class Recovery:
    """Sets right what is left in *spool*; *boot* is what the kernel calls this boot. It works in the store's loop."""

    def __init__(self, store: Store, spool: Spool, boot: str) -> None:
        self._store = store
        self._spool = spool
        self._boot = boot

    async def partials(self, why: str) -> list[str]:
        """Make partials of the uploads that say *receiving* and that nobody holds; what was found, in words."""
        found, sealed = await self._look(await self._under_way(), why, search=False)
        if sealed:
            await asyncio.sleep(PAUSE)
            left = [version for version in await self._under_way() if (version.id, version.epoch) in sealed]
            found += (await self._look(left, why, search=True))[0]
        return found

    async def leftovers(self) -> list[str]:
        """Remove what no row knows, nobody holds and nobody has written to for a while; what was found, in words."""
        async with self._store.reading() as connection:
            known = await files.known(connection)
        loop = asyncio.get_running_loop()

        def is_known(upload: str) -> bool:
            return asyncio.run_coroutine_threadsafe(self._is_known(upload), loop).result()

        swept = await asyncio.to_thread(self._spool.sweep, known, is_known)
        return [f"{name}: removed, nothing of it was acknowledged" for name in swept]

    async def _under_way(self) -> list[Version]:
        async with self._store.reading() as connection:
            return await uploads.under_way(connection, self._spool.id)

    async def _look(
        self, receiving: list[Version], why: str, *, search: bool
    ) -> tuple[list[str], set[tuple[str, int]]]:
        """What was found, in words, and ids and epochs of what must have been sealed, if it is anywhere."""
        found, sealed = list[str](), set[tuple[str, int]]()
        for version in receiving:
            try:
                hold = await asyncio.to_thread(self._spool.hold, version.id, search=search)
            except Fenced:
                continue
            if hold is None and not search:
                sealed.add((version.id, version.epoch))
            elif (words := await self._recover(version, hold, why)) is not None:
                found.append(words)
        return found, sealed

    async def _recover(self, version: Version, hold: Hold | None, why: str) -> str | None:
        """Make a partial of what *hold* is of, which is released; None: somebody settled it just now."""
        with hold or nullcontext():
            seized = await self._store.write(one_by_one(uploads.seize), (version.id, version.epoch))
            if seized is None:
                return None
            size = None
            if hold is not None:
                same_boot = seized.boot_id == self._boot
                size = await asyncio.to_thread(hold.recover, seized.durable_size, same_boot=same_boot)
            await self._store.write(one_by_one(uploads.recovered), (seized.id, seized.epoch, size, why))
        return f"{version.path} ({version.id}): " + ("nothing left" if size is None else f"{size} bytes kept")

    async def _is_known(self, upload: str) -> bool:
        async with self._store.reading() as connection:
            try:
                await uploads.get(connection, upload)
            except LookupError:
                return False
        return True
