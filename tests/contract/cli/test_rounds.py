"""``gateway account rotate``, ``outbox``, ``bans`` and ``audit``."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from gateway.domain.throttle import Limit, address_subject, login_subject
from gateway.store import Store, Transaction, bans, one_by_one, outbox

from .conftest import Shell
from .test_accounts import stored, trail
from .test_requests import in_store


def make_due(shell: Shell) -> None:
    with sqlite3.connect(shell.home / "state/gateway.db") as connection:
        connection.execute("UPDATE accounts SET next_reset = 1")


def test_rotate_resets_what_is_due_once_and_prints_no_password(acme: Shell) -> None:
    before = stored(acme, "acme")
    assert acme.json("account", "rotate", "--due") == {"reset": 0, "due": 0}
    make_due(acme)
    assert [each["login"] for each in acme.json("account", "rotate", "--due", "--dry-run")] == ["acme"]
    assert stored(acme, "acme").password_hash == before.password_hash
    assert acme.json("account", "rotate", "--due") == {"reset": 1, "due": 1}
    (entry,) = acme.json("audit", "list", "--last", "1")
    assert (entry["action"], entry["origin"]) == ("account reset", "this host"), "who, when, and from where"
    after = stored(acme, "acme")
    assert after.password_hash != before.password_hash
    assert after.next_reset is not None
    assert after.next_reset > datetime.now(UTC)
    assert acme.json("account", "rotate", "--due") == {"reset": 0, "due": 0}
    assert "say --due" in acme("account", "rotate", code=2).err
    entry = trail(acme)[-1]
    assert (entry.action, entry.subject, entry.actor.split()[0]) == ("account reset", "acme", "operator")


def test_who_watches_a_terminal_sees_how_far_the_resets_are(acme: Shell) -> None:
    make_due(acme)
    primary, secondary = os.openpty()
    command = [sys.executable, "-m", "gateway", "--config", str(acme.config), "account", "rotate", "--due"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=secondary, env=environment, text=True) as rotating:
        os.close(secondary)
        seen = b""
        with suppress(OSError):  # a terminal that nobody writes to any more ends with EIO
            while block := os.read(primary, 65536):
                seen += block
        os.close(primary)
        said, _ = rotating.communicate()
    assert rotating.returncode == 0, seen.decode()
    assert "resetting" in seen.decode()
    assert "100%" in seen.decode()
    assert "reset" in said
    assert "100%" not in said, "what is piped on is the result alone"


def test_an_account_may_have_a_rhythm_of_its_own(acme: Shell) -> None:
    before = acme.json("account", "show", "acme")["next_reset"]
    monthly = acme.json("account", "change", "acme", "--rotation-rule", "second friday monthly 08:30")
    assert datetime.fromisoformat(monthly["next_reset"]).weekday() == 4
    assert monthly["next_reset"].endswith("T08:30:00Z")
    assert acme.json("account", "change", "acme", "--rotation-rule", "default")["next_reset"] == before
    assert "is not a rhythm" in acme("account", "change", "acme", "--rotation-rule", "weekly", code=1).err


def test_the_calendar_and_the_newsletter(acme: Shell) -> None:
    acme("account", "add", "--sold-to", "Beta", "--end-user", "Beta", "--region", "South")
    calendar = acme("account", "list", "--ics").out
    assert calendar.startswith("BEGIN:VCALENDAR")
    assert calendar.count("BEGIN:VEVENT") == 2
    notice = acme("account", "rotate", "--notice").out
    assert " at 10:00 (South, all other regions)" in notice
    assert "never sent by mail" in notice
    assert "\nevery quarter, so that access stays" in notice


def test_the_newsletter_says_how_often_each_password_is_reset(acme: Shell) -> None:
    acme("account", "add", "--sold-to", "Beta", "--end-user", "Beta", "--region", "South")
    acme("account", "change", "beta", "--rotation-rule", "second friday monthly 08:30")
    notice = acme("account", "rotate", "--notice").out
    assert "\nevery quarter, those of some every month, so that access stays" in notice
    assert " at 10:00 (all other regions)\n" in notice
    assert " at 08:30 (South), those that are reset every month\n" in notice
    acme("account", "change", "acme", "--rotation-rule", "first monday monthly 10:00")
    notice = acme("account", "rotate", "--notice").out
    assert "\nevery month, so that access stays" in notice
    assert "quarter" not in notice
    assert notice.count("every month") == 1, "where all have one rhythm, no date needs to name it"


def test_the_outbox_shows_what_waits_and_retries_what_was_parked(acme: Shell) -> None:
    assert acme.json("outbox", "list") == []
    now = datetime.now(UTC)

    async def park(tx: Transaction, item: None) -> None:
        await outbox.post(tx, [outbox.Mail("ann@example.com", "c1", {"template": "x"}, "k1", now)])
        await tx.exec_driver_sql("UPDATE deliveries SET state = 'parked', attempts = 9, last_error = '550 no'")

    in_store(acme, lambda store: store.write(one_by_one(park), None))
    (parked,) = acme.json("outbox", "list")
    assert (parked["state"], parked["last_error"], parked["attempts"]) == ("parked", "550 no", 9)
    assert "550 no" in acme("outbox", "list").out
    assert acme.json("outbox", "retry", parked["id"])["state"] == "pending"
    assert "there is no delivery x" in acme("outbox", "retry", "x", code=1).err


def test_bans_are_seen_and_lifted(acme: Shell) -> None:
    assert acme.json("bans", "list") == []
    now, limit = datetime.now(UTC), Limit(1, timedelta(minutes=10))

    async def work(store: Store) -> None:
        for subject in (address_subject("192.0.2.7"), login_subject("acme")):
            await store.write(one_by_one(bans.strike), bans.Failure(subject, limit, now, "wrong password"))

    in_store(acme, work)
    assert {each["subject"] for each in acme.json("bans", "list")} == {"address 192.0.2.7", "login acme"}
    assert acme.json("bans", "lift", "192.0.2.7") == {"lifted": ["address 192.0.2.7"]}
    assert [each["subject"] for each in acme.json("bans", "list")] == ["login acme"]
    acme("bans", "lift", "login acme")
    assert "nothing is held against acme" in acme("bans", "lift", "acme", code=1).err


def test_the_audit_trail_is_listed_and_verified(acme: Shell) -> None:
    listed = acme.json("audit", "list")
    assert [each["sequence"] for each in listed] == list(range(1, len(listed) + 1))
    assert acme.json("audit", "list", "--last", "1") == listed[-1:]
    assert acme.json("audit", "verify") == {"ok": True, "entries": len(listed), "broken_at": None}
    with sqlite3.connect(acme.home / "state/gateway.db") as connection:
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE sequence = 2")
    assert acme.json("audit", "verify", code=1)["broken_at"] == 2
    assert "broken at entry 2" in acme("audit", "verify", code=1).err
