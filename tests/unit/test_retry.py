"""How long a delivery waits: doubling, bounded, and parked in the end."""

from __future__ import annotations

from datetime import timedelta

from gateway.domain.retry import Patience, pause_after

PATIENCE = Patience(timedelta(seconds=30), timedelta(hours=1), timedelta(days=3))


def test_the_pause_doubles_up_to_the_longest() -> None:
    pauses = [pause_after(n, PATIENCE) for n in range(1, 10)]
    assert pauses[:4] == [timedelta(seconds=s) for s in (30, 60, 120, 240)]
    assert pauses[-1] == timedelta(hours=1)


def test_after_its_patience_it_is_parked() -> None:
    failures, waited = 0, timedelta(0)
    while (pause := pause_after(failures + 1, PATIENCE)) is not None:
        failures += 1
        waited += pause
        assert failures < 1000
    assert PATIENCE.in_all <= waited < PATIENCE.in_all + PATIENCE.longest


def test_a_receivers_own_pause_is_heeded_up_to_the_longest() -> None:
    assert pause_after(1, PATIENCE, asked=timedelta(minutes=5)) == timedelta(minutes=5)
    assert pause_after(1, PATIENCE, asked=timedelta(days=300)) == PATIENCE.longest
    assert pause_after(3, PATIENCE, asked=timedelta(seconds=1)) == timedelta(minutes=2)


def test_no_number_of_failures_overflows() -> None:
    endless = Patience(timedelta(seconds=1), timedelta(hours=1), timedelta(days=30_000))
    assert pause_after(5000, endless) == timedelta(hours=1)
