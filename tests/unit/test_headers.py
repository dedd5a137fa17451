"""A header section in bytes: what is split, unfolded, and named as irregular."""

import time

import pytest

from gateway.domain.headers import MAX_FIELD_LINES, HeaderDefect, split


def test_fields_keep_their_order_and_lose_their_folds() -> None:
    message = b"From: a@example.com\r\nSubject: SR# 12345\r\n  and\r\n\tmore\r\nX-Empty:\r\n\r\nBody\r\n"
    headers = split(message)
    assert headers.fields == (("from", b"a@example.com"), ("subject", b"SR# 12345  and\tmore"), ("x-empty", b""))
    assert headers.defects == frozenset()
    assert message[headers.body_at :] == b"Body\r\n"


def test_lines_may_end_in_lf_alone() -> None:
    headers = split(b"From: a@example.com\nSubject: x\n y\n\nBody\n\nmore")
    assert headers.fields == (("from", b"a@example.com"), ("subject", b"x y"))
    assert headers.body_at == len(b"From: a@example.com\nSubject: x\n y\n\n")


@pytest.mark.parametrize("message", [b"A: b", b"A: b\r\n", b"A: b\r\n\r\n", b"A: b\n"])
def test_header_section_alone_is_a_message_without_a_body(message: bytes) -> None:
    headers = split(message)
    assert headers.fields == (("a", b"b"),)
    assert headers.body_at == len(message)


def test_message_without_a_header_section() -> None:
    assert split(b"\r\nBody").body_at == 2
    assert split(b"\nBody").body_at == 1
    assert split(b"").fields == ()


@pytest.mark.parametrize(
    "section, defect, fields",
    [
        (b"From : a@example.com\r\nTo: b\r\n", HeaderDefect.SPACE_BEFORE_COLON, ("from", "to")),
        (b" From: a@example.com\r\nTo: b\r\n", HeaderDefect.STARTS_WITH_CONTINUATION, ("to",)),
        (b"Garbage\r\nTo: b\r\n", HeaderDefect.LINE_WITHOUT_COLON, ("to",)),
        (b"X Y: a\r\nTo: b\r\n", HeaderDefect.FIELD_NAME_INVALID, ("to",)),
        (b"\xc3\xa9: a\r\nTo: b\r\n", HeaderDefect.FIELD_NAME_INVALID, ("to",)),
        (b": a\r\nTo: b\r\n", HeaderDefect.FIELD_NAME_INVALID, ("to",)),
        (b"From a@example.com Mon Jan  1 00:00:00 2024\r\nTo: b\r\n", HeaderDefect.MAILBOX_LINE, ("to",)),
        (b"To: a\0b\r\n", HeaderDefect.CONTROL_CHARACTER, ("to",)),
        (b"To: a\rFrom: b\r\n", HeaderDefect.CONTROL_CHARACTER, ("to",)),
    ],
)
def test_irregular_lines_are_named(section: bytes, defect: HeaderDefect, fields: tuple[str, ...]) -> None:
    headers = split(section + b"\r\nBody")
    assert headers.defects == {defect}
    assert tuple(name for name, _ in headers.fields) == fields


def test_names_that_only_some_readers_see_are_told() -> None:
    assert split(b"From : a\r\n\r\n").misspelt == {"from"}
    assert split(b"Fro\xadm: a\r\n\r\n").misspelt == {"from"}
    assert split(b"X-Mailer : a\r\nFrom: a\r\n\r\n").misspelt == {"xmailer"}


def test_continuation_behind_a_bad_line_belongs_to_no_field() -> None:
    assert split(b"A: b\r\nBad\r\n c\r\nD: e\r\n\r\n").fields == (("a", b"b"), ("d", b"e"))


def test_regular_and_irregular_sections_are_split_alike() -> None:
    regular = b"A: b\r\n c\r\nD:\te \r\nF:g\r\n"
    assert split(regular + b"\r\n").fields == split(regular + b"bad\r\n\r\n").fields


@pytest.mark.parametrize(
    "section",
    [b"A" * 1_000_000, b"x\r\n" * 330_000, b"A: b\r\n" + b" \r\n" * 330_000, b":" * 1_000_000, b"A:\r\n" * 250_000],
    ids=["one-word", "no-colons", "one-fold", "colons", "fields"],
)
def test_pitfall_10_a_megabyte_of_header_is_split_in_bounded_time(section: bytes) -> None:
    began = time.process_time()
    headers = split(section)
    assert time.process_time() - began < 1
    assert len(headers.fields) <= MAX_FIELD_LINES
