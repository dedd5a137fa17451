"""Which processors a process and its threads keep to: gateway/processors.py."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Thread

import pytest

from gateway import processors
from gateway.processors import share

ALL = os.sched_getaffinity(0)


@pytest.mark.parametrize(
    "there, of, shares",
    [
        ([0, 1], 2, [{0}, {1}]),
        ([0, 1, 2, 3], 2, [{0, 1}, {2, 3}]),
        ([0, 1, 2, 3, 4], 2, [{0, 1}, {2, 3, 4}]),
        ([7, 3, 5], 3, [{3}, {5}, {7}]),
        ([0, 1], 1, [{0, 1}]),
        ([0], 2, [{0}, {0}]),
        ([0, 1], 3, [{0, 1}, {0, 1}, {0, 1}]),
    ],
)
def test_the_processors_are_shared_out(there: list[int], of: int, shares: list[set[int]]) -> None:
    assert [share(there, place, of) for place in range(of)] == shares


def test_from_the_other_end() -> None:
    assert [share([0, 1, 2, 3], place, 2, from_last=True) for place in range(2)] == [{3, 2}, {1, 0}]


def in_a_thread(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """Where a thread that settled as the first of two may run: settled, roaming, at home, and a thread it started."""
    monkeypatch.setattr(processors, "_all", frozenset())
    monkeypatch.setattr(processors, "_own", frozenset())
    seen: list[set[int]] = []

    def look() -> None:
        seen.append(os.sched_getaffinity(0))

    def live() -> None:
        processors.settle(0, 2)
        look()
        with processors.roaming():
            look()
        look()
        child = Thread(target=look)
        child.start()
        child.join()

    thread = Thread(target=live)
    thread.start()
    thread.join()
    return seen


def test_a_thread_keeps_to_its_share_roams_and_comes_home(monkeypatch: pytest.MonkeyPatch) -> None:
    own = set(share(tuple(ALL), 0, 2))
    assert in_a_thread(monkeypatch) == [own, ALL, own, own]
    assert os.sched_getaffinity(0) == ALL


def test_nothing_is_pinned_where_the_system_will_not_hear_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, mask: object) -> None:
        raise PermissionError("seccomp")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert in_a_thread(monkeypatch) == [ALL] * 4


def test_nobody_roams_further_than_the_operator_lets_the_gateway() -> None:
    """One processor is all there is (taskset, a container): nothing asks for another."""
    one = min(ALL)
    code = f"""
import os
os.sched_setaffinity(0, {{{one}}})
from gateway import processors
processors.settle(1, 2)
processors.roam()
print(sorted(os.sched_getaffinity(0)))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [f"[{one}]"]
