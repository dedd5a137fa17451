"""A door of several processes: all serve on one port, each dies and comes again by itself, and they count together."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.daemon import company
from gateway.testing import RunningGateway, Wire, until
from gateway.testing.running import alive
from tests.daemon.conftest import Stubbed

THREE = {"ftps": {"processes": 3}, "smtp": {"processes": 1}}


@pytest.fixture(scope="module")
def three(stubbed: Stubbed) -> Iterator[RunningGateway]:
    """A gateway whose FTPS door is three processes."""
    with stubbed(THREE) as gateway:
        yield gateway


def processes(gateway: RunningGateway) -> dict[str, int]:
    return {name: pid for name, pid in gateway.doors().items() if name.startswith("ftps")}


def one_of_each(gateway: RunningGateway, stack: ExitStack) -> dict[str, Wire]:
    """A connection to each process of the door, by its name."""
    until(lambda: len(processes(gateway)) == 3, "all three processes")
    wires: dict[str, Wire] = {}

    def another() -> bool:
        wire = stack.enter_context(gateway.wire("ftps"))
        wires.setdefault(wire.line().split(" ")[1], wire)
        return len(wires) == 3

    until(another, "an answer of each")
    return wires


def test_every_process_answers_on_the_one_port(three: RunningGateway) -> None:
    with ExitStack() as stack:
        assert sorted(one_of_each(three, stack)) == ["ftps", "ftps-2", "ftps-3"]


def test_one_that_dies_ends_no_session_of_the_others_and_comes_again(three: RunningGateway) -> None:
    with ExitStack() as stack:
        wires = one_of_each(three, stack)
        old = processes(three)
        os.kill(old["ftps-2"], signal.SIGKILL)
        assert wires["ftps-2"].is_closed()
        assert wires["ftps"].command("NOOP") == wires["ftps-3"].command("NOOP") == "200 ok"
        until(lambda: processes(three).get("ftps-2", old["ftps-2"]) != old["ftps-2"], "another second process")
        assert "the ftps-2 door was killed by SIGKILL and is started again" in three.log()


def test_one_that_cannot_serve_says_why_and_disturbs_nobody(stubbed: Stubbed) -> None:
    with stubbed(THREE, environment={"STUB_CANNOT": "ftps-2"}) as gateway, gateway.wire("ftps") as wire:
        said = "the ftps-2 door ended with exit code 2 and is started again"
        until(lambda: gateway.log().count(said) > 3, "it dies again and again")
        assert 'pause=0.5 reason="the stub was told that it can\'t"' in gateway.log()
        assert wire.line().startswith("220 ftps")
        assert wire.command("NOOP") == "200 ok"
        assert gateway.stop() == 0


def test_what_one_says_all_the_others_hear(three: RunningGateway) -> None:
    with ExitStack() as stack:
        wires = one_of_each(three, stack)
        assert wires["ftps-3"].command("TELL") == "200 told"
        for name in ("ftps", "ftps-2"):
            until(lambda name=name: "from ftps-3" in wires[name].command("HEARD"), "the word")
        assert "from ftps-3" not in wires["ftps-3"].command("HEARD")


def test_they_count_together_and_what_a_dead_one_counted_is_forgotten(stubbed: Stubbed) -> None:
    with stubbed(THREE) as gateway, ExitStack() as stack:
        wires = one_of_each(gateway, stack)
        assert [wire.command("COUNT") for wire in wires.values()] == ["200 1", "200 2", "200 3"]
        assert wires["ftps-2"].command("COUNT") == "200 4"
        os.kill(processes(gateway)["ftps-2"], signal.SIGKILL)
        assert wires["ftps-2"].is_closed()
        until(lambda: "is started again" in gateway.log(), "its end was seen")
        assert wires["ftps"].command("COUNT") == "200 3"


def test_a_stop_ends_all_of_them(stubbed: Stubbed) -> None:
    with stubbed(THREE) as gateway:
        until(lambda: len(processes(gateway)) == 3, "all three processes")
        pids = processes(gateway).values()
        assert gateway.stop(signal.SIGTERM) == 0
        assert not any(alive(pid) for pid in pids)


def test_a_stop_waits_for_none_that_is_not_ready(stubbed: Stubbed) -> None:
    with stubbed(THREE, environment={"STUB_SLOW": "ftps-2"}) as gateway:
        until(lambda: len(processes(gateway)) == 3, "all three processes")
        assert gateway.stop(signal.SIGTERM) == 0
        assert "did not stop in time" not in gateway.log()


def test_a_stop_reaches_one_that_did_not_keep_up_with_what_the_others_said(stubbed: Stubbed) -> None:
    with stubbed(THREE | {"gateway": {"drain_timeout": "1s"}}) as gateway, ExitStack() as stack:
        wires = one_of_each(gateway, stack)
        second = processes(gateway)["ftps-2"]
        os.kill(second, signal.SIGSTOP)
        for _ in range(20):  # three times what waits for a process at most
            assert wires["ftps"].command("FLOOD") == "200 told"
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGTERM)
        assert wires["ftps-3"].is_closed()  # the others have stopped
        os.kill(second, signal.SIGCONT)
        assert gateway.wait() == 0
        assert "did not stop in time" not in gateway.log()


def test_a_reload_reaches_all_of_them(stubbed: Stubbed) -> None:
    with stubbed(THREE) as gateway, ExitStack() as stack:
        wires = one_of_each(gateway, stack)
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGHUP)
        for wire in wires.values():
            until(lambda wire=wire: wire.command("RELOADS") == "200 1", "the reload")


@pytest.mark.parametrize(
    "name, asked, here, given",
    [
        ("ftps", 0, 1, 1),
        ("ftps", 0, 2, 2),
        ("ftps", 0, 64, 4),
        ("ftps", 1, 64, 1),
        ("ftps", 7, 2, 7),
        ("smtp", 0, 1, 1),
        ("smtp", 0, 64, 2),
        ("smtp", 3, 1, 3),
        ("console", 1, 64, 1),
    ],
)
def test_how_many_processes_a_door_has(
    name: str, asked: int, here: int, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company.os, "sched_getaffinity", lambda pid: set(range(here)))
    assert company.processes(name, asked) == given
