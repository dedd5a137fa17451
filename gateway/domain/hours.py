"""A region's opening hours: when somebody reads, and when the next business moment is.

Rules: hours are written ``"Mon-Fri 08:00-21:00"``, several stretches with commas between; they are the region's local
time. A local holiday counts as closed (PROGRAM: "The mail aliases"). ``24:00`` closes at midnight.
Pure: the moment, the zone and the holidays are handed in.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LOOK_AHEAD: Final = 366
"""Days searched for an open one: a calendar that is closed for a whole year is a mistake, not a calendar."""

_STRETCH: Final = re.compile(
    r"(?P<first>[A-Za-z]{3,9})(?:\s*[-–]\s*(?P<last>[A-Za-z]{3,9}))?\s+(?P<opens>\d\d?:\d\d)\s*[-–]\s*(?P<closes>\d\d?:\d\d)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some weekdays (0 = Monday) and the minutes of the day between which they are open."""

    days: frozenset[int]
    opens: int
    closes: int


@dataclass(frozen=True, slots=True)
class Hours:
    """A week's opening hours."""

    text: str
    stretches: tuple[Stretch, ...]

    def __str__(self) -> str:
        return self.text

    @property
    def days(self) -> frozenset[int]:
        """The weekdays that are open at all, 0 = Monday."""
        return frozenset[int]().union(*(stretch.days for stretch in self.stretches))


def parse_hours(text: str) -> Hours:
    """Read ``"Mon-Thu 08:00-18:00, Fri 08:00-16:00"``. Raises ValueError with what is allowed."""
    return Hours(text, tuple(_stretch(part.strip()) for part in text.split(",")))


def next_business_moment(moment: datetime, zone: tzinfo, hours: Hours, holidays: Collection[date]) -> datetime:
    """``moment`` itself if somebody is there, else when they next open; aware, UTC."""
    today = moment.astimezone(zone).date()
    for ahead in range(LOOK_AHEAD):
        day = today + timedelta(days=ahead)
        if day in holidays:
            continue
        open_today = [stretch for stretch in hours.stretches if day.weekday() in stretch.days]
        for stretch in sorted(open_today, key=lambda each: each.opens):
            if moment < _at(day, stretch.closes, zone):
                return max(moment.astimezone(UTC), _at(day, stretch.opens, zone))
    raise ValueError(f"not open within a year after {moment}")


def _at(day: date, minutes: int, zone: tzinfo) -> datetime:
    overnight, minutes = divmod(minutes, 24 * 60)
    local = datetime.combine(day + timedelta(days=overnight), time(*divmod(minutes, 60)), zone)
    return local.astimezone(UTC)


def _stretch(text: str) -> Stretch:
    match = _STRETCH.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" are no hours; allowed: "Mon-Fri 08:00-18:00", several with commas between')
    first = _weekday(match["first"])
    last = _weekday(match["last"]) if match["last"] else first
    days = frozenset(day % 7 for day in range(first, last + 1 if last >= first else last + 8))
    opens, closes = _minutes(match["opens"]), _minutes(match["closes"])
    if opens >= closes:
        raise ValueError(f'"{text}": closes before it opens; write two stretches, with 24:00 and 00:00 between')
    return Stretch(days, opens, closes)


def _weekday(name: str) -> int:
    for number, weekday in enumerate(WEEKDAYS):
        if name.casefold().startswith(weekday.casefold()):
            return number
    raise ValueError(f'"{name}" is no weekday; allowed: {", ".join(WEEKDAYS)}')


def _minutes(text: str) -> int:
    hour, minute = (int(part) for part in text.split(":"))
    if minute > 59 or hour * 60 + minute > 24 * 60:
        raise ValueError(f'"{text}" is no time of day; allowed: 00:00 to 24:00')
    return hour * 60 + minute
