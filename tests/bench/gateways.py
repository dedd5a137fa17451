"""The gateway under load: the one that is shipped, its variants, and the facts that the loads need in its store."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from bench import measure
from bench.cases import COLD, GATEWAY, SLOW_1MS, SLOW_2MS, UNHASHED
from bench.peers import Server

from gateway.testing import RunningGateway

HERE = Path(__file__).parent
SENDER = "eva@example.com"
SR = "12345"
SENDER_AUTHENTICATION = "off"

SETTINGS = {
    "ftps": {
        "processes": 0,
        "limits": {
            "sessions": 4000,
            "sessions_not_logged_in": 1000,
            "sessions_per_account": 4000,
            "sessions_per_address": 4000,
            "transfers_per_account": 100,
            "logins_per_minute": 1_000_000,
        },
    },
    "smtp": {
        "processes": 0,
        "sender_authentication": SENDER_AUTHENTICATION,
        "limits": {"sessions": 2000, "sessions_per_address": 2000},
    },
}
"""Limits that one client machine under load would reach are raised; everything else is as shipped."""

ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    GATEWAY: {},
    UNHASHED: {"GATEWAY_BENCH_VARIANT": "unhashed", "PYTHONPATH": str(HERE / "variants")},
    COLD: {"GATEWAY_BENCH_VARIANT": "cold", "PYTHONPATH": str(HERE / "variants")},
    SLOW_1MS: {"LD_PRELOAD": str(HERE / "bin/slowflush.so"), "FSYNC_US": "1000"},
    SLOW_2MS: {"LD_PRELOAD": str(HERE / "bin/slowflush.so"), "FSYNC_US": "2000"},
}


class Gateway(Server):
    """A running gateway of one variant, with an account, a Designated Contact and an open SR."""

    def __init__(self, variant: str, where: Path) -> None:
        self.folder = where / variant.replace(" ", "-").replace(",", "")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        group = measure.make_group(self.folder.name)
        serve = [sys.executable, "-m", "gateway", "--config", str(self.folder / "gateway.toml"), "serve"]
        self.gateway = RunningGateway(self.folder, SETTINGS, {}, measure.in_group(group, serve))
        account = self.gateway.add_account("Acme", None, "--login", "bench")
        self.gateway.add_contact(SENDER, account.login)
        self.gateway.add_sr(SR, account.login)
        self.gateway.environment = {**os.environ, **ENVIRONMENTS[variant]}
        self.gateway.start()
        assert self.gateway.process is not None
        ports = {name: port for name, (_, port) in self.gateway.addresses.items()}
        super().__init__(
            name=variant,
            port=ports.get("ftps", 0),
            process=self.gateway.process,
            group=group,
            user=account.login,
            password=account.password,
            clear=self._clear,
            mail_port=ports.get("smtp", 0),
            sender=SENDER,
            recipient="support@example.com",
            subject=f"SR# {SR} load",
        )
        self.come_to_rest()  # housekeeping opens after the doors

    def door(self, name: str) -> list[int]:
        """The ids of the processes that serve a door."""
        return [pid for each, pid in self.gateway.doors().items() if each.partition("-")[0] == name]

    def _clear(self) -> None:
        for folder in self.gateway.state_dir.glob("**/files/??"):
            for file in folder.iterdir():
                file.unlink()

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)
