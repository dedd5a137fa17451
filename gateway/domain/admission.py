"""Who gets in: the decision at a login, and the decision that a session that got in must end.

Rules: the checks and their order are a table of ``if``, top to bottom; the first that holds decides. Nothing but
exactly the present or the former password is answered with anything but ``WRONG``, and of a disabled account nothing
is: a wrong password, an unknown login and a disabled account can't be told apart.

Pure: what the store and the password check found comes in, and now; a decision with its words comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from gateway.domain.calendar import Place, local_day
from gateway.domain.records import Account, AccountState
from gateway.domain.replies import Refusal, Reply, login


class Match(Enum):
    """Which of an account's two passwords somebody gave."""

    PRESENT = "present"
    FORMER = "former"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A login that holds: whose, under which session epoch, until when, and what the 230 says."""

    account: Account
    valid_until: datetime | None
    """When the password that was given ends: the next reset, or for a former one the end of the overlap."""
    reply: Reply
    with_former: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The lines of the 230."""
        return self.reply.lines


class WrongPassword(Refusal):
    """Neither password, or none that opens anything: the refusal that counts as a strike."""


class FormerPassword(Refusal):
    """The former password after its end: told so, and no strike, for nobody guesses one."""


def admit(account: Account | None, match: Match, now: datetime, place: Place) -> Admitted:
    """Let somebody in who gave a password that *match*-es. Raises Refusal."""
    if account is None:
        raise WrongPassword(login.WRONG, "no such login")
    if match is Match.NEITHER:
        raise WrongPassword(login.WRONG, "wrong password")
    if account.state is not AccountState.ACTIVE:
        raise WrongPassword(login.WRONG, f"account {account.state}")
    overlap_ends = account.former_valid_until
    if match is Match.FORMER and (overlap_ends is None or now >= overlap_ends):
        ended_at = account.former_ended_at or account.password_set_at
        raise FormerPassword(login.ended(ended_at, place), "former password")
    today = local_day(now, place)
    if account.agreement_ends is not None and not account.current_on(today):
        raise Refusal(login.agreement_ended(account.agreement_ends, place), "agreement ended")
    if match is Match.FORMER and overlap_ends is not None:
        return Admitted(account, overlap_ends, login.admitted_with_former(now, overlap_ends, place), with_former=True)
    return Admitted(account, account.next_reset, login.admitted(now, account.next_reset, place))


def session_ends(admitted: Admitted, account: Account | None, now: datetime, place: Place) -> Reply | None:
    """The 421 with which a session must end, its running transfers first; None while it may go on.

    *account* is the account as the store has it now. A session epoch one behind means one reset: within the overlap
    the password that opened the session still works, and so does the session.
    """
    if account is None or account.state is not AccountState.ACTIVE:
        return login.session_disabled(place)
    if not account.current_on(local_day(now, place)):
        return login.session_agreement_ended(place)
    in_overlap = account.former_valid_until is not None and now < account.former_valid_until
    behind = account.session_epoch - admitted.account.session_epoch
    if behind > 1 or (behind == 1 and (admitted.with_former or not in_overlap)):
        return login.PASSWORD_RESET
    if behind == 1 or not admitted.with_former:
        return None
    return None if in_overlap else login.FORMER_ENDED
