"""ST/EU accounts: finding, adding and changing them. What a duplicate means is said in domain's words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Update, bindparam, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.records import Account, AccountState
from gateway.store import rows
from gateway.store.here import prepared
from gateway.store.tables import account_activity, accounts

_AT_ONCE = 500
"""Values in one IN list: databases bound what a statement may hold."""


class Taken(Exception):
    """A login, a Sold To / End User combination, an address or a number is in use already."""


_BY_LOGIN = prepared(select(accounts).where(accounts.c.login == bindparam("login")))
_BY_IDS = prepared(select(accounts).where(accounts.c.id.in_(bindparam("ids", expanding=True))))

_ACTIVITY = prepared(select(account_activity).where(account_activity.c.account_id == bindparam("account")))


async def by_login(connection: AsyncConnection, login: str) -> Account | None:
    row = (await connection.execute(_BY_LOGIN, {"login": login})).mappings().first()
    return None if row is None else rows.account(row)


async def by_id(connection: AsyncConnection, account_id: str) -> Account | None:
    return await _one(connection, accounts.c.id == account_id)


async def by_ids(connection: AsyncConnection, account_ids: Collection[str]) -> dict[str, Account]:
    """Those of several accounts that there are, by id."""
    found: dict[str, Account] = {}
    ids = list(account_ids)
    for start in range(0, len(ids), _AT_ONCE):
        some = await connection.execute(_BY_IDS, {"ids": ids[start : start + _AT_ONCE]})
        found |= {row["id"]: rows.account(row) for row in some.mappings()}
    return found


async def logins(connection: AsyncConnection, account_ids: Collection[str]) -> dict[str, str]:
    """The logins of a few accounts, by their ids."""
    found = await connection.execute(
        select(accounts.c.id, accounts.c.login).where(accounts.c.id.in_(list(account_ids)))
    )
    return {row.id: row.login for row in found}


async def by_combination(connection: AsyncConnection, sold_to: str, end_user: str) -> Account | None:
    return await _one(connection, (accounts.c.sold_to == sold_to) & (accounts.c.end_user == end_user))


async def everything(connection: AsyncConnection) -> list[Account]:
    """All accounts, by login."""
    found = await connection.execute(select(accounts).order_by(accounts.c.login))
    return [rows.account(row) for row in found.mappings()]


async def add(tx: AsyncConnection, account: Account) -> None:
    """Add *account*. Raises Taken when its login or its combination exists."""
    if await by_login(tx, account.login) is not None:
        raise Taken(f"the login {account.login} is in use")
    if await by_combination(tx, account.sold_to, account.end_user) is not None:
        raise Taken(f"{account.sold_to} / {account.end_user} has an account already")
    try:
        await tx.execute(accounts.insert().values(**_values(account)))
    except IntegrityError as error:  # pragma: no cover - the one writer makes the checks above sufficient
        raise Taken(str(error.orig)) from error


async def change(tx: AsyncConnection, account_id: str, **values: Any) -> None:
    """Set columns of one account."""
    await tx.execute(update(accounts).where(accounts.c.id == account_id).values(**values))


async def end_sessions(tx: AsyncConnection, account_id: str) -> None:
    """Raise the account's session epoch: every door ends the sessions that logged in under the one before."""
    await tx.execute(
        update(accounts).where(accounts.c.id == account_id).values(session_epoch=accounts.c.session_epoch + 1)
    )


async def activity(connection: AsyncConnection, account_id: str) -> dict[str, Any]:
    """What was last seen of the account's clients: login, failure and its reason, software, TLS version."""
    found = await connection.execute(_ACTIVITY, {"account": account_id})
    row = found.mappings().first()
    return {} if row is None else {name: value for name, value in row.items() if name != "account_id"}


@lru_cache
def noting(*columns: str) -> Update:
    """Set these columns of an *account*'s activity; they are few, and asked for with each login."""
    values: dict[str, Any] = {column: bindparam(column) for column in columns}
    return prepared(
        update(account_activity).where(account_activity.c.account_id == bindparam("account")).values(**values)
    )


async def note_activity(tx: AsyncConnection, items: Sequence[tuple[str, dict[str, Any]]]) -> list[Exception | None]:
    """A verb: merge what was seen of accounts, given as (account id, columns of account_activity)."""
    for account_id, seen in items:
        changed = await tx.execute(noting(*sorted(seen)), {"account": account_id, **seen})
        if not changed.rowcount:
            await tx.execute(account_activity.insert(), [{"account_id": account_id, **seen}])
    return [None] * len(items)


async def due(connection: AsyncConnection, now: datetime, limit: int | None = None) -> list[Account]:
    """Accounts whose password reset is due at *now*, the longest due first."""
    found = await connection.execute(
        select(accounts).where(accounts.c.next_reset <= now).order_by(accounts.c.next_reset, accounts.c.id).limit(limit)
    )
    return [rows.account(row) for row in found.mappings()]


async def due_between(connection: AsyncConnection, after: datetime, until: datetime) -> list[Account]:
    """Active accounts whose password reset lies after *after*, and not after *until*, the next first."""
    found = await connection.execute(
        select(accounts)
        .where(
            accounts.c.next_reset > after,
            accounts.c.next_reset <= until,
            accounts.c.state == AccountState.ACTIVE.value,
        )
        .order_by(accounts.c.next_reset, accounts.c.id)
    )
    return [rows.account(row) for row in found.mappings()]


async def _one(connection: AsyncConnection, condition: Any) -> Account | None:
    row = (await connection.execute(select(accounts).where(condition))).mappings().first()
    return None if row is None else rows.account(row)


def _values(account: Account) -> dict[str, Any]:
    return {name: getattr(account, name) for name in Account.__dataclass_fields__}
