"""Bans: addresses and logins that failed too often, and lifting a ban."""

from contextlib import suppress

from gateway.admin import views
from gateway.admin.desk import Desk, Refused
from gateway.domain.throttle import address_subject, login_subject
from gateway.store import Transaction, bans


async def listing(desk: Desk) -> list[views.View]:
    """The bans that hold now, those that end last first."""
    async with desk.reading() as connection:
        return [
            {
                "subject": ban.subject,
                "reason": ban.reason,
                "since": views.moment(ban.since),
                "until": views.moment(ban.until),
            }
            for ban in await bans.active(connection, desk.clock.now())
        ]


async def lift(desk: Desk, subject: str) -> views.View:
    """Forget the failures of an address or a login, and a ban with them. Raises Refused where there are none."""
    candidates = [subject, login_subject(subject)]
    with suppress(ValueError):
        candidates.append(address_subject(subject))

    async def step(tx: Transaction) -> list[str]:
        lifted = [each for each in candidates if await bans.forgive(tx, each)]
        if not lifted:
            raise Refused(f"nothing is held against {subject}; `gateway bans list` shows whom a ban holds")
        return lifted

    return {"lifted": await desk.act("ban lift", subject, step)}
