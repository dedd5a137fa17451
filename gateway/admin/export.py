"""Bytes taken out of the gateway's keeping: a file, an attachment, a mail as it came.

Rules: what is exported is hashed on the way and appears under its name only when it is whole, right and on the disk.
Nothing is overwritten unasked. Never: a change of any bytes.
"""

import asyncio
import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from gateway.admin import views
from gateway.admin.desk import Desk, Refused
from gateway.store import Transaction, mails

BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Bytes:
    """What is to be exported: where it lies (or the bytes themselves), and what it must turn out to be."""

    id: str
    name: str
    source: Path | bytes
    sha256: str | None
    private: bool = False
    """Whether nobody but this user is to read the copy."""


async def mail(desk: Desk, connection: Transaction, mail_id: str) -> Bytes:
    """A mail as it was received, its user's alone: what customers write is private. Raises Refused."""
    row = await mails.by_id(connection, mail_id)
    if row is None or row["kept"] == mails.KEPT_NOWHERE:
        raise Refused(f"the bytes of mail {mail_id} are not kept any more; nothing was written")
    raw = await mails.raw(connection, mail_id) if row["kept"] == mails.KEPT_IN_ROW else None
    source = raw if raw is not None else desk.spool.path(row["sha256"] or "", mail_id)
    return Bytes(mail_id, f"{mail_id}.eml", source, row["sha256"], private=True)


async def export(found: Bytes, target: Path, *, replace: bool = False) -> views.View:
    """Copy *found* to *target*, a folder or a new file's path. Raises Refused."""
    if target.is_dir():
        target = target / found.name
    if target.exists() and not target.is_file():
        raise Refused(f"{target} is no file; nothing was written")
    if target.exists() and target.stat().st_size > 0 and not replace:
        raise Refused(f"{target} is there already; nothing was written")
    try:
        digest, size = await asyncio.to_thread(_copy, found, target)
    except OSError as error:
        raise Refused(f"{error.filename or target}: {error.strerror}; nothing was written") from None
    return {"id": found.id, "path": str(target), "size": size, "sha256": digest}


def _copy(found: Bytes, target: Path) -> tuple[str, int]:
    """Copy under another name, compare, sync, and only then give it its name."""
    digest, size, mode = hashlib.sha256(), 0, 0o600 if found.private else 0o666
    unfinished = target.with_name(f".{target.name[:200]}.{found.id}")
    with _opened(found) as source:
        try:
            with open(unfinished, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as copy:
                while block := source.read(BLOCK):
                    digest.update(block)
                    size += len(block)
                    copy.write(block)
                copy.flush()
                os.fsync(copy.fileno())
            if found.sha256 is not None and digest.hexdigest() != found.sha256:
                raise Refused(f"{found.id} is not what was received (its SHA-256 differs); run `gateway spool verify`")
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
    return digest.hexdigest(), size


def _opened(found: Bytes) -> BinaryIO:
    if isinstance(found.source, bytes):
        return io.BytesIO(found.source)
    try:
        return open(found.source, "rb")
    except FileNotFoundError:
        raise Refused(
            f"the bytes of {found.id} are not in this host's spool; nothing was written. Where hosts share the store, "
            "ask on the one that received it; else `gateway doctor` says what is missing"
        ) from None
