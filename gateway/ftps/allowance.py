"""What an account and an address may have: sessions, transfers, bandwidth, bytes; its own limits, else everybody's.

Counted over all sessions of the door: whoever was counted is let go once. A crash leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gateway.domain.records import Account, Version
from gateway.domain.replies import Refusal, ftp
from gateway.domain.throttle import address_subject
from gateway.ftps.limits import Throttle
from gateway.ftps.tree import used_by

if TYPE_CHECKING:
    from gateway.ftps.server import Shared


LOGGED_IN = "logged in"
"""What the tally calls the sessions that have logged in, all accounts together."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far an upload may grow, in bytes; None: as far as the disk has room."""

    largest: int | None = None
    quota_left: int | None = None


class Allowance:
    """One logged-in session's share of its account's, and of its address's."""

    def __init__(self, account: Account, shared: Shared, address: str) -> None:
        """Count a session of the account. Raises Refusal where it has enough."""
        self._account = account
        self._shared = shared
        most = account.limits.get("sessions_per_account", shared.settings.sessions_per_account)
        self._sessions, self._transfers = f"sessions of {account.id}", f"transfers of {account.id}"
        self._transfers_from = f"transfers from {address_subject(address)}"
        if not shared.tally.admit(self._sessions, most):
            raise Refusal(ftp.TOO_MANY_OF_ACCOUNT)
        shared.tally.add(LOGGED_IN)
        self.throttles: tuple[Throttle, ...] = (
            *shared.throttles.of(
                account.id, self.limit("bandwidth_per_account"), partial(self._share, self._transfers)
            ),
            *shared.throttles.of(
                self._transfers_from,
                shared.settings.bandwidth_per_address,
                partial(self._share, self._transfers_from),
            ),
            *(Throttle(rate) for rate in [self.limit("bandwidth_per_session")] if rate is not None),
        )

    def leave(self) -> None:
        """The session is over."""
        self._shared.tally.let_go(LOGGED_IN)
        self._shared.tally.let_go(self._sessions)

    def limit(self, name: str) -> int | None:
        """A limit of the account's own, else everybody's; None or 0: there is none."""
        everybodys: int | None = getattr(self._shared.settings, name)
        return self._account.limits.get(name, everybodys) or None

    def begin_transfer(self) -> None:
        """Count one more transfer of the account and the address. Raises Refusal where one of them has enough."""
        tally = self._shared.tally
        if not tally.admit(self._transfers, self.limit("transfers_per_account") or 0):
            raise Refusal(ftp.TOO_MANY_TRANSFERS)
        if not tally.admit(self._transfers_from, self._shared.settings.transfers_per_address or 0):
            tally.let_go(self._transfers)
            raise Refusal(ftp.TOO_MANY_TRANSFERS_FROM_YOU)

    def end_transfer(self) -> None:
        """The transfer that ``begin_transfer`` counted is over, or did not come to be."""
        self._shared.tally.let_go(self._transfers)
        self._shared.tally.let_go(self._transfers_from)

    def _share(self, transfers: str) -> float:
        """How many of these transfers are this process's."""
        tally = self._shared.tally
        return max(1, tally.here(transfers)) / max(1, tally.count(transfers))

    def bounds(self, announced: int, there: Version | None = None, *, partials: bool = True) -> Bounds:
        """How large the next upload may become. Raises Refusal where *announced* bytes are too many already.

        *there* is the partial that it goes on with, which is counted already; *partials* false leaves all of them out,
        for who does not know yet which one that is.
        """
        shared = self._shared
        room = shared.spool.free() - shared.settings.free_disk_reserve
        if not partials:  # what is there of it takes no room again
            whole, without = (
                shared.bridge.run(used_by(shared.store, self._account.id, partials=p)) for p in (True, False)
            )
            room += whole - without
        if room <= announced - (0 if there is None else there.size):
            raise Refusal(ftp.DISK_FULL, f"{room} bytes of the disk are free above the reserve")
        largest, quota, left = self.limit("largest_file"), self.limit("quota"), None
        if quota is not None:
            used = shared.bridge.run(used_by(shared.store, self._account.id, partials=partials))
            left = max(0, quota - used + (0 if there is None else there.size))
        if largest is not None and announced > largest:
            raise Refusal(ftp.too_large(largest))
        if left is not None and (announced > left or left == 0):
            raise Refusal(ftp.over_quota(left))
        return Bounds(largest, left)

    @contextmanager
    def fits(self, upload: str, size: int) -> Iterator[None]:
        """Hold *size* bytes of the quota for an upload that is all here, until it is settled. Raises Refusal.

        Others that began when there was room for each of them may have ended meanwhile. Of what another process settles
        at this very moment nothing is known here: a quota is passed by that much at the most.
        """
        quota, shared, account = self.limit("quota"), self._shared, self._account.id
        if quota is None:
            yield
            return
        with shared.settling:
            held = shared.held.setdefault(account, {})
            used = shared.bridge.run(used_by(shared.store, account, but=[*held, upload])) + sum(held.values())
            if used + size > quota:
                raise Refusal(ftp.over_quota(max(0, quota - used)))
            held[upload] = size
        try:
            yield
        finally:
            with shared.settling:
                del held[upload]
