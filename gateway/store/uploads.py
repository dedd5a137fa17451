"""Uploads: how a version comes to be, from its first row to its receipt. ``files`` has the tree they show up in.

``begin`` records an upload that is under way (only larger ones need it before they end), ``claim`` hands a partial to
whoever resumes it and raises its epoch, ``progress`` notes how far it is durable, ``settle`` says what became of it.
Every one but the first names the epoch it holds: who was fenced gets ``Superseded`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, case, func, null, select, tuple_, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event, EventType, about_account, about_request
from gateway.domain.ids import new_id
from gateway.domain.names import from_text, is_provisional, is_reserved
from gateway.domain.records import Request, Version, VersionState
from gateway.store import outbox, requests, rows
from gateway.store.tables import accounts, folders, names, versions


class Superseded(Exception):
    """Another session resumed this upload; what the old one says of it no longer counts."""


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


@dataclass(frozen=True, slots=True)
class Settle:
    """What became of an upload. *recorded*: ``begin`` was submitted before; else the row is made now."""

    begin: Begin
    recorded: bool
    epoch: int
    state: VersionState
    size: int
    sha256: str | None
    ended_at: datetime
    evidence: str
    inspection: dict[str, Any] | None = None
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The receipt's facts. *repeats*: the same bytes were there already under this name, as *version*."""

    version: Version
    repeats: bool


def joined() -> Any:
    """Versions with the path and the SR of their names."""
    return select(versions, names.c.path, names.c.sr).join(names, names.c.id == versions.c.name_id)


_BY_ID = joined().where(versions.c.id == bindparam("version"))


def _what_is_at(one_of: Callable[[Any], Any]) -> Any:
    """The names, and with no id the folders that customers made, at the paths that *one_of* chooses of a table."""
    name = select(names.c.account_id, names.c.path, names.c.id, names.c.sr)
    folder = select(folders.c.account_id, folders.c.path, null(), null())
    return union_all(name.where(one_of(names), names.c.removed_at.is_(None)), folder.where(one_of(folders)))


_THERE = _what_is_at(lambda a: tuple_(a.c.account_id, a.c.path).in_(bindparam("paths", expanding=True)))
_ONE_THERE = _what_is_at(lambda a: and_(a.c.account_id == bindparam("account"), a.c.path == bindparam("path")))
_last = (
    select(versions.c.name_id, func.max(versions.c.number).label("number"))
    .where(versions.c.name_id.in_(bindparam("names", expanding=True)))
    .group_by(versions.c.name_id)
    .subquery()
)
_LAST = (
    joined()
    .add_columns(versions.c.name_id)
    .join(_last, (_last.c.name_id == versions.c.name_id) & (_last.c.number == versions.c.number))
)
_ADD_NAMES = names.insert()
_ADD_VERSIONS = versions.insert()


async def begin(tx: AsyncConnection, items: Sequence[Begin]) -> list[Version | Exception]:
    """A verb: record uploads under way."""
    return [await _begin(tx, item) for item in items]


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


async def settle(tx: AsyncConnection, items: Sequence[Settle]) -> list[Settled | Exception]:
    """A verb: say what became of uploads, and record the events that tell of it.

    Whole uploads without a row yet, which is nearly all of them, go in together: the same few statements however many.
    """
    together: dict[tuple[str, str], Settle] = {}
    for item in items:
        if not item.recorded and item.state is not VersionState.PARTIAL:
            together.setdefault((item.begin.account_id, item.begin.path), item)
    settled = await _settle_together(tx, together) if together else {}
    return [settled.get(item.begin.id) or await _settle(tx, item) for item in items]


async def get(connection: AsyncConnection, version_id: str) -> Version:
    """The version with this id. Raises LookupError."""
    found = await connection.execute(_BY_ID, {"version": version_id})
    row = found.mappings().first()
    if row is None:
        raise LookupError(version_id)
    return rows.version(row)


async def under_way(connection: AsyncConnection, spool: str) -> list[Version]:
    """Every upload of a spool whose row says *receiving*: after a start, those that a crash interrupted."""
    found = await connection.execute(joined().where(versions.c.state == "receiving", versions.c.spool == spool))
    return [rows.version(row) for row in found.mappings()]


async def without_finding(connection: AsyncConnection, spool: str) -> list[Version]:
    """A spool's complete versions that nobody looked inside yet: after a start, those whose look was interrupted."""
    unseen = (versions.c.state == "complete", versions.c.inspected_at.is_(None), versions.c.spool == spool)
    found = await connection.execute(joined().where(*unseen).order_by(versions.c.id))
    return [rows.version(row) for row in found.mappings()]


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


