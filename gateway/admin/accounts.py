"""ST/EU accounts: made, shown, given a new password, closed and opened again.

Rules: one account for a *Sold To / End User* combination (PROGRAM: access is granted per combination). A password is
returned once, by the verb that made it, and kept as a hash. Whatever ends an account's access ends its sessions too.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final

from gateway.access import Hashing, Issuer, SealingError
from gateway.admin import views
from gateway.admin.desk import Desk, Refused, account_of
from gateway.config.types import size, type_size
from gateway.domain.calendar import Rhythm
from gateway.domain.ids import new_id
from gateway.domain.records import Account, AccountState
from gateway.rotation import Plan
from gateway.store import Transaction, accounts, contacts, credentials, files, requests

LOGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)

OWN_LIMITS: Final = (
    "sessions_per_account",
    "transfers_per_account",
    "bandwidth_per_account",
    "bandwidth_per_session",
    "quota",
    "largest_file",
)
"""The limits of ``[ftps.limits]`` that one account may have its own of; 0 is no limit."""


@dataclass(frozen=True, slots=True)
class NewPassword:
    """What is told once, to whoever asked for it."""

    login: str
    password: str = field(repr=False)
    region: str | None
    next_reset: datetime | None

    def view(self) -> views.View:
        return {
            "login": self.login,
            "password": self.password,
            "region": self.region,
            "next_reset": views.moment(self.next_reset),
        }


async def add(
    desk: Desk,
    *,
    sold_to: str,
    end_user: str,
    login: str | None = None,
    region: str | None = None,
    agreement_ends: date | None = None,
) -> NewPassword:
    """Make an account, its login derived from the companies where none is given. Raises Refused."""
    sold_to, end_user = company(sold_to, "Sold To"), company(end_user, "End User")
    if login is not None and not LOGIN.fullmatch(login):
        raise Refused(
            f'"{login}" is no login; allowed: letters, digits and . _ @ + -, up to 64, a letter or digit first'
        )
    region = known_region(desk, region)
    now = desk.clock.now()
    if agreement_ends is not None and agreement_ends < desk.today(region):
        raise Refused(f"the agreement would have ended on {agreement_ends}, which is past; access needs a current one")
    account_id = new_id(now.timestamp())
    issued = await issuer(desk).issue(account_id)
    due = Plan.of(desk.config).first_reset(region, now)

    async def step(tx: Transaction) -> Account:
        account = Account(
            id=account_id,
            login=login or await _free_login(tx, sold_to, end_user),
            sold_to=sold_to,
            end_user=end_user,
            region=region,
            state=AccountState.ACTIVE,
            agreement_ends=agreement_ends,
            password_hash=issued.credential.password_hash,
            password_set_at=now,
            next_reset=due,
            sealed_password=issued.credential.sealed_password,
            sealing_key=issued.credential.sealing_key,
            created_at=now,
        )
        await accounts.add(tx, account)
        return account

    made = await desk.act("account add", login or f"{sold_to} / {end_user}", step, sold_to=sold_to, end_user=end_user)
    return NewPassword(made.login, issued.password, made.region, due)


async def everything(desk: Desk) -> list[views.View]:
    """All accounts, by login."""
    async with desk.reading() as connection:
        return [views.account(each, desk.today(each.region)) for each in await accounts.everything(connection)]


async def show(desk: Desk, login: str) -> views.View:
    """One account, with its contacts, its SRs, its use of the disk, and what was last seen of its clients."""
    async with desk.reading() as connection:
        account = await account_of(connection, login)
        holders = await contacts.holders(connection, account.id)
        mine = await requests.everything(connection, account.id)
        activity = await accounts.activity(connection, account.id)
        used = await files.used(connection, account.id)
    return {
        **views.account(account, desk.today(account.region)),
        "contacts": [{"email": who.email, "name": who.name, **views.grant(grant)} for who, grant in holders],
        "requests": [each.number for each in mine],
        "used": used,
        "activity": {
            name: views.moment(value) if isinstance(value, datetime) else value for name, value in activity.items()
        },
    }


async def reset(desk: Desk, login: str, *, at_once: bool = False) -> NewPassword:
    """A new password, now; the former one ends after the configured overlap, or *at once*. Raises Refused."""
    async with desk.reading() as connection:
        account = await account_of(connection, login)
    told, wanted = await new_password(desk, account, desk.clock.now(), at_once=at_once)
    if await desk.store.write(credentials.reset, wanted) is None:
        raise Refused(f"the account {login} is gone")
    return told


async def new_password(
    desk: Desk, account: Account, now: datetime, *, at_once: bool = False
) -> tuple[NewPassword, credentials.Reset]:
    """What is told of a new password, and the reset that brings it in when it is written. Raises Refused."""
    issued = await issuer(desk).issue(account.id)
    overlap = None if at_once else desk.config.rotation.overlap
    reset = credentials.Reset(
        account_id=account.id,
        credential=issued.credential,
        at=now,
        next_reset=Plan.of(desk.config).next_reset(account, now),
        overlap_until=now + overlap if overlap else None,
        actor=desk.actor,
        origin=desk.origin,
    )
    return NewPassword(account.login, issued.password, account.region, reset.next_reset), reset


async def disable(desk: Desk, login: str) -> views.View:
    """Close an account: nobody logs in any more, and who is logged in is put out."""
    return await _set_state(desk, login, AccountState.DISABLED)


async def enable(desk: Desk, login: str) -> views.View:
    """Open a closed account again, with the password that it has."""
    return await _set_state(desk, login, AccountState.ACTIVE)


async def change(desk: Desk, login: str, changes: Mapping[str, Any]) -> views.View:
    """Set an account's region, agreement_ends, data_binding, rotation_rule or limits. Raises Refused."""
    values = dict(changes)
    if values.get("region") is not None:
        values["region"] = known_region(desk, values["region"])
    if values.get("rotation_rule") is not None:
        values["rotation_rule"] = _rule(values["rotation_rule"])
    if values.get("data_binding") == "default":
        values["data_binding"] = None
    limits = _limits(values.pop("limits", ()))
    now = desk.clock.now()

    async def step(tx: Transaction) -> Account:
        account = await account_of(tx, login)
        if values.keys() & {"region", "rotation_rule"}:
            values["next_reset"] = Plan.of(desk.config).next_reset(replace(account, **values), now)
        if limits:
            merged = {**account.limits, **limits}
            values["limits"] = {name: value for name, value in merged.items() if value is not None}
        await accounts.change(tx, account.id, **values)
        after = await account_of(tx, login)
        if "data_binding" in values or not after.current_on(desk.today(after.region)):
            await accounts.end_sessions(tx, account.id)
        return after

    detail = {key: str(value) if value is not None else None for key, value in changes.items()}
    changed = await desk.act("account change", login, step, **detail)
    return views.account(changed, desk.today(changed.region))


