"""An FTPS door of a test's own: the real one, in a thread of this process, on free ports, over a real store.

It has customers, SRs, settings and clients of its own; what the store holds afterwards is asked through ``Door.ask``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from gateway import selfsigned
from gateway.access import Hashing, Parameters
from gateway.config import Config
from gateway.domain.ids import new_id
from gateway.domain.records import Account, AccountState, Request, Version
from gateway.doorway import Doorway
from gateway.ftps import door as ftps_door
from gateway.store import Store, accounts, files, one_by_one, requests
from gateway.testing.running import HOST, free_range
from gateway.testing.waiting import PATIENCE
from gateway.testing.wire import Wire

Result = TypeVar("Result")
PASSWORD = "correct horse battery staple"


@dataclass
class Customer:
    login: str
    account: Account
    password: str = PASSWORD


class Door:
    """A running FTPS door and what is behind it."""

    def __init__(self, folder: Path, settings: dict[str, Any], ports: int, family: int) -> None:
        self.folder = folder
        self.certificate = folder / "certificate.pem"
        self.private_key = folder / "key.pem"
        self.family = family
        low = free_range(ports)
        ftps: dict[str, Any] = {
            "host": HOST if family == socket.AF_INET else "::1",
            "port": 1,
            "passive_ports": f"{low}-{low + ports - 1}",
            "certificate": self.certificate,
            "private_key": self.private_key,
        }
        sections = {name: dict(values) for name, values in settings.items()}
        ftps |= sections.pop("ftps", {})
        self.host: str = ftps["host"]
        selfsigned.make(self.certificate, self.private_key, ["localhost", HOST, "::1", self.host])
        gateway = {"state_dir": folder / "state", "hostname": "gateway.example.com", "drain_timeout": "5 s"}
        gateway |= sections.pop("gateway", {})
        spool = {"free_disk_reserve": 0} | sections.pop("spool", {})
        (folder / "state").mkdir(exist_ok=True)
        everything: dict[str, Any] = {"gateway": gateway, "ftps": ftps, "spool": spool, **sections}
        self.config = Config(**everything)
        self.low = min(self.config.ftps.passive_ports)
        self.listening = socket.socket(family)
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind((self.host, 0))
        self.listening.listen(100)
        self.listening.setblocking(False)
        self.port: int = self.listening.getsockname()[1]
        self._thread: threading.Thread | None = None
        self._hash = asyncio.run(_hash_of(PASSWORD))

    # -- life

    def start(self) -> None:
        ready = threading.Event()
        self._failed: BaseException | None = None

        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            self.doorway = Doorway("ftps", self.config, (self.listening,), tell_ready=ready.set)
            await ftps_door.serve(self.doorway)

        def run() -> None:
            try:
                asyncio.run(main())
            except BaseException as error:
                self._failed = error
            finally:
                ready.set()

        self._thread = threading.Thread(target=run, name="door", daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE)
        if self._failed is not None:
            raise self._failed

    def stop(self, within: float = 0.0) -> None:
        if self._thread is not None:
            with contextlib.suppress(RuntimeError):  # it was told before, and its loop has ended
                self.loop.call_soon_threadsafe(self.doorway.stop, within)
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "the door did not stop"
            self._thread = None
            if self._failed is not None:
                raise self._failed

    def close(self) -> None:
        self.stop()
        self.listening.close()

    # -- what is behind it

    def ask(self, question: Callable[[Store], Coroutine[Any, Any, Result]]) -> Result:
        """Ask, or change, the store; from a loop of our own, as another process would."""

        async def asking() -> Result:
            store = await Store.open(self.config.store_url)
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(asking())

    def customer(self, login: str = "acme", **values: Any) -> Customer:
        now = datetime.now(UTC)
        account = Account(
            id=new_id(),
            login=login,
            sold_to=f"{login} Ltd",
            end_user=f"{login} Ltd",
            region=None,
            state=AccountState.ACTIVE,
            agreement_ends=None,
            password_hash=self._hash,
            password_set_at=now,
            next_reset=None,
            created_at=now,
            **values,
        )
        self.ask(lambda store: store.write(one_by_one(accounts.add), account))
        return Customer(login, account)

    def sr(self, number: str, customer: Customer, *, closed: bool = False) -> None:
        now = datetime.now(UTC)
        status, sub = ("Closed", "Problem Resolved") if closed else ("Open", "New")
        new = Request(number, customer.account.id, status, sub, None, None, now, now, now if closed else None)
        self.ask(lambda store: store.write(one_by_one(requests.add), new))

    def close_sr(self, number: str) -> None:
        async def closed(tx: Any, number: str) -> None:
            await requests.set_status(tx, number, "Closed", "Problem Resolved", datetime.now(UTC), closed=True)

        self.ask(lambda store: store.write(one_by_one(closed), number))

    def versions(self, customer: Customer | None = None) -> Sequence[Version]:
        async def listing(store: Store) -> Sequence[Version]:
            async with store.reading() as connection:
                return await files.listing(connection, account_id=None if customer is None else customer.account.id)

        return self.ask(listing)

    def activity(self, customer: Customer) -> dict[str, Any]:
        """What is noted of the account's clients."""

        async def noted(store: Store) -> dict[str, Any]:
            async with store.reading() as connection:
                return await accounts.activity(connection, customer.account.id)

        return self.ask(noted)

    def content(self, version: Version) -> bytes:
        """The bytes of a version, complete or partial."""
        spool = self.folder / "state"
        if version.sha256 is None:
            return (spool / "incoming" / version.id).read_bytes()
        return (spool / "files" / version.sha256[:2] / f"{version.sha256}.{version.id}").read_bytes()

    # -- clients

    def trusting(self, *, tls: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        if tls is not None:
            version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[tls]
            context.minimum_version = context.maximum_version = version
        return context

    def client(self, customer: Customer | None = None, *, tls: str | None = None) -> Client:
        client = Client(context=self.trusting(tls=tls), timeout=PATIENCE)
        client.connect(self.host, self.port)
        if customer is not None:
            client.login(customer.login, customer.password)
            client.prot_p()
        return client

    def talk(
        self, customer: Customer | None = None, *, tls: str | None = None, context: ssl.SSLContext | None = None
    ) -> Talk:
        """A raw conversation; logged in and ready for transfers if a customer is given."""
        talk = Talk(socket.create_connection((self.host, self.port), PATIENCE))
        talk.door = self
        talk.context = context or self.trusting(tls=tls)
        if customer is not None:
            talk.log_in(customer)
        return talk


class Talk(Wire):
    """A raw control connection, and raw data connections that behave as badly as a test wants."""

    door: Door
    context: ssl.SSLContext

    def secure(self) -> None:
        self.talk("S: 220 *\nC: AUTH TLS\nS: 234 *")
        self.start_tls(self.context)

    def log_in(self, customer: Customer) -> None:
        self.secure()
        self.command(f"USER {customer.login}")
        told = self.command(f"PASS {customer.password}")
        assert told.startswith("230"), told
        self.talk("C: PBSZ 0\nS: 200 *\nC: PROT P\nS: 200 *\nC: TYPE I\nS: 200 *")

    def port(self) -> int:
        """A data port, by EPSV."""
        told = self.command("EPSV")
        assert told.startswith("229"), told
        return int(told.split("|||")[1].split("|")[0])

    def connect_data(self, port: int | None = None, *, source: str | None = None) -> socket.socket:
        """A TCP connection to a data port, from an address of its own if *source* is given."""
        port = self.port() if port is None else port
        return socket.create_connection((self.door.host, port), PATIENCE, None if source is None else (source, 0))

    def secure_data(self, sock: socket.socket, *, resume: bool = True) -> ssl.SSLSocket:
        """TLS on a data connection, resuming the control connection's session or not."""
        session = self.socket.session if resume else None  # type: ignore[attr-defined]
        return self.context.wrap_socket(sock, server_hostname="localhost", session=session)

    def begin(self, command: str, *, resume: bool = True) -> ssl.SSLSocket:
        """A transfer up to the point where its bytes go over the data connection returned."""
        sock = self.connect_data()
        try:
            told = self.command(command)
            assert told.startswith("150"), told
            return self.secure_data(sock, resume=resume)
        except BaseException:  # refused: nothing is left open for the garbage collector to complain about
            sock.close()
            raise

    def put(self, path: str, content: bytes, *, verb: str = "STOR") -> str:
        """A well-behaved upload; the last reply."""
        data = self.begin(f"{verb} {path}")
        data.sendall(content)
        data.unwrap().close()
        return "\n".join(self.reply())

    def cut(self, path: str, content: bytes, *, how: str = "fin", verb: str = "STOR") -> str:
        """An upload that ends without close_notify: by FIN or by RST; the last reply."""
        data = self.begin(f"{verb} {path}")
        data.sendall(content)
        hang_up(data, how)
        return "\n".join(self.reply())


def hang_up(sock: socket.socket, how: str) -> None:
    """End a connection by FIN or by RST, whatever TLS thinks of it."""
    if how == "rst":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Client(ftplib.FTP_TLS):
    """Python's client, which resumes the control connection's TLS session on data connections, as most clients do."""

    resume = True

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:  # type: ignore[attr-defined]
            session = self.sock.session if self.resume else None  # type: ignore[union-attr]
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=session)
        return conn, size

    def put(self, path: str, content: bytes, *, rest: int | None = None, verb: str = "STOR") -> str:
        """Upload bytes; the last reply."""
        data = self.transfercmd(f"{verb} {path}", rest)
        data.sendall(content)
        data.unwrap().close()  # type: ignore[attr-defined]
        return self.voidresp()

    def get(self, path: str, *, rest: int | None = None) -> bytes:
        got = bytearray()
        self.retrbinary(f"RETR {path}", got.extend, rest=rest)
        return bytes(got)

    def names(self, path: str = "") -> list[str]:
        return [name for name, _ in self.mlsd(path)]


async def _hash_of(password: str) -> str:
    hashing = Hashing(Parameters(memory=64, passes=1))
    try:
        return await hashing.hash(password)
    finally:
        hashing.close()
