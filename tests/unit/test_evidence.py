"""The judge of an upload's end, row by row."""

from __future__ import annotations

import itertools

import pytest

from gateway.domain.evidence import Announced, Ending, Grounds, asks_for_proof, compare, judge

NO, YES, SHORT, LONG = Announced.NOTHING, Announced.MATCHES, Announced.LESS, Announced.MORE


@pytest.mark.parametrize(
    "ending, announced, proves, complete, grounds",
    [
        (Ending.CLOSE_NOTIFY, NO, False, True, Grounds.CLOSE_NOTIFY),
        (Ending.CLOSE_NOTIFY, YES, False, True, Grounds.CLOSE_NOTIFY),
        (Ending.CLOSE_NOTIFY, LONG, False, True, Grounds.GROWN),
        (Ending.CLOSE_NOTIFY, SHORT, True, False, Grounds.SHORT),
        (Ending.FIN, NO, False, False, Grounds.CUT),
        (Ending.FIN, NO, True, True, Grounds.CONTENT),
        (Ending.FIN, YES, False, True, Grounds.ANNOUNCED),
        (Ending.FIN, SHORT, True, False, Grounds.SHORT),
        (Ending.FIN, LONG, False, False, Grounds.LONG),
        (Ending.FIN, LONG, True, False, Grounds.LONG),
        (Ending.RESET, LONG, True, False, Grounds.LONG),
        (Ending.CONTROL_LOST, LONG, True, False, Grounds.LONG),
        (Ending.ABORTED, LONG, True, False, Grounds.ABORTED),
        (Ending.RESET, NO, False, False, Grounds.CUT),
        (Ending.RESET, NO, True, True, Grounds.CONTENT),
        (Ending.RESET, YES, False, True, Grounds.ANNOUNCED),
        (Ending.BROKEN, NO, False, False, Grounds.CUT),
        (Ending.CONTROL_LOST, NO, False, False, Grounds.CONTROL_LOST),
        (Ending.CONTROL_LOST, NO, True, True, Grounds.CONTENT),
        (Ending.CONTROL_LOST, YES, False, True, Grounds.ANNOUNCED),
        (Ending.ABORTED, YES, True, False, Grounds.ABORTED),
        (Ending.STALLED, YES, True, False, Grounds.STALLED),
        (Ending.STOPPED, YES, True, False, Grounds.STOPPED),
        (Ending.FAILED, YES, True, False, Grounds.FAILED),
    ],
)
def test_the_table(ending: Ending, announced: Announced, proves: bool, complete: bool, grounds: Grounds) -> None:
    judgement = judge(ending, announced, proves)
    assert (judgement.complete, judgement.grounds) == (complete, grounds)


def test_every_end_is_judged_and_less_than_announced_is_never_complete() -> None:
    for ending, announced, proves in itertools.product(Ending, Announced, (True, False)):
        assert not (judge(ending, announced, proves).complete and announced is SHORT)


def test_content_is_looked_at_only_where_it_matters() -> None:
    assert asks_for_proof(Ending.FIN, NO)
    assert asks_for_proof(Ending.CONTROL_LOST, NO)
    assert not asks_for_proof(Ending.CONTROL_LOST, LONG)
    assert not asks_for_proof(Ending.CLOSE_NOTIFY, NO)
    assert not asks_for_proof(Ending.FIN, YES)
    assert not asks_for_proof(Ending.FIN, SHORT)
    assert not asks_for_proof(Ending.ABORTED, NO)


@pytest.mark.parametrize(
    "announced, size, offset, verdict",
    [
        (None, 10, 0, NO),
        (10, 10, 0, YES),
        (10, 10, 4, NO),
        (5, 5, 5, NO),
        (6, 10, 4, YES),
        (10, 9, 0, SHORT),
        (10, 9, 4, SHORT),
        (10, 11, 0, LONG),
        (0, 0, 0, YES),
    ],
)
def test_allo_means_the_file_or_what_is_left_of_it(
    announced: int | None, size: int, offset: int, verdict: Announced
) -> None:
    assert compare(announced, size, offset) is verdict
