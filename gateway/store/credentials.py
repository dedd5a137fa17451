"""An account's password as rows: its hash, its sealed form, the former one, and the reset that replaces it.

Rules: a reset is one transaction: the new hash, the former one with its end, the session epoch, the next date, the
reset's own row, the event and the audit entry stand or fall together. A scheduled reset changes an account only if it
is still due at the very moment it was planned for, so two hosts, or one after a crash, never reset it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.events import Event, EventType, about_account, timestamp
from gateway.domain.records import Account
from gateway.store import accounts as account_rows
from gateway.store import audit, outbox
from gateway.store.tables import accounts, resets, reveal_links


@dataclass(frozen=True, slots=True)
class Credential:
    """What is kept of a password."""

    password_hash: str = field(repr=False)
    sealed_password: bytes | None = field(default=None, repr=False)
    sealing_key: str | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """A new password for an account, and why."""

    account_id: str
    credential: Credential
    at: datetime
    next_reset: datetime | None
    due_at: datetime | None = None
    """The due date that a scheduled reset is for; None for one that somebody asked for."""
    overlap_until: datetime | None = None
    """Until when the password that is replaced still works; None: it ended now."""
    actor: str = "gateway"
    origin: str | None = None


async def reset(tx: AsyncConnection, items: Sequence[Reset]) -> list[Account | Exception | None]:
    """A verb: reset passwords. An item's result is the account before it, or None: gone, or not due then any more."""
    before = await account_rows.by_ids(tx, {item.account_id for item in items})
    done: list[Account | Exception | None] = []
    wanted: list[Reset] = []
    taken: set[str] = set()
    for item in items:
        account = before.get(item.account_id)
        twice = item.account_id in taken
        if account is None or twice or (item.due_at is not None and account.next_reset != item.due_at):
            done.append(RuntimeError(f"{account.login} is being reset already") if account and twice else None)
            continue
        taken.add(item.account_id)
        wanted.append(item)
        done.append(account)
    if not wanted:
        return done
    await tx.execute(_RESET, [_columns(item) for item in wanted])
    await tx.execute(
        _NOTE_RESET,
        [{"account_id": each.account_id, "due_at": each.due_at or each.at, "reset_at": each.at} for each in wanted],
    )
    await tx.execute(_END_LINKS, [{"of": each.account_id, "at": each.at} for each in wanted])
    await outbox.record(tx, *(_event(before[each.account_id], each) for each in wanted))
    await audit.append(tx, *(_entry(before[each.account_id], each) for each in wanted))
    return done


async def reseal(tx: AsyncConnection, item: tuple[Account, bytes, str]) -> bool:
    """Keep an account's password sealed under another key, if it is still the same password; whether it was."""
    account, sealed, key_id = item
    changed = await tx.execute(
        update(accounts)
        .where(accounts.c.id == account.id, accounts.c.password_hash == account.password_hash)
        .values(sealed_password=sealed, sealing_key=key_id)
    )
    return bool(changed.rowcount)


async def sealed_under(connection: AsyncConnection) -> dict[str, int]:
    """How many passwords each sealing key sealed, by the key's id."""
    found = await connection.execute(select(accounts.c.sealing_key).where(accounts.c.sealing_key.is_not(None)))
    count: dict[str, int] = {}
    for key_id in found.scalars():
        count[key_id] = count.get(key_id, 0) + 1
    return count


_RESET = (
    update(accounts)
    .where(accounts.c.id == bindparam("of"))
    .values(
        former_hash=accounts.c.password_hash,
        former_ended_at=bindparam("ended_at"),
        former_valid_until=bindparam("overlap_until"),
        password_hash=bindparam("new_hash"),
        password_set_at=bindparam("at"),
        sealed_password=bindparam("sealed"),
        sealing_key=bindparam("key_id"),
        next_reset=bindparam("next"),
        session_epoch=accounts.c.session_epoch + 1,
    )
)
_NOTE_RESET = resets.insert()
_END_LINKS = (
    update(reveal_links)
    .where(reveal_links.c.account_id == bindparam("of"), reveal_links.c.used_at.is_(None))
    .values(expires_at=bindparam("at"), sealed=None)
)


def _columns(item: Reset) -> dict[str, object]:
    return {
        "of": item.account_id,
        "ended_at": item.overlap_until or item.at,
        "overlap_until": item.overlap_until,
        "new_hash": item.credential.password_hash,
        "at": item.at,
        "sealed": item.credential.sealed_password,
        "key_id": item.credential.sealing_key,
        "next": item.next_reset,
    }


def _event(account: Account, item: Reset) -> Event:
    return about_account(
        EventType.PASSWORD_RESET,
        account.id,
        item.at,
        account=account.login,
        sold_to=account.sold_to,
        end_user=account.end_user,
        region=account.region,
        reason="asked" if item.due_at is None else "due",
        due=None if item.due_at is None else timestamp(item.due_at),
        next_reset=None if item.next_reset is None else timestamp(item.next_reset),
        former_valid_until=None if item.overlap_until is None else timestamp(item.overlap_until),
    )


def _entry(account: Account, item: Reset) -> audit.Entry:
    detail = {"reason": "asked"} if item.due_at is None else {"reason": "due", "due": item.due_at.isoformat()}
    return audit.Entry(item.at, item.actor, "account reset", account.login, detail, item.origin)
