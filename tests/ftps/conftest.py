"""The doors and customers that the tests of the FTPS door start from."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.testing.ftps import Customer, Door

MakeDoor = Callable[..., Door]


@pytest.fixture
def make_door(tmp_path: Path) -> Iterator[MakeDoor]:
    """Doors with settings of the test's own, given by section: ``make_door(ftps={"stall_timeout": "1 s"})``."""
    made: list[Door] = []

    def make(*, ports: int = 20, family: int = socket.AF_INET, start: bool = True, **settings: dict[str, Any]) -> Door:
        folder = tmp_path / f"door{len(made)}"
        folder.mkdir()
        door = Door(folder, settings, ports, family)
        made.append(door)
        if start:
            door.start()
        return door

    yield make
    for door in made:
        door.close()


@pytest.fixture
def door(make_door: MakeDoor) -> Door:
    return make_door()


@pytest.fixture
def acme(door: Door) -> Customer:
    """A customer with the open SR 12345."""
    customer = door.customer("acme")
    door.sr("12345", customer)
    return customer
