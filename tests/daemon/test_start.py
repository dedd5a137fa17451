"""A start that can't be: one clear line that names the setting, exit code 2, and nothing half-started.

And signals that come while it starts: they are taken for what they say.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from gateway import selfsigned
from gateway.daemon.supervisor import Supervisor
from gateway.testing import RunningGateway, until
from gateway.testing.running import is_free
from gateway.testing.waiting import PATIENCE
from tests.daemon.conftest import Stubbed


def refusal(gateway: RunningGateway) -> str:
    """Start in vain: the one line that is said, its file and line number left off."""
    for section in ("ftps", "smtp"):
        if not gateway.settings[section]["port"]:
            gateway.write_config({section: {"port": free_port()}})
    done = subprocess.run(gateway._serve, capture_output=True, text=True, timeout=60, env=gateway.environment)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("gateway: ").removeprefix(f"{gateway.config_file}:").lstrip("0123456789: ")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_port_in_use_is_named_and_the_other_door_is_not_opened(stubbed: Stubbed) -> None:
    with socket.socket() as taken, stubbed(start=False) as gateway:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gateway.write_config({"smtp": {"port": port}})
        assert refusal(gateway) == f"smtp.port: {port} on 127.0.0.1 is in use by another program"
        assert is_free(gateway.settings["ftps"]["port"])


def test_a_host_that_is_not_ours_is_named(stubbed: Stubbed) -> None:
    with stubbed({"ftps": {"host": "192.0.2.1"}}, start=False) as gateway:
        assert refusal(gateway) == "ftps.host: 192.0.2.1 is no address of this machine"


def test_a_certificate_that_does_not_match_its_key_is_named(stubbed: Stubbed, tmp_path: Path) -> None:
    selfsigned.make(tmp_path / "other.pem", tmp_path / "other.key", ["localhost"])
    with stubbed({"ftps": {"private_key": str(tmp_path / "other.key")}}, start=False) as gateway:
        assert refusal(gateway).startswith("ftps.certificate: ")
        assert not gateway.state_dir.exists()


def test_a_missing_certificate_is_named(stubbed: Stubbed) -> None:
    with stubbed({"ftps": {"certificate": None, "private_key": None}}, start=False) as gateway:
        assert refusal(gateway).startswith("ftps.certificate: is missing")


@pytest.mark.parametrize("place", ["file/state", "/proc/gateway"])
def test_a_state_directory_that_cannot_be_written_is_named(stubbed: Stubbed, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with stubbed({"gateway": {"state_dir": str(tmp_path / place)}}, start=False) as gateway:
        assert refusal(gateway).startswith("gateway.state_dir: ")


def test_a_state_directory_that_another_gateway_serves_is_left_alone(stubbed: Stubbed) -> None:
    with stubbed() as serving, stubbed({"gateway": {"state_dir": str(serving.state_dir)}}, start=False) as second:
        assert refusal(second) == f"gateway.state_dir: {serving.state_dir} is served by another gateway"
        with serving.wire("ftps") as wire:
            assert wire.line().startswith("220 ftps ")


def test_a_store_newer_than_the_program_is_left_alone(stubbed: Stubbed) -> None:
    with stubbed() as gateway:
        assert gateway.stop() == 0
        database = gateway.state_dir / "gateway.db"
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        said = refusal(gateway)
        assert "schema 9999" in said
        assert "newer than this program" in said


@pytest.mark.parametrize(
    "variable, said",
    [
        ("STUB_CANNOT", "the stub was told that it can't"),
        ("STUB_RAISES", "the smtp door can't be opened: it ended with exit code 1 (see above)"),
    ],
)
def test_a_door_that_cannot_be_opened_ends_the_start(stubbed: Stubbed, variable: str, said: str) -> None:
    with stubbed({"gateway": {"log_level": "error"}}, environment={variable: "smtp"}, start=False) as gateway:
        for section in ("ftps", "smtp"):
            gateway.write_config({section: {"port": free_port()}})
        done = subprocess.run(gateway._serve, capture_output=True, text=True, timeout=60, env=gateway.environment)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == f"gateway: {said}"
        assert all(is_free(gateway.settings[section]["port"]) for section in ("ftps", "smtp"))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stop_while_it_starts_is_a_stop(stubbed: Stubbed, name: str) -> None:
    with stubbed(environment={"STUB_SIGNAL": name}, start=False) as gateway:
        for section in ("ftps", "smtp"):
            gateway.write_config({section: {"port": free_port()}})
        done = subprocess.run(gateway._serve, capture_output=True, text=True, timeout=60, env=gateway.environment)
        assert (done.returncode, "Traceback" in done.stderr, " open " in done.stderr) == (0, False, False)


def test_a_reload_while_it_starts_ends_no_door(stubbed: Stubbed) -> None:
    with stubbed(environment={"STUB_SIGNAL": "SIGHUP"}) as gateway:
        assert "reading the certificates again" in gateway.log()
        assert "Traceback" not in gateway.log()


def test_a_stop_before_every_door_is_ready_lets_the_others_end(stubbed: Stubbed) -> None:
    with stubbed(environment={"STUB_SLOW": "smtp"}, start=False) as gateway:
        for section in ("ftps", "smtp"):
            gateway.write_config({section: {"port": free_port()}})
        with subprocess.Popen(gateway._serve, stderr=subprocess.PIPE, text=True, env=gateway.environment) as process:
            address = ("127.0.0.1", gateway.settings["ftps"]["port"])
            until(lambda: not is_free(address[1]), "it listens")
            with socket.create_connection(address, PATIENCE) as customer:
                assert customer.recv(100).startswith(b"220 ftps")
                process.terminate()
                assert process.stderr is not None
                assert "stopping" in process.stderr.readline()
                customer.sendall(b"NOOP\r\nQUIT\r\n")
                assert customer.recv(100) == b"200 ok\r\n"
                assert process.stderr.read() == ""
            assert process.wait() == 0


async def test_a_stop_in_the_turn_in_which_all_doors_are_ready_is_seen() -> None:
    starting = Supervisor.__new__(Supervisor)
    starting.stopping = asyncio.Event()
    starting.stopping.set()
    ready: asyncio.Future[list[None]] = asyncio.get_running_loop().create_future()
    ready.set_result([])
    assert not await starting._unless_stopped(ready)
