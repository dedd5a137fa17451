"""Where an operator works: the configuration, the open store and spool, the clock, and who it is."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Final, TypeVar

from gateway.clock import Clock, SystemClock
from gateway.config import Config
from gateway.domain.calendar import local_day
from gateway.domain.records import Account, Contact, Request
from gateway.spool import Spool
from gateway.store import Store, Transaction, accounts, audit, contacts, one_by_one, requests
from gateway.store.accounts import Taken

Result = TypeVar("Result")
Step = Callable[[Transaction], Awaitable[Any]]


class Refused(Exception):
    """What was asked for is not done; the text says why, and what to do instead."""


@dataclass(frozen=True)
class Desk:
    """One operator's place. *actor* and *origin* go into the audit trail."""

    config: Config
    store: Store
    actor: str
    origin: str | None = None
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def spool(self) -> Spool:
        """The bytes; the folder is made when it is first asked for."""
        return Spool(self.config.gateway.state_dir)

    def today(self, region: str | None) -> date:
        """The date in a region: an agreement's last day is the account's own."""
        return local_day(self.clock.now(), self.config.places.of(region))

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """A connection for queries."""
        return self.store.reading()

    async def act(
        self, action: str, subject: str, step: Callable[[Transaction], Awaitable[Result]], **detail: Any
    ) -> Result:
        """Run *step* and append its audit entry, in one transaction. Raises Refused where the store says taken."""
        entry = audit.Entry(self.clock.now(), self.actor, action, subject, detail, self.origin)
        try:
            result: Result = await self.store.write(_ACT, (step, entry))
        except Taken as error:
            raise Refused(f"{error}; nothing was changed") from None
        return result


async def _act(tx: Transaction, item: tuple[Step, audit.Entry]) -> Any:
    step, entry = item
    result = await step(tx)
    await audit.append(tx, entry)
    return result


_ACT: Final = one_by_one(_act)


async def account_of(connection: Transaction, login: str) -> Account:
    """The account of a login. Raises Refused."""
    found = await accounts.by_login(connection, login)
    if found is None:
        raise Refused(f"there is no account {login}; `gateway account list` shows all")
    return found


async def account_of_id(connection: Transaction, account_id: str) -> Account:
    """The account of an id that another row holds."""
    found = await accounts.by_id(connection, account_id)
    assert found is not None
    return found


async def contact_of(connection: Transaction, email: str) -> Contact:
    """The contact of an address. Raises Refused."""
    found = await contacts.by_email(connection, email)
    if found is None:
        raise Refused(f"there is no contact {email}; `gateway contact list` shows all")
    return found


async def request_of(connection: Transaction, number: str) -> Request:
    """The SR of a number. Raises Refused."""
    found = await requests.by_number(connection, number)
    if found is None:
        raise Refused(f"there is no SR {number}; `gateway sr list` shows all")
    return found
