"""``make bench``: measure the gateway beside its peers and write docs/benchmarks.md.

    PYTHONPATH=tests python -m bench [CASE …] [--reps 5] [--where /dev/shm] [--write docs/benchmarks.md]

Without CASE every case. A run of each server follows on a run of the other (A B C A B C …), for only what was measured
in turns can be compared. Results are kept as lines of JSON under tests/bench/results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench import report, startup
from bench.cases import CASES, POSTFIX, PURE_FTPD, PURE_FTPD_HASH, Case
from bench.cushion import Cushion
from bench.gateways import Gateway
from bench.peers import Server, postfix, pure_ftpd
from bench.run import run

HERE = Path(__file__).parent
WORK, RESULTS, BIN = HERE / "work", HERE / "results", HERE / "bin"

INSPECTION = """
## Looking inside archives

Measured apart, for it runs in workers of its own at a lower priority: MB per second of CPU time, of the file as it
arrived and of what came out of it, a log of 64 MiB, by `tests/bench/inspect_speed.py`.

"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the gateway beside its peers.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join((*CASES, "startup", "inspect")))
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--where", type=Path, default=Path("/dev/shm"), help="where all servers keep their bytes")
    parser.add_argument("--write", type=Path, help="the page to write; default: only print the tables")
    asked = parser.parse_args()
    unknown = set(asked.cases) - {*CASES, "startup", "inspect"}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    cases = [case for name, case in CASES.items() if not asked.cases or name in asked.cases]
    WORK.mkdir(exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    build()
    results = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    rows: list[dict[str, Any]] = []
    if not asked.cases or "startup" in asked.cases:
        rows += startup.measure_all(asked.reps)
        results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with tempfile.TemporaryDirectory(prefix="gateway-bench-", dir=asked.where) as where:
        Path(where).chmod(0o755)  # Pure-FTPd writes there as nobody
        for group in ("ftpload", "smtpload"):
            for row in measured([case for case in cases if case.program == group], Path(where), asked.reps):
                rows.append(row)
                with results.open("a") as kept:  # at once: a run that is broken off keeps what it measured
                    kept.write(json.dumps(row) + "\n")
    page = report.page(rows, asked.reps, asked.where)
    if not asked.cases or "inspect" in asked.cases:
        page += INSPECTION + subprocess.check_output([sys.executable, HERE / "inspect_speed.py", "64"], text=True)
    print(page)
    if asked.write:
        asked.write.write_text(page)


def build() -> None:
    """Compile the load programs where their source is newer."""
    subprocess.run(["make", "--quiet", "--directory", str(HERE)], check=True)


def measured(cases: list[Case], where: Path, reps: int) -> Iterator[dict[str, Any]]:
    """Start every server that *cases* need, and run each case on its servers in turns."""
    cushion = Cushion(where)
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for name in dict.fromkeys(name for case in cases for name in case.servers):
            servers[name] = start(name, where)
            stack.callback(servers[name].stop)
        for case in cases:
            for rep in range(reps):
                for name in case.servers:
                    row = run(case, servers[name], rep, cushion)
                    print(report.line(case, row), flush=True)
                    yield row


def start(name: str, where: Path) -> Server:
    """Start the server of this name; what it keeps lies below *where*."""
    peers: dict[str, Callable[[Path, Path], Server]] = {
        PURE_FTPD: pure_ftpd,
        PURE_FTPD_HASH: partial(pure_ftpd, own_hash=True),
        POSTFIX: postfix,
    }
    return peers[name](WORK, where) if name in peers else Gateway(name, where)


if __name__ == "__main__":
    main()
