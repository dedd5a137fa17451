"""Uploads under way: a version from its first row to its end. ``endings`` has that, ``files`` the tree they show up in.

``begin`` records an upload that is under way (only larger ones need it before they end), ``claim`` hands a partial to
whoever resumes it and raises its epoch, ``progress`` notes how far it is durable; ``seize`` takes what a crash left.
Every one but ``begin`` and ``claim`` names the epoch it holds: who was fenced changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, func, null, select, text, tuple_, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.ids import new_id
from gateway.domain.names import from_text, is_reserved
from gateway.domain.records import Request, Version
from gateway.store import requests, rows
from gateway.store.here import prepared
from gateway.store.tables import folders, names, versions


@dataclass(frozen=True, slots=True)
class Begin:
    """An upload that is under way: who sends what, to which path; *sr* is what the path says, true or not."""

    id: str
    account_id: str
    login: str
    path: str
    sr: str | None
    started_at: datetime
    boot_id: str
    spool: str
    peer: str | None = None
    client: str | None = None
    tls: str | None = None


def joined() -> Any:
    """Versions with the path and the SR of their names."""
    return select(versions, names.c.path, names.c.sr).join(names, names.c.id == versions.c.name_id)


_RECEIVING = text("versions.state = 'receiving'")
_UNSEEN = text("versions.state = 'complete' AND versions.inspected_at IS NULL")
"""In the words of their indexes: a parameter's value is nothing that a query is planned by."""

_BY_ID = prepared(joined().where(versions.c.id == bindparam("version")))


def _at(table: Any) -> Any:
    return tuple_(table.c.account_id, table.c.path).in_(bindparam("paths", expanding=True))


_THERE = prepared(
    union_all(
        select(names.c.account_id, names.c.path, names.c.id, names.c.sr).where(
            _at(names), names.c.removed_at.is_(None)
        ),
        select(folders.c.account_id, folders.c.path, null(), null()).where(_at(folders)),
    )
)


async def at(tx: AsyncConnection, places: Collection[tuple[str, str]]) -> Sequence[Any]:
    """What is at these (account id, path): rows with a name's ``id`` and ``sr``; a folder's ``id`` is None."""
    return (await tx.execute(_THERE, {"paths": list(places)})).all()


async def begin(tx: AsyncConnection, items: Sequence[Begin]) -> list[Version | Exception]:
    """A verb: record uploads under way."""
    return [await begun(tx, item) for item in items]


async def begun(tx: AsyncConnection, item: Begin) -> Version:
    """Record an upload under way.

    Where a folder was made while the bytes came, the file lies in it under its own name, as with mv(1).
    """
    while True:
        there = await at(tx, [(item.account_id, item.path)])
        name_id = next((row.id for row in there if row.id is not None), None)
        if name_id is not None or not there:
            break
        item = replace(item, path=f"{item.path}/{item.path.rpartition('/')[2]}")
    if name_id is None:
        sr = None if item.sr is None else await own_request(tx, item.account_id, item.sr)
        name = new_name(item, sr)
        await tx.execute(names.insert().values(**name))
        await keep_folders(tx, name)
        name_id, number = name["id"], 1
    else:
        last = await tx.execute(select(func.max(versions.c.number)).where(versions.c.name_id == name_id))
        number = (last.scalar() or 0) + 1
    row = new_version(item, name_id, number)
    await tx.execute(versions.insert().values(state="receiving", size=0, **row))
    return await get(tx, item.id)


async def claim(tx: AsyncConnection, items: Sequence[tuple[str, str, int]]) -> list[Version | Exception]:
    """A verb: take over the partial with (id, boot id, offset) for resuming. LookupError when it is none any more.

    What lies beyond the offset is written anew: it was durable, and is not any more.
    """
    results: list[Version | Exception] = []
    for version_id, boot_id, offset in items:
        durable = case((versions.c.durable_size < offset, versions.c.durable_size), else_=offset)
        changed = await tx.execute(
            update(versions)
            .where(versions.c.id == version_id, versions.c.state.in_(["receiving", "partial", "damaged"]))
            .values(state="receiving", epoch=versions.c.epoch + 1, boot_id=boot_id, durable_size=durable, sha256=None)
        )
        results.append(await get(tx, version_id) if changed.rowcount else LookupError(version_id))
    return results


async def unclaim(tx: AsyncConnection, item: tuple[str, int, int]) -> None:
    """Make a partial again of what was claimed with an epoch and can't be resumed: (id, epoch, size)."""
    version_id, epoch, size = item
    await tx.execute(
        update(versions)
        .where(versions.c.id == version_id, versions.c.state == "receiving", versions.c.epoch == epoch)
        .values(state="partial", size=size, durable_size=size)
    )


