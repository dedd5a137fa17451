"""``gateway account`` and ``gateway contact``, as the public contract has them."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.access import Hashing
from gateway.access.hashing import Match
from gateway.domain.records import Account
from gateway.store import Store, accounts, audit, credentials

from .conftest import Shell


def stored(shell: Shell, login: str) -> Account:
    async def look() -> Account:
        store = await Store.open(f"sqlite:///{shell.home}/state/gateway.db")
        try:
            async with store.reading() as connection:
                found = await accounts.by_login(connection, login)
        finally:
            await store.close()
        assert found is not None
        return found

    return asyncio.run(look())


def opens(shell: Shell, login: str, password: str) -> bool:
    """Whether *password* is the account's present one."""
    account = stored(shell, login)
    return asyncio.run(Hashing(threads=1).match(password, account.password_hash, None)) is Match.PRESENT


def trail(shell: Shell) -> list[audit.Entry]:
    async def look() -> list[audit.Entry]:
        store = await Store.open(f"sqlite:///{shell.home}/state/gateway.db")
        try:
            async with store.reading() as connection:
                assert await audit.verify(connection) is None
                return [entry for _, entry in await audit.entries(connection)]
        finally:
            await store.close()

    return asyncio.run(look())


def test_add_prints_the_password_once_and_keeps_a_hash(shell: Shell) -> None:
    made = shell.json(
        "account", "add", "--sold-to", "Acme", "--end-user", "Globex", "--login", "acme", "--region", "north",
        "--agreement-ends", "2099-12-31",
    )  # fmt: skip
    assert made.keys() == {"login", "password", "region", "next_reset"}
    assert made["login"] == "acme"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["next_reset"])
    assert opens(shell, "acme", made["password"])
    shown = shell.json("account", "show", "acme")
    expected = {"login": "acme", "sold_to": "Acme", "end_user": "Globex", "state": "active", "region": "North"}
    assert expected.items() <= shown.items()
    assert shown["next_reset"] == made["next_reset"]
    assert shown["agreement_ends"] == "2099-12-31"
    assert made["password"] not in shell("account", "show", "acme").out + shell("account", "list").out
    assert "used               0 B\n" in shell("account", "show", "acme").out
    assert made["password"].encode() not in b"".join(path.read_bytes() for path in shell.home.rglob("gateway.db*"))


def test_for_people_the_password_is_on_stdout_and_the_warning_on_stderr(shell: Shell) -> None:
    said = shell("account", "add", "--sold-to", "Acme", "--end-user", "Acme")
    assert re.fullmatch(r"login     acme\npassword  [a-z2-9-]+\n", said.out)
    assert "shown this once" in said.err


def test_a_login_is_derived_from_the_companies(shell: Shell) -> None:
    for sold_to, end_user, login in (
        ("Acme GmbH & Co.", "Globex", "acme-gmbh-co-globex"),
        ("Acme GmbH & Co.", "Globex!", "acme-gmbh-co-globex-2"),
        ("Müller", "müller", "muller"),
        ("東京", "大阪", "account"),
    ):
        assert shell.json("account", "add", "--sold-to", sold_to, "--end-user", end_user)["login"] == login


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"--login": "acme"}, "the login acme is in use"),
        ({"--sold-to": "Acme", "--end-user": " Globex "}, "Acme / Globex has an account already"),
        ({"--login": "a/b"}, "is no login; allowed: letters, digits"),
        ({"--region": "West"}, 'there is no region "West"; the configuration has "North", "South"'),
        ({"--agreement-ends": "2020-01-01"}, "which is past"),
        ({"--sold-to": " "}, "Sold To ' ' is no company's name"),
    ],
)
def test_what_cannot_be_added_is_refused_in_words_and_changes_nothing(
    acme: Shell, options: dict[str, str], reason: str
) -> None:
    words = {"--sold-to": "New", "--end-user": "Company"} | options
    said = acme("account", "add", *(word for pair in words.items() for word in pair), code=1)
    assert said.out == ""
    assert reason in said.err
    assert len(acme.json("account", "list")) == 1


def test_reset_gives_a_new_password_and_ends_sessions(acme: Shell) -> None:
    before = stored(acme, "acme")
    made = acme.json("account", "reset", "acme")
    after = stored(acme, "acme")
    assert made.keys() == {"login", "password", "region", "next_reset"}
    assert opens(acme, "acme", made["password"])
    assert after.former_hash == before.password_hash
    assert after.session_epoch == before.session_epoch + 1


