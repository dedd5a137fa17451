"""Whose data connection is it? Pure: what is known of the candidates goes in, the choice comes out.

Several connections may come to one passive port: the customer's, and that of a stranger who guessed it. One that
resumes the control connection's TLS session has proved itself, whatever address it comes from (a NAT may send the two
from different ones, PROGRAM.md). One that does not has to come from the control connection's address, and waits a
moment in case one that resumes arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Binding(StrEnum):
    """``[ftps] data_binding``: what a data connection must show. An account may have its own."""

    SESSION_OR_ADDRESS = "session-or-address"
    SESSION = "session"
    ADDRESS = "address"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of a connection to the data port, its TLS handshake done."""

    resumed: bool
    same_address: bool
    age: float
    """Seconds since it connected."""


class Fate(StrEnum):
    TAKE = "take"
    WAIT = "wait"
    REFUSE = "refuse"


def acceptable(binding: Binding, candidate: Candidate) -> bool:
    """Whether the connection may be the customer's at all."""
    match binding:
        case Binding.SESSION:
            return candidate.resumed
        case Binding.ADDRESS:
            return candidate.same_address
        case Binding.SESSION_OR_ADDRESS:
            return candidate.resumed or candidate.same_address
        case Binding.ANY:
            return True


def fate(binding: Binding, candidate: Candidate, moment: float) -> Fate:
    """Take it, refuse it, or wait: one that shows less than it could waits *moment* seconds for a better one."""
    if not acceptable(binding, candidate):
        return Fate.REFUSE
    if candidate.resumed or binding is Binding.ADDRESS:
        return Fate.TAKE
    return Fate.TAKE if candidate.age >= moment else Fate.WAIT


def best(binding: Binding, candidates: Sequence[Candidate], moment: float) -> int | None:
    """The index of the connection to take now; None to go on waiting."""
    ready = [
        (not candidate.resumed, not candidate.same_address, index)
        for index, candidate in enumerate(candidates)
        if fate(binding, candidate, moment) is Fate.TAKE
    ]
    return min(ready)[2] if ready else None
