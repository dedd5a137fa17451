"""Many rows at once, seen by readers all or not at all: staged in small commits, then put in place by one.

Rules: staging touches only ``staged_…`` tables, a batch a transaction, so that the doors commit in between. Putting in
place is one statement a table inside the database. A change sets only the columns that an import may set: never a
password, never the count of a session; only grants are ever removed. Where a row that is to be added is there by then,
nothing is put in place.

How many are put in place at once is the caller's to bound: nobody else commits meanwhile.

A crash leaves staged rows that nobody reads; the next import of the days after removes them (``forget``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sqlalchemy import Table, and_, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store import audit, tables
from gateway.store.accounts import Taken


class Step(IntEnum):
    """What an import does to a row."""

    CHANGE = 0
    ADD = 1
    REMOVE = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one table, as an import wants them, and what happens to them all."""

    import_id: str
    table: str
    first: int
    step: Step
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How staged rows get into their table: what identifies a row, and what a change may set."""

    target: Table
    staged: Table
    key: tuple[str, ...]
    columns: tuple[str, ...]
    removable: bool = False


KINDS = {
    "accounts": _Kind(
        tables.accounts,
        tables.staged_accounts,
        ("id",),
        ("sold_to", "end_user", "region", "agreement_ends", "state"),
    ),
    "contacts": _Kind(tables.contacts, tables.staged_contacts, ("id",), ("name", "removed_at")),
    "requests": _Kind(
        tables.requests,
        tables.staged_requests,
        ("number",),
        ("status", "substatus", "priority", "title", "status_changed_at", "closed_at"),
    ),
    "grants": _Kind(
        tables.grants,
        tables.staged_grants,
        ("contact_id", "account_id"),
        ("access", "employer", "approved_by", "granted_at"),
        removable=True,
    ),
}
"""In the order in which rows refer to one another."""


async def stage(tx: AsyncConnection, batch: Batch) -> None:
    """Prepare a batch; readers of the real tables see nothing of it."""
    rows = [
        {"import_id": batch.import_id, "position": position, "step": int(batch.step), **row}
        for position, row in enumerate(batch.rows, start=batch.first)
    ]
    await tx.execute(insert(KINDS[batch.table].staged), rows)


async def put_in_place(tx: AsyncConnection, item: tuple[str, audit.Entry]) -> None:
    """Everything that was staged for an import becomes true, with its audit entry. Raises Taken."""
    import_id, entry = item
    try:
        for kind in KINDS.values():
            await tx.execute(_addition(kind, import_id))
            await tx.execute(_change(kind, import_id))
            if kind.removable:
                await tx.execute(_removal(kind, import_id))
    except IntegrityError:
        raise Taken("somebody else changed the same accounts, contacts or SRs meanwhile") from None
    await audit.append(tx, entry)


async def forget(tx: AsyncConnection, item: tuple[str, int]) -> int:
    """Remove up to so many staged rows of an import; how many there were."""
    import_id, limit = item
    removed = 0
    for kind in KINDS.values():
        staged = kind.staged
        some = select(staged.c.position).where(staged.c.import_id == import_id).limit(limit)
        gone = await tx.execute(delete(staged).where(staged.c.import_id == import_id, staged.c.position.in_(some)))
        removed += gone.rowcount
    return removed


async def left_over(connection: AsyncConnection) -> list[str]:
    """The imports of which something is still staged."""
    found: set[str] = set()
    for kind in KINDS.values():
        found |= set((await connection.execute(select(kind.staged.c.import_id).distinct())).scalars())
    return sorted(found)


def _addition(kind: _Kind, import_id: str) -> Any:
    staged = kind.staged
    names = [column.name for column in kind.target.columns]
    rows = select(*(staged.c[name] for name in names)).where(staged.c.import_id == import_id, staged.c.step == Step.ADD)
    return insert(kind.target).from_select(names, rows.order_by(*(staged.c[name] for name in kind.key)))


def _change(kind: _Kind, import_id: str) -> Any:
    target, staged = kind.target, kind.staged
    values: dict[str, Any] = {name: staged.c[name] for name in kind.columns}
    if kind.target is tables.accounts:  # another region, another hour; and whose access ends is put out
        values["next_reset"] = func.coalesce(staged.c.next_reset, target.c.next_reset)
        values["session_epoch"] = target.c.session_epoch + staged.c.session_epoch
    same = and_(*(target.c[name] == staged.c[name] for name in kind.key))
    return update(target).where(same, staged.c.import_id == import_id, staged.c.step == Step.CHANGE).values(values)


def _removal(kind: _Kind, import_id: str) -> Any:
    target, staged = kind.target, kind.staged
    gone = select(*(staged.c[name] for name in kind.key))
    gone = gone.where(staged.c.import_id == import_id, staged.c.step == Step.REMOVE)
    # Not EXISTS: SQLite would go through all that is staged for each row of the table.
    return delete(target).where(tuple_(*(target.c[name] for name in kind.key)).in_(gone))
