"""The systemd unit: systemd accepts it, finds it hardened, and everything it lacks is explained in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import Config, Ftps

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "gateway.service"

EXPLAINED_BY = {
    "AF_(INET|INET6)": "RestrictAddressFamilies",
    "AF_UNIX": "RestrictAddressFamilies",
    "CAP_NET_(BIND_SERVICE|BROADCAST|RAW)": "CapabilityBoundingSet",
    "RootDirectory=/RootImage=": "RootDirectory",
    "DeviceAllow=": "PrivateDevices",
}
"""What stands in the report, and the directive in the unit that says why, where the name is another."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with the program where it is on this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/opt/gateway/.venv/bin/gateway", f"{Path(sys.prefix)}/bin/gateway"))
    return here


def test_systemd_accepts_the_unit(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_the_unit_hardened_and_what_it_misses_is_explained(unit: Path) -> None:
    report = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--json=short", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert report.returncode == 0, report.stdout + report.stderr
    missed = [row["name"] or row["json_field"] for row in json.loads(report.stdout) if row["set"] is False]
    assert missed
    text = UNIT.read_text()
    for name in missed:
        directive = EXPLAINED_BY.get(name) or EXPLAINED_BY.get(name.partition("~")[2]) or name.partition("=")[0]
        assert directive in text, f"{name}: neither set nor explained"


def test_every_group_of_directives_is_led_by_its_reason() -> None:
    service = UNIT.read_text().partition("[Service]\n")[2].partition("[Install]")[0]
    for group in service.strip().split("\n\n"):
        assert group.startswith("#"), group


def test_10b_memory_may_be_executable_for_without_it_every_callback_of_the_tls_library_fails() -> None:
    assert not re.search(r"^MemoryDenyWriteExecute=", UNIT.read_text(), re.M)


def test_the_unit_waits_longer_than_the_doors_drain() -> None:
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.M)
    assert seconds is not None
    assert int(seconds[1]) >= Config().gateway.drain_timeout.total_seconds() + 5


def test_the_reserved_ports_are_the_passive_ports() -> None:
    snippet = (SYSTEMD / "sysctl.d" / "60-gateway.conf").read_text()
    assert f"net.ipv4.ip_local_reserved_ports = {Ftps().passive_ports}" in snippet.splitlines()
