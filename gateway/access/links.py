"""One-time links to a password: made for a contact, opened once.

The token has 256 random bits. The store keeps its SHA-256, and the password sealed under a key derived from the token:
who reads the store learns neither, and the process that serves the page needs no sealing key.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.access.sealing import seal_under, unseal_under
from gateway.store import Store, one_by_one, reveals

_add = one_by_one(reveals.add)
_use = one_by_one(reveals.use)


@dataclass(frozen=True, slots=True)
class Token:
    """What the link ends with, and when it ends."""

    text: str = field(repr=False)
    expires_at: datetime


async def make(
    store: Store, account_id: str, contact_id: str | None, password: str, now: datetime, valid: timedelta
) -> Token:
    """Make a link's token; the password is kept sealed under it."""
    text = secrets.token_urlsafe(32)
    sealed = seal_under(text, account_id, password)
    await store.write(_add, reveals.Link(hashed(text), account_id, contact_id, sealed, now, now + valid))
    return Token(text, now + valid)


async def waits(store: Store, token: str, now: datetime) -> bool:
    """Whether a link may still be opened; changes nothing, so that a look ahead burns nothing."""
    async with store.reading() as connection:
        return await reveals.waiting(connection, hashed(token), now) is not None


async def open_once(store: Store, token: str, now: datetime, origin: str | None) -> tuple[str, str] | None:
    """The account's id and its password, for the first who asks; None for everybody else."""
    link = await store.write(_use, reveals.Use(hashed(token), now, origin))
    return None if link is None else (link.account_id, unseal_under(token, link.account_id, link.sealed))


def hashed(token: str) -> str:
    """What the store knows a token by."""
    return hashlib.sha256(token[:200].encode("utf-8", "replace")).hexdigest()
