"""Files: found, taken out of the spool, filed under another SR.

Rules: an analyst's choice of SR outlasts a rename. A mail's attachment is exported like a file, by its id.
"""

from pathlib import Path, PurePosixPath

from gateway.admin import export as exporting
from gateway.admin import views
from gateway.admin.desk import Desk, Refused, account_of, request_of
from gateway.admin.export import Bytes
from gateway.domain.records import Version, VersionState
from gateway.store import Transaction, accounts, files, updates, uploads


async def listing(
    desk: Desk, *, login: str | None = None, sr: str | None = None, unfiled: bool = False, partial: bool = False
) -> list[views.View]:
    """Every version that was received by FTPS, the oldest first, by what is asked for."""
    async with desk.reading() as connection:
        account = await account_of(connection, login) if login is not None else None
        if sr is not None:
            await request_of(connection, sr)
        found = await files.listing(
            connection, account_id=account.id if account else None, sr=sr, unfiled=unfiled, partial=partial
        )
        logins = {each.id: each.login for each in await accounts.everything(connection)}
    return [views.file(each, logins[each.account_id]) for each in found]


async def show(desk: Desk, file_id: str) -> views.View:
    """One version, with what is known of how it came."""
    async with desk.reading() as connection:
        version = await _version(connection, file_id)
        account = await accounts.by_id(connection, version.account_id)
        assert account is not None
    return {
        **views.file(version, account.login),
        "evidence": version.evidence,
        "inspection": version.inspection,
        "durable_size": version.durable_size,
    }


async def assign(desk: Desk, file_id: str, number: str) -> views.View:
    """File a version's name, with all its versions, under an SR of the same account. Raises Refused."""

    async def step(tx: Transaction) -> Version:
        version, request = await _version(tx, file_id), await request_of(tx, number)
        if request.account_id != version.account_id:
            raise Refused(f"SR {number} belongs to another account than {version.path}; nothing was changed")
        await files.assign(tx, (file_id, number, desk.clock.now()))
        return await _version(tx, file_id)

    changed = await desk.act("file assign", file_id, step, sr=number)
    return await show(desk, changed.id)


async def export(desk: Desk, file_id: str, target: Path, *, replace: bool = False) -> views.View:
    """Copy a file's or an attachment's bytes to *target*, a folder or a new file's path. Raises Refused."""
    return await exporting.export(await _bytes(desk, file_id), target, replace=replace)


async def _bytes(desk: Desk, file_id: str) -> Bytes:
    async with desk.reading() as connection:
        attachment = await updates.attachment(connection, file_id)
        if attachment is not None:
            source = desk.spool.path(attachment.sha256, attachment.id)
            return Bytes(file_id, safe_name(attachment.name), source, attachment.sha256, private=True)
        version = await _version(connection, file_id)
    name = safe_name(version.path)
    if version.state in {VersionState.RECEIVING, VersionState.PARTIAL}:
        return Bytes(file_id, name, desk.spool.incoming_path(version.id), None)
    if version.sha256 is None:
        raise Refused(f"the bytes of {version.path} are not kept any more")
    return Bytes(file_id, name, desk.spool.path(version.sha256, version.id), version.sha256)


async def _version(connection: Transaction, file_id: str) -> Version:
    try:
        return await uploads.get(connection, file_id)
    except LookupError:
        raise Refused(f"there is no file {file_id}; `gateway file list` shows all") from None


def safe_name(path: str) -> str:
    """The last name of a path as one that any disk takes: a customer's name is no path of ours."""
    name = "".join(letter if letter.isprintable() and letter not in '<>:"|?*' else "_" for letter in path)
    name = PurePosixPath(name.replace("\\", "/")).name.lstrip(".")
    return name.encode()[:200].decode(errors="ignore") or "file"
