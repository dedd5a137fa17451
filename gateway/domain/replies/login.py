"""What is said at the end of a login over FTPS, and when a session is ended from our side.

Rules: whoever does not give exactly the present or the former password hears ``WRONG``, whatever else is true of the
account or the name, and so does everybody at a disabled account. Who does give one has shown to be the customer's, and
is told what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from gateway.domain.calendar import Place, day_in_words, days_between, in_days, local_day
from gateway.domain.replies import Reply

WRONG = Reply(530, ("Login incorrect.",))
TOO_MANY_CHECKS = Reply(421, ("Too many logins from your address; please try again in a minute.",))
BUSY = Reply(421, ("Too many logins at this moment; please try again in a minute.",))


def admitted(now: datetime, ends: datetime | None, place: Place) -> Reply:
    """The right password; *ends* is its next reset."""
    if ends is None:
        return Reply(230, ("Login successful.",))
    return Reply(230, (f"Login successful. {_valid_until(now, ends, place)}.",))


def admitted_with_former(now: datetime, ends: datetime, place: Place) -> Reply:
    """The former password, in the overlap that ends at *ends*."""
    return Reply(
        230,
        (
            "Login successful, with the former password.",
            f"{_valid_until(now, ends, place)}; then only the new one works: "
            "your company's Designated Contacts can look it up.",
        ),
    )


def ended(ended_at: datetime, place: Place) -> Reply:
    """Exactly the former password, and no overlap (any more)."""
    return Reply(
        530,
        (
            f"This password ended on {day_in_words(local_day(ended_at, place))}; "
            f"ask one of your company's Designated Contacts for the new one{_or_call(place)}.",
        ),
    )


def agreement_ended(last_day: date, place: Place) -> Reply:
    return Reply(
        530,
        (
            f"The maintenance agreement of this account ended on {day_in_words(last_day)}; "
            f"please call Support{_at(place)}.",
        ),
    )


def too_many_failures(address: bool, minutes: int) -> Reply:
    """A ban. The same words for a login that exists and one that does not."""
    whose = "from your address" if address else "for this name"
    again = "1 minute" if minutes == 1 else f"{minutes} minutes"
    return Reply(421 if address else 530, (f"Too many failed logins {whose}; please wait {again}.",))


PASSWORD_RESET = Reply(421, ("The password of this account was reset; please log in with the new one.",))
FORMER_ENDED = Reply(421, ("The former password of this account has ended; please log in with the new one.",))


def session_disabled(place: Place) -> Reply:
    return Reply(421, (f"This account was disabled; please call Support{_at(place)}.",))


def session_agreement_ended(place: Place) -> Reply:
    return Reply(421, (f"The maintenance agreement of this account has ended; please call Support{_at(place)}.",))


def _valid_until(now: datetime, ends: datetime, place: Place) -> str:
    return f"Password valid until {day_in_words(local_day(ends, place))}, {in_days(days_between(now, ends, place))}"


def _at(place: Place) -> str:
    return f" at {_numbers(place.telephones)}" if place.telephones else ""


def _or_call(place: Place) -> str:
    return f", or call Support at {_numbers(place.telephones)}" if place.telephones else ", or call Support"


def _numbers(telephones: Sequence[str]) -> str:
    return " or ".join(telephones)
