"""The supervisor and its doors: deaths, restarts, stops, reloads. The doors are stubs (stubs/stub_door.py)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from gateway.daemon import door, supervisor
from gateway.testing import RunningGateway, Wire, until
from gateway.testing.running import alive, children, is_free
from tests.daemon.conftest import Stubbed


def pid_behind(wire: Wire) -> int:
    """The process that greets on this connection."""
    return int(wire.line().rsplit(" ", 1)[1])


def test_a_killed_door_is_started_again_and_the_other_serves_on(lasting: RunningGateway) -> None:
    with lasting.wire("ftps") as ftps, lasting.wire("smtp") as smtp:
        old, other = pid_behind(ftps), pid_behind(smtp)
        os.kill(old, signal.SIGKILL)
        assert ftps.is_closed()
        with lasting.wire("ftps") as again:  # it waits in the supervisor's queue where the new door is not there yet
            assert pid_behind(again) not in (old, other)
        assert smtp.command("NOOP") == "200 ok"
    assert lasting.pid("smtp") == other
    assert "the ftps door was killed by SIGKILL and is started again" in lasting.log()


@pytest.mark.parametrize("word, how", [("RAISE", "ended with exit code 3"), ("END", "ended with exit code 0")])
def test_a_door_that_ends_by_itself_is_started_again(lasting: RunningGateway, word: str, how: str) -> None:
    with lasting.wire("smtp") as wire:
        old = pid_behind(wire)
        wire.send(word)
        assert wire.is_closed()
    with lasting.wire("smtp") as again:
        assert pid_behind(again) != old
    assert how in lasting.log()


def test_housekeeping_is_started_again_as_well(lasting: RunningGateway) -> None:
    old = lasting.pid("housekeeping")
    os.kill(old, signal.SIGKILL)
    until(lambda: lasting.doors().get("housekeeping", old) != old, "another housekeeping process")


def test_a_door_that_hangs_is_killed_and_started_again(stubbed: Stubbed) -> None:
    with stubbed(environment={"STUB_SILENCE": "2", "STUB_BEAT": "0.2"}) as gateway:
        with gateway.wire("ftps") as wire:
            old = pid_behind(wire)
            wire.send("HANG")
            assert wire.is_closed()
        with gateway.wire("ftps") as again:
            assert pid_behind(again) != old
        assert "the ftps door gives no sign of life and is killed" in gateway.log()


@pytest.mark.parametrize("served, longest", [(False, 30.0), (True, 1.0)])
def test_deaths_in_a_row_lengthen_the_pause_to_a_bound(served: bool, longest: float) -> None:
    pauses = [door.pause_after(deaths, served=served) for deaths in range(1, 100)]
    assert pauses[:3] == [0.0, 0.0, 0.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == longest


def test_a_killed_supervisor_takes_its_doors_along_and_nothing_keeps_a_port(gateway: RunningGateway) -> None:
    gateway.pid("housekeeping")
    doors = gateway.doors()
    assert sorted(doors) == ["ftps", "housekeeping", "smtp"]
    with gateway.wire("ftps") as wire:
        pid_behind(wire)
        gateway.kill()
        assert wire.is_closed()
    assert not any(alive(pid) for pid in doors.values())
    assert all(is_free(port) for _, port in gateway.addresses.values())
    gateway.start()  # and the same state directory and ports serve again
    assert not set(gateway.doors().values()) & set(doors.values())


def test_no_collection_of_garbage_looks_through_what_a_door_imported(lasting: RunningGateway) -> None:
    with lasting.wire("smtp") as wire:
        wire.line()
        assert wire.command("GARBAGE") == "200 True True", "it is collected, and most of what there is is not looked at"


def test_doors_are_out_of_the_terminals_reach(lasting: RunningGateway) -> None:
    assert lasting.process is not None
    for pid in lasting.doors().values():
        assert os.getsid(pid) == pid != os.getsid(lasting.process.pid)
        os.kill(pid, signal.SIGINT)
    with lasting.wire("smtp") as wire:
        assert pid_behind(wire) == lasting.pid("smtp")


def test_sigterm_lets_transfers_finish_and_accepts_nothing_more(gateway: RunningGateway) -> None:
    with gateway.wire("ftps") as wire:
        pid_behind(wire)
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(gateway.addresses["ftps"]), "the door refuses new connections")
        assert wire.command("STOR") == "200 ok"
        wire.send("QUIT")
        assert wire.is_closed()
        assert gateway.wait() == 0
    assert "did not stop in time" not in gateway.log()


def test_what_outlasts_the_drain_timeout_is_cut_and_the_exit_code_is_0(stubbed: Stubbed) -> None:
    with stubbed({"gateway": {"drain_timeout": "0.5s"}}) as gateway, gateway.wire("ftps") as wire:
        pid_behind(wire)
        assert gateway.stop(signal.SIGTERM) == 0
        assert wire.is_closed()


def test_ctrl_c_waits_for_nobody_longer_than_five_seconds(gateway: RunningGateway) -> None:
    assert sum(supervisor.IMPATIENT) < 5
    with gateway.wire("smtp") as wire:
        pid_behind(wire)
        assert gateway.stop(signal.SIGINT) == 0
        assert wire.is_closed()


def test_a_second_ctrl_c_waits_for_no_transfer(stubbed: Stubbed) -> None:
    with stubbed({"gateway": {"drain_timeout": "1h"}}) as gateway, gateway.wire("smtp") as wire:
        pid_behind(wire)
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(gateway.addresses["smtp"]), "the door refuses new connections")
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.wait() == 0


def test_a_stop_finds_a_door_that_is_between_two_lives(gateway: RunningGateway) -> None:
    assert gateway.process is not None
    for _ in range(4):  # the fourth death in a row is followed by a pause
        old = gateway.pid("ftps")
        with gateway.wire("ftps") as wire:
            pid_behind(wire)
        os.kill(old, signal.SIGKILL)
        until(lambda old=old: not alive(old), "it is dead")  # type: ignore[misc]
        until(lambda old=old: f"pid={old}" in gateway.log(), "its death was noticed")  # type: ignore[misc]
    gateway.process.send_signal(signal.SIGHUP)
    assert gateway.stop(signal.SIGTERM) == 0


async def test_a_stop_in_the_turn_in_which_a_door_would_be_started_again_is_seen() -> None:
    between = door.Door.__new__(door.Door)
    between._stopping = asyncio.Event()
    asyncio.get_running_loop().call_soon(between._stopping.set)
    assert await between._stopped_within(0.0)


def test_a_door_that_hangs_does_not_hold_up_the_stop(stubbed: Stubbed) -> None:
    with stubbed() as gateway, gateway.wire("smtp") as wire:
        pid_behind(wire)
        wire.send("HANG")
        assert gateway.stop(signal.SIGINT) == 0
        assert "the smtp door did not stop in time and is killed" in gateway.log()


def test_sighup_has_every_door_read_its_certificates_again(lasting: RunningGateway) -> None:
    with lasting.wire("ftps") as wire:
        old = pid_behind(wire)
        assert wire.command("RELOADS") == "200 0"
        assert lasting.process is not None
        lasting.process.send_signal(signal.SIGHUP)
        until(lambda: wire.command("RELOADS") == "200 1", "the reload hook ran")
    assert lasting.pid("ftps") == old


def test_nothing_is_left_running_after_a_stop(gateway: RunningGateway) -> None:
    assert gateway.process is not None
    gateway.pid("housekeeping")
    doors = children(gateway.process.pid)
    assert len(doors) == 3
    assert gateway.stop() == 0
    assert not any(alive(pid) for pid in doors)
    assert Path(gateway.state_dir / "gateway.lock").exists()


def is_refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 5).close()
    except ConnectionRefusedError:
        return True
    return False
