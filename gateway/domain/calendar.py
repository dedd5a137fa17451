"""The calendar of password resets: when the next one is, and which reminder is due.

Rules
- A rhythm names one weekday of a month at a local time: ``first tuesday quarterly 10:00`` unless told otherwise.
  Quarters begin in January, April, July and October (PROGRAM.md: every account's password is reset every quarter).
- A day that is a holiday of the account's region, or a weekend, moves to the next business day at the same local time.
- Reminders go out 14, 7 and 1 days before, each once. After an outage only the latest stage is sent: two mails
  with two numbers of days in one minute would only confuse.

It never looks at a clock or a store: facts and now come in, a decision goes out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth")
PERIODS = {"monthly": tuple(range(1, 13)), "quarterly": (1, 4, 7, 10)}
STAGES = (14, 7, 1)
"""Days before a reset on which the Designated Contacts are reminded of it."""

_RHYTHM = re.compile(rf"({'|'.join(ORDINALS)}) ({'|'.join(WEEKDAYS)}) ({'|'.join(PERIODS)}) (\d\d):(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an account is at home: its zone decides the hour, its business days the day, its telephone whom to call."""

    zone: tzinfo = UTC
    holidays: frozenset[date] = frozenset()
    weekdays: frozenset[int] = frozenset(range(5))
    telephones: tuple[str, ...] = ()
    language: str = "en"

    def is_business_day(self, day: date) -> bool:
        return day.weekday() in self.weekdays and day not in self.holidays


@dataclass(frozen=True, slots=True)
class Places:
    """Every region's place by the region's name; ``elsewhere`` is that of an account without a known region."""

    elsewhere: Place = field(default_factory=Place)
    by_region: Mapping[str, Place] = field(default_factory=dict)

    def of(self, region: str | None) -> Place:
        """The place of a region, whose name is compared without regard to case."""
        return self.elsewhere if region is None else self.by_region.get(region.casefold(), self.elsewhere)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The nth weekday of every month in ``months``, at ``at`` local time."""

    nth: int = 1
    weekday: int = 1
    months: tuple[int, ...] = PERIODS["quarterly"]
    at: time = time(10, 0)

    @classmethod
    def parse(cls, words: str) -> Rhythm:
        """``first tuesday quarterly 10:00`` → the rhythm; ValueError with what was expected otherwise."""
        match = _RHYTHM.fullmatch(" ".join(words.lower().split()))
        if match is None:
            raise ValueError(
                f"{words!r} is not a rhythm: write it like 'first tuesday quarterly 10:00' "
                f"({', '.join(ORDINALS)}; a weekday; {' or '.join(PERIODS)}; a time as HH:MM)"
            )
        nth, weekday, period, hour, minute = match.groups()
        try:
            at = time(int(hour), int(minute))
        except ValueError:
            raise ValueError(f"{hour}:{minute} is not a time of day: write HH:MM between 00:00 and 23:59") from None
        return cls(ORDINALS.index(nth) + 1, WEEKDAYS.index(weekday), PERIODS[period], at)

    @property
    def period(self) -> str:
        """``quarterly`` or ``monthly``; other months by their names."""
        named = (name for name, months in PERIODS.items() if months == self.months)
        return next(named, "in " + ", ".join(MONTHS[month - 1] for month in self.months))

    def __str__(self) -> str:
        return f"{ORDINALS[self.nth - 1]} {WEEKDAYS[self.weekday]} {self.period} {self.at:%H:%M}"


QUARTERLY = Rhythm()


def next_reset(after: datetime, rhythm: Rhythm = QUARTERLY, place: Place | None = None) -> datetime:
    """The first reset strictly after ``after`` (aware), as an aware UTC datetime."""
    place = place or Place()
    local = after.astimezone(place.zone)
    # One month back: holidays can carry the reset of one month's end into the next.
    year, month = (local.year, local.month - 1) if local.month > 1 else (local.year - 1, 12)
    for _ in range(2 * 12 + 2):
        if month in rhythm.months:
            day = _business_day(_nth_weekday(year, month, rhythm.nth, rhythm.weekday), place)
            moment = datetime.combine(day, rhythm.at, tzinfo=place.zone).astimezone(UTC)
            if moment > after:
                return moment
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    raise ValueError("no business day in two years: check the region's holidays")


def stage_due(due: datetime, now: datetime, place: Place, sent: Collection[int] = ()) -> int | None:
    """The reminder to send now for a reset at ``due``: 14, 7 or 1 (days before), or None.

    A stage opens at the reset's local hour, so many calendar days before. A stage that a later one has
    overtaken is never sent afterwards.
    """
    if now >= due:
        return None
    local = due.astimezone(place.zone)
    opened = [stage for stage in STAGES if now >= _days_before(local, stage)]
    if not opened or min(opened) in sent:
        return None
    return min(opened)


def remind_from(due: datetime, place: Place, stage: int = STAGES[0]) -> datetime:
    """When the reminder of ``stage`` days before ``due`` opens, in UTC."""
    return _days_before(due.astimezone(place.zone), stage)


def local_day(moment: datetime, place: Place) -> date:
    """The date that a wall calendar in the account's region shows at ``moment``."""
    return moment.astimezone(place.zone).date()


def day_in_words(day: date) -> str:
    """5 January 2027, the same on every machine, whatever its locale."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def days_between(now: datetime, then: datetime, place: Place) -> int:
    """Whole calendar days from now to then in the region; 0 means today."""
    return (local_day(then, place) - local_day(now, place)).days


def in_days(days: int) -> str:
    """0 → today, 1 → 1 day, 44 → 44 days."""
    return "today" if days == 0 else "1 day" if days == 1 else f"{days} days"


def _days_before(local: datetime, days: int) -> datetime:
    # Wall-clock arithmetic: ten o'clock stays ten o'clock across a change to summer time.
    return (local - timedelta(days=days)).astimezone(UTC)


def _nth_weekday(year: int, month: int, nth: int, weekday: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _business_day(day: date, place: Place) -> date:
    return next(d for d in _days_from(day) if place.is_business_day(d))


def _days_from(day: date) -> Iterable[date]:
    for n in range(366):
        yield day + timedelta(days=n)
    raise ValueError("no business day in a year: check the region's holidays")
