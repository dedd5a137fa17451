"""The crew: whatever happens in a worker costs that one task and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.examine.worker import ENVIRONMENT, MIB, Crew, Limits, Reason, WorkerDied

DRILL = "gateway.examine.drill:"


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with Crew(2, Limits(wall_seconds=60)) as crew:
        yield crew


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


async def death(crew: Crew, task: str, limits: Limits | None = None, **arguments: object) -> WorkerDied:
    with pytest.raises(WorkerDied) as caught:
        await crew.run(DRILL + task, limits=limits, **arguments)
    return caught.value


async def test_a_task_gets_its_arguments_and_answers(crew: Crew) -> None:
    answer = await crew.run(DRILL + "echo", text="Grüße", number=1, nothing=None)
    assert answer["arguments"] == {"text": "Grüße", "number": 1, "nothing": None}
    assert answer["pid"] != os.getpid()


async def test_a_worker_is_kept_warm(crew: Crew) -> None:
    assert len({(await crew.run(DRILL + "echo"))["pid"] for _ in range(3)}) == 1


async def test_a_worker_gets_no_secret_and_no_descriptor(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "hush")
    with socket.socket() as held:
        assert held.fileno() > 2
        answer = await crew.run(DRILL + "echo")
    assert set(answer["environment"]) <= {*ENVIRONMENT, "LC_CTYPE"}
    assert [number for number in answer["descriptors"] if number > 2] == answer["descriptors"][
        3:4
    ]  # /proc/self/fd itself
    assert answer["core"] == 0
    assert answer["niceness"] == min(19, os.nice(0) + 10)


@pytest.mark.parametrize(
    "name",
    ["os:system", "gateway.store:open", "gateway.examined:x", "gateway.examine.drill:_x", "gateway.examine.drill"],
)
async def test_only_tasks_under_examine_run(crew: Crew, name: str) -> None:
    with pytest.raises(ValueError, match="not a task"):
        await crew.run(name)


async def test_cpu_time_is_limited(crew: Crew) -> None:
    assert (await death(crew, "spin", Limits(cpu_seconds=0.2))).reason is Reason.CPU


async def test_a_task_that_hangs_is_killed(crew: Crew) -> None:
    assert (await death(crew, "hang", Limits(wall_seconds=0.2))).reason is Reason.WALL


async def test_memory_is_limited(crew: Crew) -> None:
    assert (await death(crew, "swell", Limits(memory=128 * MIB))).reason is Reason.MEMORY


async def test_an_answer_is_limited_and_print_is_not_an_answer(crew: Crew) -> None:
    assert (await death(crew, "chatter", Limits(output=1000), size=1000)).reason is Reason.OUTPUT
    assert (await crew.run(DRILL + "chatter", size=MIB // 2))["text"] == "x" * (MIB // 2)


async def test_a_task_may_only_read_unless_allowed(crew: Crew, tmp_path: Path) -> None:
    died = await death(crew, "write", path=str(tmp_path / "file"))
    assert died.reason is Reason.RAISED
    assert "File too large" in died.detail
    assert await crew.run(DRILL + "write", limits=Limits(written=1), path=str(tmp_path / "file")) == {"written": 1}


async def test_a_crash_a_signal_and_an_exit_cost_their_task_alone(crew: Crew) -> None:
    other = asyncio.create_task(crew.run(DRILL + "hang"))
    died = await death(crew, "die", number=signal.SIGSEGV)
    assert (died.reason, died.detail) == (Reason.KILLED, "Segmentation fault")
    assert (await death(crew, "die", number=signal.SIGKILL)).reason is Reason.KILLED
    assert (await death(crew, "leave", code=3)).detail == "exit code 3"
    assert (await crew.run(DRILL + "echo", still=True))["arguments"] == {"still": True}
    assert not other.done()
    other.cancel()


async def test_an_exception_keeps_its_stack_for_the_operator(crew: Crew) -> None:
    died = await death(crew, "fail", text="boom")
    assert died.reason is Reason.RAISED
    assert "ValueError: boom" in died.detail
    assert "drill.py" in died.detail


async def test_an_answer_that_is_no_json_is_named(crew: Crew) -> None:
    assert (await death(crew, "odd")).reason is Reason.RAISED


async def test_a_task_that_does_not_exist_is_named(crew: Crew) -> None:
    assert "no_such" in (await death(crew, "no_such")).detail


async def test_cancelling_kills_the_worker() -> None:
    async with Crew(1) as crew:
        pid = (await crew.run(DRILL + "echo"))["pid"]
        running = asyncio.create_task(crew.run(DRILL + "hang"))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until(lambda: not is_alive(pid))
        assert (await crew.run(DRILL + "echo"))["pid"] != pid


async def test_one_that_waits_for_a_worker_can_be_cancelled() -> None:
    async with Crew(1) as crew:
        running = asyncio.create_task(crew.run(DRILL + "hang"))
        waiting = asyncio.create_task(crew.run(DRILL + "echo"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        running.cancel()
        assert (await crew.run(DRILL + "echo"))["pid"]


async def test_never_more_workers_than_its_size_and_every_task_is_served(crew: Crew) -> None:
    answers = await asyncio.gather(*(crew.run(DRILL + "echo", number=number) for number in range(20)))
    assert [answer["arguments"]["number"] for answer in answers] == list(range(20))
    assert len({answer["pid"] for answer in answers}) <= 2


async def test_a_worker_retires_after_some_tasks() -> None:
    async with Crew(1, recycle=2) as crew:
        pids = [(await crew.run(DRILL + "echo"))["pid"] for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


async def test_a_worker_that_died_idle_costs_nothing(crew: Crew) -> None:
    pid = (await crew.run(DRILL + "echo"))["pid"]
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not is_alive(pid))
    assert (await crew.run(DRILL + "echo"))["pid"] != pid


async def test_workers_outlive_the_signal_that_asks_the_service_to_drain(crew: Crew) -> None:
    pid = (await crew.run(DRILL + "echo"))["pid"]
    os.kill(pid, signal.SIGTERM)
    assert (await crew.run(DRILL + "echo"))["pid"] == pid


async def test_closing_ends_tasks_under_way_and_leaves_no_process_and_no_descriptor() -> None:
    before = descriptors()
    crew = Crew(2)
    pid = (await crew.run(DRILL + "echo"))["pid"]
    running = [asyncio.create_task(crew.run(DRILL + "hang")) for _ in range(3)]
    await asyncio.sleep(0)
    await crew.close()
    for task in running:
        with pytest.raises(WorkerDied) as caught:
            await task
        assert caught.value.reason is Reason.CLOSED
    assert not is_alive(pid)
    assert descriptors() == before
    with pytest.raises(WorkerDied):
        await crew.run(DRILL + "echo")


async def test_deaths_leak_no_descriptor() -> None:
    async with Crew(2) as crew:
        before = None
        for _ in range(4):
            await death(crew, "leave", code=1)
            await death(crew, "fail", text="")
            await until(lambda: not crew._reaping)
            before = before or descriptors()
            assert descriptors() == before


ORPHAN = """
import asyncio
from gateway.examine.worker import Crew
async def main():
    crew = Crew(1)
    print((await crew.run("gateway.examine.drill:echo"))["pid"], flush=True)
    await crew.run("gateway.examine.drill:spin")
asyncio.run(main())
"""


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_workers_die_with_their_parent_amid_a_task() -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        idle = cpu_ticks(pid)
        asyncio.run(until(lambda: cpu_ticks(pid) > idle + 10))
        parent.kill()
    asyncio.run(until(lambda: not is_alive(pid)))
