"""The store and the spool side by side: what one speaks of and the other lacks.

Rules: the spool is listed before the rows are read, and what is missing on either side is looked at a second time, so
that a file that was completed or purged in between is no finding. Bytes without a row are a finding only once they are
older than ``SETTLING``: a door that is being told nothing yet may be about to speak of them. Sizes are compared here;
the bytes themselves are `gateway spool verify`'s. Where hosts share a store, each doctor looks at its own host's spool
and counts what the others hold.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.config import Config
from gateway.doctor.finding import Finding, error, info, warning
from gateway.spool import Spool, name_of
from gateway.store import Store, holdings

SETTLING: Final = 300.0
"""Seconds that bytes may lie in the spool before a row speaks of them: mails and small uploads that are under way."""

NAMED: Final = 5
"""How many of a kind are named; the rest is counted."""

ELSEWHERE: Final = {
    True: "run `gateway doctor` on each of them, too",
    False: "run it with the configuration of each; if there is only this one, its spool.id was lost: restore that file",
}
"""What to do about files in other spools: where the store can be shared by hosts, and where it is a file."""


async def findings(store: Store, config: Config, now: datetime, serving: bool) -> AsyncIterator[Finding]:
    """Everything in which the store and the spool do not agree."""
    root = config.gateway.state_dir
    listed = await asyncio.to_thread(_list, root)
    ours = await asyncio.to_thread(name_of, root)
    if ours is None and store.shared:
        ours = ""  # this host has received nothing yet: what the store speaks of lies with others
    async with store.reading() as connection:
        sealed = {each.id: each for each in await holdings.sealed(connection, ours)}
        partials = {each.id: each for each in await holdings.partials(connection, ours)}
        elsewhere = await holdings.elsewhere(connection, ours)
    if elsewhere:
        what = f"{elsewhere} files lie in the spools of other hosts that share the store, and were not looked at"
        yield (info if store.shared else warning)(what, ELSEWHERE[store.shared])

    kept = [each for each in sealed.values() if not each.deleted]
    lost = [each for each in kept if listed.files.get(each.id) != (each.sha256, each.size)]
    if lost:
        async with store.reading() as connection:
            still = {each.id for each in await holdings.sealed(connection, ours)}
        again = await asyncio.to_thread(_list, root)
        lost = [each for each in lost if each.id in still and again.files.get(each.id) != (each.sha256, each.size)]
    if lost:
        yield error(
            f"{len(lost)} acknowledged files are missing from the spool or have another size: "
            + _names(f"{each.what} ({each.id})" for each in lost),
            "restore them from a backup of the state folder; `gateway spool verify` names each one",
        )

    due = [each for each in partials.values() if each.state != "deleted" and each.size > 0]
    broken = [each for each in due if each.id not in listed.incoming]
    if broken and not serving:
        yield warning(
            f"{len(broken)} partial uploads have no bytes: " + _names(f"{each.what} ({each.id})" for each in broken),
            "nothing: the next start of the FTPS door settles them; the customer sends them again",
        )

    receiving = [each for each in partials.values() if each.state == "receiving"]
    if receiving and not serving:
        yield info(
            f"{len(receiving)} uploads were interrupted: " + _names(f"{each.what} ({each.id})" for each in receiving),
            "nothing: the next start of the FTPS door makes partials of them, which can be resumed",
        )

    stray = await asyncio.to_thread(_old, [listed.paths[id] for id in listed.files if id not in sealed | partials])
    if stray:
        yield warning(
            f"{len(stray)} files in the spool belong to nothing: {_names(path.name for path in stray)}",
            "nothing urgent: nobody was promised them; they are what a crash left, and may be removed",
        )
    leftover = await asyncio.to_thread(_old, [listed.paths[id] for id in listed.incoming if id not in partials])
    if leftover:
        yield info(
            f"{len(leftover)} unfinished uploads belong to nothing: {_names(path.name for path in leftover)}",
            "nothing: the next start of the FTPS door removes them; nothing of them was acknowledged",
        )
    if listed.foreign:
        yield warning(
            f"{len(listed.foreign)} files in the spool are not the gateway's: {_names(listed.foreign)}",
            "find out who puts them there",
        )


class _Listing:
    """What lies in the spool: hash and size by id, and where."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, int]] = {}
        self.incoming: set[str] = set()
        self.paths: dict[str, Path] = {}
        self.foreign: list[str] = []


def _list(root: Path) -> _Listing:
    listing = _Listing()
    if not (root / "files").is_dir():
        return listing  # a Spool would make its folders; a doctor makes nothing
    spool = Spool(root)
    for id, _ in spool.all_incoming():
        listing.incoming.add(id)
        listing.paths[id] = spool.incoming / id
    for sha256, id, size in spool.all_files():
        if sha256:
            listing.files[id] = (sha256, size)
            listing.paths[id] = spool.path(sha256, id)
        else:
            listing.foreign.append(id)
    return listing


def _old(paths: list[Path]) -> list[Path]:
    """Those that are still there and have been for a while."""
    found = []
    for path in paths:
        try:
            if time.time() - path.stat().st_ctime > SETTLING:
                found.append(path)
        except FileNotFoundError:
            continue
    return found


def _names(names: object) -> str:
    listed = sorted(names)  # type: ignore[call-overload]
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
