"""Accounts, contacts, grants and SRs from the CRM: the three sheets, each compared with what is there.

Rules: the whole file is read and compared first; a mistake anywhere changes nothing. What is as it should be is left
alone, so doing it twice changes nothing twice. The CRM is right about statuses: they need not follow the table of
moves. What the file lacks stays, unless it is said to be *complete*: then its absence disables an account, takes a
grant, lets a contact leave; and where more than a share of them would go, nothing is done. New accounts get a password
that nobody knows: it is given by ``account reset``.

It only compares: ``admin/staging`` puts the difference in place, and says what a crash leaves.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from gateway.access import Hashing
from gateway.admin import accounts as account_verbs
from gateway.admin import contacts as contact_verbs
from gateway.admin import requests as request_verbs
from gateway.admin import views
from gateway.admin.desk import Desk, Refused
from gateway.admin.difference import Difference
from gateway.admin.sheet import Mistakes, Row, Sheet
from gateway.admin.staging import Progress, put_in_place
from gateway.domain.ids import new_id
from gateway.domain.records import Access, Account, AccountState, Contact, Grant, Request
from gateway.domain.status import NEW, PRIORITIES, Status, UnknownStatus
from gateway.rotation import Plan
from gateway.store import accounts, contacts, requests


async def import_accounts(
    desk: Desk, path: Path, *, dry_run: bool, progress: Progress, complete: int | None = None
) -> views.View:
    """ST/EU accounts: columns sold_to, end_user, login, region, agreement_ends, state.

    *complete*: an account that the file lacks is disabled, up to this percentage of all active ones.
    """
    sheet = _sheet(path, ("sold_to", "end_user"), ("login", "region", "agreement_ends", "state"))
    async with desk.reading() as connection:
        known = await accounts.everything(connection)
    by_login = {each.login: each for each in known}
    by_pair = {(each.sold_to, each.end_user): each for each in known}
    plan, now = Plan.of(desk.config), desk.clock.now()
    placeholder = await Hashing(threads=1).hash(secrets.token_hex(32))
    difference, seen, logins = Difference(), dict[Any, int](), dict[Any, int]()
    ids, listed = _ids(sheet, now), set[str]()
    for row in sheet.rows:
        values = _account_values(desk, sheet, row)
        pair = (values.get("sold_to"), values.get("end_user"))
        login = row.cells.get("login")
        if not sheet.unique(row, "sold_to", seen, pair) or (login and not sheet.unique(row, "login", logins, login)):
            continue
        found = by_login.get(login) if login else by_pair.get(pair)  # type: ignore[arg-type]
        holder = by_pair.get(pair)  # type: ignore[arg-type]
        if holder is not None and found is not holder:
            sheet.wrong(row, "login", f"the combination has the login {holder.login} already")
        elif found is not None:
            listed.add(found.id)
            after = replace(found, **values)
            fields = _fields(found, after, values)
            if not fields:
                difference.same += 1
                continue
            ended = not after.current_on(desk.today(after.region)) or after.state is AccountState.DISABLED
            next_reset = plan.next_reset(after, now) if "region" in fields else None
            difference.change("accounts", found.login, _changed_account(after, next_reset, ended=ended), fields)
        else:
            login = login or _new_login(pair, by_login, logins)
            logins.setdefault(login, row.line)
            account = Account(
                id=next(ids),
                login=login,
                **{"region": None, "state": AccountState.ACTIVE, "agreement_ends": None, **values},
                password_hash=placeholder,
                password_set_at=now,
                next_reset=plan.first_reset(values.get("region"), now),
                created_at=now,
            )
            difference.add("accounts", login, _row(account))
    if complete is not None:
        active = [each for each in known if each.state is AccountState.ACTIVE]
        missing = [each for each in active if each.id not in listed]
        for each in missing:
            closed = replace(each, state=AccountState.DISABLED)
            row_of_it = _changed_account(closed, None, ended=True)
            difference.change("accounts", each.login, row_of_it, {"state": (each.state, closed.state)})
        difference.gone["active accounts"] = len(missing), len(active)
    return await put_in_place(desk, "account import", sheet, difference, dry_run, progress, complete)


def _changed_account(after: Account, next_reset: datetime | None, *, ended: bool) -> dict[str, Any]:
    return {
        "id": after.id,
        "sold_to": after.sold_to,
        "end_user": after.end_user,
        "region": after.region,
        "agreement_ends": after.agreement_ends,
        "state": after.state.value,
        "next_reset": next_reset,
        "session_epoch": int(ended),
    }


async def import_contacts(
    desk: Desk, path: Path, *, dry_run: bool, progress: Progress, complete: int | None = None
) -> views.View:
    """Contacts and their grants, a line a grant: columns email, name, account, access, employer, approved_by.

    *complete*: a grant that the file lacks is taken, and a contact whom it lacks leaves, up to this percentage of all.
    ``reset`` names the accounts whose passwords those knew who lose their access.
    """
    sheet = _sheet(path, ("email",), ("name", "account", "access", "employer", "approved_by"))
    now, difference, seen = desk.clock.now(), Difference(), dict[Any, int]()
    async with desk.reading() as connection:
        people = {each.email: each for each in await contacts.with_those_who_left(connection)}
        logins = {each.login: each.id for each in await accounts.everything(connection)}
        granted = {(each.contact_id, each.account_id): each for each in await contacts.all_grants(connection)}
    handled: dict[str, Contact] = {}
    ids = _ids(sheet, now)
    for row in sheet.rows:
        try:
            email = contact_verbs.normal(row.cells.get("email") or "")
        except Refused as error:
            sheet.wrong(row, "email", str(error))
            continue
        contact = handled.get(email) or _contact(sheet, row, email, people.get(email), difference, now, ids)
        if contact is None:
            continue
        handled[email] = contact
        if row.cells.get("name") not in (None, contact.name):
            sheet.wrong(row, "name", "is another one than on the contact's first line")
        login, access = row.cells.get("account"), row.cells.get("access")
        if login is None and access is None:
            continue
        if login not in logins:
            sheet.wrong(row, "account", f'there is no account "{login}"' if login else "is missing")
        elif access not in set(Access):
            sheet.wrong(row, "access", f'"{access or ""}" is no access; allowed: {", ".join(Access)}')
        elif sheet.unique(row, "account", seen, (email, login)):
            before = granted.get((contact.id, logins[login])) if email in people else None
            _grant(
                row, Grant(contact.id, logins[login], Access(access), None, None, now), email, login, before, difference
            )
    known = (
        _take_from_the_missing(difference, people, logins, granted, handled, seen, now) if complete is not None else []
    )
    view = await put_in_place(desk, "contact import", sheet, difference, dry_run, progress, complete)
    return {**view, "reset": known}


def _take_from_the_missing(
    difference: Difference,
    people: Mapping[str, Contact],
    logins: Mapping[str, str],
    granted: Mapping[tuple[str, str], Grant],
    handled: Mapping[str, Contact],
    seen: Mapping[Any, int],
    now: datetime,
) -> list[str]:
    """Take every grant that a complete file lacks, and let those leave whom it lacks; the logins that they knew."""
    here = {each.id: each for each in people.values() if each.removed_at is None}
    login_of, known, taken, left = {account: login for login, account in logins.items()}, set[str](), 0, 0
    by_name = {(here[contact].email, login_of[account]): grant for (contact, account), grant in granted.items()}
    for (email, login), grant in sorted(by_name.items(), key=lambda each: each[0]):
        if (email, login) not in seen:
            row = {**_row(grant), "access": grant.access.value}
            difference.remove("grants", f"{email} {login}", row, of=email)
            taken += 1
            if grant.access is Access.READ_WRITE:
                known.add(login)
    for contact in here.values():
        if contact.email not in handled:
            row = _row(replace(contact, removed_at=now))
            difference.change("contacts", contact.email, row, {"removed_at": (None, now)}, of=contact.email)
            left += 1
    difference.gone |= {"grants": (taken, len(granted)), "contacts": (left, len(here))}
    return sorted(known)


async def import_requests(desk: Desk, path: Path, *, dry_run: bool, progress: Progress) -> views.View:
    """SRs: columns number, account, status, title, priority. Files that were sent for them before are filed."""
    sheet = _sheet(path, ("number", "account"), ("status", "title", "priority"))
    pattern = re.compile(desk.config.sr.number_pattern)
    now, difference, seen = desk.clock.now(), Difference(), dict[Any, int]()
    async with desk.reading() as connection:
        logins = {each.login: each.id for each in await accounts.everything(connection)}
        known = {each.number: each for each in await requests.everything(connection)}
    for row in sheet.rows:
        number, login, text = row.cells.get("number") or "", row.cells.get("account"), row.cells.get("status")
        try:
            status = Status.parse(text) if text else None
        except UnknownStatus as error:
            sheet.wrong(row, "status", str(error))
            continue
        if not pattern.fullmatch(number):
            sheet.wrong(row, "number", f'"{number[:40]}" is no SR number; allowed: {pattern.pattern}')
        elif login not in logins:
            sheet.wrong(row, "account", f'there is no account "{login}"')
        elif (priority := row.cells.get("priority")) is not None and priority not in PRIORITIES:
            sheet.wrong(row, "priority", f'"{priority[:40]}" is no priority; allowed: {", ".join(PRIORITIES)}')
        elif sheet.unique(row, "number", seen, number):
            before = known.get(number)
            if before is not None and before.account_id != logins[login]:
                sheet.wrong(row, "account", f"SR {number} belongs to another account")
                continue
            first = status or NEW
            after = before or Request(number, logins[login], first.status, first.sub, None, None, now, now)
            values: dict[str, Any] = {key: row.cells[key] for key in ("title", "priority") if key in row.cells}
            if status is not None and (before is None or str(status) != str(views.status_of(before))):
                values |= {"status": status.status, "substatus": status.sub, "status_changed_at": now}
                values["closed_at"] = now if status.closed else None
            after = replace(after, **values)
            if before is None:
                difference.add("requests", number, {**_row(after), **_NEW_REQUEST})
            elif fields := _fields(before, after, values):
                difference.change("requests", number, _row(after), fields)
            else:
                difference.same += 1
    view = await put_in_place(desk, "sr import", sheet, difference, dry_run, progress)
    return view if dry_run else {**view, "files_matched": await request_verbs.match_files(desk)}


_NEW_REQUEST: Final = {"customer_responded_at": None, "follow_up_off_until": None}


def _sheet(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> Sheet:
    try:
        return Sheet(path, required, optional)
    except Mistakes as error:
        raise Refused(f"{error}; nothing was changed") from None


def _ids(sheet: Sheet, now: datetime) -> Iterator[str]:
    """New ids in rising order: each slice goes to the end of the indexes instead of all over them."""
    return iter(sorted(new_id(now.timestamp()) for _ in sheet.rows))


def _account_values(desk: Desk, sheet: Sheet, row: Row) -> dict[str, Any]:
    """The facts of an account that a row states; what is wrong with them is noted."""
    cells, values = row.cells, dict[str, Any]()
    for column in ("sold_to", "end_user"):
        values[column] = ""
        try:
            values[column] = account_verbs.company(cells.get(column) or "-", column)
        except Refused as error:
            sheet.wrong(row, column, str(error))
    if "region" in cells:
        try:
            values["region"] = account_verbs.known_region(desk, cells["region"])
        except Refused as error:
            sheet.wrong(row, "region", str(error))
    if "agreement_ends" in cells:
        try:
            values["agreement_ends"] = date.fromisoformat(cells["agreement_ends"]) if cells["agreement_ends"] else None
        except ValueError:
            sheet.wrong(row, "agreement_ends", f'"{cells["agreement_ends"]}" is no date; allowed: 2027-12-31')
    if cells.get("state") is not None:
        if cells["state"] in set(AccountState):
            values["state"] = AccountState(cells["state"])
        else:
            sheet.wrong(row, "state", f'"{cells["state"]}" is no state; allowed: {", ".join(AccountState)}')
    login = cells.get("login")
    if login is not None and not account_verbs.LOGIN.fullmatch(login):
        sheet.wrong(row, "login", f'"{login[:40]}" is no login; allowed: letters, digits and . _ @ + -, up to 64')
    return values


def _new_login(pair: tuple[Any, Any], known: Mapping[str, Any], given: Mapping[Any, int]) -> str:
    """A login made from the companies' names that nobody has."""
    stem = account_verbs.login_stem(*pair)
    login, number = stem, 1
    while login in known or login in given:
        number += 1
        login = f"{stem}-{number}"
    return login


