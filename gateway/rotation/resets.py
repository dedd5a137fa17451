"""Replacing the passwords that are due, a batch at a time.

Rules
- The due date is part of the change: an account is reset only while it is still due at the moment it was read at, so
  neither a second host nor a second run resets it again (store/credentials.py).
- A batch is hashed first and then committed together; a crash before the commit leaves the batch due, after it done.
- A lease keeps two hosts from hashing the same batch in vain. Losing it breaks nothing.
- The new password goes nowhere but into its hash and, where sealing is on, its seal. Nobody is shown it here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from gateway import log as logs
from gateway.clock import Clock
from gateway.domain.ids import new_id
from gateway.domain.records import Account
from gateway.rotation.plan import Plan
from gateway.store import Store, accounts, credentials, leases, one_by_one
from gateway.store.credentials import Credential

log = logs.get(__name__)

BATCH = 200
LEASE = timedelta(minutes=5)
"""Longer than a batch takes to hash on a slow machine; a host that died is waited for this long."""

Issue = Callable[[str], Awaitable[Credential]]
"""Makes a new password for the account with this id, and returns what is kept of it."""

_take = one_by_one(leases.take)
_give_back = one_by_one(leases.give_back)


class Resets:
    """The scheduled resets, as one process carries them out."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        plan: Plan,
        issue: Issue,
        *,
        actor: str = "gateway",
        origin: str | None = None,
        batch: int = BATCH,
    ) -> None:
        self._store = store
        self._clock = clock
        self._plan = plan
        self._issue = issue
        self._actor = actor
        self._origin = origin
        self._batch = batch
        self._holder = new_id()

    async def due(self) -> list[Account]:
        """The accounts whose reset is due."""
        async with self._store.reading() as connection:
            return await accounts.due(connection, self._clock.now())

    async def round(self) -> bool:
        """Reset one batch; True if more is waiting. Housekeeping's job."""
        async with self._store.reading() as connection:
            if not await accounts.due(connection, self._clock.now(), limit=1):
                return False
        lease = self._lease()
        if not await self._store.write(_take, lease):
            return False
        done = await self._reset_batch()
        if done:
            log.info("passwords reset", accounts=done)
            return True
        await self._store.write(_give_back, lease)
        return False

    async def everything(self, progress: Callable[[int], None] = lambda done: None) -> int:
        """Reset all that is due, another host's share included; *progress* is told of each batch. The operator's."""
        total = 0
        while done := await self._reset_batch(progress):
            total += done
        return total

    async def _reset_batch(self, progress: Callable[[int], None] = lambda done: None) -> int:
        """Reset up to a batch of accounts; how many are no longer due for it, whoever did it."""
        now = self._clock.now()
        async with self._store.reading() as connection:
            batch = await accounts.due(connection, now, limit=self._batch)
        # Hashing is most of the time: the issuer bounds how many run at once.
        issued = await asyncio.gather(*(self._issue(account.id) for account in batch))
        now = self._clock.now()
        overlap = now + self._plan.overlap if self._plan.overlap else None
        await asyncio.gather(
            *(
                self._store.write(
                    credentials.reset,
                    credentials.Reset(
                        account.id,
                        credential,
                        at=now,
                        next_reset=self._plan.next_reset(account, now),
                        due_at=account.next_reset,
                        overlap_until=overlap,
                        actor=self._actor,
                        origin=self._origin,
                    ),
                )
                for account, credential in zip(batch, issued, strict=True)
            )
        )
        progress(len(batch))
        return len(batch)

    def _lease(self) -> leases.Lease:
        now = self._clock.now()
        return leases.Lease("password resets", self._holder, now, now + LEASE)
