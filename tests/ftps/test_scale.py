"""Many at once: uploads on every port of the range and more, idle strangers by the thousand, sessions that idle."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.records import VersionState
from gateway.testing import RunningGateway, running_gateway
from gateway.testing.waiting import PATIENCE

from .conftest import MakeDoor

MANY = {"sessions_per_account": 5000, "sessions_per_address": 5000, "transfers_per_account": 5000}
AT_ONCE = 112
PORTS = range(60000, 60101)
STRANGERS = 1000
IDLE = 120
MOST_FOR_ONE = 150 << 10
"""Bytes of memory that an idle session may take."""


@pytest.fixture(autouse=True)
def _enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_uploads_at_once_than_the_whole_range_has_ports(
    make_door: MakeDoor, caplog: pytest.LogCaptureFixture
) -> None:
    """Every port is asked for, those that came too late wait for one, and then all upload at the same time.

    The programme's own 101 ports, on a loopback address that no other program has.
    """
    where = {"host": f"127.77.{random.randrange(256)}.{random.randrange(1, 255)}", "passive_ports": "60000-60100"}
    door = make_door(ftps=where | {"limits": MANY, "passive_wait": "60 s", "data_timeout": "60 s"})
    acme = door.customer()
    with contextlib.ExitStack() as leaving:
        talks = [leaving.enter_context(door.talk(acme)) for _ in range(AT_ONCE)]
        ports = []
        for held, talk in enumerate(talks[: len(PORTS)], start=1):
            ports.append(talk.port())
            assert ("passive ports run short" in caplog.text) is (held >= 0.8 * len(PORTS))
        assert sorted(ports) == [*PORTS]
        for talk in talks[len(PORTS) :]:
            talk.send("EPSV")
        streams = []
        for number, talk in enumerate(talks):
            if number >= len(PORTS):
                ports.append(int(talk.reply()[-1].split("|||")[1].split("|")[0]))
                assert ports[-1] in ports[: len(PORTS)]
            sock = talk.connect_data(ports[number])
            assert talk.command(f"STOR {number}.bin").startswith("150 ")
            streams.append(leaving.enter_context(talk.secure_data(sock)))
            streams[-1].sendall(content(number))
        assert all("Transfer under way" in talk.command("STAT") for talk in talks)
        for stream, talk in zip(streams, talks, strict=True):
            stream.unwrap().close()
            assert talk.reply()[-1].startswith("226 ")
    found = {version.path: (version.state, door.content(version)) for version in door.versions(acme)}
    assert found == {f"/{number}.bin": (VersionState.COMPLETE, content(number)) for number in range(AT_ONCE)}


def content(number: int) -> bytes:
    return b"%d " % number * 100


def test_21_a_thousand_idle_strangers_do_not_keep_a_customer_out(make_door: MakeDoor) -> None:
    """With the limits that the configuration has by default, but for the one of an address: all come from here."""
    door = make_door(ftps={"limits": {"sessions_per_address": 5000}})
    acme = door.customer()
    with contextlib.ExitStack() as leaving:
        for _ in range(STRANGERS):
            leaving.enter_context(socket.create_connection((door.host, door.port), PATIENCE))
        with door.talk(acme) as talk:
            assert talk.put("logs.bin", b"x" * 100_000).splitlines()[-1].startswith("226 ")


def test_what_an_idle_session_takes() -> None:
    with running_gateway({"ftps": {"limits": MANY}}) as gateway, contextlib.ExitStack() as leaving:
        acme = gateway.add_account("Acme")
        context = gateway.tls()

        def log_in() -> None:
            wire = leaving.enter_context(gateway.wire("ftps"))
            wire.talk("S: 220 *\nC: AUTH TLS\nS: 234 *")
            wire.start_tls(context)
            wire.talk(f"C: USER {acme.login}\nS: 331 *\nC: PASS {acme.password}\nS: 230 *")

        for _ in range(20):  # what is made once is no session's
            log_in()
        before = resident(gateway)
        for _ in range(IDLE):
            log_in()
        assert (resident(gateway) - before) / IDLE <= MOST_FOR_ONE


def resident(gateway: RunningGateway) -> int:
    """Bytes of memory that the FTPS door has."""
    status = Path(f"/proc/{gateway.pid('ftps')}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) << 10
