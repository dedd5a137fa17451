"""Command lines out of bytes, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ftps.lines import LONGEST, Lines

CASES = [
    (b"NOOP\r\n", [b"NOOP"]),
    (b"NOOP\n", [b"NOOP"]),
    (b"\r\n\nNOOP\r\n\r\n", [b"NOOP"]),
    (b"CWD  a \r\nPWD\r\n", [b"CWD  a ", b"PWD"]),
    (b"\xff\xf4\xff\xf2ABOR\r\n", [b"ABOR"]),
    (b"STOR a\xff\xffb\r\n", [b"STOR a\xffb"]),
    (b"STOR " + b"a" * LONGEST + b"\r\nNOOP\r\n", [None, b"NOOP"]),
    (b"A" * (4 * LONGEST) + b"\r\nNOOP\r\n", [None, b"NOOP"]),
]


@pytest.mark.parametrize("wire, found", CASES)
def test_lines(wire: bytes, found: list[bytes | None]) -> None:
    assert Lines().feed(wire) == found


@pytest.mark.parametrize("wire, found", CASES)
def test_lines_one_byte_at_a_time(wire: bytes, found: list[bytes | None]) -> None:
    lines = Lines()
    assert [line for at in range(len(wire)) for line in lines.feed(wire[at : at + 1])] == found


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_segments_make_no_difference(segments: list[bytes]) -> None:
    lines = Lines()
    cut = [line for segment in segments for line in lines.feed(segment)]
    assert cut == Lines().feed(b"".join(segments))
    assert lines.begun == b"".join(segments).rpartition(b"\n")[2]
