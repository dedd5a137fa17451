"""One run of a case on one server: put the load on, take the readings around it, and return a flat row of figures."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from bench import measure
from bench.cases import Case
from bench.cushion import Cushion
from bench.gateways import Gateway
from bench.peers import Server

BIN = Path(__file__).with_name("bin")
SETTLE = 0.3
"""Seconds between the sessions of a load and the load itself."""

WARM_UP = "-m login -c 4 -n 40 -s 1K"
"""What a server has seen before its memory at rest is taken."""

IDLE = 5.0
"""Seconds over which the CPU of idle sessions is taken."""


def run(case: Case, server: Server, rep: int, cushion: Cushion) -> dict[str, Any]:
    """Run *case* once. Raises RuntimeError where the load program says nothing."""
    os.sync()
    cushion.lay()
    command = [str(BIN / case.program), *_whom(case, server, rep), *case.arguments.split()]
    before = _at_rest(case, server, rep) if case.memory == "tree" else 0
    door = server.door("smtp") if case.memory == "door" and isinstance(server, Gateway) else []
    resident, peak = measure.resident_kib(door), measure.Peak(door) if door else None
    waits = "-G" in command
    if not waits:
        cushion.lift()
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert load.stdin is not None
    assert load.stdout is not None
    if waits and load.stdout.readline() == "READY\n":
        time.sleep(SETTLE)
        cushion.lift()
        cpu = server.cpu_seconds()
        _go(load)
    else:
        cpu = server.cpu_seconds()
    said = load.stdout.readline()
    if not said:
        raise RuntimeError(f"{' '.join(command)} said nothing: {load.communicate()[1]}")
    row: dict[str, Any] = {"case": case.name, "server": server.name, "rep": rep, **json.loads(said)}
    server.come_to_rest()
    row["cpu_s"] = server.cpu_seconds() - cpu
    if case.memory == "tree":
        time.sleep(1)
        row["kib_each"] = (measure.proportional_kib(server.pid) - before) / max(1, row["files"])
        cpu = server.cpu_seconds()
        time.sleep(IDLE)
        row["idle_cpu_percent"] = 100 * (server.cpu_seconds() - cpu) / IDLE
    if peak is not None:
        row |= {"before_mib": resident / 1024, "peak_mib": peak.end() / 1024}
    if case.name.startswith("idle"):
        _go(load)
    row["complaints"] = load.communicate()[1].splitlines()
    count = row.get("files", row.get("messages"))
    if count:
        row["cpu_ms_each"] = 1000 * row["cpu_s"] / count
    if row.get("bytes"):
        row["cpu_per_GB"] = row["cpu_s"] / (row["bytes"] / 1e9)
    server.clear()
    return row


_rest: dict[int, int] = {}


def _at_rest(case: Case, server: Server, rep: int) -> int:
    """KiB of the server that has had sessions (libraries, pools, caches are there) but none yet in such numbers.

    Taken once: what sessions of a run before left behind is theirs, and no saving of those that follow.
    """
    if server.pid not in _rest:
        words = [str(BIN / case.program), *_whom(case, server, rep), *WARM_UP.split()]
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        server.come_to_rest()
        _rest[server.pid] = measure.proportional_kib(server.pid)
    return _rest[server.pid]


def _go(load: subprocess.Popen[str]) -> None:
    assert load.stdin is not None
    load.stdin.write("go\n")
    load.stdin.flush()


def _whom(case: Case, server: Server, rep: int) -> list[str]:
    """Where to, who, and under which names: a new name each time, or the same bytes would be the same receipt."""
    if case.program == "ftpload":
        unique = f"{case.name}-{rep}-{time.monotonic_ns()}-"
        return ["-p", str(server.port), "-u", server.user, "-w", server.password, "-x", unique]
    letter = ["-t", server.recipient, "-f", server.sender, "-S", server.subject]
    return ["-p", str(server.mail_port), *letter]
