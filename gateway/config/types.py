"""What a setting may be: durations, sizes, port ranges, paths, addresses, each with the words that say what is allowed.

Rules: people write ``"72h"``, ``"64 KiB"``, ``"60000-60100"``; plain numbers are seconds and bytes. A type carries its
``Allowed`` words, so that a mistake is always answered with what would have been right. A relative path is one beside
the configuration file. Never: a look at the network; at the disk only for where a ``..`` leads.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field

from gateway.domain.hours import Hours, parse_hours

KiB: Final = 1024
MiB: Final = 1024 * KiB
GiB: Final = 1024 * MiB

reading_from: ContextVar[Path | None] = ContextVar("reading_from", default=None)
"""The configuration file being read, which relative paths are beside."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The words that follow "allowed:" when a value of this type is wrong."""

    words: str


# --- durations and sizes -------------------------------------------------------------------------------------------

_SECONDS: Final[Mapping[str, float]] = MappingProxyType(
    {"ms": 0.001}
    | dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1)
    | dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60)
    | dict.fromkeys(("h", "hour", "hours"), 3600)
    | dict.fromkeys(("d", "day", "days"), 86400)
    | dict.fromkeys(("w", "week", "weeks"), 7 * 86400)
)
_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {"b": 1, "byte": 1, "bytes": 1}
    | {f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)}
    | {f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", start=1)}
)
_AMOUNT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*,?", re.ASCII)


def duration(value: object) -> timedelta:
    """``30``, ``"30s"``, ``"1h 30m"`` or ``"2 days"`` as a timedelta. Raises ValueError."""
    if isinstance(value, timedelta):
        return value
    try:
        return timedelta(seconds=_amount(value, _SECONDS, bare=1))
    except OverflowError:
        raise ValueError(f'"{value}" is more than a duration can be') from None


def size(value: object) -> int:
    """``65536``, ``"64 KiB"`` or ``"1.5GB"`` as bytes (KiB = 1024, kB = 1000). Raises ValueError."""
    return round(_amount(value, _BYTES, bare=1))


def duration_text(value: timedelta) -> str:
    """The shortest way to write ``value`` in a configuration: ``"72h"`` comes back as ``"3 days"``."""
    milliseconds = value // timedelta(milliseconds=1)
    for unit, length in (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % length == 0:
            count = milliseconds // length
            return f"{count} {unit if count > 1 else 'day'}" if unit == "days" else f"{count} {unit}"
    return f"{milliseconds} ms" if milliseconds else "0 s"


def size_text(value: int) -> str:
    """The shortest way to write ``value`` exactly: ``36700160`` is ``"35 MiB"``."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if value and value % 1024**power == 0:
            return f"{value // 1024**power} {unit}"
    return f"{value} B"


def _amount(value: object, units: Mapping[str, float], bare: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is neither a number nor a string")
    if isinstance(value, int | float):
        if not 0 <= value < 2**63:
            raise ValueError(f"{value} is out of range")
        return value * bare
    total, end = 0.0, 0
    for match in _AMOUNT.finditer(value):
        if match.start() != end:
            break
        number, unit = match.groups()
        factor = bare if not unit and match.end() == len(value) and end == 0 else units.get(unit.lower())
        if factor is None:
            break
        total, end = total + float(number) * factor, match.end()
    if end != len(value) or not value.strip() or value.rstrip().endswith(",") or total >= 2**63:
        raise ValueError(f'"{value}" is not understood')
    return total


type_duration = Allowed('a duration: seconds, or a string such as "30s", "5 min", "72h", "2 days"')
type_size = Allowed('a size: bytes, or a string such as "64 KiB", "35MiB", "20 GB"')

Duration = Annotated[timedelta, BeforeValidator(duration), type_duration]
Size = Annotated[int, BeforeValidator(size), type_size]

# --- ports and addresses -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PortRange:
    """Neighbouring ports, both ends belonging to them."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last

    def __len__(self) -> int:
        return self.last - self.first + 1


def port_range(value: object) -> PortRange:
    """``"60000-60100"``, or one port. Raises ValueError."""
    if isinstance(value, PortRange):
        return value
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*(?:[-–:]\s*([0-9]{1,5})\s*)?", str(value), re.ASCII)
    if match is None or isinstance(value, bool):
        raise ValueError(f'"{value}" is not understood')
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= 65535:
        raise ValueError(f'"{value}" is no range of ports')
    return PortRange(first, last)


_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)


