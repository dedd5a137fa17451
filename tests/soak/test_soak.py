"""Customers come and go for a long time: nothing is lost, and nothing is left behind in the doors' processes.

Laps of load with a rest between them. At each rest the descriptors, threads and memory of every process are counted:
what grows from lap to lap would wake an operator some night. At the end everything that was told is there.

``GATEWAY_SOAK_LAPS`` and ``GATEWAY_SOAK_SECONDS`` (a lap) say how long, ``GATEWAY_SOAK_SEED`` what (``make soak``: half
an hour). ``-s`` shows each rest.
"""

from __future__ import annotations

import ftplib
import os
import random
import socket
import statistics
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from crash.told import SENDER, SR, Kept, Told, connect, message, send, upload

from gateway.testing import Login, RunningGateway, running_gateway, until

LAPS = int(os.environ.get("GATEWAY_SOAK_LAPS", "4"))
SECONDS = float(os.environ.get("GATEWAY_SOAK_SECONDS", "3"))
SEED = int(os.environ.get("GATEWAY_SOAK_SEED", "1"))
CUSTOMERS, WRITERS = 4, 2
PROCESSES = 2

MORE_DESCRIPTORS, MORE_THREADS = 24, 12
"""What a process may have more after a lap than after the first: pools fill up, and then stay as they are."""
MORE_MIB = 16
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close() send RST."""


def abort(connection: socket.socket | None) -> None:
    """End a connection with RST."""
    assert connection is not None
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    connection.close()


@dataclass(frozen=True)
class Rest:
    """What a process holds while nobody is there."""

    descriptors: int
    threads: int
    mib: float

    @classmethod
    def of(cls, pid: int) -> Rest:
        proc = Path(f"/proc/{pid}")
        pages = int((proc / "statm").read_text().split()[1])
        return cls(
            len(os.listdir(proc / "fd")), len(os.listdir(proc / "task")), pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
        )


class Somebody(threading.Thread):
    """Does one thing after the other until the lap is over; what they were told is kept."""

    def __init__(self, gateway: RunningGateway, account: Login, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.gateway, self.account = gateway, account
        self.chance = random.Random(f"{SEED} {name}")
        self.over = threading.Event()
        self.did: Counter[str] = Counter()
        self.told: dict[str, Told] = {}
        self.defect: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.over.is_set():
                did = self.chance.choice(self.what)
                did(self)
                self.did[did.__name__] += 1
        except BaseException as defect:
            self.defect = defect

    what: tuple = ()

    def new_name(self) -> str:
        return f"{self.name}-{len(self.told)}"


class Customer(Somebody):
    """Sends files by FTPS."""

    def content(self, name: str) -> bytes:
        chance = random.Random(name)
        return chance.randbytes(chance.choice((1_000, 70_000, 1 << 20)))

    def sends_files(self) -> None:
        client = connect(self.gateway, self.account)
        for _ in range(self.chance.randrange(1, 6)):
            name = self.new_name()
            self.told[name] = upload(client, name, self.content(name))
        client.quit()

    def cut(self, client: ftplib.FTP_TLS, name: str) -> None:
        """Break off an upload anywhere: RST on the data connection."""
        content = self.content(name)
        data, _ = client.ntransfercmd(f"STOR {name}")
        data.sendall(content[: self.chance.randrange(1, len(content))])
        abort(data)

    def is_cut_and_goes_on(self) -> None:
        name = self.new_name()
        client = connect(self.gateway, self.account)
        self.cut(client, name)
        cut = client.getmultiline()
        assert cut.startswith("426"), cut
        there = client.size(name) if name in client.nlst() else None  # a RST can overtake what was sent before it
        self.told[name] = upload(client, name, self.content(name), there)
        client.quit()

    def is_cut_and_gives_up(self) -> None:
        client = connect(self.gateway, self.account)
        self.cut(client, f"given-up-{self.new_name()}")
        abort(client.sock)
        client.close()

    def fetches_one(self) -> None:
        names = [name for name, told in self.told.items() if told.kept]
        if names:
            name, got = self.chance.choice(names), bytearray()
            client = connect(self.gateway, self.account)
            client.retrbinary(f"RETR {name}", got.extend)
            client.quit()
            assert got == self.content(name), name

    def hangs_up(self) -> None:
        with self.gateway.wire("ftps") as wire:
            wire.reply()
            if self.chance.random() < 0.5:
                wire.command("AUTH TLS")

    what = (sends_files, sends_files, is_cut_and_goes_on, is_cut_and_gives_up, fetches_one, hangs_up)


class Writer(Somebody):
    """Sends mail."""

    def mail(self, name: str) -> EmailMessage:
        mail = message(name)
        if self.chance.random() < 0.3:
            mail.add_attachment(random.Random(name).randbytes(200_000), "application", "octet-stream", filename="a.bin")
        return mail

    def writes(self) -> None:
        name = self.new_name()
        self.told[name] = send(self.gateway, self.mail(name))

    def writes_twice(self) -> None:
        name = self.new_name()
        mail = self.mail(name)
        self.told[name] = send(self.gateway, mail)
        assert send(self.gateway, mail) == self.told[name]

    def has_no_sr(self) -> None:
        mail = message("x")
        mail.replace_header("Subject", "It is broken")
        assert send(self.gateway, mail).code == 550

    def hangs_up(self) -> None:
        with self.gateway.wire("smtp") as wire:
            wire.reply()
            wire.command("EHLO client.example.com")

    what = (writes, writes, writes_twice, has_no_sr, hangs_up)


def rest(gateway: RunningGateway) -> dict[str, Rest]:
    """What each door's process holds once what the last lap left to do is done."""
    found: dict[str, Rest] = {}

    def still() -> bool:
        nonlocal found
        before, found = found, {name: Rest.of(pid) for name, pid in gateway.doors().items()}
        return {n: r.descriptors for n, r in before.items()} == {n: r.descriptors for n, r in found.items()}

    time.sleep(2.5)  # gateway/heap.py gives memory back every two seconds
    until(still, "nothing moves")
    return found


