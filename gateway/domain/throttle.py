"""Failed logins: how they add up, fade, and become a ban.

Rules
- Every failure is a strike against the address and one against the login it named; strikes halve every half-life.
- Reaching the limit bans until the score has faded to half the limit: who goes on guessing is banned again sooner,
  who waits starts afresh. While banned nothing is verified and nothing is counted.
- A right password wipes the strikes of its login. The address keeps its own: a guesser may own one account.

It keeps no state and reads no clock: the strikes so far and now come in, the new strikes go out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


@dataclass(frozen=True, slots=True)
class Limit:
    """So many strikes, and the time in which a score halves."""

    strikes: float
    half_life: timedelta


PER_ADDRESS = Limit(20, timedelta(minutes=15))
"""One address may be a company's whole network, with many accounts behind it."""
PER_LOGIN = Limit(10, timedelta(minutes=15))


@lru_cache(maxsize=1024)
def address_subject(address: str) -> str:
    """What the strikes of an address are kept under: an IPv4 address, or the /64 that one IPv6 subscriber holds."""
    parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return f"address {ip_network((parsed, 64), strict=False)}"
        parsed = parsed.ipv4_mapped
    return f"address {parsed}"


def login_subject(login: str) -> str:
    """What the strikes of a login are kept under, whether or not there is such an account."""
    return f"login {login[:64]}"


@dataclass(frozen=True, slots=True)
class Strikes:
    """The score at ``at``; ``until`` is the end of a ban, past or to come, or None."""

    score: float
    at: datetime
    until: datetime | None = None

    def banned(self, now: datetime) -> bool:
        return self.until is not None and now < self.until


def faded(strikes: Strikes, now: datetime, limit: Limit) -> float:
    """The score that is left now. A clock that went back fades nothing."""
    elapsed = max(now - strikes.at, timedelta(0))
    return float(strikes.score * 0.5 ** (elapsed / limit.half_life))


def after_failure(before: Strikes | None, now: datetime, limit: Limit) -> Strikes:
    """The strikes after one more failed login at ``now``."""
    score = 1.0 + (faded(before, now, limit) if before is not None else 0.0)
    if score < limit.strikes:
        return Strikes(score, now)
    return Strikes(score, now, until=now + limit.half_life * math.log2(2 * score / limit.strikes))
