"""Counting over processes: gateway/tally.py."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from gateway.tally import Board, Tally


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(3)
    yield board
    board.close()


def hands(board: Board) -> list[Tally]:
    return [Tally(board.fd, place, 3) for place in range(3)]


def test_what_one_counts_all_see(board: Board) -> None:
    first, second, third = hands(board)
    assert first.add("Acme") == 1
    assert second.add("Acme") == 2
    assert [each.count("Acme") for each in (first, second, third)] == [2, 2, 2]
    assert [each.here("Acme") for each in (first, second, third)] == [1, 1, 0]
    first.let_go("Acme")
    assert third.count("Acme") == 1
    assert first.here("Acme") == 0


def test_a_limit_holds_for_all_together(board: Board) -> None:
    first, second, _ = hands(board)
    assert first.admit("Acme", 2)
    assert second.admit("Acme", 2)
    assert not first.admit("Acme", 2)
    assert not second.admit("Acme", 2)
    assert first.admit("Acme", 0)
    assert first.admit("Bolt", 1)
    second.let_go("Acme")
    assert first.count("Acme") == 2


def test_another_process_counts_with_us(board: Board) -> None:
    first = hands(board)[0]
    child = os.fork()
    if not child:
        Tally(board.fd, 1, 3).add("Acme")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert first.add("Acme") == 2


def test_who_has_more_than_another_is_ahead(board: Board) -> None:
    first, second, third = hands(board)
    assert not first.ahead("sessions")
    first.add("sessions")
    second.add("sessions")
    assert [each.ahead("sessions") for each in (first, second, third)] == [True, True, False]
    third.add("sessions")
    assert not any(each.ahead("sessions") for each in (first, second, third))
    assert not Tally.alone().ahead("sessions")


def test_what_a_dead_process_counted_is_forgotten(board: Board) -> None:
    first, second, _ = hands(board)
    first.add("Acme")
    second.add("Acme")
    board.clear(1)
    assert first.count("Acme") == 1
    assert Tally(board.fd, 1, 3).add("Acme") == 2


def test_threads_lose_no_count_and_never_exceed_a_limit() -> None:
    tally = Tally.alone()
    admitted: list[bool] = []

    def come_and_go() -> None:
        for _ in range(500):
            if tally.admit("Acme", 5):
                admitted.append(tally.count("Acme") <= 8)  # who is refused counts himself for a moment
                tally.let_go("Acme")

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(admitted)
    assert tally.count("Acme") == 0


def test_a_thousand_keys_are_told_apart(board: Board) -> None:
    first, second, _ = hands(board)
    for number in range(1000):
        (first, second)[number % 2].add(f"address {number}")
    wrong = [number for number in range(1000) if first.count(f"address {number}") != 1]
    assert len(wrong) <= 2
    assert sum(first.count(f"stranger {number}") for number in range(1000)) <= 2


def test_a_name_of_odd_bytes_is_a_key() -> None:
    tally = Tally.alone()
    assert tally.add(b"caf\xe9".decode("utf-8", "surrogateescape")) == 1