async def inspected(
    tx: AsyncConnection, items: Sequence[tuple[str, dict[str, Any], bool, datetime]]
) -> list[Exception | None]:
    """A verb: (id, what a look inside said, whether it is damaged, when)."""
    for version_id, inspection, damaged, at in items:
        await tx.execute(
            update(versions).where(versions.c.id == version_id).values(inspection=inspection, inspected_at=at)
        )
        if damaged:
            changed = await tx.execute(
                update(versions)
                .where(versions.c.id == version_id, versions.c.state == "complete")
                .values(state="damaged")
            )
            if changed.rowcount:
                version = await get(tx, version_id)
                login = await tx.execute(select(accounts.c.login).where(accounts.c.id == version.account_id))
                await outbox.record(tx, _event(version, str(login.scalar()), at))
    return [None] * len(items)


async def _settle_together(tx: AsyncConnection, items: dict[tuple[str, str], Settle]) -> dict[str, Settled]:
    """Whole uploads, each for another (account id, path), under new names and old ones; not where a folder is."""
    if len(items) == 1:  # an expanding IN is compiled anew each time
        [(account_id, path)] = items
        found = await tx.execute(_ONE_THERE, {"account": account_id, "path": path})
    else:
        found = await tx.execute(_THERE, {"paths": list(items)})
    there = found.all()
    known = {(row.account_id, row.path): (row.id, row.sr) for row in there if row.id is not None}
    taken = {(row.account_id, row.path) for row in there} - known.keys()
    before: dict[str, Any] = {}
    if known:
        latest = await tx.execute(_LAST, {"names": [name_id for name_id, _ in known.values()]})
        before = {row["name_id"]: row for row in latest.mappings()}
    numbers = {item.begin.sr for item in items.values() if item.begin.sr is not None}
    numbers |= {sr for _, sr in known.values() if sr is not None}
    srs = await requests.by_numbers(tx, numbers) if numbers else {}
    new_names: list[dict[str, Any]] = []
    new_versions: list[dict[str, Any]] = []
    events: list[Event] = []
    settled: dict[str, Settled] = {}
    for where, item in items.items():
        begin = item.begin
        if where in taken:
            continue  # ``_begin`` finds another place
        if where in known:
            name_id, number = known[where]
            last = before.get(name_id)
            if last is not None and _same(last, item):
                settled[begin.id] = Settled(rows.version(last), repeats=True)
                continue
            sr = None if number is None else srs[number]
        else:
            last = None
            sr = None if begin.sr is None else srs.get(begin.sr)
            if sr is not None and sr.account_id != begin.account_id:
                sr = None
            new_names.append(_new_name(begin, sr))
            name_id = new_names[-1]["id"]
        row = _new_version(begin, name_id, 1 if last is None else last["number"] + 1) | _ended(item)
        new_versions.append(row)
        shown = {"epoch": 1, "path": begin.path, "sr": None if sr is None else sr.number}
        version = rows.version(row | shown)
        events += await _ending(tx, version, sr, begin.login, item.ended_at)
        settled[begin.id] = Settled(version, repeats=False)
    if new_names:
        await tx.execute(_ADD_NAMES, new_names)
        for name in new_names:
            await _keep_folders(tx, name)
    if new_versions:
        await tx.execute(_ADD_VERSIONS, new_versions)
    await outbox.record(tx, *events)
    return settled


def _same(last: Any, item: Settle) -> bool:
    """Whether the version in the row *last* is whole and has the bytes that have come again."""
    whole = item.state is VersionState.COMPLETE and last["state"] == "complete"
    return whole and last["sha256"] == item.sha256 and last["size"] == item.size


def _new_name(begin: Begin, sr: Request | None) -> dict[str, Any]:
    return {
        "id": new_id(begin.started_at.timestamp()),
        "account_id": begin.account_id,
        "path": begin.path,
        "parent": begin.path.rpartition("/")[0] or "/",
        "sr": None if sr is None else sr.number,
        "created_at": begin.started_at,
    }


async def _keep_folders(tx: AsyncConnection, name: dict[str, Any]) -> None:
    """Make the folders of a new name again that were removed or renamed while it was sent: nothing is out of sight."""
    folder = name["parent"]
    while folder != "/" and not is_reserved(from_text(folder)):
        where = (folders.c.account_id == name["account_id"], folders.c.path == folder)
        if (await tx.execute(select(folders.c.id).where(*where))).first() is not None:
            return
        row = {"account_id": name["account_id"], "path": folder, "created_at": name["created_at"]}
        await tx.execute(folders.insert().values(id=new_id(name["created_at"].timestamp()), **row))
        folder = folder.rpartition("/")[0] or "/"


def _new_version(begin: Begin, name_id: str, number: int) -> dict[str, Any]:
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


def _ended(item: Settle) -> dict[str, Any]:
    return {
        "state": item.state.value,
        "size": item.size,
        "durable_size": item.size,
        "sha256": item.sha256,
        "ended_at": item.ended_at,
        "evidence": item.evidence,
        "inspection": item.inspection,
        "inspected_at": None if item.inspection is None else item.ended_at,
        "modified_at": item.modified_at,
    }


