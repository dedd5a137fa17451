"""What systemd is told, over a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.daemon import notify


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_lines_arrive_in_one_datagram(manager: socket.socket) -> None:
    notify.tell(notify.READY, "STATUS=open")
    assert manager.recv(1000) == b"READY=1\nSTATUS=open"


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0gateway-test-{os.getpid()}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@gateway-test-{os.getpid()}")
        notify.tell(notify.STOPPING)
        assert listening.recv(1000) == b"STOPPING=1"


def test_a_reload_tells_when_it_began(manager: socket.socket) -> None:
    notify.tell(notify.reloading())
    state, when = manager.recv(1000).decode().splitlines()
    assert state == "RELOADING=1"
    assert int(when.removeprefix("MONOTONIC_USEC=")) > 0


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "relative"])
def test_a_service_manager_that_is_not_there_is_no_failure(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.tell(notify.READY)


@pytest.mark.parametrize(
    "microseconds, pid, interval",
    [
        ("20000000", None, 10.0),
        ("20000000", os.getpid(), 10.0),
        ("20000000", 1, None),
        ("", None, None),
        ("0", None, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: int | None, interval: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(pid))
    assert notify.watchdog_interval() == interval
