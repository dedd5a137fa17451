"""The last day of an agreement, at the mail door: the day of the account's region, as at the FTPS door."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.domain.calendar import Place, Places
from gateway.domain.policy import Facts, Naming
from gateway.domain.records import Access
from gateway.smtp.facts import complete
from gateway.store.mails import SrStanding

EAST, WEST = "Pacific/Kiritimati", "America/Los_Angeles"
LAST_DAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("zone", "at", "current"),
    [
        (EAST, datetime(2026, 11, 22, 9, 59, tzinfo=UTC), True),
        (EAST, datetime(2026, 11, 22, 10, 0, tzinfo=UTC), False),
        (WEST, datetime(2026, 11, 23, 7, 59, tzinfo=UTC), True),
        (WEST, datetime(2026, 11, 23, 8, 0, tzinfo=UTC), False),
    ],
)
def test_the_last_day_of_an_agreement_is_the_regions_own(zone: str, at: datetime, current: bool) -> None:
    standing = SrStanding("1", "Open", "id", "acme", "There", True, LAST_DAY, {"eva@example.com": Access.READ_WRITE})
    item: Any = SimpleNamespace(at=at, facts=Facts(naming=Naming.FOUND, sender="eva@example.com"))
    facts = complete(item, standing, None, False, Places(by_region={"there": Place(ZoneInfo(zone))}))
    assert facts.standing is not None
    assert facts.standing.agreement_current is current
