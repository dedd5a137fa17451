"""A supervisor whose doors are stubs: quick, and they do what the test tells them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gateway.testing import RunningGateway, running_gateway

STUBS = Path(__file__).with_name("stubs")

Stubbed = Callable[..., AbstractContextManager[RunningGateway]]


@pytest.fixture(scope="session")
def stubbed() -> Stubbed:
    """``running_gateway`` with stub doors; *environment* is laid over what they need."""

    def start(*settings: object, environment: dict[str, str] | None = None, **named: object) -> object:
        return running_gateway(
            *settings,
            environment={"PYTHONPATH": str(STUBS), **(environment or {})},
            serve=lambda config: [sys.executable, str(STUBS / "serve.py"), str(config)],
            **named,
        )

    return start


@pytest.fixture(scope="session")
def lasting(stubbed: Stubbed) -> Iterator[RunningGateway]:
    """One for all tests that leave it serving."""
    with stubbed() as gateway:
        yield gateway


@pytest.fixture
def gateway(stubbed: Stubbed) -> Iterator[RunningGateway]:
    with stubbed() as gateway:
        yield gateway
