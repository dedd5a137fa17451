"""A mail door to talk to: one for all tests of a module that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.smtp import Smtp
from gateway.testing import Wire
from gateway.testing.mail_door import MailDoor, mail_door


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailDoor]:
    """Eva may write to SR 12345."""
    with mail_door(tmp_path_factory.mktemp("door"), Smtp(max_message_size=1 << 20)) as opened:
        acme = opened.add_account()
        opened.add_contact("eva@example.com", acme)
        opened.add_sr("12345", acme)
        yield opened


@pytest.fixture(params=[False, True], ids=["whole", "byte by byte"])
def wire(request: pytest.FixtureRequest, door: MailDoor) -> Iterator[Wire]:
    """A connection that was greeted; everything is also said in packets of one byte."""
    with Wire.connect(door.address, byte_by_byte=request.param) as connected:
        connected.talk("S: 220 gateway.example.com ESMTP *")
        yield connected


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path