def test_disable_and_enable(acme: Shell) -> None:
    before = stored(acme, "acme")
    assert acme.json("account", "disable", "acme")["state"] == "disabled"
    closed = stored(acme, "acme")
    assert closed.session_epoch == before.session_epoch + 1, "running sessions end"
    assert acme.json("account", "enable", "acme")["state"] == "active"
    assert stored(acme, "acme").password_hash == before.password_hash


def test_change_moves_the_reset_with_the_region_and_a_past_end_puts_sessions_out(acme: Shell) -> None:
    before = acme.json("account", "show", "acme")
    changed = acme.json("account", "change", "acme", "--region", "North", "--agreement-ends", "2020-01-01")
    assert changed["region"] == "North"
    assert changed["next_reset"] != before["next_reset"], "ten o'clock is another moment there"
    assert changed["agreement_current"] is False
    assert stored(acme, "acme").session_epoch == 1
    assert "nothing to change" in acme("account", "change", "acme", code=2).err


@pytest.mark.parametrize("verb", ["show", "reset", "disable", "enable"])
def test_an_unknown_account(acme: Shell, verb: str) -> None:
    said = acme("account", verb, "nobody", code=1)
    assert said.err == "gateway: there is no account nobody; `gateway account list` shows all\n"


def test_everything_is_audited_and_no_secret_is(acme: Shell) -> None:
    password = acme.json("account", "reset", "acme")["password"]
    acme("account", "disable", "acme")
    acme("contact", "revoke", "ann@example.com", "acme")
    entries = trail(acme)
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("account add", "acme"),
        ("contact add", "ann@example.com"),
        ("contact grant", "ann@example.com"),
        ("sr add", "12345"),
        ("account reset", "acme"),
        ("account disable", "acme"),
        ("contact revoke", "ann@example.com"),
    ]
    assert all(entry.actor.startswith("operator ") and entry.origin for entry in entries)
    assert password not in repr(entries)


def grants(view: Any) -> list[tuple[str, str]]:
    return [(grant["account"], grant["access"]) for grant in view["grants"]]


def test_contacts_and_their_grants(acme: Shell) -> None:
    acme("account", "add", "--sold-to", "Beta", "--end-user", "Beta")
    shown = acme.json(
        "contact", "grant", "ANN@example.com", "beta", "--access", "read-only", "--employer", "Beta",
        "--approved-by", "Joe",
    )  # fmt: skip
    assert grants(shown) == [("acme", "read-write"), ("beta", "read-only")]
    assert shown["grants"][1]["approved_by"] == "Joe"
    shown = acme.json("contact", "grant", "ann@example.com", "beta", "--access", "read-write")
    assert grants(shown)[1][1] == "read-write"
    assert shown["grants"][1]["employer"] == "Beta", "the Sold To, where nothing else is said"
    assert shown["grants"][1]["approved_by"], "who did it, where nothing else is said"
    assert grants(acme.json("contact", "revoke", "ann@example.com", "acme")) == [("beta", "read-write")]
    assert "has no access to acme" in acme("contact", "revoke", "ann@example.com", "acme", code=1).err
    assert [each["email"] for each in acme.json("contact", "list")] == ["ann@example.com"]
    assert acme.json("account", "show", "beta")["contacts"][0]["email"] == "ann@example.com"
    assert acme.json("contact", "show", "ann@example.com")["name"] == "Ann"


def test_a_contact_s_address_is_kept_in_normal_form(shell: Shell) -> None:
    assert shell.json("contact", "add", "Jörg@Bücher.Example", "--name", "J")["email"] == "jörg@xn--bcher-kva.example"
    assert "is a contact already" in shell("contact", "add", "jörg@bücher.example", "--name", "J", code=1).err


@pytest.mark.parametrize("email", ["ann", "@example.com", "ann@", "a b@example.com", "a@b@c", "ann@exa mple.com"])
def test_what_is_no_address_is_refused(shell: Shell, email: str) -> None:
    assert "is no mail address" in shell("contact", "add", email, "--name", "N", code=1).err


def test_who_leaves_loses_everything_and_the_accounts_are_named(acme: Shell) -> None:
    before = stored(acme, "acme").password_hash
    gone = acme.json("contact", "remove", "ann@example.com")
    assert gone["accounts"] == ["acme"]
    assert gone["resets"] == []
    assert "there is no contact" in acme("contact", "show", "ann@example.com", code=1).err
    assert acme.json("account", "show", "acme")["contacts"] == []
    assert stored(acme, "acme").password_hash == before
    acme("contact", "add", "ann@example.com", "--name", "Ann again")
    assert acme.json("contact", "show", "ann@example.com")["grants"] == [], "who comes back starts anew"


