"""DATA on the wire: the end and only the end, dots, line ends, in every cut into blocks."""

from __future__ import annotations

import base64

import pytest

from gateway.smtp.data import DataReader, LineEnds, is_even


def read(wire: bytes, size: int = 1 << 20) -> tuple[bytes, DataReader]:
    """Feed *wire* in blocks of *size* until it has ended; what was not fed counts to the rest."""
    reader = DataReader()
    content = b""
    position = 0
    while position < len(wire) and not reader.ended:
        content += reader.feed(wire[position : position + size])
        position += size
    reader.rest += wire[position:]
    return content, reader


SIZES = (1, 2, 3, 5, 7, 1 << 20)

MESSAGES = {
    "plain": (b"Subject: x\r\n\r\nhello\r\n.\r\n", b"Subject: x\r\n\r\nhello\r\n"),
    "empty": (b".\r\n", b""),
    "one empty line": (b"\r\n.\r\n", b"\r\n"),
    "a dot-stuffed line": (b"a\r\n..\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
    "a first line that begins with a dot": (b"..first\r\n.\r\n", b".first\r\n"),
    "dots inside lines stay": (b"a.b\r\nc..\r\n.\r\n", b"a.b\r\nc..\r\n"),
    "a stuffed line behind a stuffed line": (b"..\r\n..\r\n...\r\n.\r\n", b".\r\n.\r\n..\r\n"),
    "a dot that was not doubled": (b".x\r\n.\r\n", b"x\r\n"),
    "NUL stays": (b"a\0b\r\n.\r\n", b"a\0b\r\n"),
    "a very long line": (b"x" * 100_000 + b"\r\n.\r\n", b"x" * 100_000 + b"\r\n"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MESSAGES)
def test_the_content_is_what_the_sender_meant_in_any_cut(name: str, size: int) -> None:
    wire, meant = MESSAGES[name]
    content, reader = read(wire + b"MAIL FROM:<>\r\n", size)
    assert content == meant
    assert reader.ended
    assert reader.rest == b"MAIL FROM:<>\r\n"
    assert not reader.line_ends.bare


SMUGGLED = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n\r\n.\r\r\n",
    b"\r\n\0.\r\n",
)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("end", SMUGGLED)
def test_smtp_2_no_other_line_end_ends_a_message(end: bytes, size: int) -> None:
    """SMTP smuggling: what another server takes for the end of the message is content here, and noticed."""
    smuggled = b"harmless" + end + b"MAIL FROM:<forged@example.com>\r\n"
    content, reader = read(smuggled + b"\r\n.\r\n", size)
    assert reader.ended
    assert b"MAIL FROM" in content
    assert reader.rest == b""
    assert reader.line_ends.bare or b"\0" in end


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "wrong", [b"a\rb\r\n", b"a\nb\r\n", b"\nb\r\n", b"a\r\r\n", b"a\n\r\n", b"\r\n\n\r\n", b"a\r\n\rb\r\n"]
)
def test_smtp_2_a_bare_cr_or_lf_is_noticed(wrong: bytes, size: int) -> None:
    _, reader = read(wrong + b".\r\n", size)
    assert reader.ended
    assert reader.line_ends.bare


def test_lines_of_one_length_are_seen_as_such() -> None:
    lines = base64.encodebytes(bytes(range(256)) * 40).replace(b"\n", b"\r\n")
    whole = lines[: len(lines) // 78 * 78]
    assert [start for start in range(80) if not is_even(whole[start:])] == [77], "an LF whose CR was in another block"
    assert [cut for cut in range(80) if not is_even(whole[: len(whole) - cut])] == [1, 79], "a CR without its LF"
    assert not is_even(whole + b"a line of its own length\r\n")
    assert not is_even(b"no line at all" * 1000)


@pytest.mark.parametrize("stranger", [b"\r", b"\n", b"\r\n", b"\n\r"])
def test_a_stray_cr_or_lf_among_lines_of_one_length_is_noticed_wherever_it_is(stranger: bytes) -> None:
    lines = (b"x" * 76 + b"\r\n") * 60
    for place in range(300, 300 + 2 * 78):
        for changed in (
            lines[:place] + stranger + lines[place:],
            lines[:place] + stranger + lines[place + len(stranger) :],
        ):
            bare = changed.replace(b"\r\n", b"")
            wrong = b"\r" in bare or b"\n" in bare
            ends = LineEnds()
            ends.look(changed, final=True)
            assert ends.bare == wrong, (place, changed[place - 5 : place + 5])
            assert not (wrong and is_even(changed))


def test_a_cr_that_waits_for_its_lf_is_not_forgotten_over_lines_of_one_length() -> None:
    lines = (b"x" * 76 + b"\r\n") * 60
    for begin, wrong in ((b"x\r", True), (b"x\r\n", False)):
        ends = LineEnds()
        ends.look(begin)
        ends.look(lines)
        ends.look(b"", final=True)
        assert ends.bare == wrong
    ends = LineEnds()
    ends.look(lines + b"x" * 76 + b"\r")
    ends.look(b"\n" + lines, final=True)
    assert not ends.bare


def test_a_cr_at_the_very_end_of_a_last_chunk_is_a_bare_one() -> None:
    ends = LineEnds()
    ends.look(b"a\r\nb\r")
    assert not ends.bare
    ends.look(b"", final=True)
    assert ends.bare


def test_smtp_5_between_two_blocks_at_most_four_bytes_are_kept() -> None:
    reader = DataReader()
    assert len(reader.feed(b"x" * 1_000_000)) == 1_000_000
    assert len(reader.feed(b"\r\n.\r")) == 0
    assert len(reader.feed(b"y" * 1_000_000)) == 1_000_003
