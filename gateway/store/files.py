"""An account's tree: names with their versions, and the folders its customers made. ``uploads`` makes the versions.

A path is absolute ("/SR-12345/logs.zip") in the stored form of domain/names. A name shows its newest version that is
not deleted. Removing is soft: rows and bytes stay until the purge, and the path is free at once. Nothing here knows of
mail attachments: what came by mail is never in a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from sqlalchemy import and_, bindparam, case, func, literal, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.ids import new_id
from gateway.domain.names import is_provisional
from gateway.domain.records import Version
from gateway.store import rows
from gateway.store.endings import released
from gateway.store.here import prepared
from gateway.store.tables import accounts, folders, names, versions
from gateway.store.uploads import joined, own_request

_NEWEST = (
    joined()
    .where(
        names.c.account_id == bindparam("account"),
        names.c.path == bindparam("path"),
        names.c.removed_at.is_(None),
        versions.c.state != "deleted",
    )
    .order_by(versions.c.number.desc())
    .limit(1)
)
_FOLDER = select(folders.c.id).where(folders.c.account_id == bindparam("account"), folders.c.path == bindparam("path"))


async def newest(connection: AsyncConnection, account_id: str, path: str) -> Version | None:
    """The version that *path* shows."""
    found = await connection.execute(_NEWEST, {"account": account_id, "path": path})
    row = found.mappings().first()
    return None if row is None else rows.version(row)


_shown = _NEWEST.subquery()
_AT = prepared(
    select(_FOLDER.exists().label("folder"), _shown).select_from(
        select(literal(1).label("one")).subquery().outerjoin(_shown, true())
    )
)


async def at(connection: AsyncConnection, account_id: str, path: str) -> tuple[bool, Version | None]:
    """What is at *path*, in one query: whether customers made a folder there, and what a name there shows."""
    row = (await connection.execute(_AT, {"account": account_id, "path": path})).mappings().one()
    return bool(row["folder"]), None if row["id"] is None else rows.version(row)


async def in_folder(connection: AsyncConnection, account_id: str, folder: str) -> list[Version]:
    """What the names directly in *folder* show, by path."""
    last = (
        select(versions.c.name_id, func.max(versions.c.number).label("number"))
        .where(versions.c.state != "deleted")
        .group_by(versions.c.name_id)
        .subquery()
    )
    found = await connection.execute(
        joined()
        .join(last, and_(last.c.name_id == versions.c.name_id, last.c.number == versions.c.number))
        .where(names.c.account_id == account_id, names.c.parent == folder, names.c.removed_at.is_(None))
        .order_by(names.c.path)
    )
    return [rows.version(row) for row in found.mappings()]


async def subfolders(connection: AsyncConnection, account_id: str, folder: str) -> list[tuple[str, datetime]]:
    """The folders directly in *folder* that customers made: path and when."""
    prefix = folder.rstrip("/") + "/"
    found = await connection.execute(
        select(folders.c.path, folders.c.created_at)
        .where(folders.c.account_id == account_id, _below(folders.c.path, prefix))
        .order_by(folders.c.path)
    )
    return [(path, at) for path, at in found if "/" not in path[len(prefix) :]]


async def folder_exists(connection: AsyncConnection, account_id: str, path: str) -> bool:
    """Whether customers made the folder *path*."""
    found = await connection.execute(_FOLDER, {"account": account_id, "path": path})
    return found.first() is not None


async def holds_partials(connection: AsyncConnection, account_id: str, folder: str) -> bool:
    """Whether something in *folder*, however deep, is still incomplete."""
    found = await connection.execute(
        select(versions.c.id)
        .join(names, names.c.id == versions.c.name_id)
        .where(
            versions.c.account_id == account_id,
            versions.c.state.in_(["receiving", "partial", "damaged"]),
            names.c.removed_at.is_(None),
            _below(names.c.path, folder.rstrip("/") + "/"),
        )
        .limit(1)
    )
    return found.first() is not None


async def make_folder(tx: AsyncConnection, item: tuple[str, str, datetime]) -> None:
    """Make the folder (account id, path, now). Raises FileExistsError where a file or folder has the path."""
    account_id, path, at = item
    if await folder_exists(tx, account_id, path) or await newest(tx, account_id, path) is not None:
        raise FileExistsError(path)
    await tx.execute(
        folders.insert().values(id=new_id(at.timestamp()), account_id=account_id, path=path, created_at=at)
    )


async def remove_folder(tx: AsyncConnection, item: tuple[str, str]) -> None:
    """Remove an empty folder (account id, path). Raises FileNotFoundError, OSError when something is in it."""
    account_id, path = item
    if not await folder_exists(tx, account_id, path):
        raise FileNotFoundError(path)
    prefix = path + "/"
    inside = await tx.execute(
        select(literal(1))
        .select_from(names)
        .where(names.c.account_id == account_id, _below(names.c.path, prefix), names.c.removed_at.is_(None))
        .limit(1)
    )
    deeper = await tx.execute(
        select(folders.c.id).where(folders.c.account_id == account_id, _below(folders.c.path, prefix)).limit(1)
    )
    if inside.first() is not None or deeper.first() is not None:
        raise OSError(f"{path} is not empty")
    await tx.execute(folders.delete().where(folders.c.account_id == account_id, folders.c.path == path))


async def remove(tx: AsyncConnection, item: tuple[str, str, datetime]) -> None:
    """Take a name with its versions from the tree: (account id, path, now). Raises FileNotFoundError."""
    account_id, path, at = item
    name_id = await _name(tx, account_id, path)
    if name_id is None:
        raise FileNotFoundError(path)
    await tx.execute(update(names).where(names.c.id == name_id).values(removed_at=at))
    await tx.execute(
        update(versions).where(versions.c.name_id == name_id).values(state="deleted", epoch=versions.c.epoch + 1)
    )


async def rename(
    tx: AsyncConnection, item: tuple[str, str, str, Callable[[str], str | None], datetime]
) -> list[Version]:
    """Give a name, or a folder with all that is in it, another path: (account id, from, to, SR of a path, now).

    Onto a name that exists, the versions are added to that name's: nothing is overwritten. The SR of a name follows
    its path, if the account has that SR, unless an analyst chose it; what it shows is then told of under that SR. A
    provisional name that becomes a final one releases its complete versions: they are told of now, and returned.
    Raises FileNotFoundError, FileExistsError (onto a folder).
    """
    account_id, source, target, sr_of, at = item
    if await folder_exists(tx, account_id, target):
        raise FileExistsError(target)
    name_id = await _name(tx, account_id, source)
    if name_id is not None:
        held = await _versions_of(tx, name_id) if is_provisional(source) and not is_provisional(target) else []
        filed = await _rename_name(tx, account_id, name_id, target, sr_of)
        tell = held or await _shown_of(tx, filed)
        login = await _login(tx, account_id) if tell else ""
        told = [await released(tx, version_id, login, at, elsewhere=not held) for version_id in tell]
        return [version for version in told if version is not None] if held else []
    if not await folder_exists(tx, account_id, source):
        raise FileNotFoundError(source)
    if await _name(tx, account_id, target) is not None or target.startswith(source + "/"):
        raise FileExistsError(target)
    prefix = source + "/"
    inside = await tx.execute(
        select(names.c.id, names.c.path).where(
            names.c.account_id == account_id, _below(names.c.path, prefix), names.c.removed_at.is_(None)
        )
    )
    for inner_id, path in inside.all():
        filed = await _rename_name(tx, account_id, inner_id, target + path[len(source) :], sr_of)
        for version_id in await _shown_of(tx, filed):
            await released(tx, version_id, await _login(tx, account_id), at, elsewhere=True)
    moved = await tx.execute(
        select(folders.c.id, folders.c.path).where(
            folders.c.account_id == account_id, or_(folders.c.path == source, _below(folders.c.path, prefix))
        )
    )
    for folder_id, path in moved.all():
        await tx.execute(update(folders).where(folders.c.id == folder_id).values(path=target + path[len(source) :]))
    return []


async def set_modified(tx: AsyncConnection, item: tuple[str, datetime]) -> None:
    """Set the modification time that a customer's client gave a version (MFMT): (version id, time)."""
    version_id, at = item
    await tx.execute(update(versions).where(versions.c.id == version_id).values(modified_at=at))


