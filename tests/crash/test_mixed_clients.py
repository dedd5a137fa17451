"""Many uploads at once by four kinds of clients, a fifth of them cut at random points by FIN, RST or kill.

At the end the store has exactly what the replies said. Seeded; ``GATEWAY_CRASH_UPLOADS`` says how many (``make crash``:
500), ``GATEWAY_CRASH_SEED`` which.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import ssl
import struct
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from crash.told import LOST, Kept, Told, connect, upload

from gateway.testing import Login, RunningGateway, running_gateway

UPLOADS = int(os.environ.get("GATEWAY_CRASH_UPLOADS", "40"))
SEED = int(os.environ.get("GATEWAY_CRASH_SEED", "1"))
AT_ONCE = 6
CLIENTS = ("curl", "lftp", "ftplib", "raw")
CUTS = ("FIN", "RST", "kill")


@dataclass(frozen=True)
class Plan:
    """One upload: who sends how much, and where it is cut (bytes; by FIN or RST) or when it is killed (seconds)."""

    name: str
    client: str
    size: int
    cut: str | None
    at: float

    @property
    def content(self) -> bytes:
        return random.Random(self.name).randbytes(self.size)


def plans() -> list[Plan]:
    chance = random.Random(SEED)
    made = []
    for number in range(UPLOADS):
        cut = chance.choice(CUTS) if number % 5 == 0 else None
        client = chance.choice(CLIENTS[:2] if cut == "kill" else CLIENTS[3:] if cut else CLIENTS)
        size = chance.randrange(1, 2 << 20)
        at = chance.uniform(0.05, 1.5) if cut == "kill" else chance.uniform(0, size * 0.99)
        made.append(Plan(f"{number:03d}-{client}-{cut}.bin", client, size, cut, at))
    return made


class Customer:
    """Carries plans out against one gateway."""

    def __init__(self, gateway: RunningGateway, account: Login, folder: Path) -> None:
        self.gateway, self.account, self.folder = gateway, account, folder
        self.host, self.port = gateway.addresses["ftps"]

    def carry_out(self, plan: Plan) -> Told:
        if plan.client == "ftplib":
            client = connect(self.gateway, self.account)
            told = upload(client, plan.name, plan.content)
            client.close()
            return told
        if plan.client == "raw":
            return self.raw(plan)
        file = self.folder / plan.name
        file.write_bytes(plan.content)
        return self.program(plan, self.curl(file, plan) if plan.client == "curl" else self.lftp(file, plan))

    def curl(self, file: Path, plan: Plan) -> list[str]:
        slowly = ["--limit-rate", "300k"] if plan.cut else []
        user = f"{self.account.login}:{self.account.password}"
        url = f"ftp://{self.host}:{self.port}/{plan.name}"
        return ["curl", "-sv", "--insecure", "--ssl-reqd", *slowly, "-u", user, "-T", str(file), url]

    def lftp(self, file: Path, plan: Plan) -> list[str]:
        settings = "set ssl:verify-certificate no; set ftp:ssl-force yes; set net:max-retries 1; set cmd:fail-exit yes;"
        slowly = "set net:limit-rate 300000;" if plan.cut else ""
        put = f"debug 9; put {file} -o {plan.name}; bye"
        user = f"{self.account.login},{self.account.password}"
        return ["lftp", "--norc", "-u", user, "-p", str(self.port), "-e", settings + slowly + put, self.host]

    def program(self, plan: Plan, command: list[str]) -> Told:
        """Run a program to its end, or kill it; the reply that it shows."""
        running = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if plan.cut:
            time.sleep(plan.at)  # the point of it: anywhere
            running.send_signal(signal.SIGKILL)
        shown = running.communicate(timeout=120)[0]
        replies = re.findall(r"^<(?:---)? (.*)$", shown, re.MULTILINE)
        last = [line for line in replies if line[:3] in ("226", "426", "451", "452", "550", "552")]
        return Told(int(last[-1][:3]), "\n".join(last)) if last else Told(0, shown[-500:])

    def raw(self, plan: Plan) -> Told:
        """A client of bare sockets, which sends odd pieces and ends as its plan says."""
        pieces = random.Random(plan.name)
        with self.gateway.wire("ftps") as wire:
            wire.reply()
            assert wire.command("AUTH TLS").startswith("234")
            wire.start_tls(self.gateway.tls())
            for line in (f"USER {self.account.login}", f"PASS {self.account.password}", "PBSZ 0", "PROT P", "TYPE I"):
                wire.command(line)
            port = int(wire.command("EPSV").split("|")[3])
            assert wire.command(f"STOR {plan.name}").startswith("150")
            assert isinstance(wire.socket, ssl.SSLSocket)
            plain = socket.create_connection((self.host, port), timeout=60)
            with wire.socket.context.wrap_socket(
                plain, server_hostname="localhost", session=wire.socket.session, suppress_ragged_eofs=True
            ) as data:
                rest = memoryview(plan.content)[: int(plan.at) if plan.cut else None]
                while rest:
                    count = data.send(rest[: pieces.randrange(1, 200_000)])
                    rest = rest[count:]
                if plan.cut == "RST":
                    data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif plan.cut is None:
                    data.unwrap()
            try:
                words = "\n".join(wire.reply())
            except LOST as error:
                return Told(0, str(error))
        return Told(int(words[:3]), words)


SETTINGS = {"ftps": {"processes": 2, "limits": {"sessions_per_address": 200}}, "smtp": {"enabled": False}}


def test_the_store_has_exactly_what_the_replies_said(tmp_path: Path) -> None:
    asked = plans()
    with running_gateway(SETTINGS) as gateway:
        account = gateway.add_account("Acme")
        customer = Customer(gateway, account, tmp_path)
        with ThreadPoolExecutor(AT_ONCE) as several:
            told = dict(zip(asked, several.map(customer.carry_out, asked), strict=True))
        gateway.restart()
        kept = Kept(gateway, account, sr=None)
        for plan, words in told.items():
            kept.judge_upload(plan.name, plan.content, words)
            if plan.cut is None:
                assert words.code == 226, f"{plan.name}: {words}"
            elif plan.cut != "kill":
                assert words.code == 426, f"{plan.name}: {words}"
                bytes_kept = re.search(r"(\d+) bytes are kept", words.words)
                sizes = [(file["state"], file["size"]) for file in kept.versions(plan.name)]
                assert sizes == ([("partial", int(bytes_kept[1]))] if bytes_kept else [])
        cut = Counter(plan.cut for plan in asked)
        assert cut[None] == UPLOADS - (UPLOADS + 4) // 5
        kept.audit()
