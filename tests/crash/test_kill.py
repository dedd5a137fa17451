"""A process of the FTPS door, and then the supervisor, is killed at a random instant while customers upload on and on.

Whatever was acknowledged in any of these lives is there, once, under its hash. ``GATEWAY_CRASH_KILLS`` says how often
(``make crash``: 20), ``GATEWAY_CRASH_SEED`` when.
"""

from __future__ import annotations

import os
import random
import signal
import threading

from crash.told import LOST, Kept, Told, connect, upload

from gateway.testing import Login, RunningGateway, running_gateway, until

KILLS = int(os.environ.get("GATEWAY_CRASH_KILLS", "2"))
SEED = int(os.environ.get("GATEWAY_CRASH_SEED", "1"))
CUSTOMERS = 3
DOORS = ["ftps", "ftps-2"]


class Customer(threading.Thread):
    """Uploads one new file after the other, over a new session wherever the last one was lost."""

    def __init__(self, gateway: RunningGateway, account: Login, number: int) -> None:
        super().__init__(daemon=True)
        self.gateway, self.account, self.number = gateway, account, number
        self.stopping = threading.Event()
        self.told: dict[str, Told] = {}

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                client = connect(self.gateway, self.account)
            except LOST:
                self.stopping.wait(0.02)
                continue
            while not self.stopping.is_set():
                path = f"{self.number}-{len(self.told)}.bin"
                self.told[path] = told = upload(client, path, content_of(path))
                if told.nothing:
                    break
            client.close()


def content_of(path: str) -> bytes:
    chance = random.Random(path)
    return chance.randbytes(chance.choice((3_000, 70_000, 2 << 20)))


def test_what_was_answered_226_survives_kill_9_and_is_there_once() -> None:
    chance = random.Random(SEED)
    with running_gateway({"ftps": {"processes": len(DOORS)}, "smtp": {"enabled": False}}) as gateway:
        account = gateway.add_account("Acme")
        customers = [Customer(gateway, account, number) for number in range(CUSTOMERS)]
        for customer in customers:
            customer.start()

        def answered() -> int:
            return sum(told.kept for customer in customers for told in [*customer.told.values()])

        try:
            for number in range(KILLS):
                more = answered() + chance.randrange(1, 6)
                until(lambda more=more: answered() >= more, "files come in")  # type: ignore[misc]
                threading.Event().wait(chance.uniform(0, 0.3))  # the point of it: at any instant
                if number % 2:
                    gateway.restart()
                else:
                    os.kill(gateway.pid(chance.choice(DOORS)), signal.SIGKILL)
            more = answered() + CUSTOMERS
            until(lambda: answered() >= more, "files come in again")
        finally:
            for customer in customers:
                customer.stopping.set()
            for customer in customers:
                customer.join(90)
        kept = Kept(gateway, account, sr=None)
        told = {path: told for customer in customers for path, told in customer.told.items()}
        for path, words in told.items():
            kept.judge_upload(path, content_of(path), words)
        assert sum(words.nothing for words in told.values()) > 0, "nobody was cut: the kills came too late"
        kept.audit()
