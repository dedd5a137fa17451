"""When each account's password is reset: the rhythm of all, an account's own, and the dates to come in words.

Rules: an account's own rhythm (``rotation_rule``) goes before that of all; one that can't be read is as good as none
and is logged, for a typing mistake must not leave a password as it is for ever.

It reads and decides; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Self

from gateway import log as logs
from gateway.config import Config
from gateway.domain import calendar
from gateway.domain.calendar import Place, Places, Rhythm
from gateway.domain.ics import Entry, calendar_file
from gateway.domain.records import Account

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the calendar goes by."""

    places: Places = field(default_factory=Places)
    rhythm: Rhythm = calendar.QUARTERLY
    overlap: timedelta = timedelta(0)
    """How long the former password still works after a scheduled reset."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """The plan that the configuration asks for."""
        return cls(config.places, config.rotation.rhythm, config.rotation.overlap)

    def place_of(self, account: Account) -> Place:
        return self.places.of(account.region)

    def rhythm_of(self, account: Account) -> Rhythm:
        if account.rotation_rule is None:
            return self.rhythm
        try:
            return Rhythm.parse(account.rotation_rule)
        except ValueError as error:
            log.warning("an account's rotation rule can't be read", account=account.login, reason=str(error))
            return self.rhythm

    def first_reset(self, region: str | None, now: datetime) -> datetime:
        """The first reset of an account that is made now."""
        return calendar.next_reset(now, self.rhythm, self.places.of(region))

    def next_reset(self, account: Account, now: datetime) -> datetime:
        """The reset after the one that is due or done now; a reset that was missed is not made up for twice."""
        return calendar.next_reset(now, self.rhythm_of(account), self.place_of(account))

    def day_of(self, account: Account, due: datetime) -> date:
        """The date of a reset on the calendar of the account's region."""
        return calendar.local_day(due, self.place_of(account))

    def as_calendar(self, accounts: Iterable[Account], now: datetime, hostname: str) -> str:
        """The coming resets of active accounts as a calendar file (RFC 5545)."""
        return calendar_file((self._entry(account, hostname) for account in accounts if account.next_reset), now)

    def _entry(self, account: Account, hostname: str) -> Entry:
        assert account.next_reset is not None
        day = self.day_of(account, account.next_reset)
        return Entry(
            uid=f"{account.id}-{day:%Y%m%d}@{hostname}",
            start=account.next_reset,
            summary=f"Password reset: {account.login}",
            description=f"Sold To: {account.sold_to}\nEnd User: {account.end_user}\nThe FTP password of this account "
            "is reset. Designated Contacts find the new one in the account information.",
        )
