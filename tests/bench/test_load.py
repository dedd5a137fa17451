"""The loads of ``make bench`` in a short form: not how fast, but that everything which was counted is there."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench import report
from bench.cases import CASES, UNHASHED
from bench.gateways import ENVIRONMENTS

from gateway.domain.ids import new_id
from gateway.testing import Login, RunningGateway, running_gateway
from gateway.testing.running import TWO_EACH

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder of the load programs, compiled."""
    if shutil.which("gcc") is None or not Path("/usr/include/openssl/ssl.h").exists():
        pytest.skip("gcc or libssl-dev is not installed")
    subprocess.run(["make", "--quiet", "--directory", str(HERE)], check=True)
    return HERE / "bin"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[RunningGateway, Login]]:
    """A gateway with an account, its Designated Contact and an open SR."""
    with running_gateway() as gateway:
        account = gateway.add_account("Acme")
        gateway.add_contact("eva@example.com", account.login)
        gateway.add_sr("12345", account.login)
        yield gateway, account
        gateway.check()


def load(program: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run([program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def ftpload(programs: Path, served: tuple[RunningGateway, Login], *words: str) -> dict[str, Any]:
    gateway, account = served
    port = str(gateway.addresses["ftps"][1])
    return load(programs / "ftpload", "-p", port, "-u", account.login, "-w", account.password, *words)


def smtpload(programs: Path, served: tuple[RunningGateway, Login], *words: str) -> dict[str, Any]:
    port = str(served[0].addresses["smtp"][1])
    whom = ("-f", "eva@example.com", "-t", "support@example.com", "-S", "SR# 12345 load")
    return load(programs / "smtpload", "-p", port, *whom, *words)


def noise(size: int) -> bytes:
    """What ftpload sends."""
    block, state = bytearray(), 12345
    for _ in range(min(size, 256 << 10)):
        state = (state * 1103515245 + 12345) & 0xFFFFFFFF
        block.append(state >> 16 & 0xFF)
    return bytes(block * (size // len(block) + 1))[:size]


@pytest.mark.parametrize(
    "prefix, words",
    [
        ("small-", ("-m", "upload", "-c", "4", "-n", "40", "-s", "16K")),
        ("tls12-", ("-m", "upload", "-c", "2", "-n", "6", "-s", "700K", "-t", "12")),
        ("stranger-", ("-m", "upload", "-c", "2", "-n", "6", "-s", "64K", "-r", "0")),
        ("login-", ("-m", "login", "-c", "4", "-n", "12", "-s", "1K")),
        ("noop-", ("-m", "upload", "-c", "2", "-n", "2", "-s", "8M", "-N", "5", "-L")),
    ],
)
def test_every_upload_that_was_acknowledged_is_there_byte_for_byte(
    programs: Path, served: tuple[RunningGateway, Login], prefix: str, words: tuple[str, ...]
) -> None:
    said = ftpload(programs, served, "-x", prefix, *words)
    count, size = int(words[words.index("-n") + 1]), words[words.index("-s") + 1]
    expected = noise(int(size[:-1]) << {"K": 10, "M": 20}[size[-1]])
    assert (said["files"], said["errors"]) == (count, 0)
    found = [file for file in served[0].command("file", "list") if file["path"].startswith(f"/{prefix}")]
    assert sorted(file["path"] for file in found) == [f"/{prefix}{number:06d}.bin" for number in range(count)]
    assert {file["state"] for file in found} == {"complete"}
    assert {file["sha256"] for file in found} == {hashlib.sha256(expected).hexdigest()}
    if prefix == "noop-":
        assert said["logins"] > 0
        assert said["noops"] > 0


@pytest.mark.parametrize(
    "words",
    [
        ("-c", "4", "-n", "24", "-s", "4K"),
        ("-c", "4", "-n", "12", "-s", "4K", "-T"),
        ("-c", "2", "-n", "4", "-s", "300K", "-k", "-i", "5"),
    ],
)
def test_every_mail_that_was_acknowledged_is_one_update(
    programs: Path, served: tuple[RunningGateway, Login], words: tuple[str, ...]
) -> None:
    before = len(served[0].command("update", "list", "--sr", "12345"))
    said = smtpload(programs, served, *words)
    count = int(words[words.index("-n") + 1])
    assert (said["messages"], said["errors"]) == (count, 0)
    assert len(served[0].command("update", "list", "--sr", "12345")) - before == count


def test_idle_sessions_are_all_there_at_once(programs: Path, served: tuple[RunningGateway, Login]) -> None:
    said = ftpload(programs, served, "-m", "idle", "-c", "4", "-n", "20")
    assert (said["files"], said["errors"]) == (20, 0)


def test_a_variant_is_made_of_every_process_of_the_door() -> None:
    with running_gateway(TWO_EACH, environment=ENVIRONMENTS[UNHASHED]) as gateway:
        account = gateway.add_account("Acme")
        served: set[str] = set()
        while served != {"ftps", "ftps-2"}:
            with gateway.ftp(account) as client:
                assert client.sock is not None
                served.add(gateway.serving(client.sock))
                client.storbinary(f"STOR {new_id()}.bin", io.BytesIO(b"a log"))
        found = {file["sha256"] for file in gateway.command("file", "list")}
        assert hashlib.sha256(b"a log").hexdigest() not in found


def test_the_report_says_which_bounds_are_kept_and_which_are_missed() -> None:
    rows = [
        {"case": "big8", "server": "gateway", "rep": 0, "MBps": 60.0, "cpu_per_GB": 2.0, "errors": 0},
        {"case": "big8", "server": "Pure-FTPd", "rep": 0, "MBps": 100.0, "cpu_per_GB": 1.0, "errors": 0},
    ]
    page = report.page(rows, 1, Path("/dev/shm"))
    assert "| gateway: MB/s ≥ 0.55 × Pure-FTPd | 0.60 × | kept |" in page
    assert "| gateway: CPU-s/GB ≤ 1.90 × Pure-FTPd | 2.00 × | **missed** |" in page
    assert "without SHA-256: MB/s ≥ 0.95 × Pure-FTPd | not measured | |" in page
    assert "login16" not in page


def test_every_bound_is_on_a_figure_that_its_case_shows() -> None:
    for case in CASES.values():
        for bound in case.bounds:
            assert bound.figure in case.figures
            assert bound.server in case.servers
            assert bound.peer is None or bound.peer in case.servers