def test_who_leaves_can_have_the_passwords_reset(acme: Shell) -> None:
    gone = acme.json("contact", "remove", "ann@example.com", "--reset-accounts")
    assert opens(acme, "acme", gone["resets"][0]["password"])
    trail = acme.json("audit", "list", "--last", "2")
    assert [each["action"] for each in trail] == ["account reset", "contact remove"]
    assert trail[1]["detail"] == {"accounts": ["acme"], "reset": True}


def test_who_leaves_keeps_everything_where_a_password_can_not_be_changed(
    acme: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(acme, "acme").password_hash

    async def fails(*_: object) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(credentials, "reset", fails)
        with pytest.raises(OSError, match="the disk is gone"):
            acme("contact", "remove", "ann@example.com", "--reset-accounts")
    assert acme.json("contact", "show", "ann@example.com")["grants"], "who leaves half would never be heard of again"
    assert stored(acme, "acme").password_hash == before


def test_what_a_reader_could_not_know_is_not_reset_when_they_leave(acme: Shell) -> None:
    acme("contact", "add", "rob@example.com", "--name", "Rob")
    acme("contact", "grant", "rob@example.com", "acme", "--access", "read-only")
    before = stored(acme, "acme").password_hash
    gone = acme.json("contact", "remove", "rob@example.com", "--reset-accounts")
    assert (gone["accounts"], gone["resets"]) == ([], [])
    assert stored(acme, "acme").password_hash == before


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"], ids=["ahead of UTC", "behind UTC"])
def test_an_agreement_is_current_on_the_days_of_the_accounts_region(shell: Shell, zone: str) -> None:
    """At any hour one of both zones has another date than UTC."""
    shell.config.write_text(shell.config.read_text().replace("America/Moncton", zone))
    today = datetime.now(ZoneInfo(zone)).date()
    yesterday = str(today - timedelta(days=1))
    add = ("account", "add", "--sold-to", "A", "--end-user", "B", "--region", "North", "--agreement-ends")
    assert "is past" in shell(*add, yesterday, code=1).err
    shell(*add, str(today))
    assert shell.json("account", "show", "a-b")["agreement_current"] is True
    assert shell.json("account", "change", "a-b", "--agreement-ends", yesterday)["agreement_current"] is False
    assert stored(shell, "a-b").session_epoch == 1, "sessions end"
    assert shell.json("account", "list")[0]["agreement_current"] is False


def test_people_read_times_in_the_zone_of_the_region_and_programs_in_utc(acme: Shell) -> None:
    acme.config.write_text(acme.config.read_text().replace("[gateway]", '[gateway]\ntimezone = "Asia/Tokyo"'))
    acme("account", "add", "--sold-to", "Beta", "--end-user", "Beta", "--region", "north")
    acme("account", "add", "--sold-to", "Gamma", "--end-user", "Gamma")
    listed = {each["login"]: each["next_reset"] for each in acme.json("account", "list")}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT01:00:00Z", listed["gamma"]), "its region is not known: our own zone"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT1[34]:00:00Z", listed["beta"])
    shown = {line.split()[0]: line for line in acme("account", "list").out.splitlines() if " active " in line}
    assert " 10:00:00 JST" in shown["gamma"]
    assert re.search(r" 10:00:00 A[SD]T", shown["beta"])
    assert re.search(r"next reset .* 10:00:00 A[SD]T\n", acme("account", "show", "beta").out)
    assert re.search(r"ends with the reset of \S+ 10:00:00 A[SD]T\.", acme("account", "reset", "beta").err)
    assert acme.json("account", "reset", "beta")["next_reset"] == listed["beta"]
    assert " JST " in acme("audit", "list").out
    assert acme.json("audit", "list")[0]["at"].endswith("Z")


def test_grants_need_both_ends_and_a_known_access(acme: Shell) -> None:
    assert "no contact bob@" in acme("contact", "grant", "bob@example.com", "acme", "--access", "read-only", code=1).err
    assert "no account x" in acme("contact", "grant", "ann@example.com", "x", "--access", "read-only", code=1).err
    assert "read-write" in acme("contact", "grant", "ann@example.com", "acme", "--access", "all", code=2).err


def test_an_account_may_have_limits_of_its_own(acme: Shell) -> None:
    changed = acme.json("account", "change", "acme", "--limit", "quota=2 GiB", "--limit", "transfers_per_account=3")
    assert changed["limits"] == {"quota": 2 << 30, "transfers_per_account": 3}
    changed = acme.json(
        "account", "change", "acme", "--limit", "quota=none", "--limit", "transfers_per_account=default"
    )
    assert changed["limits"] == {"quota": 0}
    assert "allowed: sessions_per_account" in acme("account", "change", "acme", "--limit", "sessions=1", code=1).err
    assert "is no limit" in acme("account", "change", "acme", "--limit", "quota=lots", code=1).err
