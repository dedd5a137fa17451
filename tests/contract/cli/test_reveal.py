"""Account information, one-time links and the sealing key, as an administrator types them."""

from __future__ import annotations

import errno
import json
from datetime import UTC, datetime

import pytest

from gateway.access import links, sealing
from gateway.store import Store

from .conftest import Shell
from .test_mail import in_store


@pytest.fixture
def sealed(shell: Shell) -> Shell:
    """A gateway that keeps passwords sealed, with an account, its Designated Contact and a reader."""
    text = shell.config.read_text()
    shell.config.write_text(
        text + '[rotation]\nsealed_passwords = true\nsealing_key = "sealing.key"\n[console]\nenabled = true\n'
        'url = "https://files.example.com:8443/"\n'
    )
    shell("key", "rotate")
    shell("account", "add", "--sold-to", "Acme", "--end-user", "Globex", "--login", "acme")
    for name, access in (("ann", "read-write"), ("rob", "read-only")):
        shell("contact", "add", f"{name}@example.com", "--name", name)
        shell("contact", "grant", f"{name}@example.com", "acme", "--access", access)
    shell("contact", "add", "eve@example.com", "--name", "Eve")
    return shell


def test_a_designated_contact_sees_the_password_and_the_look_is_audited(sealed: Shell) -> None:
    password = sealed.json("account", "reset", "acme")["password"]
    shown = sealed.json("account", "show", "acme", "--as", "Ann@Example.com")
    assert (shown["login"], shown["password"], shown["contact"]) == ("acme", password, "ann@example.com")
    assert password not in json.dumps(sealed.json("account", "show", "acme"))


@pytest.mark.parametrize("who", ["rob@example.com", "eve@example.com", "nobody@example.com"])
def test_nobody_else_sees_anything(sealed: Shell, who: str) -> None:
    for command in (["account", "show", "acme"], ["account", "link", "acme"]):
        said = sealed(*command, "--as", who, code=1)
        assert said.out == ""
        assert who in said.err


def test_a_disabled_account_and_an_ended_agreement_show_nothing(sealed: Shell) -> None:
    sealed("account", "disable", "acme")
    assert "is disabled" in sealed("account", "show", "acme", "--as", "ann@example.com", code=1).err
    sealed("account", "enable", "acme")
    sealed("account", "change", "acme", "--agreement-ends", "2020-01-01")
    assert "ended on 2020-01-01" in sealed("account", "show", "acme", "--as", "ann@example.com", code=1).err


def test_without_sealing_the_login_is_shown_and_no_password(acme: Shell) -> None:
    said = acme("account", "show", "acme", "--as", "ann@example.com", "--json")
    assert said.json["password"] is None
    assert "account reset" in said.err


def test_a_link_is_printed_with_a_token_that_nothing_else_shows(sealed: Shell) -> None:
    made = sealed.json("account", "link", "acme", "--as", "ann@example.com", "--hours", "2")
    assert made["link"].startswith("https://files.example.com:8443/reveal/")
    token = made["link"].rpartition("/")[2]
    assert len(token) == 43
    for file in (sealed.home / "state").glob("gateway.db*"):
        assert token.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    "loses",
    [("contact", "revoke", "ann@example.com", "acme"), ("contact", "remove", "ann@example.com")],
    ids=["a revoked grant", "a contact who left"],
)
def test_a_link_opens_for_who_has_access_still_and_says_whom_it_was_for(sealed: Shell, loses: tuple[str, ...]) -> None:
    tokens = [
        sealed.json("account", "link", "acme", "--as", "ann@example.com")["link"].rpartition("/")[2] for _ in range(2)
    ]

    async def opened(store: Store) -> tuple[str, str] | None:
        return await links.open_once(store, tokens.pop(), datetime.now(UTC), "192.0.2.1")

    assert in_store(sealed, opened) is not None
    (entry,) = sealed.json("audit", "list", "--last", "1")
    assert (entry["action"], entry["detail"]) == ("password shown", {"contact": "ann@example.com"})
    sealed(*loses)
    assert in_store(sealed, opened) is None
    assert sealed.json("audit", "list", "--last", "1")[0]["action"] == " ".join(loses[:2])


@pytest.mark.parametrize("hours", ["0", "-1", "1000", "nan", "1e12"])
def test_a_link_that_is_valid_for_ever_or_never_is_refused(sealed: Shell, hours: str) -> None:
    assert (
        "between one minute and 30 days"
        in sealed("account", "link", "acme", "--as", "ann@example.com", "--hours", hours, code=1).err
    )


def test_without_the_page_no_link_is_made(acme: Shell) -> None:
    assert "[console] enabled" in acme("account", "link", "acme", "--as", "ann@example.com", code=1).err


def test_after_rotating_the_key_every_password_still_opens_under_the_new_one(sealed: Shell) -> None:
    password = sealed.json("account", "reset", "acme")["password"]
    before = (sealed.home / "sealing.key").read_text()
    made = sealed.json("key", "rotate")
    assert made["passwords"] == 1
    assert made["key"] not in before
    assert sealed.json("account", "show", "acme", "--as", "ann@example.com")["password"] == password
    assert sealed.json("key", "rotate")["passwords"] == 1
    assert sealed.json("account", "show", "acme", "--as", "ann@example.com")["password"] == password
    assert (sealed.home / "sealing.key").stat().st_mode & 0o777 == 0o600


def test_without_a_configured_key_there_is_nothing_to_rotate(acme: Shell) -> None:
    assert "[rotation] sealing_key" in acme("key", "rotate", code=1).err


def test_a_key_that_systemd_keeps_is_replaced_there_and_sealed_under_by_command(
    sealed: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = sealed.json("account", "reset", "acme")["password"]

    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    file = sealed.home / "sealing.key"
    before = file.read_text()
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "write_keys", read_only)
        said = sealed("key", "rotate", code=1).err
    assert "can't be written (Read-only file system); nothing was changed" in said
    assert "LoadCredential=" in said
    assert "`gateway key seal`" in said
    assert file.read_text() == before

    file.write_text(f"{sealing.new_key()}\n{before}")
    made = sealed.json("key", "seal")
    assert made == {"key": file.read_text().split()[0], "file": str(file), "passwords": 1}
    file.write_text(file.read_text().splitlines()[0])
    assert sealed.json("account", "show", "acme", "--as", "ann@example.com")["password"] == password
    assert sealed.json("key", "seal")["passwords"] == 0
    file.write_text(sealing.new_key())
    assert "is not in" in sealed("key", "seal", code=1).err
    assert "there is no sealing key" not in sealed("config", "check", code=2).err, "the page has no certificate"
    file.unlink()
    assert "there is no sealing key" in sealed("config", "check", code=2).err
    (finding,) = [each for each in sealed.json("doctor", code=1)["findings"] if "sealing key" in each["what"]]
    assert finding["level"] == "error"
    said = sealed("account", "reset", "acme", code=1).err
    assert "'gateway key rotate' makes the first one; no password was made" in said
