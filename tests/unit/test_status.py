"""The statuses of a Service Request: PROGRAM's table, and the moves between them."""

from __future__ import annotations

import pytest

from gateway.domain.status import (
    AWAITING_INFORMATION,
    CLOSED,
    MOVES,
    NEW,
    OPEN,
    SOLUTION_PROPOSED,
    SUB_STATUSES,
    IllegalMove,
    Status,
    UnknownStatus,
    all_statuses,
)


def test_every_status_is_read_as_it_is_written() -> None:
    assert len(all_statuses()) == 9 + 1 + 2 + 12
    for status in all_statuses():
        assert Status.parse(str(status)) == status
        assert Status.parse(f" {status.status.upper()} / {status.sub.lower()} ") == status
    assert str(NEW) == "Open/New"


def test_an_only_sub_status_may_be_left_out() -> None:
    assert str(Status.parse("Awaiting Information")) == "Awaiting Information/Info Required from Customer"


@pytest.mark.parametrize(
    "text", ["", "/", "Open", "Open/", "Closed", "Open/Fixed-Software Provided", "New", "Open/New/x"]
)
def test_what_is_no_status_is_answered_with_what_is(text: str) -> None:
    with pytest.raises(UnknownStatus, match="allowed"):
        Status.parse(text)


@pytest.mark.parametrize("old", all_statuses(), ids=str)
def test_moves_are_those_of_the_table(old: Status) -> None:
    for new in all_statuses():
        if new == old or new.status in MOVES[old.status]:
            assert old.becomes(new) == new
        else:
            with pytest.raises(IllegalMove, match=f'"{old}" cannot become "{new}"'):
                old.becomes(new)


def test_a_closed_sr_goes_back_to_work_as_open_first() -> None:
    closed = Status.parse("Closed/No Response")
    assert closed.may_become(Status.parse("Open/Tier 1"))
    assert not closed.may_become(Status.first(SOLUTION_PROPOSED))
    assert not closed.may_become(Status.first(AWAITING_INFORMATION))


def test_who_has_the_next_word() -> None:
    waiting = {status.status for status in all_statuses() if status.waits_for_customer}
    assert waiting == {AWAITING_INFORMATION, SOLUTION_PROPOSED}
    assert {status.status for status in all_statuses() if status.closed} == {CLOSED}
    assert set(MOVES) == set(SUB_STATUSES)
    assert OPEN in MOVES[CLOSED]
