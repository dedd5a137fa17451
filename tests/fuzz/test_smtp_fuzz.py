"""Strangers' bytes at the mail door: any cut of DATA reads the same, and nothing that is sent makes a session fail."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.smtp import Smtp
from gateway.domain import authentication_results
from gateway.smtp.data import DataReader
from gateway.smtp.path import BadPath, parse
from gateway.testing import Wire
from gateway.testing.mail_door import MailDoor, mail_door

PIECES = st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"..", b"\0", b"\r\n.", b"\r\n.\r\n", b".\r\n", b"\xff"])
WIRE = st.lists(PIECES, max_size=40).map(b"".join)


def meant(wire: bytes) -> tuple[bytes, bytes] | None:
    """RFC 5321 §4.5.2, as it reads: the content and what follows the end; None where there is no end."""
    lines = (b"\r\n" + wire).split(b"\r\n")[1:]
    content = b""
    for number, line in enumerate(lines[:-1]):
        if line == b".":
            return content, b"\r\n".join(lines[number + 1 :])
        content += line.removeprefix(b".") + b"\r\n"
    return None


@given(WIRE, st.integers(1, 9))
@settings(max_examples=400, deadline=None)
def test_data_in_any_cut_is_what_the_standard_says(wire: bytes, size: int) -> None:
    reader, content, fed = DataReader(), b"", 0
    while fed < len(wire) and not reader.ended:
        content += reader.feed(wire[fed : fed + size])
        fed += size
    expected = meant(wire)
    assert reader.ended == (expected is not None)
    if expected is not None:
        assert (content, reader.rest + wire[fed:]) == expected
        assert reader.line_ends.bare == (b"\r" in (bare := content.replace(b"\r\n", b"")) or b"\n" in bare)


@given(
    st.text(max_size=80) | st.from_regex(r"<?[a\"@.\\ :,]{0,12}@?[a.\-\[\]:]{0,10}>?( [A-Z=0-9]{0,8})*", fullmatch=True)
)
@settings(max_examples=400, deadline=None)
def test_a_path_is_read_or_refused(argument: str) -> None:
    with contextlib.suppress(BadPath):
        path, _ = parse(argument)
        assert "\r" not in str(path)
        assert "\n" not in str(path)


@given(st.binary(max_size=200) | st.text('mx.;=()\\" dkimpasheader', max_size=120).map(str.encode))
@settings(max_examples=400, deadline=None)
def test_no_authentication_results_field_raises(field: bytes) -> None:
    fields = [("authentication-results", each) for each in (field, b"mx; " + field, b"mx; a=b; " + field)]
    authentication_results.read(fields, "mx", "example.com")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailDoor]:
    with mail_door(tmp_path_factory.mktemp("door"), Smtp(max_message_size=100_000)) as opened:
        yield opened


COMMANDS = st.sampled_from(
    [
        *(b"EHLO x", b"HELO x", b"MAIL FROM:<a@b.example>", b"MAIL FROM:<>", b"RCPT TO:<support@example.com>", b"DATA"),
        *(b"BDAT 3", b"BDAT 3 LAST", b"BDAT x", b"RSET", b"NOOP", b"VRFY", b"HELP"),
        *(b".", b"", b"abc", b"Subject: SR# 1", b"\xff\0", b"a\rb"),
    ]
)


@given(st.lists(COMMANDS, max_size=25), st.sampled_from([b"\r\n", b"\n", b"\r"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_said_the_session_ends_in_order(
    door: MailDoor, caplog: pytest.LogCaptureFixture, lines: list[bytes], end: bytes
) -> None:
    import socket

    caplog.clear()
    with Wire.connect(door.address) as wire:
        with contextlib.suppress(ConnectionError):
            wire.socket.sendall(b"".join(line + end for line in lines))
            wire.socket.shutdown(socket.SHUT_WR)
        replies = b""
        with contextlib.suppress(ConnectionError):
            while block := wire.socket.recv(65536):
                replies += block
    assert all(line[:3].isdigit() for line in replies.split(b"\r\n")[:-1])
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert Path(door.folder, "incoming").exists()
