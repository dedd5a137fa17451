"""The statuses of a Service Request and the moves between them, as a table.

Rules: a status is written ``"Open/New"``, status before sub-status (PROGRAM: "SR statuses"). A move that the table
does not hold raises ``IllegalMove`` and changes nothing. A closed SR is re-opened by an operator only, never by the
web or by mail, and it goes back to work as *Open* first. Staying where one is, is no move and is always legal.

Never: I/O, or a decision about who may ask for a move (that is policy's).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

OPEN: Final = "Open"
AWAITING_INFORMATION: Final = "Awaiting Information"
SOLUTION_PROPOSED: Final = "Solution Proposed"
CLOSED: Final = "Closed"

SUB_STATUSES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        OPEN: (
            "New",
            "Tier 1",
            "Tier 2",
            "Tier 3",
            "Engineering Request",
            "Maintenance Review",
            "Third Party Pending",
            "Order Pending",
            "PM Review",
        ),
        AWAITING_INFORMATION: ("Info Required from Customer",),
        SOLUTION_PROPOSED: ("Replied", "Fixed-Software Provided"),
        CLOSED: (
            "No Maintenance",
            "Customer Resolved Issue",
            "Duplicate Request",
            "General Question Answered",
            "Working as Designed",
            "No Response",
            "Feature Request",
            "Problem External",
            "Referred to Other Department",
            "License File Provided",
            "Software Request Fulfilled",
            "Problem Resolved",
        ),
    }
)
"""Every status and the sub-statuses it may have."""

PRIORITIES: Final = ("Critical", "High", "Medium", "Low")
"""How much an SR matters (PROGRAM: Critical is only ever reported by telephone)."""

MOVES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        OPEN: frozenset({OPEN, AWAITING_INFORMATION, SOLUTION_PROPOSED, CLOSED}),
        AWAITING_INFORMATION: frozenset({OPEN, SOLUTION_PROPOSED, CLOSED}),
        SOLUTION_PROPOSED: frozenset({OPEN, AWAITING_INFORMATION, SOLUTION_PROPOSED, CLOSED}),
        CLOSED: frozenset({OPEN, CLOSED}),
    }
)
"""From a status to the statuses that may follow it; the same status twice means another sub-status of it."""


class UnknownStatus(ValueError):
    """The words are no status; the message lists what is allowed."""


class IllegalMove(ValueError):
    """The table holds no such move; the message names both ends and what may follow."""


@dataclass(frozen=True, slots=True)
class Status:
    """One status with its sub-status, as every SR carries it."""

    status: str
    sub: str

    def __str__(self) -> str:
        return f"{self.status}/{self.sub}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"Open/New"``, forgiving case and spaces around the slash; an only sub-status may be left out.

        Raises UnknownStatus, whose message says what would have been right.
        """
        given, _, given_sub = (part.strip() for part in text.partition("/"))
        status = next((known for known in SUB_STATUSES if known.casefold() == given.casefold()), None)
        if status is None:
            raise UnknownStatus(f'"{text}" is no status; allowed: {", ".join(SUB_STATUSES)}, each with a sub-status')
        subs = SUB_STATUSES[status]
        if not given_sub and len(subs) == 1:
            return cls(status, subs[0])
        sub = next((known for known in subs if known.casefold() == given_sub.casefold()), None)
        if sub is None:
            allowed = ", ".join(f'"{status}/{known}"' for known in subs)
            raise UnknownStatus(f'"{text}" is no status; allowed for {status}: {allowed}')
        return cls(status, sub)

    @classmethod
    def first(cls, status: str) -> Self:
        """A status with the first of its sub-statuses. Raises KeyError for words that are none."""
        return cls(status, SUB_STATUSES[status][0])

    @property
    def closed(self) -> bool:
        """Takes no updates any more."""
        return self.status == CLOSED

    @property
    def waits_for_customer(self) -> bool:
        """The next word is the customer's: an update then stops the follow-up clock."""
        return self.status in {AWAITING_INFORMATION, SOLUTION_PROPOSED}

    def may_become(self, new: "Status") -> bool:
        return new == self or new.status in MOVES[self.status]

    def becomes(self, new: "Status") -> "Status":
        """The status after the move. Raises IllegalMove, and then nothing has changed."""
        if not self.may_become(new):
            after = ", ".join(sorted(MOVES[self.status]))
            raise IllegalMove(f'an SR that is "{self}" cannot become "{new}"; it may become: {after}')
        return new


NEW: Final = Status(OPEN, "New")
"""What an SR is when it is logged."""


def all_statuses() -> tuple[Status, ...]:
    """Every status there is, in the programme's order."""
    return tuple(Status(status, sub) for status, subs in SUB_STATUSES.items() for sub in subs)
