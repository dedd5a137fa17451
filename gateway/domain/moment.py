"""A moment as an operator reads it: for programs RFC 3339 in UTC, for people in a zone of theirs, which is named.

It is the string that programs read, so it goes through JSON as it is.
"""

from datetime import UTC, datetime, tzinfo
from typing import Self


class Moment(str):
    """``2027-01-05T14:00:00Z``, to the second."""

    at: datetime

    def __new__(cls, at: datetime) -> Self:
        """*at* must be aware."""
        moment = super().__new__(cls, at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))
        moment.at = at
        return moment

    def in_zone(self, zone: tzinfo) -> str:
        """``2027-01-05 10:00:00 AST``; where a zone has no letters its distance from UTC, ``-03``."""
        return f"{self.at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
