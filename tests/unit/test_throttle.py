"""Failed logins add up, fade, and end in a ban that ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.domain.throttle import Limit, Strikes, after_failure, faded

NOW = datetime(2027, 1, 5, tzinfo=UTC)
LIMIT = Limit(10, timedelta(minutes=15))


def failures(count: int, before: Strikes | None = None, at: datetime = NOW) -> Strikes:
    for _ in range(count):
        before = after_failure(before, at, LIMIT)
    assert before is not None
    return before


def test_nine_failures_are_forgiven_and_the_tenth_bans() -> None:
    assert not failures(9).banned(NOW)
    assert failures(10).banned(NOW)


def test_a_ban_ends_when_the_score_has_faded_to_half() -> None:
    banned = failures(10)
    assert banned.until == NOW + LIMIT.half_life
    assert not banned.banned(NOW + LIMIT.half_life)
    assert faded(banned, NOW + LIMIT.half_life, LIMIT) == LIMIT.strikes / 2


def test_who_goes_on_guessing_is_banned_again_sooner() -> None:
    later = NOW + LIMIT.half_life
    assert failures(5, failures(10), later).banned(later)


def test_slow_failures_never_ban() -> None:
    strikes: Strikes | None = None
    for hour in range(200):
        strikes = after_failure(strikes, NOW + timedelta(hours=hour), LIMIT)
        assert not strikes.banned(strikes.at)


def test_a_clock_that_went_back_fades_nothing() -> None:
    assert faded(failures(3), NOW - timedelta(days=1), LIMIT) == 3
