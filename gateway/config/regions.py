"""``[[regions]]`` and ``[sr]``: whom a customer reaches, when, and how a Service Request's number looks."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from gateway.config.section import Section
from gateway.config.types import Allowed, Days, Duration, MailAddress, OpeningHours, WebAddress, Words, Zone
from gateway.domain.calendar import Place
from gateway.domain.hours import parse_hours


class Region(Section):
    """A Regional Support Center. Two may share an alias; an account has one region, and where none is known all of the
    alias are named.
    """

    name: str = Field(min_length=1, examples=["Europe"])
    """What the region is called; `gateway account add --region` takes it."""

    alias: MailAddress = Field(examples=["support@example.com"])
    """The mail address that customers write to. Only these aliases are recipients here."""

    phone: Words = Field(min_length=1, examples=["+44 1632 960001"])
    """The telephone, or a list of them, that refusals name."""

    after_hours_phone: str | None = Field(default=None, examples=["+44 1632 960002"])
    """The telephone for critical issues after hours. Default: none."""

    web: WebAddress = Field(examples=["https://support.example.com/new"])
    """The address of the web form where new SRs are opened; refusals name it."""

    timezone: Zone = ZoneInfo("UTC")
    """The region's time zone: its hours, its holidays and the moment of a password reset are local."""

    hours: OpeningHours = parse_hours("Mon-Fri 08:00-18:00")
    """When mail is read, in local time."""

    holidays: Days = Field(default=(), examples=[["2026-12-25", "2026-12-26"]])
    """Local holidays, which count as closed."""

    language: Annotated[str, Field(pattern="^[a-z]{2,3}$"), Allowed('a language: "en", "fr", "ja"')] = "en"
    """The language of mails to this region's contacts, where there are templates in it ([outbox] templates has room for
    more); English otherwise.
    """

    @property
    def place(self) -> Place:
        """What the calendar and replies need to know of it."""
        return Place(self.timezone, frozenset(self.holidays), self.hours.days, self.phone, self.language)


class Sr(Section):
    """Service Requests."""

    number_pattern: str = "[0-9]{1,12}"
    """The regular expression that an SR number matches as a whole. ASCII digits unless you say otherwise; `\\d` would
    match Arabic digits too.
    """

    closed_folder_grace: Duration = timedelta(days=14)
    """How long the folder of an SR stays in the customer's tree after the SR closed, while it holds partials."""

    def mistakes(self) -> Iterator[tuple[str, str]]:
        try:
            pattern = re.compile(self.number_pattern)
        except re.error as error:
            yield "number_pattern", f"is no regular expression ({error}); allowed: [0-9]{{1,12}}"
            return
        if pattern.fullmatch(""):
            yield "number_pattern", "matches an empty number; allowed: a pattern that needs a character, [0-9]{1,12}"


DEFAULT_REGIONS = (
    Region(name="Support", alias="support@example.com", phone=("+1 555 0100",), web="https://support.example.com/"),
)
"""Stands in until the file names regions, so that a first try answers something; a warning says so."""
