"""The quarter's resets, as an administrator sees them: what is due, doing it now, the calendar, the newsletter's words.

Rules: a scheduled reset shows nobody a password: contacts look it up, or ask for a reset of their own. Doing it twice
resets nothing twice (``gateway.rotation``).
"""

from collections.abc import Callable
from itertools import groupby

from gateway.admin import views
from gateway.admin.accounts import issuer
from gateway.admin.desk import Desk
from gateway.domain.calendar import day_in_words
from gateway.domain.records import Account, AccountState
from gateway.rotation import Plan, Resets
from gateway.store import accounts
from gateway.store.credentials import Credential


async def due(desk: Desk) -> list[views.View]:
    """The accounts whose password is due to be reset, the longest due first."""
    now = desk.clock.now()
    async with desk.reading() as connection:
        return [views.account(each, now.date()) for each in await accounts.due(connection, now)]


async def reset_due(desk: Desk, progress: Callable[[int, int], None]) -> views.View:
    """Reset every password that is due; *progress* hears how many are done, of how many."""
    waiting = await due(desk)
    making, done = issuer(desk), 0

    async def issue(account_id: str) -> Credential:
        return (await making.issue(account_id)).credential

    def batch(count: int) -> None:
        nonlocal done
        done += count
        progress(done, max(done, len(waiting)))

    rounds = Resets(desk.store, desk.clock, Plan.of(desk.config), issue, actor=desk.actor)
    return {"reset": await rounds.everything(batch), "due": len(waiting)}


async def calendar(desk: Desk) -> str:
    """The coming resets of active accounts as a calendar file (RFC 5545)."""
    return Plan.of(desk.config).as_calendar(await _active(desk), desk.clock.now(), desk.config.gateway.hostname)


async def notice(desk: Desk) -> str:
    """A paragraph for a newsletter: the coming reset dates, by region."""
    plan = Plan.of(desk.config)
    dates = sorted(
        {(account.region or "", plan.day_of(account, account.next_reset)) for account in await _active(desk)
         if account.next_reset}
    )  # fmt: skip
    if not dates:
        return "No password resets are planned."
    lines = [
        f"{region or 'All other regions'}: {', '.join(day_in_words(day) for _, day in days)}"
        for region, days in groupby(dates, key=lambda entry: entry[0])
    ]
    return (
        f"{desk.config.gateway.organisation} resets the password of every file-transfer account once a quarter, "
        "so that access stays with the people you designate. The next resets are on:\n\n"
        + "\n".join(f"  {line}" for line in lines)
        + "\n\nDesignated Contacts are reminded before, and find the new password in the account information "
        "afterwards. It is never sent by mail. Uploads that are running go on to their end."
    )


async def _active(desk: Desk) -> list[Account]:
    async with desk.reading() as connection:
        return [each for each in await accounts.everything(connection) if each.state is AccountState.ACTIVE]