async def listing(
    connection: AsyncConnection,
    *,
    account_id: str | None = None,
    sr: str | None = None,
    unfiled: bool = False,
    partial: bool = False,
) -> list[Version]:
    """Every version, the oldest first, of one account, of one SR, of none, or those still incomplete."""
    query = joined().order_by(versions.c.id)
    if account_id is not None:
        query = query.where(versions.c.account_id == account_id)
    if sr is not None:
        query = query.where(names.c.sr == sr)
    if unfiled:
        query = query.where(names.c.sr.is_(None), versions.c.state.in_(["complete", "damaged"]))
    if partial:
        query = query.where(versions.c.state.in_(["partial", "receiving"]))
    return [rows.version(row) for row in (await connection.execute(query)).mappings()]


async def assign(tx: AsyncConnection, item: tuple[str, str, datetime]) -> None:
    """File a version's name under an SR by an analyst's choice, and tell of it there: (version id, SR number, now)."""
    version_id, sr, at = item
    found = await tx.execute(
        select(versions.c.name_id, versions.c.account_id, names.c.sr)
        .join(names, names.c.id == versions.c.name_id)
        .where(versions.c.id == version_id)
    )
    name = found.one()
    await tx.execute(update(names).where(names.c.id == name.name_id).values(sr=sr, assigned=1))
    for shown in await _shown_of(tx, name.name_id if name.sr != sr else None):
        await released(tx, shown, await _login(tx, name.account_id), at, elsewhere=True)


