"""How fast it starts: ``gateway --help``, and ``gateway serve`` until both doors greet."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.peers import free_port

from gateway.testing import RunningGateway, until

HELP, SERVE = "gateway --help", "gateway serve greets on both ports"
BOUNDS = {HELP: 0.4, SERVE: 2.0}
"""Seconds."""


def measure_all(reps: int) -> Iterator[dict[str, Any]]:
    """A row for each start."""
    program = str(Path(sys.executable).with_name("gateway"))
    for rep in range(reps):
        begun = time.monotonic()
        subprocess.run([program, "--help"], check=True, stdout=subprocess.DEVNULL)
        yield {"case": "startup", "server": HELP, "rep": rep, "seconds": time.monotonic() - begun}
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        settings = {name: {"port": free_port()} for name in ("ftps", "smtp")}
        gateway = RunningGateway(Path(folder), settings, {})
        gateway.start()  # the first start makes the store
        gateway.stop()
        for rep in range(reps):
            yield {"case": "startup", "server": SERVE, "rep": rep, "seconds": _serve(gateway)}


def _serve(gateway: RunningGateway) -> float:
    """Seconds until both doors have sent their greeting."""
    with gateway.log_file.open("ab") as log:
        begun = time.monotonic()
        gateway.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "--config", str(gateway.config_file), "serve"], stdout=log, stderr=log
        )
        for address in gateway.addresses.values():
            until(lambda address=address: _greets(address), f"a greeting on {address}")  # type: ignore[misc]
        taken = time.monotonic() - begun
    gateway.stop()
    return taken


def _greets(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=10) as connection:
            return connection.recv(64).startswith(b"220")
    except OSError:
        return False
