"""Durations, sizes, port ranges and hours, as people write them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.lines import line_of, lines_of
from gateway.config.types import duration, duration_text, host, mail_address, port_range, size, size_text
from gateway.domain.hours import next_business_moment, parse_hours


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (30, 30),
        (0.5, 0.5),
        ("30", 30),
        ("30s", 30),
        ("250 ms", 0.25),
        ("5 min", 300),
        ("1h 30m", 5400),
        ("72h", 259200),
        ("2 days", 172800),
        ("1 day, 2 hours", 93600),
        ("0", 0),
        ("1 week", 604800),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "count"),
    [(65536, 65536), ("64 KiB", 65536), ("35MiB", 36700160), ("20 GB", 20 * 10**9), ("1.5kB", 1500), ("7 bytes", 7)],
)
def test_sizes(text: object, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "5 fortnights", "-5", -5, True, None, [], "1h 30", "1e400s", "5,", "s"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        duration(text)


@pytest.mark.parametrize("text", ["64K", "five", "-1", -1, "1 KiB MiB", 2**70, "999999999 TiB", False, 1j])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        size(text)


@given(st.integers(0, 2**50))
def test_a_size_and_a_duration_come_back_as_they_were_written(number: int) -> None:
    assert size(size_text(number)) == number
    span = timedelta(milliseconds=number % 10**12)
    assert duration(duration_text(span)) == span


@pytest.mark.parametrize("text", ["", "0-5", "5-4", "60000-70000", "a-b", True, "1-2-3", "٣-٥"])
def test_what_is_no_port_range_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        port_range(text)


def test_a_port_range_holds_both_ends() -> None:
    ports = port_range("60000 - 60100")
    assert len(ports) == len(list(ports)) == 101
    assert 60000 in ports
    assert 60100 in ports
    assert 60101 not in ports
    assert str(port_range(5)) == "5-5"


@pytest.mark.parametrize("text", ["", "a b", "-a.example.com", "x" * 64, "1.2.3", "1.2.3.4.5", "a..b", 5, "a\n"])
def test_what_is_no_host_is_refused(text: object) -> None:
    if text == "a\n":
        assert host(text) == "a"
        return
    with pytest.raises(ValueError):
        host(text)


@pytest.mark.parametrize("text", ["", "a", "@b", "a@", "a b@c", "a@b c", "<a@b>", "a@b@c", 'a"@b'])
def test_what_is_no_mail_address_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        mail_address(text)


TOML = '''\
a = 1 # x = 2
b.c = """
[no.header]
no = "key" """
[t]
"quoted.key" = [ # [
  "]", '[', { x = 1 },
]
after = 1
[t.u]
v = 1
[[r]]
name = "x = 1"
[r.sub]
k = 1
[[r]]
name = 2
[[r.deep]]
z = 1
'''


def test_lines_of_keys() -> None:
    lines = lines_of(TOML)
    expected = {"a": 1, "b": 2, "b.c": 2, "t": 5, "t.quoted.key": 6, "t.after": 9, "t.u": 10, "t.u.v": 11, "r": 12}
    expected |= {"r.0": 12, "r.0.name": 13, "r.0.sub": 14, "r.0.sub.k": 15, "r.1": 16, "r.1.name": 17}
    assert {key: lines[key] for key in expected} == expected
    assert lines["r.1.deep.0.z"] == 19
    assert not [key for key in lines if "no" in key]
    assert line_of("r.1.missing", lines) == 16
    assert line_of("nowhere", lines) is None


def test_lines_of_the_shipped_examples_are_those_of_a_search() -> None:
    for file in Path(__file__).parents[3].glob("examples/*.toml"):
        text = file.read_text()
        rows = text.splitlines()
        for key, line in lines_of(text).items():
            name = [part for part in key.split(".") if not part.isdigit()][-1]
            assert name in rows[line - 1], (file, key, line)


HOURS = parse_hours("Mon–Thu 08:00-12:00, Mon-Thu 13:00-18:00, Fri 8:00-24:00")
TOKYO = ZoneInfo("Asia/Tokyo")


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (datetime(2026, 11, 2, 9, 0), datetime(2026, 11, 2, 9, 0)),  # Monday morning: now
        (datetime(2026, 11, 2, 12, 0), datetime(2026, 11, 2, 13, 0)),  # lunch
        (datetime(2026, 11, 2, 18, 0), datetime(2026, 11, 4, 8, 0)),  # closing time, and Tuesday is a holiday
        (datetime(2026, 11, 6, 23, 59), datetime(2026, 11, 6, 23, 59)),  # Friday until midnight
        (datetime(2026, 11, 7, 0, 0), datetime(2026, 11, 9, 8, 0)),  # the weekend
    ],
)
def test_the_next_business_moment(local: datetime, expected: datetime) -> None:
    moment = local.replace(tzinfo=TOKYO).astimezone(UTC)
    found = next_business_moment(moment, TOKYO, HOURS, {date(2026, 11, 3)})
    assert found == expected.replace(tzinfo=TOKYO)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("text", ["", "Mon", "Mon 9-17", "Someday 09:00-17:00", "Mon 17:00-09:00", "Mon 09:60-10:00"])
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_hours(text)
