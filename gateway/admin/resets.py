"""The quarter's resets, as an administrator sees them: what is due, doing it now, the calendar, the newsletter's words.

Rules: a scheduled reset shows nobody a password: contacts look it up, or ask for a reset of their own. Doing it twice
resets nothing twice (``gateway.rotation``).
"""

from collections.abc import Callable
from datetime import date

from gateway.access import Hashing
from gateway.admin import views
from gateway.admin.accounts import issuer
from gateway.admin.desk import Desk, Refused
from gateway.domain.records import Account, AccountState
from gateway.outbox import TemplateError, Templates
from gateway.outbox.templates import NEWSLETTER
from gateway.rotation import Plan, Resets
from gateway.store import accounts
from gateway.store.credentials import Credential

OTHERS = "all other regions"
"""What the newsletter calls accounts whose region is not known."""


async def due(desk: Desk) -> list[views.View]:
    """The accounts whose password is due to be reset, the longest due first."""
    now = desk.clock.now()
    async with desk.reading() as connection:
        return [views.account(each, desk.today(each.region)) for each in await accounts.due(connection, now)]


async def reset_due(desk: Desk, progress: Callable[[int, int], None], hashing: Hashing | None = None) -> views.View:
    """Reset every password that is due; *progress* hears how many are done, of how many.

    10,000 accounts take less than a minute, and what *hashing* costs (the usual one: 26 ms each).
    """
    waiting = await due(desk)
    making, done = issuer(desk, hashing), 0

    async def issue(account_id: str) -> Credential:
        return (await making.issue(account_id)).credential

    def batch(count: int) -> None:
        nonlocal done
        done += count
        progress(done, max(done, len(waiting)))

    rounds = Resets(desk.store, desk.clock, Plan.of(desk.config), issue, actor=desk.actor, origin=desk.origin)
    return {"reset": await rounds.everything(batch), "due": len(waiting)}


async def calendar(desk: Desk) -> str:
    """The coming resets of active accounts as a calendar file (RFC 5545)."""
    return Plan.of(desk.config).as_calendar(await _active(desk), desk.clock.now(), desk.config.gateway.hostname)


async def notice(desk: Desk) -> str:
    """A paragraph for a newsletter: how often passwords are reset, and the coming dates by region.

    Most accounts have the configuration's rhythm. Dates of others say so, for nobody should take them for their own.
    """
    plan = Plan.of(desk.config)
    usual = plan.rhythm.period
    regions: dict[tuple[date, str, str], set[str]] = {}
    for account in await _active(desk):
        if account.next_reset is not None:
            local = account.next_reset.astimezone(plan.place_of(account).zone)
            when = local.date(), f"{local:%H:%M}", plan.rhythm_of(account).period
            regions.setdefault(when, set()).add(account.region or OTHERS)
    everywhere = all(named == {OTHERS} for named in regions.values())
    periods = sorted({period for _, _, period in regions}, key=lambda period: (period != usual, period))
    dates = [
        {
            "day": day.isoformat(),
            "time": time,
            "regions": [] if everywhere else sorted(named),
            "period": None if period == periods[0] else period,
        }
        for (day, time, period), named in sorted(regions.items())
    ]
    try:
        return Templates(desk.config.outbox.templates).paragraph(
            NEWSLETTER, "en", {"dates": dates, "periods": periods, "organisation": desk.config.gateway.organisation}
        )
    except TemplateError as error:
        raise Refused(str(error)) from None


async def _active(desk: Desk) -> list[Account]:
    async with desk.reading() as connection:
        return [each for each in await accounts.everything(connection) if each.state is AccountState.ACTIVE]