async def match(tx: AsyncConnection, item: tuple[str, str, Callable[[str], str | None]]) -> int:
    """File the unfiled names that belong to a new SR: (account id, SR number, SR of a path); how many there were."""
    account_id, number, sr_of = item
    found = await tx.execute(
        select(names.c.id, names.c.path).where(names.c.account_id == account_id, names.c.sr.is_(None))
    )
    mine = [name_id for name_id, path in found if sr_of(path) == number]
    for name_id in mine:
        await tx.execute(update(names).where(names.c.id == name_id).values(sr=number))
    return len(mine)


async def used(
    connection: AsyncConnection, account_id: str, *, partials: bool = True, but: Collection[str] = ()
) -> int:
    """Bytes that count to an account's quota: every version whose bytes are still kept, *but* those with these ids.

    Of one under way those count that were flushed.
    """
    there = case((versions.c.state == "receiving", versions.c.durable_size), else_=versions.c.size)
    query = select(func.coalesce(func.sum(there), 0)).where(
        versions.c.account_id == account_id, versions.c.purged_at.is_(None)
    )
    if but:
        query = query.where(versions.c.id.not_in(list(but)))
    if not partials:
        query = query.where(versions.c.state.not_in(["receiving", "partial"]))
    found = await connection.execute(query)
    return int(found.scalar() or 0)


async def purgeable(connection: AsyncConnection, spool: str, removed_before: datetime) -> list[Version]:
    """A spool's deleted versions whose names were removed before then and whose bytes are still there."""
    found = await connection.execute(
        joined().where(
            versions.c.state == "deleted",
            versions.c.spool == spool,
            versions.c.purged_at.is_(None),
            names.c.removed_at < removed_before,
        )
    )
    return [rows.version(row) for row in found.mappings()]


async def purged(tx: AsyncConnection, item: tuple[str, datetime]) -> None:
    """Note that a version's bytes are gone: (version id, now)."""
    version_id, at = item
    await tx.execute(update(versions).where(versions.c.id == version_id).values(purged_at=at))