async def progress(tx: AsyncConnection, items: Sequence[tuple[str, int, int]]) -> list[Exception | None]:
    """A verb: (id, epoch, durable bytes) of uploads under way."""
    for version_id, epoch, durable in items:
        await tx.execute(
            update(versions)
            .where(versions.c.id == version_id, versions.c.epoch == epoch, versions.c.durable_size < durable)
            .values(durable_size=durable)
        )
    return [None] * len(items)


async def get(connection: AsyncConnection, version_id: str) -> Version:
    """The version with this id. Raises LookupError."""
    found = await connection.execute(_BY_ID, {"version": version_id})
    row = found.mappings().first()
    if row is None:
        raise LookupError(version_id)
    return rows.version(row)


async def under_way(connection: AsyncConnection, spool: str) -> list[Version]:
    """Every upload of a spool whose row says *receiving*: after a start, those that a crash interrupted."""
    found = await connection.execute(joined().where(_RECEIVING, versions.c.spool == spool))
    return [rows.version(row) for row in found.mappings()]


async def without_finding(
    connection: AsyncConnection, spool: str, ended_before: datetime | None = None
) -> list[Version]:
    """A spool's complete versions that nobody looked inside yet: after a start, those whose look was interrupted."""
    unseen = [_UNSEEN, versions.c.spool == spool]
    if ended_before is not None:
        unseen.append(versions.c.ended_at < ended_before)
    found = await connection.execute(joined().where(*unseen))  # with ORDER BY SQLite would go through all there are
    return sorted((rows.version(row) for row in found.mappings()), key=lambda version: version.id)


async def seize(tx: AsyncConnection, item: tuple[str, int]) -> Version | None:
    """Take an interrupted upload, by its id and epoch, from whoever had it; None: it is not *receiving* so any more.

    It is a write, and so comes after every commit that was under way: what its old owner may still say is superseded.
    """
    version_id, epoch = item
    changed = await tx.execute(
        update(versions)
        .where(versions.c.id == version_id, versions.c.state == "receiving", versions.c.epoch == epoch)
        .values(epoch=versions.c.epoch + 1)
    )
    return await get(tx, version_id) if changed.rowcount else None


async def recovered(tx: AsyncConnection, item: tuple[str, int, int | None, str]) -> None:
    """Make an interrupted upload, by its id and epoch, a partial of so many bytes; None: nothing of it is left."""
    version_id, epoch, size, evidence = item
    await tx.execute(
        update(versions)
        .where(versions.c.id == version_id, versions.c.state == "receiving", versions.c.epoch == epoch)
        .values(
            state="deleted" if size is None else "partial",
            size=size or 0,
            durable_size=size or 0,
            evidence=evidence,
            epoch=versions.c.epoch + 1,
        )
    )


def new_name(begin: Begin, sr: Request | None) -> dict[str, Any]:
    return {
        "id": new_id(begin.started_at.timestamp()),
        "account_id": begin.account_id,
        "path": begin.path,
        "parent": begin.path.rpartition("/")[0] or "/",
        "sr": None if sr is None else sr.number,
        "created_at": begin.started_at,
    }


async def keep_folders(tx: AsyncConnection, name: dict[str, Any]) -> None:
    """Make the folders of a new name again that were removed or renamed while it was sent: nothing is out of sight."""
    folder = name["parent"]
    while folder != "/" and not is_reserved(from_text(folder)):
        where = (folders.c.account_id == name["account_id"], folders.c.path == folder)
        if (await tx.execute(select(folders.c.id).where(*where))).first() is not None:
            return
        row = {"account_id": name["account_id"], "path": folder, "created_at": name["created_at"]}
        await tx.execute(folders.insert().values(id=new_id(name["created_at"].timestamp()), **row))
        folder = folder.rpartition("/")[0] or "/"


def new_version(begin: Begin, name_id: str, number: int) -> dict[str, Any]:
    return {
        "id": begin.id,
        "name_id": name_id,
        "account_id": begin.account_id,
        "number": number,
        "started_at": begin.started_at,
        "boot_id": begin.boot_id,
        "spool": begin.spool,
        "peer": begin.peer,
        "client": begin.client,
        "tls": begin.tls,
    }


async def own_request(tx: AsyncConnection, account_id: str, number: str) -> Request | None:
    """The SR with this number, if it is the account's."""
    sr = await requests.by_number(tx, number)
    return sr if sr is not None and sr.account_id == account_id else None
