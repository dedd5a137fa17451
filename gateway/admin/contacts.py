"""Contacts and their grants: who may read or update the SRs of which ST/EU account.

Rules: a contact is a person with a personal corporate address, kept in lower case, its domain as IDNA writes it. A
grant is given per account, replaces the one before, and says who approved it and for which employer (PROGRAM). Who
leaves loses every grant at once.
A crash while who leaves is removed leaves them with everything, or without anything and all passwords changed.
"""

from gateway.admin import views
from gateway.admin.accounts import new_password
from gateway.admin.desk import Desk, Refused, account_of, contact_of
from gateway.domain.ids import new_id
from gateway.domain.records import Access, Account, Contact, Grant
from gateway.domain.sender import Mailbox, read_address
from gateway.store import Transaction, contacts, credentials


async def add(desk: Desk, email: str, name: str) -> views.View:
    """Make a contact known, without access to anything yet. Raises Refused."""
    address, now = normal(email), desk.clock.now()
    name = " ".join(name.split())
    if not name or not name.isprintable():
        raise Refused("a contact needs a name that can be printed")

    async def step(tx: Transaction) -> Contact:
        return await contacts.add(tx, Contact(new_id(now.timestamp()), address, name, now))

    return views.contact(await desk.act("contact add", address, step, name=name), ())


async def everything(desk: Desk) -> list[views.View]:
    """All contacts with their grants, by address."""
    async with desk.reading() as connection:
        found = await contacts.everything(connection)
        return [views.contact(each, await contacts.grants_of(connection, each.id)) for each in found]


async def show(desk: Desk, email: str) -> views.View:
    """One contact with their grants."""
    async with desk.reading() as connection:
        contact = await contact_of(connection, normal(email))
        return views.contact(contact, await contacts.grants_of(connection, contact.id))


async def grant(
    desk: Desk, email: str, login: str, access: Access, *, employer: str | None = None, approved_by: str | None = None
) -> views.View:
    """Give a contact access to an account, or change it. Raises Refused.

    It is on record for which *employer* (else the Sold To) and who *approved* it (else who does this), PROGRAM.md.
    """
    address, now = normal(email), desk.clock.now()
    approved_by = approved_by or desk.actor
    detail = {"account": login, "access": access.value, "employer": employer, "approved_by": approved_by}

    async def step(tx: Transaction) -> tuple[Contact, list[tuple[Account, Grant]]]:
        contact, account = await contact_of(tx, address), await account_of(tx, login)
        await contacts.grant(tx, Grant(contact.id, account.id, access, employer or account.sold_to, approved_by, now))
        return contact, await contacts.grants_of(tx, contact.id)

    return views.contact(*await desk.act("contact grant", address, step, **detail))


async def revoke(desk: Desk, email: str, login: str) -> views.View:
    """Take a contact's access to one account. Raises Refused where there is none."""
    address = normal(email)

    async def step(tx: Transaction) -> tuple[Contact, list[tuple[Account, Grant]]]:
        contact, account = await contact_of(tx, address), await account_of(tx, login)
        if not await contacts.revoke(tx, contact.id, account.id):
            raise Refused(f"{address} has no access to {login}; nothing was changed")
        return contact, await contacts.grants_of(tx, contact.id)

    return views.contact(*await desk.act("contact revoke", address, step, account=login))


async def remove(desk: Desk, email: str, *, reset_accounts: bool = False) -> views.View:
    """Take everything from a contact who leaves, and name the accounts whose passwords they knew.

    *reset_accounts*: those get new passwords in the same transaction, at once and whatever the overlap, for who left
    must not go on with the former ones. So the contact is gone and every password changed, or nothing is. Raises
    Refused.
    """
    address, now = normal(email), desk.clock.now()
    async with desk.reading() as connection:
        known = await contacts.known_to(connection, (await contact_of(connection, address)).id)
    made = [await new_password(desk, account, now, at_once=True) for account in known if reset_accounts]

    async def step(tx: Transaction) -> None:
        gone = await contacts.remove(tx, (await contact_of(tx, address)).id, now)
        if {account.id for account in gone} != {account.id for account in known}:
            raise Refused(f"the access of {address} was changed meanwhile; nothing was changed, try again")
        await credentials.reset(tx, [reset for _, reset in made])

    logins = [account.login for account in known]
    await desk.act("contact remove", address, step, accounts=logins, reset=reset_accounts)
    return {"email": address, "accounts": logins, "resets": [told.view() for told, _ in made]}


def normal(email: str) -> str:
    """An address as it is kept: lower case, the domain in IDNA's letters. Raises Refused."""
    mailbox = read_address(email.strip())
    if not isinstance(mailbox, Mailbox):
        raise Refused(f'"{email}" is no mail address ({mailbox.value}); allowed: name@example.com')
    return mailbox.address.lower()