def known_region(desk: Desk, name: str | None) -> str | None:
    """A region's name as the configuration writes it. Raises Refused for one that is not there."""
    if name is None:
        return None
    found = desk.config.region(name)
    if found is None:
        allowed = ", ".join(f'"{region.name}"' for region in desk.config.regions)
        raise Refused(f'there is no region "{name}"; the configuration has {allowed}')
    return found.name


async def _set_state(desk: Desk, login: str, state: AccountState) -> views.View:
    async def step(tx: Transaction) -> Account:
        account = await account_of(tx, login)
        await accounts.change(tx, account.id, state=state.value)
        if state is AccountState.DISABLED:
            await accounts.end_sessions(tx, account.id)
        return await account_of(tx, login)

    verb = "account disable" if state is AccountState.DISABLED else "account enable"
    changed = await desk.act(verb, login, step)
    return views.account(changed, desk.today(changed.region))


def _rule(text: str) -> str | None:
    """A rhythm of an account's own; "default" is that of all. Raises Refused."""
    try:
        return None if text == "default" else str(Rhythm.parse(text))
    except ValueError as error:
        raise Refused(f"{error}; nothing was changed") from None


def _limits(asked: Iterable[str]) -> dict[str, int | None]:
    """``quota=500GiB`` as numbers; ``default`` is None. Raises Refused."""
    limits: dict[str, int | None] = {}
    for each in asked:
        name, _, value = each.partition("=")
        if name not in OWN_LIMITS:
            raise Refused(f'an account has no limit "{name}" of its own; allowed: {", ".join(OWN_LIMITS)}')
        try:
            limits[name] = None if value == "default" else 0 if value == "none" else size(value)
        except ValueError:
            raise Refused(f'{name}: "{value}" is no limit; allowed: {type_size.words}, none, default') from None
    return limits


def issuer(desk: Desk, hashing: Hashing | None = None) -> Issuer:
    """Makes passwords as the configuration asks. Raises Refused where it asks for a key that there is not."""
    try:
        return Issuer.of(desk.config, hashing or Hashing(threads=1))
    except SealingError as error:
        raise Refused(f"{error}; no password was made") from None


def company(text: str, what: str) -> str:
    """A company's name in one line. Raises Refused."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > 200 or any(unicodedata.category(letter).startswith("C") for letter in name):
        raise Refused(f"{what} {text!r} is no company's name; allowed: 1 to 200 printable characters")
    return name


def login_stem(sold_to: str, end_user: str) -> str:
    """What a login is made from: the names of both companies in plain letters, or of the one."""
    parts = [_slug(sold_to)] + ([_slug(end_user)] if end_user.casefold() != sold_to.casefold() else [])
    return "-".join(part for part in parts if part)[:48].strip("-") or "account"


async def _free_login(tx: Transaction, sold_to: str, end_user: str) -> str:
    """``acme-globex``, or ``acme`` where both are one company; a number behind it where that is taken."""
    stem = login_stem(sold_to, end_user)
    login, number = stem, 1
    while await accounts.by_login(tx, login) is not None:
        number += 1
        login = f"{stem}-{number}"
    return login


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:24].strip("-")
