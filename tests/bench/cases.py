"""What is measured: each case is a load, the servers it is put on in turn, and the bounds that its figures must keep.

``GATEWAY`` is the gateway as it is shipped. Two variants of it separate what a figure is made of: ``UNHASHED`` computes
no SHA-256 of uploads, ``COLD`` remembers no verified credential. The others are the peers, and the gateway on a disk
whose every flush takes a fixed time more.
"""

from __future__ import annotations

from dataclasses import dataclass

GATEWAY = "gateway"
UNHASHED = "gateway without SHA-256"
COLD = "gateway, every login cold"
SLOW_1MS = "gateway, each flush 1 ms"
SLOW_2MS = "gateway, each flush 2 ms"
PURE_FTPD = "Pure-FTPd"
PURE_FTPD_HASH = "Pure-FTPd, its own hash"
POSTFIX = "Postfix"


@dataclass(frozen=True)
class Bound:
    """What a figure must keep: at least or at most *value*, times the peer's where *peer* is named."""

    figure: str
    server: str
    sign: str
    value: float
    peer: str | None = None

    def holds(self, measured: float, of_peer: float | None) -> bool:
        limit = self.value * (of_peer if of_peer is not None else 1.0)
        return measured >= limit if self.sign == "≥" else measured <= limit


@dataclass(frozen=True)
class Case:
    """One load. *figures* are shown in the report: key of a result → heading."""

    name: str
    words: str
    program: str
    arguments: str
    servers: tuple[str, ...]
    figures: dict[str, str]
    bounds: tuple[Bound, ...] = ()
    memory: str | None = None
    """``tree``: proportional memory a session of the whole server; ``door``: the mail door's peak."""


UPLOAD = {"MBps": "MB/s", "cpu_per_GB": "CPU-s/GB"}
FILES = {"per_s": "files/s", "cpu_ms_each": "CPU-ms a file", "p95_ms": "p95 ms"}
LOGINS = {"per_s": "logins/s", "cpu_ms_each": "CPU-ms a login", "p95_ms": "p95 ms"}
MAILS = {"per_s": "mails/s", "cpu_ms_each": "CPU-ms a mail", "p95_ms": "p95 ms"}