async def stale(connection: AsyncConnection, spool: str, ended_before: datetime) -> list[Version]:
    """A spool's partials that, as far as their rows say, nobody went on with since then."""
    last = func.coalesce(versions.c.ended_at, versions.c.started_at)
    found = await connection.execute(
        joined().where(versions.c.state == "partial", versions.c.spool == spool, last < ended_before)
    )
    return [rows.version(row) for row in found.mappings()]


async def expired(tx: AsyncConnection, item: tuple[str, int, datetime]) -> bool:
    """A partial, by its id and epoch, is given up and its bytes are gone, now; False: it is no such partial any more.

    A name that shows nothing else any more goes from the tree with it.
    """
    version_id, epoch, at = item
    changed = await tx.execute(
        update(versions)
        .where(versions.c.id == version_id, versions.c.state == "partial", versions.c.epoch == epoch)
        .values(state="deleted", purged_at=at, epoch=epoch + 1)
    )
    if not changed.rowcount:
        return False
    name_id = select(versions.c.name_id).where(versions.c.id == version_id).scalar_subquery()
    others = select(versions.c.id).where(versions.c.name_id == names.c.id, versions.c.state != "deleted").exists()
    await tx.execute(update(names).where(names.c.id == name_id, ~others).values(removed_at=at))
    return True


async def known(connection: AsyncConnection) -> set[str]:
    """The ids of all versions whose bytes are kept."""
    found = await connection.execute(select(versions.c.id).where(versions.c.purged_at.is_(None)))
    return set(found.scalars())


async def _name(connection: AsyncConnection, account_id: str, path: str) -> str | None:
    found = await connection.execute(
        select(names.c.id).where(names.c.account_id == account_id, names.c.path == path, names.c.removed_at.is_(None))
    )
    return found.scalar()


async def _versions_of(connection: AsyncConnection, name_id: str) -> Sequence[str]:
    found = await connection.execute(
        select(versions.c.id).where(versions.c.name_id == name_id).order_by(versions.c.number)
    )
    return found.scalars().all()


async def _shown_of(connection: AsyncConnection, name_id: str | None) -> Sequence[str]:
    """The version that a name shows, if there is such a name."""
    found = await connection.execute(
        select(versions.c.id)
        .where(versions.c.name_id == name_id, versions.c.state != "deleted")
        .order_by(versions.c.number.desc())
        .limit(1)
    )
    return found.scalars().all()


async def _login(connection: AsyncConnection, account_id: str) -> str:
    return str((await connection.execute(select(accounts.c.login).where(accounts.c.id == account_id))).scalar())


async def _rename_name(
    tx: AsyncConnection, account_id: str, name_id: str, target: str, sr_of: Callable[[str], str | None]
) -> str | None:
    """Rename a name; its id where that files it under another SR than before, else None."""
    existing = await _name(tx, account_id, target)
    if existing == name_id:
        return None
    before, assigned = (await tx.execute(select(names.c.sr, names.c.assigned).where(names.c.id == name_id))).one()
    if existing is not None:
        last = (await tx.execute(select(func.max(versions.c.number)).where(versions.c.name_id == existing))).scalar()
        for number, version_id in enumerate(await _versions_of(tx, name_id), start=(last or 0) + 1):
            await tx.execute(
                update(versions).where(versions.c.id == version_id).values(name_id=existing, number=number)
            )
        await tx.execute(names.delete().where(names.c.id == name_id))
        now = (await tx.execute(select(names.c.sr).where(names.c.id == existing))).scalar()
        return existing if now not in (None, before) else None
    values: dict[str, object] = {"path": target, "parent": target.rpartition("/")[0] or "/"}
    now = before
    if not assigned:
        named = sr_of(target)
        request = None if named is None else await own_request(tx, account_id, named)
        values["sr"] = now = None if request is None else request.number
    await tx.execute(update(names).where(names.c.id == name_id).values(**values))
    return name_id if now not in (None, before) else None


def _below(column, prefix: str):  # type: ignore[no-untyped-def]
    """Paths that start with *prefix*, letter by letter (LIKE would fold case on one database and not on the other)."""
    return func.substr(column, 1, len(prefix)) == prefix