def host(value: object) -> str:
    """A name or an address, IPv4 or IPv6. Raises ValueError."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError(f"{value!r} is neither a host name nor an address")
    return text


def mail_address(value: object) -> str:
    """``local@domain``, in lower case (an alias is compared without regard to case). Raises ValueError."""
    local, _, domain = value.strip().rpartition("@") if isinstance(value, str) else ("", "", "")
    if not local or not re.fullmatch(r"[^\s\x00-\x1f\x7f<>()\[\],;:\\\"@]{1,64}", local):
        raise ValueError(f"{value!r} is no mail address")
    return f"{local}@{host(domain)}".lower()


WebAddress = Annotated[str, Field(pattern=r"^https?://[!-~]+$"), Allowed("a web address: https://…")]
Port = Annotated[int, Field(ge=0, le=65535), Allowed("a port: 1 to 65535 (0: any free one, for tests)")]
Ports = Annotated[PortRange, BeforeValidator(port_range), Allowed('a range of ports: "60000-60100"')]
HostName = Annotated[str, BeforeValidator(host), Allowed("a host name or an address, IPv4 or IPv6")]
MailAddress = Annotated[str, BeforeValidator(mail_address), Allowed('a mail address: "support@example.com"')]
Count = Annotated[int, Field(ge=1), Allowed("a whole number, 1 or more")]
Processes = Annotated[int, Field(ge=0, le=16), Allowed("a whole number, 1 to 16, or 0: as this machine needs")]

# --- files, calendars ----------------------------------------------------------------------------------------------


def path(value: object) -> Path:
    """A path; a relative one is beside the configuration file. Raises ValueError."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{value!r} is no path")
    file = reading_from.get()
    return Path(value).expanduser() if file is None else beside(file, Path(value).expanduser())


def beside(file: Path, other: Path) -> Path:
    """*other*, where it lies as seen from *file*, in words that a person can follow.

    Only what stands before a ``..`` is looked up, as the system would do it (behind a link, ``..`` is not one name
    less). Links after it stay: a renewed certificate is another file behind the same one.
    """
    parts = (file.parent / other).parts
    end = len(parts) - parts[::-1].index("..") if ".." in parts else 0
    return Path(os.path.realpath(Path(*parts[:end])), *parts[end:]) if end else Path(*parts)


def hours(value: object) -> Hours:
    """Opening hours. Raises ValueError."""
    return value if isinstance(value, Hours) else parse_hours(str(value))


def zone(value: object) -> ZoneInfo:
    """A time zone by its IANA name. Raises ValueError."""
    if isinstance(value, ZoneInfo):
        return value
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone") from None


def one_or_many(value: object) -> object:
    """A lone string stands for a list of one. Raises ValueError for an empty list or word."""
    words = (value,) if isinstance(value, str) else value
    if isinstance(words, list | tuple) and not all(words or [""]):
        raise ValueError("is empty")
    return words


FilePath = Annotated[Path, BeforeValidator(path), Allowed("a path; a relative one is beside this file")]
OpeningHours = Annotated[
    Hours, BeforeValidator(hours), Allowed('hours: "Mon-Fri 08:00-18:00", several with commas between')
]
Zone = Annotated[
    ZoneInfo, BeforeValidator(zone), Allowed('an IANA time zone: "America/Moncton", "Europe/London", "UTC"')
]
Words = Annotated[tuple[str, ...], BeforeValidator(one_or_many), Allowed("a string, or a list of strings")]
Days = Annotated[tuple[date, ...], Allowed("a list of dates: [2026-12-25, 2026-12-26]")]
