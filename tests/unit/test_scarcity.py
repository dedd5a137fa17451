"""A door without room for connections meets that with every try, and tells the operator once a minute."""

import errno
import logging
from types import SimpleNamespace

import pytest

from gateway import scarcity
from gateway.scarcity import SELDOM, Scarcity

FULL = OSError(errno.EMFILE, "Too many open files")


def test_it_is_told_seldom(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter((0.0, 0.2, SELDOM - 1, SELDOM + 1, SELDOM + 2))
    monkeypatch.setattr(scarcity, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    door = Scarcity()
    told = []
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            door.tell(FULL)
            told.append(len(caplog.records))
    assert told == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_what_means_that_there_is_no_room(number: int) -> None:
    assert Scarcity.shows_in(OSError(number, "no room"))


def test_what_means_something_else() -> None:
    assert not Scarcity.shows_in(OSError(errno.ECONNABORTED, "the peer went away"))
