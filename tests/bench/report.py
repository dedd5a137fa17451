"""Rows of figures → docs/benchmarks.md: medians, the ratio to the peer, and whether the bound is kept."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import startup
from bench.cases import CASES, POSTFIX, PURE_FTPD, Bound, Case
from bench.gateways import SENDER_AUTHENTICATION

Rows = Sequence[dict[str, Any]]


def line(case: Case, row: dict[str, Any]) -> str:
    """One run, for whoever watches."""
    figures = ", ".join(f"{words} {_number(row[key])}" for key, words in case.figures.items() if key in row)
    errors = f"  {row['errors']} ERRORS {row['complaints'][:2]}" if row["errors"] else ""
    return f"{case.name:10s} {row['server']:26s} {figures}{errors}"


def page(rows: Rows, reps: int, where: Path) -> str:
    """The whole page."""
    parts = [_head(reps, where)]
    if any(row["case"] == "startup" for row in rows):
        parts.append(_startup(rows))
    for title, program in (("The FTPS door", "ftpload"), ("The mail door", "smtpload")):
        cases = [case for case in CASES.values() if case.program == program and _of(rows, case.name)]
        if cases:
            parts.append(f"## {title}\n\n{_preface(program)}\n")
            parts += [_case(case, rows) for case in cases]
    return "\n".join(parts)


def _head(reps: int, where: Path) -> str:
    model = next((x.partition(":")[2].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "?")
    cores = sum(x.startswith("processor") for x in _lines("/proc/cpuinfo"))
    memory = next(int(x.split()[1]) for x in _lines("/proc/meminfo") if x.startswith("MemTotal")) / 2**20
    return f"""\
# Benchmarks

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {cores} cores ({model}), {memory:.0f} GiB, Linux \
{platform.release().partition("-")[0]}, Python {platform.python_version()}. Loopback only; client and server share the \
cores. Every server keeps its bytes on {_filesystem(where)}.

Each figure is the median of {reps} runs, in brackets the least and the greatest. The servers of a case take turns \
(A B C A B C …): only what was measured in one run can be compared, so what counts is the ratio. CPU is that of the \
whole server with all its processes. A case is measured again by itself with `make bench BENCH="big8 s4k"`. \
Memory that the files of a run need is written to and freed as the run begins: a virtual machine may have to ask its \
host for each page otherwise, which cost up to a CPU second a GB, whoever served (tests/bench/cushion.py). The memory \
of an idle session is counted from the server's memory before the first run: what earlier runs left behind is added.

The gateway acknowledges an upload or a mail only when its bytes are flushed, its row is committed and its event is \
recorded. {PURE_FTPD} flushes and records nothing; {POSTFIX} flushes its queue file.
"""


def _preface(program: str) -> str:
    if program == "ftpload":
        return (
            "TLS 1.3 on both channels, each data connection offers the control connection's session. "
            f"{PURE_FTPD} checks the cheapest password hash that it knows, so that sessions are compared and not "
            "hashes; what its own tool makes of a password (argon2id) is a case apart. The variants of the gateway "
            "only take a figure apart: one computes no SHA-256, one verifies every login with argon2id in full (else "
            "a credential that was verified a moment ago is remembered)."
        )
    return (
        f'Taken with `sender_authentication = "{SENDER_AUTHENTICATION}"`. Every mail passes the whole policy: an SR '
        "that is open, a Designated Contact who may write to it, no repetition; it is filed as an update with its "
        f"ledger row. {POSTFIX} queues it and hands it to `discard`."
    )


def _startup(rows: Rows) -> str:
    table = ["## Starting", "", "| What | Seconds | Bound | |", "|---|---|---|---|"]
    for what, bound in startup.BOUNDS.items():
        values = [row["seconds"] for row in rows if row["case"] == "startup" and row["server"] == what]
        if values:
            kept = _verdict(statistics.median(values) <= bound)
            table.append(f"| {what} | {_spread(values)} | ≤ {bound} | {kept} |")
    return "\n".join(table) + "\n"


def _case(case: Case, rows: Rows) -> str:
    out = [f"### {case.name}: {case.words}", "", f"| Server | {' | '.join(case.figures.values())} | errors |"]
    out.append("|---" * (len(case.figures) + 2) + "|")
    for server in case.servers:
        own = [row for row in _of(rows, case.name) if row["server"] == server]
        if not own:
            continue
        cells = [_spread([row[key] for row in own if key in row]) for key in case.figures]
        out.append(f"| {server} | {' | '.join(cells)} | {sum(row['errors'] for row in own)} |")
    if case.bounds:
        out += ["", "| Bound | Measured | |", "|---|---|---|"]
        out += [_bound(bound, case, rows) for bound in case.bounds]
    return "\n".join(out) + "\n"


def _bound(bound: Bound, case: Case, rows: Rows) -> str:
    measured = _median(rows, case.name, bound.server, bound.figure)
    of_peer = _median(rows, case.name, bound.peer, bound.figure) if bound.peer else None
    words = f"{bound.server}: {case.figures[bound.figure]} {bound.sign} {_number(bound.value)}"
    if bound.peer:
        words += f" × {bound.peer}"
    if measured is None or (bound.peer and not of_peer):
        return f"| {words} | not measured | |"
    shown = _number(measured / of_peer) + " ×" if of_peer else _number(measured)
    return f"| {words} | {shown} | {_verdict(bound.holds(measured, of_peer))} |"


def _verdict(kept: bool) -> str:
    return "kept" if kept else "**missed**"


def _of(rows: Rows, case: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["case"] == case]


def _median(rows: Rows, case: str, server: str, figure: str) -> float | None:
    values = [row[figure] for row in _of(rows, case) if row["server"] == server and figure in row]
    return statistics.median(values) if values else None


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle = _number(statistics.median(values))
    return f"{middle} ({_number(min(values))}–{_number(max(values))})" if len(values) > 1 else middle


def _number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _filesystem(where: Path) -> str:
    """The kind of the file system that holds *where*."""
    mounts = [line.split()[1:3] for line in _lines("/proc/mounts")]
    inside = [(len(point), kind) for point, kind in mounts if where.resolve().is_relative_to(point)]
    return max(inside)[1]


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()
