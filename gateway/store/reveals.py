"""One-time links: what the store knows of one. The token itself is nowhere but in the link.

Rules: the row holds the token's hash, and the password sealed under a key that only the token gives. Using a link marks
it and empties the seal in the same transaction, so that of two who open it at once one sees the password. A reset of
the account ends its links (store/credentials.py); a link made for a contact ends with their access.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.records import Access
from gateway.store import accounts, audit
from gateway.store.tables import contacts, grants, reveal_links


@dataclass(frozen=True, slots=True)
class Link:
    """A link that waits to be used."""

    token_hash: str = field(repr=False)
    account_id: str
    contact_id: str | None
    sealed: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime


async def add(tx: AsyncConnection, link: Link) -> None:
    """Keep a new link."""
    await tx.execute(reveal_links.insert().values(**{name: getattr(link, name) for name in Link.__dataclass_fields__}))


async def waiting(connection: AsyncConnection, token_hash: str, now: datetime) -> Link | None:
    """The link with this token, if it may still be used: by a contact who may still know the password."""
    still_theirs = exists().where(
        grants.c.contact_id == reveal_links.c.contact_id,
        grants.c.account_id == reveal_links.c.account_id,
        grants.c.access == Access.READ_WRITE.value,
    )
    found = await connection.execute(
        select(reveal_links).where(
            or_(reveal_links.c.contact_id.is_(None), still_theirs),
            reveal_links.c.token_hash == token_hash,
            reveal_links.c.used_at.is_(None),
            reveal_links.c.expires_at > now,
            reveal_links.c.sealed.is_not(None),
        )
    )
    row = found.mappings().first()
    return None if row is None else Link(**{name: row[name] for name in Link.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class Use:
    """Somebody pressed the button, from *origin*."""

    token_hash: str = field(repr=False)
    at: datetime
    origin: str | None


async def use(tx: AsyncConnection, item: Use) -> Link | None:
    """Use a link up and audit it; the link with its seal, for the first who comes, None for everybody else."""
    link = await waiting(tx, item.token_hash, item.at)
    if link is None:
        return None
    await tx.execute(
        update(reveal_links).where(reveal_links.c.token_hash == item.token_hash).values(used_at=item.at, sealed=None)
    )
    account = await accounts.by_id(tx, link.account_id)
    subject = account.login if account else link.account_id
    contact = (await tx.execute(select(contacts.c.email).where(contacts.c.id == link.contact_id))).scalar()
    detail = {"contact": contact}
    await audit.append(tx, audit.Entry(item.at, "one-time link", "password shown", subject, detail, item.origin))
    return link


async def forget(tx: AsyncConnection, before: datetime) -> int:
    """Drop links that ended before *before*."""
    return (await tx.execute(delete(reveal_links).where(reveal_links.c.expires_at < before))).rowcount
