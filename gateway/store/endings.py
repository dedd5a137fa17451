"""The end of an upload: what became of it, the receipt's facts, and the events that tell of it.

``settle`` says what became of an upload, ``inspected`` what a look inside found, ``released`` that a complete version
got its final name. All three tell the world in the same transaction. Whoever was fenced meanwhile (``uploads``) gets
``Superseded`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event, EventType, about_account, about_request
from gateway.domain.names import is_provisional
from gateway.domain.records import Request, Version, VersionState
from gateway.store import outbox, requests, rows, uploads
from gateway.store.here import prepared
from gateway.store.tables import accounts, names, versions
from gateway.store.uploads import Begin, get, joined


class Superseded(Exception):
    """Another session resumed this upload; what the old one says of it no longer counts."""


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


_last = (
    select(versions.c.name_id, func.max(versions.c.number).label("number"))
    .where(versions.c.name_id.in_(bindparam("names", expanding=True)))
    .group_by(versions.c.name_id)
    .subquery()
)
_LAST = prepared(joined().join(_last, (_last.c.name_id == versions.c.name_id) & (_last.c.number == versions.c.number)))
_ADD_NAMES = names.insert()
_ADD_VERSIONS = versions.insert()


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


async def inspected(
    tx: AsyncConnection, items: Sequence[tuple[str, dict[str, Any], bool, datetime]]
) -> list[Exception | None]:
    """A verb: (id, what a look inside said, whether it is damaged, when). What was said first stays."""
    for version_id, inspection, damaged, at in items:
        said = await tx.execute(
            update(versions)
            .where(versions.c.id == version_id, versions.c.inspected_at.is_(None))
            .values(inspection=inspection, inspected_at=at)
        )
        if damaged and said.rowcount:
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


async def released(
    tx: AsyncConnection, version_id: str, login: str, at: datetime, *, elsewhere: bool = False
) -> Version | None:
    """Tell of a version that got its final name; None: it is not complete, and there is nothing to tell.

    *elsewhere*: of one that belongs to another SR now, where a damaged one has not been told of.
    """
    version = await get(tx, version_id)
    if version.state is VersionState.DAMAGED and elsewhere:
        await outbox.record(tx, _event(version, login, at))
    if version.state is not VersionState.COMPLETE:
        return None
    sr = None if version.sr is None else await requests.by_number(tx, version.sr)
    await outbox.record(tx, *await _ending(tx, version, sr, login, at))
    return version


async def _settle_together(tx: AsyncConnection, items: dict[tuple[str, str], Settle]) -> dict[str, Settled]:
    """Whole uploads, each for another (account id, path), under new names and old ones; not where a folder is."""
    there = await uploads.at(tx, items)
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
            continue  # ``uploads.begun`` finds another place
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
            new_names.append(uploads.new_name(begin, sr))
            name_id = new_names[-1]["id"]
        row = uploads.new_version(begin, name_id, 1 if last is None else last["number"] + 1) | _ended(item)
        new_versions.append(row)
        shown = {"epoch": 1, "path": begin.path, "sr": None if sr is None else sr.number}
        version = rows.version(row | shown)
        events += await _ending(tx, version, sr, begin.login, item.ended_at)
        settled[begin.id] = Settled(version, repeats=False)
    if new_names:
        await tx.execute(_ADD_NAMES, new_names)
        for name in new_names:
            await uploads.keep_folders(tx, name)
    if new_versions:
        await tx.execute(_ADD_VERSIONS, new_versions)
    await outbox.record(tx, *events)
    return settled


async def _settle(tx: AsyncConnection, item: Settle) -> Settled | Exception:
    try:
        version = await get(tx, item.begin.id)
    except LookupError:
        version = await uploads.begun(tx, item.begin)
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


def _same(last: Any, item: Settle) -> bool:
    """Whether the version in the row *last* is whole and has the bytes that have come again."""
    whole = item.state is VersionState.COMPLETE and last["state"] == "complete"
    return whole and last["sha256"] == item.sha256 and last["size"] == item.size


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