def test_what_comes_and_goes_leaves_nothing_behind() -> None:
    limits = {"logins_per_minute": 100_000, "sessions_per_address": 1_000}
    doors = {"ftps": {"processes": PROCESSES, "limits": limits}, "smtp": {"processes": PROCESSES}}
    with running_gateway(doors) as gateway:
        account = gateway.add_account("Acme")
        gateway.add_contact(SENDER, account.login)
        gateway.add_sr(SR, account.login)
        people: list[Somebody] = []
        rests: list[dict[str, Rest]] = []
        for lap in range(LAPS):
            now = [Customer(gateway, account, f"customer-{lap}-{each}") for each in range(CUSTOMERS)]
            now += [Writer(gateway, account, f"writer-{lap}-{each}") for each in range(WRITERS)]
            for each in now:
                each.start()
            now[0].over.wait(SECONDS)
            for each in now:
                each.over.set()
            for each in now:
                each.join(90)
                if each.defect:
                    raise each.defect
            people += now
            rests.append(rest(gateway))
            print(f"lap {lap}: {sum((each.did for each in now), Counter())}", *rests[-1].items(), sep="\n  ")
        told = {name: words for each in people for name, words in each.told.items()}
        assert {words.kept for words in told.values()} == {True}, [each for each in told.values() if not each.kept]
        kept = Kept(gateway, account)
        for each in people:
            for name, words in each.told.items():
                if isinstance(each, Customer):
                    kept.judge_upload(name, each.content(name), words)
                else:
                    kept.judge_mail(name, words)
        kept.audit()
        grown(rests)


def grown(rests: list[dict[str, Rest]]) -> None:
    """Fail where a process holds more after the last laps than after the first ones."""
    for name in rests[0]:
        after = [each[name] for each in rests]
        early, late = after[: max(1, len(after) // 4)], after[-max(1, len(after) // 4) :]
        assert late[-1].descriptors <= early[0].descriptors + MORE_DESCRIPTORS, (name, after)
        assert late[-1].threads <= early[0].threads + MORE_THREADS, (name, after)
        first, last = (statistics.median(each.mib for each in some) for some in (early, late))
        assert last <= first + MORE_MIB, (name, after)
