"""One running gateway for all client tests, with a customer, a Designated Contact and an open SR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.testing import Login, RunningGateway, running_gateway
from gateway.testing.running import TWO_EACH


@dataclass(frozen=True)
class Customer:
    """What the tests of a client need of the gateway that they talk to."""

    gateway: RunningGateway
    account: Login
    contact: str
    sr: str


@pytest.fixture(scope="session")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway(TWO_EACH) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def customer(gateway: RunningGateway) -> Customer:
    account = gateway.add_account("Acme")
    gateway.add_contact("eva@example.com", account.login)
    gateway.add_sr("12345", account.login)
    return Customer(gateway, account, "eva@example.com", "12345")
