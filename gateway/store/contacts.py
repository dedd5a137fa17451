"""Contacts and their grants: who may do what on which ST/EU account (PROGRAM.md, "Companies, accounts, people")."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.records import Access, Account, AccountState, Contact, Grant
from gateway.store import rows
from gateway.store.accounts import Taken
from gateway.store.tables import accounts, contacts, grants

_AT_ONCE = 500
"""Values in one IN list: databases bound what a statement may hold."""


async def by_email(connection: AsyncConnection, email: str) -> Contact | None:
    """The contact with this address (normal form: lower case, IDNA domain) who has not left."""
    found = await connection.execute(select(contacts).where(contacts.c.email == email, contacts.c.removed_at.is_(None)))
    row = found.mappings().first()
    return None if row is None else rows.contact(row)


async def by_emails(connection: AsyncConnection, emails: Iterable[str]) -> dict[str, Contact]:
    """The contacts behind several addresses, those who left not among them."""
    found = await connection.execute(
        select(contacts).where(contacts.c.email.in_(list(emails)), contacts.c.removed_at.is_(None))
    )
    return {row["email"]: rows.contact(row) for row in found.mappings()}


async def everything(connection: AsyncConnection) -> list[Contact]:
    """All contacts who have not left, by address."""
    found = await connection.execute(select(contacts).where(contacts.c.removed_at.is_(None)).order_by(contacts.c.email))
    return [rows.contact(row) for row in found.mappings()]


async def add(tx: AsyncConnection, contact: Contact) -> Contact:
    """Add *contact*; one who left and comes back gets the old row, without its grants. Raises Taken."""
    found = (await tx.execute(select(contacts).where(contacts.c.email == contact.email))).mappings().first()
    if found is None:
        await tx.execute(
            contacts.insert().values(
                id=contact.id, email=contact.email, name=contact.name, created_at=contact.created_at
            )
        )
        return contact
    if found["removed_at"] is None:
        raise Taken(f"{contact.email} is a contact already")
    await tx.execute(update(contacts).where(contacts.c.id == found["id"]).values(name=contact.name, removed_at=None))
    return rows.contact({**dict(found), "name": contact.name, "removed_at": None})


async def remove(tx: AsyncConnection, contact_id: str, at: datetime) -> list[Account]:
    """Take everything from a contact who leaves; return the accounts whose passwords they could know."""
    known = await known_to(tx, contact_id)
    await tx.execute(delete(grants).where(grants.c.contact_id == contact_id))
    await tx.execute(update(contacts).where(contacts.c.id == contact_id).values(removed_at=at))
    return known


async def known_to(connection: AsyncConnection, contact_id: str) -> list[Account]:
    """The accounts whose passwords a contact may look up: those they are a Designated Contact of."""
    return [account for account, held in await grants_of(connection, contact_id) if held.access is Access.READ_WRITE]


async def grant(tx: AsyncConnection, new: Grant) -> Grant | None:
    """Give or change a contact's access to an account; return the grant it replaces."""
    before = await grant_of(tx, new.contact_id, new.account_id)
    await revoke(tx, new.contact_id, new.account_id)
    await tx.execute(
        grants.insert().values(
            contact_id=new.contact_id,
            account_id=new.account_id,
            access=new.access.value,
            employer=new.employer,
            approved_by=new.approved_by,
            granted_at=new.granted_at,
        )
    )
    return before


async def revoke(tx: AsyncConnection, contact_id: str, account_id: str) -> bool:
    """Take a contact's access to an account; whether there was any."""
    gone = await tx.execute(delete(grants).where(grants.c.contact_id == contact_id, grants.c.account_id == account_id))
    return bool(gone.rowcount)


async def grant_of(connection: AsyncConnection, contact_id: str, account_id: str) -> Grant | None:
    found = await connection.execute(
        select(grants).where(grants.c.contact_id == contact_id, grants.c.account_id == account_id)
    )
    row = found.mappings().first()
    return None if row is None else rows.grant(row)


