"""When a password is reset and when its contacts hear of it: pure decisions, with the clock passed in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.calendar import (
    QUARTERLY,
    STAGES,
    Place,
    Rhythm,
    day_in_words,
    days_between,
    in_days,
    local_day,
    next_reset,
    remind_from,
    stage_due,
)

SAINT_JOHN = Place(ZoneInfo("America/Moncton"))
TOKYO = Place(ZoneInfo("Asia/Tokyo"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_first_tuesday_of_the_quarter_at_ten_in_the_region() -> None:
    now = at("2026-11-22T12:00+00:00")
    assert next_reset(now, QUARTERLY, SAINT_JOHN) == at("2027-01-05T10:00-04:00")
    assert next_reset(now, QUARTERLY, TOKYO) == at("2027-01-05T10:00+09:00")
    assert next_reset(now) == at("2027-01-05T10:00+00:00")


def test_a_year_has_four_resets() -> None:
    now, days = at("2026-12-31T00:00+00:00"), []
    while (now := next_reset(now, QUARTERLY, SAINT_JOHN)) < at("2028-01-01T00:00+00:00"):
        days.append(local_day(now, SAINT_JOHN))
    assert days == [date(2027, 1, 5), date(2027, 4, 6), date(2027, 7, 6), date(2027, 10, 5)]


def test_the_next_reset_is_strictly_after_this_one() -> None:
    due = at("2027-01-05T10:00+00:00")
    assert next_reset(due) == at("2027-04-06T10:00+00:00")
    assert next_reset(due - timedelta(microseconds=1)) == due


def test_a_holiday_moves_to_the_next_business_day() -> None:
    holidays = frozenset({date(2027, 1, 5), date(2027, 1, 6)})
    place = Place(SAINT_JOHN.zone, holidays)
    assert next_reset(at("2026-12-01T00:00+00:00"), QUARTERLY, place) == at("2027-01-07T10:00-04:00")


def test_a_holiday_on_friday_skips_the_weekend() -> None:
    rhythm = Rhythm.parse("first friday monthly 09:30")
    place = Place(UTC, frozenset({date(2027, 1, 1)}))
    assert next_reset(at("2026-12-31T00:00+00:00"), rhythm, place) == at("2027-01-04T09:30+00:00")


def test_a_day_moved_into_the_next_month_is_found_from_there() -> None:
    place = Place(UTC, frozenset(date(2027, 1, 26) + timedelta(days=n) for n in range(7)))
    rhythm = Rhythm.parse("fourth tuesday monthly 10:00")
    assert next_reset(at("2027-02-01T00:00+00:00"), rhythm, place) == at("2027-02-02T10:00+00:00")


def test_ten_o_clock_stays_ten_o_clock_in_summer() -> None:
    due = next_reset(at("2027-03-01T00:00+00:00"), QUARTERLY, SAINT_JOHN)
    assert due == at("2027-04-06T10:00-03:00")
    assert remind_from(at("2027-03-16T10:00-03:00"), SAINT_JOHN, 7) == at("2027-03-09T10:00-04:00")


@pytest.mark.parametrize("words", ["first tuesday quarterly 10:00", "second  Wednesday monthly 07:05"])
def test_a_rhythm_is_read_and_said_in_the_same_words(words: str) -> None:
    assert str(Rhythm.parse(words)) == " ".join(words.lower().split())


@pytest.mark.parametrize(
    "words", ["", "fifth tuesday monthly 10:00", "first tuesday quarterly 24:00", "first tuesday quarterly 1٠:00"]
)
def test_a_rhythm_that_is_none_is_refused_with_an_example(words: str) -> None:
    with pytest.raises(ValueError, match="HH:MM"):
        Rhythm.parse(words)


def test_a_calendar_without_business_days_is_refused() -> None:
    every_day = frozenset(date(2026, 1, 1) + timedelta(days=n) for n in range(1500))
    with pytest.raises(ValueError, match="holidays"):
        next_reset(at("2027-01-01T00:00+00:00"), QUARTERLY, Place(UTC, every_day))


@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)), st.sampled_from([SAINT_JOHN, TOKYO, Place()]))
def test_the_next_reset_is_within_a_quarter_and_a_business_day(naive: datetime, place: Place) -> None:
    now = naive.replace(tzinfo=UTC)
    due = next_reset(now, QUARTERLY, place)
    assert now < due <= now + timedelta(days=100)
    local = due.astimezone(place.zone)
    assert (local.hour, local.weekday()) == (10, 1)


DUE = at("2027-01-05T10:00-04:00")


@pytest.mark.parametrize(
    "now, sent, stage",
    [
        ("2026-12-22T09:59-04:00", (), None),
        ("2026-12-22T10:00-04:00", (), 14),
        ("2026-12-23T10:00-04:00", (14,), None),
        ("2026-12-29T10:00-04:00", (14,), 7),
        ("2027-01-04T10:00-04:00", (14, 7), 1),
        ("2027-01-04T12:00-04:00", (14, 7, 1), None),
        ("2027-01-05T10:00-04:00", (), None),
    ],
)
def test_reminders_open_14_7_and_1_days_before(now: str, sent: tuple[int, ...], stage: int | None) -> None:
    assert stage_due(DUE, at(now), SAINT_JOHN, sent) == stage


def test_after_an_outage_only_the_latest_reminder_is_sent() -> None:
    assert stage_due(DUE, at("2027-01-04T11:00-04:00"), SAINT_JOHN, ()) == 1
    assert stage_due(DUE, at("2027-01-04T11:00-04:00"), SAINT_JOHN, (1,)) is None


@given(st.lists(st.integers(0, 30 * 24), min_size=1, max_size=200))
def test_however_often_it_is_asked_each_stage_is_due_at_most_once(hours: list[int]) -> None:
    sent: list[int] = []
    for hour in sorted(hours):
        stage = stage_due(DUE, DUE - timedelta(days=29) + timedelta(hours=hour), SAINT_JOHN, sent)
        if stage is not None:
            sent.append(stage)
    assert sent == sorted(set(sent), reverse=True)
    assert set(sent) <= set(STAGES)


def test_days_are_counted_on_the_regions_calendar() -> None:
    now = at("2026-11-22T23:30-04:00")
    assert days_between(now, DUE, SAINT_JOHN) == 44
    assert (in_days(44), in_days(1), in_days(0)) == ("44 days", "1 day", "today")
    assert day_in_words(local_day(DUE, SAINT_JOHN)) == "5 January 2027"
