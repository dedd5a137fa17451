"""The audit trail: who did what, when, from where. Append-only, and each entry's digest covers the one before.

Whoever changes or removes an entry breaks the chain from there on, which ``verify`` finds. The digest of an entry
is SHA-256 over the previous digest and the entry's fields in canonical JSON (sorted keys, no spaces).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import audit

_APPEND = audit.insert()

ORIGIN = "0" * 64
"""What the first entry's digest covers in place of a previous one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be remembered: *actor* did *action* to *subject*; *detail* never holds a secret."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    origin: str | None = None


async def append(tx: AsyncConnection, *entries: Entry) -> None:
    """Append *entries*, in order, to the chain. The store's one writer keeps it a chain."""
    last = (
        await tx.execute(select(audit.c.sequence, audit.c.digest).order_by(audit.c.sequence.desc()).limit(1))
    ).first()
    sequence, previous = (0, ORIGIN) if last is None else (last.sequence, last.digest)
    values = []
    for entry in entries:
        sequence += 1
        digest = _digest(previous, sequence, entry)
        values.append(
            {
                "sequence": sequence,
                "at": entry.at,
                "actor": entry.actor,
                "origin": entry.origin,
                "action": entry.action,
                "subject": entry.subject,
                "detail": entry.detail,
                "previous": previous,
                "digest": digest,
            }
        )
        previous = digest
    if values:
        await tx.execute(_APPEND, values)


async def entries(connection: AsyncConnection, limit: int | None = None) -> list[tuple[int, Entry]]:
    """The newest *limit* entries (all when None), oldest first, with their sequence numbers."""
    found = await connection.execute(select(audit).order_by(audit.c.sequence.desc()).limit(limit))
    return [(row["sequence"], _entry(row)) for row in reversed(found.mappings().all())]


async def verify(connection: AsyncConnection) -> int | None:
    """The sequence number of the first entry that breaks the chain; None when it holds."""
    previous = ORIGIN
    found = await connection.execute(select(audit).order_by(audit.c.sequence))
    for sequence, row in enumerate(found.mappings(), start=1):
        if (
            row["sequence"] != sequence
            or row["previous"] != previous
            or row["digest"] != _digest(previous, sequence, _entry(row))
        ):
            return sequence
        previous = row["digest"]
    return None


def _entry(row: Any) -> Entry:
    return Entry(row["at"], row["actor"], row["action"], row["subject"], row["detail"], row["origin"])


def _digest(previous: str, sequence: int, entry: Entry) -> str:
    fields = [sequence, entry.at.isoformat(), entry.actor, entry.origin, entry.action, entry.subject, entry.detail]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