async def _begin(tx: AsyncConnection, item: Begin) -> Version:
    """Where a folder was made while the bytes came, the file lies in it under its own name, as with mv(1)."""
    while True:
        found = await tx.execute(_ONE_THERE, {"account": item.account_id, "path": item.path})
        there = found.all()
        name_id = next((row.id for row in there if row.id is not None), None)
        if name_id is not None or not there:
            break
        item = replace(item, path=f"{item.path}/{item.path.rpartition('/')[2]}")
    if name_id is None:
        sr = None if item.sr is None else await own_request(tx, item.account_id, item.sr)
        name = _new_name(item, sr)
        await tx.execute(names.insert().values(**name))
        await _keep_folders(tx, name)
        name_id, number = name["id"], 1
    else:
        last = await tx.execute(select(func.max(versions.c.number)).where(versions.c.name_id == name_id))
        number = (last.scalar() or 0) + 1
    row = _new_version(item, name_id, number)
    await tx.execute(versions.insert().values(state="receiving", size=0, **row))
    return await get(tx, item.id)


async def _settle(tx: AsyncConnection, item: Settle) -> Settled | Exception:
    try:
        version = await get(tx, item.begin.id)
    except LookupError:
        version = await _begin(tx, item.begin)
    if version.epoch != item.epoch or version.state is not VersionState.RECEIVING:
        return Superseded(item.begin.id)
    if item.state is VersionState.COMPLETE:
        twin = await _twin(tx, version, item)
        if twin is not None:
            await tx.execute(versions.delete().where(versions.c.id == version.id))
            return Settled(twin, repeats=True)
    values = _ended(item)
    if item.modified_at is None:
        del values["modified_at"]  # a client may have set it while the upload was a partial
    await tx.execute(update(versions).where(versions.c.id == version.id).values(**values))
    version = await get(tx, version.id)
    sr = None if version.sr is None else await requests.by_number(tx, version.sr)
    await outbox.record(tx, *await _ending(tx, version, sr, item.begin.login, item.ended_at))
    return Settled(version, repeats=False)


async def released(tx: AsyncConnection, version_id: str, login: str, at: datetime) -> Version | None:
    """Tell of a version that got its final name; None: it is not complete, and there is nothing to tell."""
    version = await get(tx, version_id)
    if version.state is not VersionState.COMPLETE:
        return None
    sr = None if version.sr is None else await requests.by_number(tx, version.sr)
    await outbox.record(tx, *await _ending(tx, version, sr, login, at))
    return version


async def _ending(
    tx: AsyncConnection, version: Version, sr: Request | None, login: str, at: datetime
) -> Sequence[Event]:
    """What is to be told of a version that ended so; a complete one under a provisional name waits for its rename."""
    if version.state is not VersionState.COMPLETE:
        return [_event(version, login, at)]
    if is_provisional(version.path):
        return []
    events = [_event(version, login, at)]
    if sr is not None:
        events += await requests.note_response(tx, sr, at, by="file", file=version.id, account=login)
    return events


async def _twin(tx: AsyncConnection, version: Version, item: Settle) -> Version | None:
    """The name's newest other version, if it is complete and has the same bytes."""
    found = await tx.execute(
        joined()
        .where(
            versions.c.name_id == select(versions.c.name_id).where(versions.c.id == version.id).scalar_subquery(),
            versions.c.id != version.id,
            versions.c.state != "deleted",
        )
        .order_by(versions.c.number.desc())
        .limit(1)
    )
    row = found.mappings().first()
    return rows.version(row) if row is not None and _same(row, item) else None


async def own_request(tx: AsyncConnection, account_id: str, number: str) -> Request | None:
    """The SR with this number, if it is the account's."""
    sr = await requests.by_number(tx, number)
    return sr if sr is not None and sr.account_id == account_id else None


def _event(version: Version, login: str, at: datetime) -> Event:
    facts = {
        "account": login,
        "file": {
            "id": version.id,
            "path": version.path,
            "version": version.number,
            "size": version.size,
            "sha256": version.sha256,
            "evidence": version.evidence,
            "inspection": version.inspection,
        },
    }
    kind = _EVENTS[version.state]
    if version.sr is not None:
        return about_request(kind, version.sr, at, **facts)
    return about_account(
        EventType.FILE_UNFILED if kind is EventType.FILE_RECEIVED else kind, version.account_id, at, **facts
    )


_EVENTS = {
    VersionState.PARTIAL: EventType.FILE_INCOMPLETE,
    VersionState.DAMAGED: EventType.FILE_DAMAGED,
    VersionState.COMPLETE: EventType.FILE_RECEIVED,
}
