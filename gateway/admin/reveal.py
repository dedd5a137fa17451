"""Account information: the login and the current password, for a contact who has access now; every look is audited.

Rules: only a Designated Contact of an active account on a current agreement; the password only where it is kept sealed.
A one-time link is printed for the operator and never mailed.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from gateway.access import Keyring, SealingError, links
from gateway.access.sealing import key_file, new_key, write_keys
from gateway.admin import views
from gateway.admin.contacts import normal
from gateway.admin.desk import Desk, Refused, account_of, contact_of
from gateway.domain.records import Access, Account, AccountState, Contact
from gateway.store import Transaction, accounts, contacts, credentials, one_by_one


@dataclass(frozen=True, slots=True)
class Shown:
    """What the contact is told."""

    account: Account
    contact: Contact
    password: str | None = field(repr=False)

    def view(self) -> views.View:
        return {
            "login": self.account.login,
            "sold_to": self.account.sold_to,
            "end_user": self.account.end_user,
            "region": self.account.region,
            "contact": self.contact.email,
            "password": self.password,
            "next_reset": views.moment(self.account.next_reset),
        }


async def account_information(desk: Desk, login: str, email: str) -> Shown:
    """The login and, where it is sealed, the password, as *email* may see them. Raises Refused."""
    async with desk.reading() as connection:
        account, contact = await _allowed(desk, connection, login, normal(email))
    password = None if account.sealed_password is None else _unsealed(desk, account)

    async def step(tx: Transaction) -> None:
        await _allowed(desk, tx, login, contact.email)

    await desk.act("account information", login, step, contact=contact.email, password=password is not None)
    return Shown(account, contact, password)


async def link(desk: Desk, login: str, email: str, valid: timedelta) -> views.View:
    """A one-time link that shows *email* the password of *login*. Raises Refused."""
    if not timedelta(minutes=1) <= valid <= timedelta(days=30):
        raise Refused("a link is valid for between one minute and 30 days")
    if not desk.config.console.enabled:
        raise Refused("no page would open the link: set [console] enabled = true and restart the gateway")
    async with desk.reading() as connection:
        account, contact = await _allowed(desk, connection, login, normal(email))
    password = _unsealed(desk, account)
    token = await links.make(desk.store, account.id, contact.id, password, desk.clock.now(), valid)

    async def step(tx: Transaction) -> None:
        await _allowed(desk, tx, login, contact.email)

    await desk.act("account link", login, step, contact=contact.email, expires=views.moment(token.expires_at))
    console = desk.config.console
    url = (console.url or f"https://{desk.config.gateway.hostname}:{console.port}").rstrip("/")
    return {
        "login": account.login,
        "contact": contact.email,
        "link": f"{url}/reveal/{token.text}",
        "expires": views.moment(token.expires_at),
    }


async def rotate_key(desk: Desk) -> views.View:
    """Make a new sealing key and seal every password under it; the first key where there is none. Raises Refused."""
    path = key_file(desk.config.rotation.sealing_key)
    if path is None:
        raise Refused("there is no sealing key: name a file in [rotation] sealing_key")
    try:
        if not path.exists():
            write_keys(path, [new_key()])
            key_id = Keyring(path).key_id
        else:
            async with desk.reading() as connection:
                used = await credentials.sealed_under(connection)
            key_id = Keyring(path).add(used)
        resealed = await _reseal(desk, Keyring(path), key_id)
    except SealingError as error:
        raise Refused(str(error)) from None
    except OSError as error:
        raise Refused(f"the sealing key {path} can't be written: {error.strerror}") from None

    return await _sealed(desk, "key rotate", path, key_id, resealed)


async def seal_again(desk: Desk) -> views.View:
    """Seal every password under the key that stands first in the file, which somebody else wrote. Raises Refused."""
    path = key_file(desk.config.rotation.sealing_key)
    if path is None:
        raise Refused("there is no sealing key: name a file in [rotation] sealing_key")
    try:
        keys = Keyring(path)
        resealed = await _reseal(desk, keys, keys.key_id)
    except SealingError as error:
        raise Refused(str(error)) from None
    return await _sealed(desk, "key seal", path, keys.key_id, resealed)


async def _sealed(desk: Desk, action: str, path: Path, key_id: str, passwords: int) -> views.View:
    async def step(tx: Transaction) -> None:
        return None

    await desk.act(action, key_id, step, passwords=passwords)
    return {"key": key_id, "file": str(path), "passwords": passwords}


async def _reseal(desk: Desk, keys: Keyring, key_id: str) -> int:
    """Seal what other keys sealed under *key_id*; how many passwords that were. Run again, it goes on."""
    async with desk.reading() as connection:
        everything = await accounts.everything(connection)
    count = 0
    for account in everything:
        if account.sealed_password is None or account.sealing_key in (None, key_id):
            continue
        assert account.sealing_key is not None
        sealed, under = keys.seal(account.id, keys.unseal(account.id, account.sealed_password, account.sealing_key))
        count += await desk.store.write(_RESEAL, (account, sealed, under))
    return count


_RESEAL = one_by_one(credentials.reseal)


async def _allowed(desk: Desk, connection: Transaction, login: str, email: str) -> tuple[Account, Contact]:
    """The account and the contact, if the one may know the other's secret now. Raises Refused."""
    account, contact = await account_of(connection, login), await contact_of(connection, email)
    grant = await contacts.grant_of(connection, contact.id, account.id)
    if grant is None or grant.access is not Access.READ_WRITE:
        raise Refused(f"{email} is no Designated Contact of {login}: nothing was shown")
    if account.state is not AccountState.ACTIVE:
        raise Refused(f"the account {login} is {account.state.value}: nothing was shown")
    if not account.current_on(desk.today(account.region)):
        raise Refused(f"the agreement of {login} ended on {account.agreement_ends}: nothing was shown")
    return account, contact


def _unsealed(desk: Desk, account: Account) -> str:
    path = key_file(desk.config.rotation.sealing_key)
    if account.sealed_password is None or account.sealing_key is None or path is None:
        raise Refused(
            f"the password of {account.login} is not kept sealed ([rotation] sealed_passwords), so nobody can look it "
            f"up; `gateway account reset {account.login}` makes a new one and prints it once"
        )
    try:
        return Keyring(path).unseal(account.id, account.sealed_password, account.sealing_key)
    except SealingError as error:
        raise Refused(str(error)) from None