def _contact(
    sheet: Sheet,
    row: Row,
    email: str,
    before: Contact | None,
    difference: Difference,
    now: datetime,
    ids: Iterator[str],
) -> Contact | None:
    """The contact of a row, as the file wants it."""
    name = row.cells.get("name")
    if name is None and (before is None or before.removed_at is not None):
        sheet.wrong(row, "name", "is missing, and the contact is not known yet")
        return None
    if before is None:
        contact = Contact(next(ids), email, name or "", now)
        difference.add("contacts", email, _row(contact))
        return contact
    contact = replace(before, name=name or before.name, removed_at=None)
    if contact == before:
        difference.same += 1
    else:
        difference.change("contacts", email, _row(contact), _fields(before, contact, ("name", "removed_at")))
    return contact


def _grant(row: Row, wanted: Grant, email: str, login: str, before: Grant | None, difference: Difference) -> None:
    given: dict[str, Any] = {key: row.cells[key] for key in ("employer", "approved_by") if key in row.cells}
    key = f"{email} {login}"
    if before is None:
        difference.add("grants", key, {**_row(replace(wanted, **given)), "access": wanted.access.value}, of=email)
        return
    after = replace(before, access=wanted.access, **given)
    fields = _fields(before, after, ("access", *given))
    if fields:
        difference.change("grants", key, {**_row(after), "access": after.access.value}, fields, of=email)
    else:
        difference.same += 1


def _row(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _fields(before: Any, after: Any, names: Any) -> dict[str, tuple[Any, Any]]:
    """Which of the fields in *names* differ, and how."""
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] and not name.endswith("_at")} or {
        name: pair for name, pair in pairs.items() if pair[0] != pair[1]
    }
