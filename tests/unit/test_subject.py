"""The subject grammar, row by row of ``subjects.toml``, and what no table can show: bounds, patterns, invariants."""

import re
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.subject import LONGEST, PREFIXES, Absent, Found, Malformed, NotAtStart, SubjectGrammar

TABLE = tomllib.loads(Path(__file__).with_name("subjects.toml").read_text(encoding="utf-8"))["group"]
ROWS = [(subject, reading) for group in TABLE for subject, reading in group["rows"]]
GRAMMAR = SubjectGrammar()


def words(reading: object) -> str:
    match reading:
        case Found(number):
            return f"found {number}"
        case NotAtStart(number):
            return f"not at start {number}"
        case Malformed():
            return "malformed"
        case Absent():
            return "absent"
    raise AssertionError(reading)


@pytest.mark.parametrize("subject, reading", ROWS, ids=[ascii(subject) for subject, _ in ROWS])
def test_subject_table(subject: str, reading: str) -> None:
    assert words(GRAMMAR.read(subject)) == reading


def test_table_is_large_and_has_no_row_twice() -> None:
    assert len(ROWS) >= 80
    assert len({subject for subject, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("colon", [":", "：", " :", ": "])
def test_every_prefix_may_stand_before_the_phrase_in_any_case(prefix: str, colon: str) -> None:
    for form in (prefix, prefix.upper(), prefix.capitalize()):
        assert GRAMMAR.read(f"{form}{colon}SR# 12345") == Found("12345")


def test_pitfall_12_digits_of_other_scripts_never_stand_for_ascii_digits() -> None:
    for script in ("٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "๐๑๒๓๔๕๖๗๘๙"):
        assert GRAMMAR.read(f"SR# {script[1:6]}") == Malformed()
        assert SubjectGrammar(r"\d{1,12}").read(f"SR# {script[1:6]}") == Malformed()


def test_number_pattern_is_the_operators() -> None:
    grammar = SubjectGrammar("[0-9]{4}-[0-9]{6}")
    assert grammar.read("Re: SR# 2024-001234: logs") == Found("2024-001234")
    assert grammar.read("SR# 2024-0012345") == Malformed()
    assert grammar.read("SR# 12345") == Malformed()
    with pytest.raises(re.error):
        SubjectGrammar("[0-9")


def test_number_cut_by_the_length_limit_is_not_read() -> None:
    padding = " " * (LONGEST - len("SR# 123"))
    assert GRAMMAR.read(f"{padding}SR# 123") == Found("123")
    assert GRAMMAR.read(f"{padding}SR# 12345") == Malformed()


@pytest.mark.parametrize(
    "subject",
    ["[" * 100_000, "Re:" * 100_000, "\u0301\u0316" * 500_000, "SR#" * 300_000, "[a] " * 200_000, "\ufdfa" * 500_000],
    ids=["brackets", "prefixes", "combining", "phrases", "tags", "ligatures"],
)
def test_hostile_subjects_end_quickly(subject: str) -> None:
    began = time.process_time()
    GRAMMAR.read(subject)
    assert time.process_time() - began < 2


@settings(deadline=None)
@given(st.text(max_size=60))
def test_whatever_is_found_stands_in_the_subject_as_ascii_or_full_width_digits(subject: str) -> None:
    reading = GRAMMAR.read("SR# " + subject)
    if isinstance(reading, Found):
        assert re.fullmatch("[0-9]{1,12}", reading.number, re.ASCII)


@settings(deadline=None)
@given(
    st.integers(min_value=0, max_value=10**12 - 1),
    st.text(alphabet="0123456789abcXYZ_-./\\é٣①", min_size=1, max_size=4),
)
def test_no_number_is_read_out_of_a_longer_word(number: int, tail: str) -> None:
    reading = GRAMMAR.read(f"SR# {number}{tail}")
    longer = f"{number}{tail}".rstrip("-./")
    assert reading == (Found(longer) if longer.isascii() and longer.isdigit() and len(longer) <= 12 else Malformed())
