"""The mail door alone, in a thread of the test's own process: real sockets, a real store and spool, its own loop.

::

    with mail_door(tmp_path) as door:
        door.add_contact("eva@example.com")
        with smtplib.SMTP(*door.address) as client: …

Quicker than a whole gateway, and the test can look at the store between two commands (``door.run``).
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from gateway import selfsigned
from gateway.config.ftps import Ftps
from gateway.config.gateway import Gateway
from gateway.config.model import Config
from gateway.config.regions import Region
from gateway.config.smtp import Smtp
from gateway.domain.ids import new_id
from gateway.domain.records import Access, Account, AccountState, Contact, Grant, Request, Update
from gateway.doorway import Doorway
from gateway.smtp.door import serve
from gateway.spool import Spool
from gateway.store import Store, Transaction, accounts, contacts, mails, one_by_one, requests, updates
from gateway.store.writer import Verb
from gateway.testing import loop_lag
from gateway.testing.loop_lag import LoopLag

Result = TypeVar("Result")
HOST = "gateway.example.com"
REGION = Region(
    name="Europe",
    alias="support@example.com",
    phone=("+44 1632 960001",),
    web="https://support.example.com/new",
    after_hours_phone="+44 1632 960002",
)


class MailDoor:
    """A mail door that serves; see ``mail_door``."""

    def __init__(self, folder: Path, config: Config, listening: socket.socket) -> None:
        self.folder = folder
        self.config = config
        self.address: tuple[str, int] = listening.getsockname()[:2]
        self.certificate = str(config.ftps.certificate)
        self._listening = listening
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._doorway: Doorway | None = None
        self.said: list[str] = []
        """What it told the other processes that it would have."""
        self._store: Store | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="mail door", daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60), "the mail door is not ready"
        if self._failure is not None:
            raise self._failure

    def stop(self, within: float = 5.0) -> None:
        """End it as its supervisor does; raise what it died of."""
        if self._thread.is_alive() and self._doorway is not None:
            self._loop.call_soon_threadsafe(self._doorway.stop, within)
        self._thread.join(60)
        assert not self._thread.is_alive(), "the mail door does not end"
        if self._failure is not None:
            raise self._failure

    def hear(self, word: str) -> None:
        """Tell it what another process says."""
        assert self._doorway is not None
        self._loop.call_soon_threadsafe(self._doorway.hear, word)

    def watched(self) -> AbstractContextManager[LoopLag]:
        """See how long the door's loop is held meanwhile."""
        return loop_lag.watched(self._loop)

    def run(self, work: Callable[[Store], Coroutine[Any, Any, Result]]) -> Result:
        """Run *work* on the store, in the door's loop, and return its result."""
        assert self._store is not None
        return asyncio.run_coroutine_threadsafe(work(self._store), self._loop).result(60)

    def write(self, verb: Callable[[Transaction], Coroutine[Any, Any, Result]]) -> Result:
        """Run *verb* in a transaction of its own."""

        async def each(tx: Transaction, item: None) -> Result:
            return await verb(tx)

        async def work(store: Store) -> Result:
            each_verb: Verb[None, Result] = one_by_one(each)
            return await store.write(each_verb, None)

        return self.run(work)

    # --- who and what there is ---------------------------------------------------------------------------------------

    def add_account(
        self, login: str = "acme", *, agreement_ends: date | None = None, disabled: bool = False
    ) -> Account:
        """Add an ST/EU account in the region Europe."""
        account = Account(
            id=new_id(),
            login=login,
            sold_to=login.title(),
            end_user=login.title(),
            region=REGION.name,
            state=AccountState.DISABLED if disabled else AccountState.ACTIVE,
            agreement_ends=agreement_ends,
            password_hash="none",
            password_set_at=_now(),
            next_reset=None,
            created_at=_now(),
        )
        self.write(lambda tx: accounts.add(tx, account))
        return account

    def add_contact(self, email: str, *granted: Account, access: Access = Access.READ_WRITE) -> Contact:
        """Add a contact with *access* to the accounts *granted*."""
        contact = Contact(id=new_id(), email=email, name=email.partition("@")[0], created_at=_now())

        async def add(tx: Transaction) -> None:
            await contacts.add(tx, contact)
            for account in granted:
                await contacts.grant(tx, Grant(contact.id, account.id, access, None, None, _now()))

        self.write(add)
        return contact

    def add_sr(self, number: str, account: Account, status: str = "Open", substatus: str = "New") -> None:
        """Add an SR of *account*."""
        new = Request(number, account.id, status, substatus, None, None, _now(), _now())
        self.write(lambda tx: requests.add(tx, new))

    # --- what became of it -------------------------------------------------------------------------------------------

    def updates(self, number: str = "12345") -> list[Update]:
        """An SR's updates."""

        async def read(store: Store) -> list[Update]:
            async with store.reading() as connection:
                return await updates.of_request(connection, number)

        return self.run(read)

    def ledger(self) -> list[dict[str, Any]]:
        """Every row of the ledger, in order."""

        async def read(store: Store) -> list[dict[str, Any]]:
            async with store.reading() as connection:
                return await mails.ledger(connection)

        return self.run(read)

    def raw(self, mail_id: str) -> bytes:
        """A kept mail's bytes, wherever they are."""

        async def read(store: Store) -> bytes:
            async with store.reading() as connection:
                row = await mails.by_id(connection, mail_id)
                assert row is not None
                if row["kept"] == mails.KEPT_IN_ROW:
                    return await mails.raw(connection, mail_id) or b""
                return Spool(self.folder).path(row["sha256"], mail_id).read_bytes()

        return self.run(read)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._life())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _life(self) -> None:
        self._store = await Store.open(self.config.store_url)
        try:
            self._doorway = Doorway(
                "smtp", self.config, (self._listening,), tell_ready=self._ready.set, tell_others=self.said.append
            )
            await serve(self._doorway)
        finally:
            await self._store.close()


@contextmanager
def mail_door(folder: Path, smtp: Smtp | None = None, regions: tuple[Region, ...] = (REGION,)) -> Iterator[MailDoor]:
    """Serve a mail door with its state in *folder*; leaving ends it, and raises what it died of."""
    certificate, key = folder / "certificate.pem", folder / "private_key.pem"
    if not certificate.exists():
        selfsigned.make(certificate, key, ["localhost", "127.0.0.1"])
    config = Config(
        gateway=Gateway(state_dir=folder, hostname=HOST),
        ftps=Ftps(certificate=certificate, private_key=key),
        smtp=smtp or Smtp(),
        regions=regions,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    door = MailDoor(folder, config, listening)
    door.start()
    try:
        yield door
    finally:
        door.stop()
        listening.close()


def _now() -> datetime:
    return datetime.now(UTC)
