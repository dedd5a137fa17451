"""Whose data connection is it? The decision, case by case."""

from __future__ import annotations

import pytest

from gateway.domain.binding import Binding, Candidate, Fate, best, fate

MOMENT = 0.25
PROVED = Candidate(resumed=True, same_address=False, age=0)
NEIGHBOUR = Candidate(resumed=False, same_address=True, age=0)
STRANGER = Candidate(resumed=False, same_address=False, age=0)
BOTH = Candidate(resumed=True, same_address=True, age=0)


def aged(candidate: Candidate) -> Candidate:
    return Candidate(candidate.resumed, candidate.same_address, MOMENT)


@pytest.mark.parametrize(
    "rule, candidate, what",
    [
        (Binding.SESSION_OR_ADDRESS, PROVED, Fate.TAKE),
        (Binding.SESSION_OR_ADDRESS, BOTH, Fate.TAKE),
        (Binding.SESSION_OR_ADDRESS, NEIGHBOUR, Fate.WAIT),
        (Binding.SESSION_OR_ADDRESS, aged(NEIGHBOUR), Fate.TAKE),
        (Binding.SESSION_OR_ADDRESS, aged(STRANGER), Fate.REFUSE),
        (Binding.SESSION, PROVED, Fate.TAKE),
        (Binding.SESSION, aged(NEIGHBOUR), Fate.REFUSE),
        (Binding.ADDRESS, NEIGHBOUR, Fate.TAKE),
        (Binding.ADDRESS, PROVED, Fate.REFUSE),
        (Binding.ANY, STRANGER, Fate.WAIT),
        (Binding.ANY, aged(STRANGER), Fate.TAKE),
    ],
)
def test_fate(rule: Binding, candidate: Candidate, what: Fate) -> None:
    assert fate(rule, candidate, MOMENT) is what


def test_the_one_that_proved_itself_wins_whoever_came_first() -> None:
    assert best(Binding.SESSION_OR_ADDRESS, [aged(NEIGHBOUR), PROVED], MOMENT) == 1
    assert best(Binding.ANY, [aged(STRANGER), aged(NEIGHBOUR), PROVED], MOMENT) == 2
    assert best(Binding.ANY, [aged(STRANGER), aged(NEIGHBOUR)], MOMENT) == 1
    assert best(Binding.SESSION, [aged(NEIGHBOUR), aged(STRANGER)], MOMENT) is None
