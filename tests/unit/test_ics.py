"""The calendar file: RFC 5545, importable twice."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.domain.ics import Entry, calendar_file

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ENTRY = Entry(
    "acme-2027-01-05@files.example.com", datetime(2027, 1, 5, 14, tzinfo=UTC), "Reset: acme; soon, really", "a\nb"
)


def test_a_reset_is_one_event_with_a_uid_that_stays() -> None:
    text = calendar_file([ENTRY], NOW)
    assert text == calendar_file([ENTRY], NOW)
    lines = text.split("\r\n")
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-2:] == ["END:VCALENDAR", ""]
    assert "UID:acme-2027-01-05@files.example.com" in lines
    assert "DTSTART:20270105T140000Z" in lines


def test_commas_semicolons_and_line_ends_are_escaped() -> None:
    text = calendar_file([ENTRY], NOW)
    assert "SUMMARY:Reset: acme\\; soon\\, really\r\n" in text
    assert "DESCRIPTION:a\\nb\r\n" in text


def test_long_lines_are_folded_at_75_octets_between_characters() -> None:
    long = Entry("u", NOW, "é日本" * 60, "")
    text = calendar_file([long], NOW)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert "é日本" * 60 in text.replace("\r\n ", "")


def test_an_empty_calendar_is_still_a_calendar() -> None:
    assert calendar_file([], NOW).count("BEGIN:") == 1
