"""Names on the wire, in the store, and the Service Request they mean."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import names
from gateway.domain.names import BadName

WIRE = st.binary(min_size=1, max_size=60).filter(lambda raw: b"/" not in raw)


@given(WIRE)
def test_what_is_kept_comes_back_as_it_was(raw: bytes) -> None:
    try:
        text = names.from_wire(raw)
    except BadName:
        return
    again = names.to_wire(text)
    assert names.from_wire(again) == text


def test_a_mark_behind_a_byte_that_is_no_text_is_not_joined_with_it() -> None:
    raw = b"\xed\xcc\xa3.log"  # no UTF-8, and then a combining dot below: of "\\xed" it would make another letter
    assert names.to_wire(names.from_wire(raw)) == raw


@given(st.text(min_size=1, max_size=60).filter(lambda text: "/" not in text))
def test_text_comes_back_in_normal_form_c(text: str) -> None:
    try:
        kept = names.from_wire(text.encode())
    except BadName:
        return
    assert names.to_wire(kept) == unicodedata.normalize("NFC", text).encode()


@given(st.binary(min_size=1, max_size=60).map(lambda raw: bytes(0x80 | byte & 0x3F for byte in raw)))
def test_bytes_that_are_no_text_survive(raw: bytes) -> None:
    assert names.to_wire(names.from_wire(raw)) == raw


@given(st.lists(st.binary(max_size=20), max_size=8).map(b"/".join))
def test_no_path_leads_out_of_the_account(argument: bytes) -> None:
    try:
        path = names.resolve(("home",), argument)
    except BadName:
        return
    assert all(name not in ("", ".", "..") and "/" not in name and "\0" not in name for name in path)


@pytest.mark.parametrize(
    "argument, path",
    [
        (b"a", ("here", "a")),
        (b"/a", ("a",)),
        (b"", ("here",)),
        (b"..", ()),
        (b"../../../../etc/passwd", ("etc", "passwd")),
        (b"//a///b/./c", ("a", "b", "c")),
        (b"a/../../b", ("b",)),
        (b"%2e%2e/a", ("here", "%2e%2e", "a")),
        (b"...", ("here", "...")),
        (b" a ", ("here", " a ")),
        ("e\u0301".encode(), ("here", "\u00e9")),
        (b"caf\xe9", ("here", r"caf\xe9")),
    ],
)
def test_paths(argument: bytes, path: names.Path) -> None:
    assert names.resolve(("here",), argument) == path


@pytest.mark.parametrize("raw", [b"a\\b", b"a\0", b"a\nb", b"a\rb", b"\x1b[2J", b"\x7f", "\u0085".encode(), b"x" * 256])
def test_names_that_are_refused(raw: bytes) -> None:
    with pytest.raises(BadName):
        names.from_wire(raw)


def test_255_bytes_and_64_folders_are_fine_and_more_is_not() -> None:
    assert names.to_wire(names.from_wire(b"\xe9" * 255)) == b"\xe9" * 255
    assert len(names.resolve((), b"/".join([b"a"] * 64))) == 64
    with pytest.raises(BadName):
        names.resolve((), b"/".join([b"a"] * 65))


@pytest.mark.parametrize(
    "path, numbers",
    [
        (("SR-12345", "a.zip"), ["12345"]),
        (("sr-12345", "deep", "99_x.zip"), ["12345"]),
        (("SR12345.zip",), ["12345"]),
        (("SR#12345 logs.zip",), ["12345"]),
        (("SR-12345-logs.zip",), ["12345"]),
        (("sr_12345_logs.zip",), ["12345"]),
        (("12345_logs.zip",), ["12345"]),
        (("deep", "SR12345.7z"), ["12345"]),
        (("SR123456.zip",), ["123456"]),
        (("SR12345-6.zip",), []),
        (("SR1234567890123.zip",), []),
        (("12345.zip",), []),
        (("123456789",), []),
        (("x_SR12345.zip",), []),
        (("ASR12345.zip",), []),
        (("SR12\u0663.zip",), []),
        (("SR-\u0661\u0662.zip",), []),
    ],
)
def test_the_number_has_a_hard_right_edge(path: names.Path, numbers: list[str]) -> None:
    assert list(names.numbers_in(path)) == numbers


def test_folders_of_service_requests_are_reserved() -> None:
    assert names.is_reserved(("SR-12345",))
    assert names.is_reserved(("sr-anything",))
    assert not names.is_reserved(("SR-12345", "mine"))
    assert not names.is_reserved(("SRs",))
    assert names.folder_number("sr-12345") == "12345"
    assert names.folder_number("SR-12345-logs.zip") is None
