"""A password's end as a customer meets it: a gateway that serves, Python's own clients, the operator's commands."""

from __future__ import annotations

import ftplib
import ssl
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway.testing import Login, RunningGateway, running_gateway


@pytest.fixture(scope="module")
def sealing() -> Iterator[RunningGateway]:
    """A gateway that keeps passwords sealed and serves the one-time page."""
    settings = {
        "rotation": {"sealed_passwords": True, "sealing_key": "sealing.key"},
        "console": {"enabled": True, "host": "127.0.0.1", "port": 0},
    }
    with running_gateway(settings, start=False) as gateway:
        gateway.command("key", "rotate")
        gateway.start()
        yield gateway


def account(gateway: RunningGateway, name: str) -> Login:
    made = gateway.add_account(name)
    gateway.add_contact(f"ann@{name.lower()}.example.com", made.login)
    return made


def reset(gateway: RunningGateway, login: Login) -> Login:
    return Login(login.login, gateway.command("account", "reset", login.login)["password"])


@contextmanager
def session(gateway: RunningGateway, login: Login) -> Iterator[ftplib.FTP_TLS]:
    """Python's own client, logged in (its reply is ``lastresp``'s), and closed whatever happens."""
    client = ftplib.FTP_TLS(context=gateway.tls(), timeout=60)
    try:
        client.connect(*gateway.addresses["ftps"])
        client.said = client.login(login.login, login.password)  # type: ignore[attr-defined]
        client.prot_p()
        yield client
    finally:
        client.close()


def refused(gateway: RunningGateway, login: Login, words: str) -> None:
    with pytest.raises(ftplib.error_perm, match=words), session(gateway, login):
        pass


def farewell(client: ftplib.FTP_TLS) -> str:
    """What the server says of its own accord, and nothing after it."""
    said = client.getline()
    assert client.file is not None
    assert client.file.readline() == ""
    return said


def test_a_reset_ends_sessions_soon_and_the_former_password_is_told_its_end(sealing: RunningGateway) -> None:
    former = account(sealing, "Acme")
    with ExitStack() as open_sessions:
        sessions = [open_sessions.enter_context(session(sealing, former)) for _ in range(3)]
        present = reset(sealing, former)
        # At once, and although it was verified a moment ago: nothing has to reach the door, which asks the store.
        refused(sealing, former, r"530 This password ended on \d+ \w+ \d{4}; ask")
        since = time.monotonic()
        assert [farewell(client)[:3] for client in sessions] == ["421"] * 3
        assert time.monotonic() - since < 3  # the door looks twice a second; 0.6 s where nothing else runs
    refused(sealing, Login(former.login, "never-was-one"), "530 Login incorrect")
    with session(sealing, present) as client:
        assert "Password valid until" in client.said  # type: ignore[attr-defined]


def test_a_running_transfer_finishes_before_its_session_ends(sealing: RunningGateway) -> None:
    former = account(sealing, "Beta")
    with session(sealing, former) as client:
        data = client.transfercmd("STOR logs.bin")
        data.sendall(b"a" * 100_000)
        present = reset(sealing, former)
        refused(sealing, former, "530 This password ended")
        data.sendall(b"b" * 100_000)
        assert isinstance(data, ssl.SSLSocket)
        data.unwrap().close()
        data.close()
        assert client.voidresp().startswith("226")
        assert farewell(client).startswith("421")
    with session(sealing, present) as client:
        client.voidcmd("TYPE I")
        assert client.size("logs.bin") == 200_000


def test_a_disabled_account_is_put_out_and_kept_out(sealing: RunningGateway) -> None:
    login = account(sealing, "Gamma")
    with session(sealing, login) as client:
        sealing.command("account", "disable", login.login)
        assert "disabled" in farewell(client)
    refused(sealing, login, "530 Login incorrect")
    sealing.command("account", "enable", login.login)
    with session(sealing, login):
        pass


def test_a_one_time_link_opens_on_the_gateways_own_page(sealing: RunningGateway) -> None:
    login = account(sealing, "Delta")
    link = sealing.command("account", "link", login.login, "--as", "ann@delta.example.com")["link"]
    host, port = sealing.addresses["console"]
    here = f"https://{host}:{port}/reveal/{link.rpartition('/')[2]}"
    with urllib.request.urlopen(here, context=sealing.tls()) as page:
        assert login.password not in page.read().decode()
    with urllib.request.urlopen(urllib.request.Request(here, method="POST"), context=sealing.tls()) as page:
        assert login.password in page.read().decode()
    log = sealing.log()
    assert login.password not in log
    assert link.rpartition("/")[2] not in log
