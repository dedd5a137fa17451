"""When a region's people work, by PROGRAM's six regions: weekends, holidays, zones, nights on which clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gateway.domain.hours import next_business_moment, parse_hours

REGIONS = {
    "North America": ("America/Moncton", "Mon-Fri 08:00-21:00"),
    "Latin America": ("America/Sao_Paulo", "Mon-Fri 08:00-20:00"),
    "Europe": ("Europe/London", "Mon-Fri 08:00-19:00"),
    "Asia Pacific": ("Australia/Brisbane", "Mon-Fri 08:00-18:00"),
    "India": ("Asia/Kolkata", "Mon-Fri 08:00-17:00"),
    "Japan": ("Asia/Tokyo", "Mon-Fri 09:00-18:00"),
}
BOXING_DAY = {date(2025, 12, 25), date(2025, 12, 26)}


def after(region: str, local: str, holidays: set[date] | None = None) -> str:
    """The next business moment after a local time, in local time."""
    zone, hours = ZoneInfo(REGIONS[region][0]), parse_hours(REGIONS[region][1])
    moment = datetime.fromisoformat(local).replace(tzinfo=zone)
    found = next_business_moment(moment.astimezone(UTC), zone, hours, holidays or set())
    assert found.utcoffset() == timedelta(0)
    assert found >= moment
    return found.astimezone(zone).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    "region, local, expected",
    [
        ("Europe", "2025-06-02 10:30", "2025-06-02 10:30"),
        ("Europe", "2025-06-02 08:00", "2025-06-02 08:00"),
        ("Europe", "2025-06-02 07:59", "2025-06-02 08:00"),
        ("Europe", "2025-06-02 18:59", "2025-06-02 18:59"),
        ("Europe", "2025-06-02 19:00", "2025-06-03 08:00"),
        ("Europe", "2025-06-06 19:00", "2025-06-09 08:00"),
        ("Europe", "2025-06-07 12:00", "2025-06-09 08:00"),
        ("North America", "2025-06-02 20:59", "2025-06-02 20:59"),
        ("North America", "2025-06-02 21:30", "2025-06-03 08:00"),
        ("Latin America", "2025-06-02 20:00", "2025-06-03 08:00"),
        ("Asia Pacific", "2025-06-02 18:30", "2025-06-03 08:00"),
        ("India", "2025-06-02 17:00", "2025-06-03 08:00"),
        ("Japan", "2025-06-02 08:30", "2025-06-02 09:00"),
    ],
)
def test_next_business_moment_of_each_region(region: str, local: str, expected: str) -> None:
    assert after(region, local) == expected


def test_local_holidays_count_as_closed() -> None:
    assert after("Europe", "2025-12-24 19:30", BOXING_DAY) == "2025-12-29 08:00"
    assert after("Europe", "2025-12-25 10:00", BOXING_DAY) == "2025-12-29 08:00"


@pytest.mark.parametrize("night", ["2025-03-28 22:00", "2025-10-24 22:00"])
def test_hours_are_local_across_the_nights_that_clocks_change(night: str) -> None:
    monday = {"2025-03-28 22:00": "2025-03-31 08:00", "2025-10-24 22:00": "2025-10-27 08:00"}[night]
    assert after("Europe", night) == monday


def test_the_day_is_the_regions_not_utcs() -> None:
    zone = ZoneInfo("Asia/Tokyo")
    sunday_evening_utc = datetime(2025, 6, 1, 23, 59, tzinfo=UTC)  # Monday 08:59 in Tokyo
    found = next_business_moment(sunday_evening_utc, zone, parse_hours("Mon-Fri 09:00-18:00"), set())
    assert found == datetime(2025, 6, 2, 0, 0, tzinfo=UTC)


def test_several_stretches_a_day() -> None:
    hours = parse_hours("Mon-Fri 08:00-12:00, Mon-Fri 13:00-17:00, Sat 09:00-12:00")
    zone = ZoneInfo("Europe/London")
    noon = datetime(2025, 6, 2, 12, 15, tzinfo=zone)
    assert next_business_moment(noon, zone, hours, set()) == datetime(2025, 6, 2, 13, 0, tzinfo=zone)


def test_a_calendar_without_an_open_day_is_a_mistake() -> None:
    every = {date(2025, 1, 1) + timedelta(days=number) for number in range(800)}
    with pytest.raises(ValueError, match="within a year"):
        next_business_moment(
            datetime(2025, 1, 1, tzinfo=UTC), ZoneInfo("UTC"), parse_hours("Mon-Fri 08:00-18:00"), every
        )
