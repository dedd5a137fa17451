"""What every test keeps: as root (where everything can be installed) a skip or an expected failure is a failure.

Stores and spools are in memory where there is room: what a disk does wrong is made up at the very call, and to wait for
its flushes, some thousands of them, tells nothing. ``TMPDIR=/var/tmp make test`` has them on a disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from stores import migrated_once

# The same examples each time, on however slow a machine; `--hypothesis-profile default` looks for new ones.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("suite")

MEMORY = "/dev/shm"
ROOM = 4 << 30
"""Bytes that must be free there: the suite takes a few hundred MiB, and each gateway wants a GiB left free."""


def _has_room(folder: str) -> bool:
    """Whether it is there, for us to write to and to start programs from, and large enough."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC


if "TMPDIR" not in os.environ and _has_room(MEMORY):
    os.environ["TMPDIR"] = tempfile.tempdir = MEMORY

EVERYTHING_MUST_RUN = os.geteuid() == 0


@pytest.fixture(scope="session", autouse=True)
def _quick_stores() -> Iterator[None]:
    with migrated_once():
        yield


def _no_way_out(report: Any) -> None:
    """Turn a skip, an xfail or an xpass into a failure that names it."""
    if report.outcome == "skipped" or hasattr(report, "wasxfail"):
        reason = getattr(report, "wasxfail", None) or (
            report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        )
        report.outcome = "failed"
        report.longrepr = f"as root nothing may be skipped or expected to fail: {report.nodeid}: {reason}"
        if hasattr(report, "wasxfail"):
            del report.wasxfail


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    if EVERYTHING_MUST_RUN:
        _no_way_out(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    if EVERYTHING_MUST_RUN:
        _no_way_out(report)
    return report
