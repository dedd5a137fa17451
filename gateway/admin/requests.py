"""Service Requests: logged, given a status, shown to support and as their customer sees them.

Rules: a number is what ``[sr] number_pattern`` says; a status is one of PROGRAM's and moves as ``domain/status`` says.
An SR that is new takes in the files that were sent for it before it was logged. A customer's view holds nothing
private: no update that is not published, none of its attachments, and not a word that there are any.
"""

import re
from dataclasses import replace
from typing import Final

from gateway.admin import views
from gateway.admin.desk import Desk, Refused, account_of, request_of
from gateway.domain import names
from gateway.domain.records import Request, VersionState
from gateway.domain.status import NEW, PRIORITIES, IllegalMove, Status, UnknownStatus
from gateway.store import Transaction, accounts, files, one_by_one, requests, updates


async def add(
    desk: Desk,
    number: str,
    login: str,
    status: str = str(NEW),
    *,
    title: str | None = None,
    priority: str | None = None,
) -> views.View:
    """Log an SR for an account, and file what was sent for it before. Raises Refused."""
    pattern = desk.config.sr.number_pattern
    if not re.fullmatch(pattern, number):
        raise Refused(f'"{number}" is no SR number; the configuration allows {pattern}')
    if priority is not None and priority not in PRIORITIES:
        raise Refused(f'"{priority[:40]}" is no priority; allowed: {", ".join(PRIORITIES)}')
    first, now = _status(status), desk.clock.now()

    async def step(tx: Transaction) -> int:
        account = await account_of(tx, login)
        closed = now if first.closed else None
        await requests.add(tx, Request(number, account.id, first.status, first.sub, priority, title, now, now, closed))
        return await files.match(tx, (account.id, number, lambda path: _names(path, number, pattern)))

    filed = await desk.act("sr add", number, step, account=login, status=str(first))
    async with desk.reading() as connection:
        return {**views.request(await request_of(connection, number), login), "files_matched": filed}


async def set_status(desk: Desk, number: str, status: str) -> views.View:
    """Move an SR to another status. Raises Refused for a move that the table does not hold."""
    new, now = _status(status), desk.clock.now()
    detail: dict[str, str] = {"status": str(new)}

    async def step(tx: Transaction) -> Request:
        request = await request_of(tx, number)
        try:
            views.status_of(request).becomes(new)
        except IllegalMove as error:
            raise Refused(f"SR {number}: {error}; nothing was changed") from None
        await requests.set_status(tx, number, new.status, new.sub, now, closed=new.closed)
        return await request_of(tx, number)

    changed = await desk.act("sr status", number, step, **detail)
    return views.request(changed, await _login(desk, changed))


async def everything(desk: Desk, login: str | None = None) -> list[views.View]:
    """All SRs, or an account's, by number."""
    async with desk.reading() as connection:
        account = await account_of(connection, login) if login is not None else None
        found = await requests.everything(connection, account.id if account else None)
        logins = {each.id: each.login for each in await accounts.everything(connection)}
    return [views.request(each, logins[each.account_id]) for each in found]


async def show(desk: Desk, number: str, *, as_customer: bool = False) -> views.View:
    """An SR with its updates and files; *as_customer*: as the customer sees it on the web."""
    async with desk.reading() as connection:
        request = await request_of(connection, number)
        account = await accounts.by_id(connection, request.account_id)
        assert account is not None
        said = await updates.of_request(connection, number, public_only=as_customer)
        sent = await files.listing(connection, sr=number)
    if as_customer:  # marks are support's own words about a mail
        said = [replace(each, marks=()) for each in said]
        sent = [each for each in sent if each.state is not VersionState.DELETED]
    return {
        **views.request(request, account.login),
        "updates": [views.update(each) for each in said],
        "files": [views.file(each, account.login) for each in sent],
    }


async def match_files(desk: Desk) -> int:
    """File the unfiled files whose SR exists by now; how many they were."""
    pattern, count = desk.config.sr.number_pattern, 0
    async with desk.reading() as connection:
        unfiled = await files.listing(connection, unfiled=True)
        wanted = {
            (each.account_id, number)
            for each in unfiled
            for number in names.numbers_in(names.from_text(each.path), pattern)
        }
        known = await requests.by_numbers(connection, {number for _, number in wanted})
    for account_id, number in sorted(wanted):
        if number in known and known[number].account_id == account_id:
            count += await desk.store.write(_MATCH, (account_id, number, pattern))
    return count


async def _match(tx: Transaction, item: tuple[str, str, str]) -> int:
    account_id, number, pattern = item
    return await files.match(tx, (account_id, number, lambda path: _names(path, number, pattern)))


_MATCH: Final = one_by_one(_match)


async def _login(desk: Desk, request: Request) -> str:
    async with desk.reading() as connection:
        account = await accounts.by_id(connection, request.account_id)
    assert account is not None
    return account.login


def _status(text: str) -> Status:
    try:
        return Status.parse(text)
    except UnknownStatus as error:
        raise Refused(str(error)) from None


def _names(path: str, number: str, pattern: str) -> str | None:
    """*number*, if it is one of those that a file's path may mean."""
    return number if number in names.numbers_in(names.from_text(path), pattern) else None