FTPS = (
    Case(
        "big1",
        "one session uploads one file of 1 GiB",
        "ftpload",
        "-m upload -G -c 1 -n 1 -s 1G",
        (GATEWAY, UNHASHED, PURE_FTPD),
        UPLOAD,
        (
            Bound("cpu_per_GB", UNHASHED, "≤", 0.8, PURE_FTPD),
            Bound("cpu_per_GB", GATEWAY, "≤", 1.9, PURE_FTPD),
        ),
    ),
    Case(
        "big8",
        "eight sessions upload a file of 256 MiB each",
        "ftpload",
        "-m upload -G -c 8 -n 8 -s 256M",
        (GATEWAY, UNHASHED, PURE_FTPD),
        UPLOAD,
        (
            Bound("MBps", UNHASHED, "≥", 0.95, PURE_FTPD),
            Bound("MBps", GATEWAY, "≥", 0.55, PURE_FTPD),
            Bound("cpu_per_GB", UNHASHED, "≤", 0.8, PURE_FTPD),
            Bound("cpu_per_GB", GATEWAY, "≤", 1.9, PURE_FTPD),
        ),
    ),
    Case(
        "small",
        "2,000 files of 64 KiB over eight kept sessions",
        "ftpload",
        "-m upload -G -c 8 -n 2000 -s 64K",
        (GATEWAY, UNHASHED, PURE_FTPD),
        FILES,
        (Bound("per_s", GATEWAY, "≥", 0.5, PURE_FTPD),),
    ),
    Case(
        "small-slow",
        "the same, on a disk whose every flush takes 1 ms",
        "ftpload",
        "-m upload -G -c 8 -n 2000 -s 64K",
        (SLOW_1MS,),
        FILES,
        (Bound("per_s", SLOW_1MS, "≥", 400),),
    ),
    Case(
        "login16",
        "200 logins, 16 at once, each with an upload of 1 KiB",
        "ftpload",
        "-m login -c 16 -n 200 -s 1K",
        (GATEWAY, COLD, PURE_FTPD),
        LOGINS,
        (Bound("per_s", GATEWAY, "≥", 2.0, PURE_FTPD),),
    ),
    Case(
        "login16-hash",
        "16 logins at once, beside Pure-FTPd with the password as its own tool keeps it",
        "ftpload",
        "-m login -c 16 -n 16 -s 1K",
        (GATEWAY, COLD, PURE_FTPD_HASH),
        LOGINS,
        (
            Bound("per_s", GATEWAY, "≥", 2.0, PURE_FTPD_HASH),
            Bound("per_s", COLD, "≥", 2.0, PURE_FTPD_HASH),
        ),
    ),
    Case(
        "idle500",
        "500 sessions, logged in and silent",
        "ftpload",
        "-m idle -c 4 -n 500",
        (GATEWAY, PURE_FTPD),
        {"kib_each": "KiB a session", "idle_cpu_percent": "CPU % while idle"},
        (Bound("kib_each", GATEWAY, "≤", 150),),
        memory="tree",
    ),
    Case(
        "during8",
        "while eight uploads of 256 MiB run: a login now and then, and a NOOP on each uploading session",
        "ftpload",
        "-m upload -G -c 8 -n 8 -s 256M -N 50 -L",
        (GATEWAY, UNHASHED),
        {"login_p95_ms": "login p95 ms", "noop_p95_ms": "NOOP p95 ms", "MBps": "MB/s"},
        (
            Bound("login_p95_ms", GATEWAY, "≤", 100),
            Bound("noop_p95_ms", GATEWAY, "≤", 150),
        ),
    ),
)

SMTP = (
    Case(
        "s4k",
        "5,000 mails of 4 KiB, 20 at once, a connection a mail",
        "smtpload",
        "-c 20 -n 5000 -s 4K",
        (GATEWAY, POSTFIX),
        MAILS,
        (
            Bound("per_s", GATEWAY, "≥", 1.0, POSTFIX),
            Bound("cpu_ms_each", GATEWAY, "≤", 1.5, POSTFIX),
        ),
    ),
    Case(
        "s4k-tls",
        "the same under STARTTLS",
        "smtpload",
        "-c 20 -n 2000 -s 4K -T",
        (GATEWAY, POSTFIX),
        MAILS,
    ),
    Case(
        "s5m",
        "100 mails of 5 MiB over eight kept sessions",
        "smtpload",
        "-c 8 -n 100 -s 5M -k",
        (GATEWAY, POSTFIX),
        {"MBps": "MB/s", "cpu_ms_each": "CPU-ms a mail", "p95_ms": "p95 ms"},
        (
            Bound("MBps", GATEWAY, "≥", 1.0, POSTFIX),
            Bound("cpu_ms_each", GATEWAY, "≤", 1.0, POSTFIX),
        ),
    ),
    Case(
        "s4k-slow",
        "4-KiB mails over 20 kept sessions, on a disk whose every flush takes 2 ms",
        "smtpload",
        "-c 20 -n 5000 -s 4K -k",
        (SLOW_2MS,),
        MAILS,
        (Bound("per_s", SLOW_2MS, "≥", 800),),
    ),
    Case(
        "memory",
        "200 sessions of which 20 send a mail of 20 MiB: the peak of resident memory of the mail door's processes",
        "smtpload",
        "-i 180 -c 20 -n 20 -s 20M",
        (GATEWAY,),
        {"peak_mib": "peak MiB", "before_mib": "MiB before"},
        (Bound("peak_mib", GATEWAY, "≤", 150),),
        memory="door",
    ),
)

CASES = {case.name: case for case in (*FTPS, *SMTP)}