async def grants_of(connection: AsyncConnection, contact_id: str) -> list[tuple[Account, Grant]]:
    """A contact's accounts with the grant to each, by login."""
    found = await connection.execute(
        select(accounts, grants)
        .join(grants, grants.c.account_id == accounts.c.id)
        .where(grants.c.contact_id == contact_id)
        .order_by(accounts.c.login)
    )
    width = len(accounts.c)
    return [
        (
            rows.account(dict(zip(accounts.c.keys(), row[:width], strict=True))),
            rows.grant(dict(zip(grants.c.keys(), row[width:], strict=True))),
        )
        for row in found
    ]


async def holders(connection: AsyncConnection, account_id: str) -> list[tuple[Contact, Grant]]:
    """An account's contacts with the grant of each, by address."""
    found = await connection.execute(
        select(contacts, grants)
        .join(grants, grants.c.contact_id == contacts.c.id)
        .where(grants.c.account_id == account_id, contacts.c.removed_at.is_(None))
        .order_by(contacts.c.email)
    )
    width = len(contacts.c)
    return [
        (
            rows.contact(dict(zip(contacts.c.keys(), row[:width], strict=True))),
            rows.grant(dict(zip(grants.c.keys(), row[width:], strict=True))),
        )
        for row in found
    ]


async def here(connection: AsyncConnection, contact_ids: Collection[str]) -> set[str]:
    """Those of some contacts, by id, who have not left."""
    found = await connection.execute(
        select(contacts.c.id).where(contacts.c.id.in_(list(contact_ids)), contacts.c.removed_at.is_(None))
    )
    return set(found.scalars())


async def designated(connection: AsyncConnection, account_ids: Collection[str]) -> list[tuple[Contact, str]]:
    """The Designated Contacts of several accounts, as (contact, account id), by address."""
    found: list[tuple[Contact, str]] = []
    ids = list(account_ids)
    for start in range(0, len(ids), _AT_ONCE):
        some = await connection.execute(
            select(contacts, grants.c.account_id)
            .join(grants, grants.c.contact_id == contacts.c.id)
            .where(
                grants.c.account_id.in_(ids[start : start + _AT_ONCE]),
                grants.c.access == Access.READ_WRITE.value,
                contacts.c.removed_at.is_(None),
            )
        )
        width = len(contacts.c)
        found += [(rows.contact(dict(zip(contacts.c.keys(), row[:width], strict=True))), row[width]) for row in some]
    return sorted(found, key=lambda pair: (pair[0].email, pair[1]))


async def designated_for(connection: AsyncConnection, contact_ids: Collection[str]) -> dict[str, list[str]]:
    """The ids of the accounts of which each of several contacts is a Designated Contact, by the contact's id."""
    found: dict[str, list[str]] = {contact_id: [] for contact_id in contact_ids}
    ids = list(contact_ids)
    for start in range(0, len(ids), _AT_ONCE):
        some = await connection.execute(
            select(grants.c.contact_id, grants.c.account_id).where(
                grants.c.contact_id.in_(ids[start : start + _AT_ONCE]), grants.c.access == Access.READ_WRITE.value
            )
        )
        for contact_id, account_id in some:
            found[contact_id].append(account_id)
    return found


async def without_designated(connection: AsyncConnection, today: date) -> list[str]:
    """The logins of accounts with a current agreement that no Designated Contact is there for."""
    someone = (
        exists()
        .where(grants.c.account_id == accounts.c.id, grants.c.access == Access.READ_WRITE.value)
        .where(contacts.c.id == grants.c.contact_id, contacts.c.removed_at.is_(None))
    )
    current = (accounts.c.state == AccountState.ACTIVE.value) & (
        accounts.c.agreement_ends.is_(None) | (accounts.c.agreement_ends >= today)
    )
    found = await connection.execute(select(accounts.c.login).where(current, ~someone).order_by(accounts.c.login))
    return list(found.scalars())


async def with_those_who_left(connection: AsyncConnection) -> list[Contact]:
    """Every contact there ever was."""
    return [rows.contact(row) for row in (await connection.execute(select(contacts))).mappings()]


async def all_grants(connection: AsyncConnection) -> list[Grant]:
    """Every grant there is."""
    return [rows.grant(row) for row in (await connection.execute(select(grants))).mappings()]
