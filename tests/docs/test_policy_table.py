"""The policy in docs/operators.md is the policy in the code: every row, in its order, with its outcome and words."""

from __future__ import annotations

from pages import ROOT

from gateway.domain.policy import TABLE, Filed, Mark, Quarantined, Refused, Repeated, TryAgain
from gateway.examine.mail import marks as inside

OUTCOMES = {
    Filed: "filed",
    Refused: "refused",
    TryAgain: "deferred",
    Quarantined: "quarantined",
    Repeated: "repeated",
}


def test_every_row_of_the_policy_stands_in_the_operators_page() -> None:
    page = (ROOT / "docs/operators.md").read_text()
    rows = [f"| {row.name} | {OUTCOMES[type(row.then)]} | {row.words} |" for row in TABLE]
    assert "\n".join(rows) in page


def test_every_mark_stands_in_the_operators_page() -> None:
    page = (ROOT / "docs/operators.md").read_text()
    assert [mark.value for mark in (*Mark, *inside.Mark) if f"`{mark.value}`" not in page] == []
