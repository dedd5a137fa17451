"""What the libraries and the field get wrong about FTPS: a test for each, named after it. This door is shown not to."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import hashlib
import logging
import os
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from OpenSSL import SSL
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.records import VersionState
from gateway.ftps import door as ftps_door
from gateway.ftps import identity, passive, quick
from gateway.ftps.session import Session
from gateway.intake import Intake, Upload
from gateway.store import endings
from gateway.testing.ftps import Customer, Door, Talk, hang_up
from gateway.testing.waiting import PATIENCE, until

from .conftest import MakeDoor

BYTES = os.urandom(200_000)


def a_zip() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("trace.log", "12:00:00 INVITE refused\n" * 5000)
    return buffer.getvalue()


def everything(data: ssl.SSLSocket) -> bytes:
    """All that comes over a data connection, which must end with close_notify."""
    with data:
        data.suppress_ragged_eofs = False
        return b"".join(iter(lambda: data.recv(65536), b""))


def only_version(door: Door, customer: Customer, state: VersionState) -> bytes:
    (version,) = door.versions(customer)
    assert version.state is state
    return door.content(version)


# 1


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_01_truncated_upload_is_not_called_complete(door: Door, acme: Customer, how: str) -> None:
    with door.talk(acme) as talk:
        told = talk.cut("logs.bin", BYTES, how=how)
        assert told.startswith("426 "), told
        (version,) = door.versions(acme)
        assert (version.state, version.sha256) == (VersionState.PARTIAL, None)
        kept = door.content(version)
        assert BYTES.startswith(kept)
        assert f"REST {len(kept)}" in told
        assert talk.command("SIZE logs.bin") == f"213 {len(kept)}"


def test_01_a_client_that_never_says_close_notify_is_believed_when_the_content_proves_itself(
    door: Door, acme: Customer
) -> None:
    content = a_zip()
    with door.talk(acme) as talk:
        told = talk.cut("logs.zip", content)
        assert told.startswith("226-"), told
        assert "zip: 1 member, intact" in told
        assert talk.cut("cut.zip", content[:-1]).startswith("426 ")
    states = {version.path: version.state for version in door.versions(acme)}
    assert states == {"/logs.zip": VersionState.COMPLETE, "/cut.zip": VersionState.PARTIAL}


# 2


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_02_clients_that_never_read_tickets_lose_nothing(
    door: Door, acme: Customer, tmp_path: Path, version: str
) -> None:
    (tmp_path / "logs.bin").write_bytes(BYTES + BYTES[:100_000])
    url = f"ftp://{door.host}:{door.port}/"
    curl = ["curl", "-sS", "--ssl-reqd", "--cacert", str(door.certificate), "-u", f"acme:{acme.password}"]
    curl += ["--tlsv1.2", "--tls-max", version, "-T", "logs.bin"]

    def upload(number: int) -> None:
        done = subprocess.run([*curl, f"{url}{number}"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(upload, range(40)))
    versions = door.versions(acme)
    assert len(versions) == 40
    assert {(one.size, one.state) for one in versions} == {(300_000, VersionState.COMPLETE)}


def test_02_tickets_are_withheld_on_data_connections_until_close_notify(door: Door, acme: Customer) -> None:
    with door.talk(acme, tls="1.3") as talk:
        data = talk.begin("STOR logs.bin", resume=False)
        data.sendall(BYTES)
        data.settimeout(0.3)
        raw = socket.socket(fileno=os.dup(data.fileno()))
        raw.settimeout(0.3)
        with raw, pytest.raises(TimeoutError):
            raw.recv(1)  # nothing at all came after the handshake
        data.settimeout(30)
        data.unwrap().close()
        assert talk.reply()[-1].startswith("226 ")


def test_02_downloads_go_out_encrypted(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.put("logs.bin", BYTES)
        sock = talk.connect_data()
        assert talk.command("RETR logs.bin").startswith("150 ")
        sock.settimeout(1)
        with pytest.raises(TimeoutError):
            sock.recv(1)  # the server waits for our ClientHello
        data = talk.secure_data(sock)
        assert everything(data) == BYTES
        assert talk.reply()[-1].startswith("226 ")


# 3


def test_03_no_way_around_protected_data_connections(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        port = talk.port()
        talk.talk("C: PROT C\nS: 534 *")
        sock = talk.connect_data(port)
        assert talk.command("STOR plain.bin").startswith("150 ")
        sock.sendall(b"in plain text, all of it, and long enough to be no ClientHello" * 10)
        sock.close()
        assert talk.reply()[-1][0] == "4"
        assert door.versions(acme) == []


def test_03_data_without_prot_p_is_refused(door: Door, acme: Customer) -> None:
    with door.talk() as talk:
        talk.secure()
        talk.talk(
            f"""
            C: USER acme
            S: 331 *
            C: PASS {acme.password}
            S: 230 *
            C: EPSV
            S: 521 *
            C: PROT P
            S: 503 *
            C: PBSZ 0
            S: 200 PBSZ=0
            C: PROT S
            S: 536 *
            C: EPSV
            S: 521 *
            C: PROT P
            S: 200 *
            C: EPSV
            S: 229 *
            """
        )


# 4


@pytest.mark.parametrize("injected", [b"FEAT\r\n", b"F", b"USER acme\r\nPASS x\r\n"])
def test_04_commands_injected_before_tls_are_not_answered(door: Door, injected: bytes) -> None:
    with door.talk() as talk:
        talk.talk("S: 220 *")
        talk.send_raw(b"AUTH TLS\r\n" + injected)
        talk.talk("S: 234 *")
        assert talk.is_closed()


# 5


def test_05_a_full_passive_range_gives_no_other_port(make_door: MakeDoor) -> None:
    door = make_door(ports=2, ftps={"passive_wait": "0.2 s"})
    acme = door.customer()
    with door.talk(acme) as one, door.talk(acme) as two, door.talk(acme) as three:
        ports = {one.port(), two.port()}
        assert ports == {door.low, door.low + 1}
        assert three.command("EPSV").startswith("425 All data ports are in use")
        assert three.command("PASV").startswith("425 ")
        one.command("ABOR")
        assert three.port() in ports


def test_05_a_port_that_another_program_holds_is_not_offered(make_door: MakeDoor) -> None:
    door = make_door(ports=2)
    acme = door.customer()
    with socket.socket() as other, door.talk(acme) as talk:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((door.host, door.low))
        other.listen()
        assert {talk.port() for _ in range(6)} == {door.low + 1}


# 6


def test_06_a_stranger_who_wins_the_race_to_the_data_port_stores_nothing(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        port = talk.port()
        stranger = talk.connect_data(port, source="127.0.0.2")
        plain = talk.connect_data(port, source="127.0.0.3")  # and one that never says a word
        rogue = talk.secure_data(stranger, resume=False)
        rogue.sendall(b"planted")
        mine = talk.connect_data(port)
        assert talk.command("STOR logs.bin").startswith("150 ")
        data = talk.secure_data(mine)
        data.sendall(BYTES)
        data.unwrap().close()
        assert talk.reply()[-1].startswith("226 ")
        assert only_version(door, acme, VersionState.COMPLETE) == BYTES
        rogue.close()
        plain.close()


def test_06_who_resumes_is_the_customer_whatever_the_address(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        port = talk.port()
        mine = talk.connect_data(port, source="127.0.0.9")  # a NAT pool: another address than the control connection's
        assert talk.command("STOR logs.bin").startswith("150 ")
        data = talk.secure_data(mine)
        data.sendall(BYTES)
        data.unwrap().close()
        assert talk.reply()[-1].startswith("226 ")


def test_06_a_neighbour_at_the_same_address_does_not_beat_who_resumes(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        port = talk.port()
        rogue = talk.secure_data(talk.connect_data(port), resume=False)
        mine = talk.connect_data(port)
        assert talk.command("STOR logs.bin").startswith("150 ")
        data = talk.secure_data(mine)
        data.sendall(BYTES)
        data.unwrap().close()
        assert talk.reply()[-1].startswith("226 ")
        assert only_version(door, acme, VersionState.COMPLETE) == BYTES
        rogue.close()


@pytest.mark.parametrize("rule", ["session-or-address", "session", "address", "any"])
def test_06_each_rule_for_clients_that_cannot_resume(make_door: MakeDoor, rule: str) -> None:
    door = make_door(ftps={"data_binding": rule})
    acme = door.customer()
    allowed = {
        "session-or-address": {(True, True), (True, False), (False, True)},
        "session": {(True, True), (True, False)},
        "address": {(True, True), (False, True)},
        "any": {(True, True), (True, False), (False, True), (False, False)},
    }[rule]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        tried = [(resume, same) for resume in (True, False) for same in (True, False)]

        def attempt(case: tuple[bool, bool]) -> bool:
            resume, same = case
            with door.talk(acme) as talk:
                sock = talk.connect_data(source="127.0.0.1" if same else "127.0.0.8")
                assert talk.command(f"STOR {resume}-{same}").startswith("150 ")
                data = talk.secure_data(sock, resume=resume)
                try:
                    data.sendall(b"x" * 1000)
                    data.unwrap()
                except (OSError, ssl.SSLError):
                    pass
                data.close()
                return talk.reply()[-1].startswith("226 ")

        assert {case for case, went in zip(tried, pool.map(attempt, tried), strict=True) if went} == allowed


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_06_sessions_are_not_resumed_across_control_connections(door: Door, acme: Customer, version: str) -> None:
    """The session of one control connection means nothing to another's data connections, also when many race."""
    context = door.trusting(tls=version)

    def attempt(number: int) -> tuple[bool, bool]:
        with door.talk(acme, context=context) as mine, door.talk(acme, context=context) as foreign:
            reused = []
            for session in (foreign.socket.session, mine.socket.session):  # type: ignore[attr-defined]
                sock = mine.connect_data()
                assert mine.command(f"STOR {number}").startswith("150 ")
                data = context.wrap_socket(sock, server_hostname="localhost", session=session)
                reused.append(bool(data.session_reused))
                data.close()
                mine.reply()
            return reused[0], reused[1]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(attempt, range(40))) == {(False, True)}


# 7


def test_07_ascii_mode_does_not_change_a_byte(door: Door, acme: Customer) -> None:
    content = b"\r\n\n\r\r\n one\r\ntwo\n\0\xff\r" * 5000 + b"\r"
    with door.talk(acme) as talk:
        talk.talk("C: TYPE A\nS: 200 *")
        assert talk.put("logs.zip", content).splitlines()[-1].startswith("226 ")
        assert only_version(door, acme, VersionState.COMPLETE) == content
        assert talk.command("SIZE logs.zip") == f"213 {len(content)}"
        assert talk.command("REST 1").startswith("350 ")
        data = talk.begin("RETR logs.zip")
        assert everything(data) == content[1:]


def test_07_mode_z_is_not_offered(door: Door, acme: Customer) -> None:
    """No data connection compresses (deflated transfers were never standardised, and hide what was sent)."""
    with door.talk(acme) as talk:
        assert "MODE Z" not in talk.command("FEAT")
        talk.talk("C: MODE Z\nS: 504 Only MODE S is offered.\nC: MODE B\nS: 504 *\nC: MODE s\nS: 200 *")
        talk.talk("C: OPTS MODE Z LEVEL 9\nS: 501 *")
        assert talk.put("logs.bin", BYTES).splitlines()[-1].startswith("226 ")


# 8


def test_08_no_226_before_the_promise_is_kept(door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails on the way to durable is answered 4yz, and what came is a partial."""
    whole = Upload.complete

    def fails(self: Upload, *args: object, **kwargs: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with door.talk(acme) as talk:
        monkeypatch.setattr(Upload, "complete", fails)
        told = talk.put("logs.bin", BYTES)
        assert told.startswith("451 "), told
        monkeypatch.setattr(Upload, "complete", whole)
        assert only_version(door, acme, VersionState.PARTIAL) == BYTES
        assert talk.put("logs.bin", BYTES).splitlines()[-1].startswith("226 ")


def test_08_a_commit_that_fails_is_answered_and_what_came_is_kept(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are sealed, and then the store will not have their row: 451, a partial, and the session goes on."""
    settle, refuse = endings.settle, [True]

    async def refuses(tx: AsyncConnection, items: Sequence[endings.Settle]) -> list[endings.Settled | Exception]:
        if refuse and refuse.pop():
            raise sqlite3.OperationalError("disk I/O error")
        return await settle(tx, items)

    monkeypatch.setattr(endings, "settle", refuses)
    with door.talk(acme) as talk:
        told = talk.put("logs.bin", BYTES)
        assert told.startswith("451 "), told
        assert only_version(door, acme, VersionState.PARTIAL) == BYTES
        talk.command(f"REST {len(BYTES)}")
        assert talk.put("logs.bin", b"").splitlines()[-1].startswith("226 ")
        assert only_version(door, acme, VersionState.COMPLETE) == BYTES


def test_08_a_store_that_takes_nothing_is_answered_too(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(tx: AsyncConnection, items: Sequence[endings.Settle]) -> list[endings.Settled | Exception]:
        raise sqlite3.OperationalError("database is locked")

    with door.talk(acme) as talk:
        monkeypatch.setattr(endings, "settle", refuses)
        assert talk.put("logs.bin", BYTES).startswith("451 ")
        assert talk.cut("logs.bin", BYTES).startswith("451 ")
        monkeypatch.undo()
        assert talk.put("logs.bin", BYTES).splitlines()[-1].startswith("226 ")
        assert only_version(door, acme, VersionState.COMPLETE) == BYTES


def test_08_what_a_store_that_was_away_left_behind_is_a_partial_again_without_a_restart(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(tx: AsyncConnection, items: Sequence[endings.Settle]) -> list[endings.Settled | Exception]:
        raise sqlite3.OperationalError("database is locked")

    async def can_not_look(self: Intake) -> list[str]:
        raise sqlite3.OperationalError("database is locked")

    content = os.urandom(3 << 20)
    monkeypatch.setattr(ftps_door, "RECOVER_EVERY", 0.05)
    door = make_door()
    acme = door.customer()
    with door.talk(acme) as talk, door.talk(acme) as other:
        running = other.begin("STOR running.bin")
        running.sendall(content)
        until(lambda: "running" in str(door.versions(acme)), "it is recorded")
        with monkeypatch.context() as away:
            away.setattr(endings, "settle", refuses)
            away.setattr(Intake, "recover_abandoned", can_not_look)
            assert talk.cut("logs.bin", content).startswith("451 ")
            left = {version.path: version.state for version in door.versions(acme)}
            assert left == {"/running.bin": VersionState.RECEIVING, "/logs.bin": VersionState.RECEIVING}
        until(lambda: door.versions(acme)[1].state is VersionState.PARTIAL, "it is a partial")
        talk.talk(f"C: REST {len(content) - 10}\nS: 350 *")
        assert talk.put("logs.bin", content[-10:]).startswith("226-")
        running.sendall(content)
        running.unwrap().close()
        assert other.reply()[-1].startswith("226 "), "whose session lives is left alone"
    assert {version.state for version in door.versions(acme)} == {VersionState.COMPLETE}


def test_08_a_full_disk_is_answered_and_what_came_is_kept(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Upload.write

    def full(self: Upload, block: memoryview) -> None:
        if self.size >= 1 << 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, block)

    monkeypatch.setattr(Upload, "write", full)
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        with pytest.raises(OSError):
            data.sendall(os.urandom(64 << 20))
        data.close()
        assert talk.reply()[-1].startswith("452 ")
        kept = only_version(door, acme, VersionState.PARTIAL)
        assert len(kept) >= 1 << 20
        assert talk.command("NOOP").startswith("200 ")


# 9


def test_09_one_sessions_slow_disk_does_not_stall_the_others(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, stuck, go_on = Upload.complete, threading.Event(), threading.Event()

    def slow(self: Upload, *args: object, **kwargs: object) -> object:
        stuck.set()
        assert go_on.wait(30)
        return complete(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Upload, "complete", slow)
    with door.talk(acme) as one, door.talk(acme) as two:
        data = one.begin("STOR slow.bin")
        data.sendall(BYTES)
        data.unwrap().close()
        assert stuck.wait(30)
        monkeypatch.setattr(Upload, "complete", complete)
        assert two.put("quick.bin", BYTES).splitlines()[-1].startswith("226 ")
        go_on.set()
        assert one.reply()[-1].startswith("226 ")


# 10


def _kept_alive(peers: set[tuple[str, int]]) -> int:
    """How many sockets of this process with these at their other ends are probed, after two minutes' silence at most.

    The kernel's own two hours are no firewall's patience.
    """
    kept = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            sock = socket.socket(fileno=os.dup(int(descriptor)))
        except OSError:
            continue
        with sock:
            try:
                if sock.getpeername() in peers:
                    idle = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                    kept += idle <= 120 and sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            except OSError:
                continue
    return kept


def test_10_both_connections_are_kept_alive(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES)
        ours = {talk.socket.getsockname(), data.getsockname()}
        until(lambda: _kept_alive(ours) == 2, "both connections are probed by the kernel")
        data.unwrap().close()
        talk.reply()


def test_10_the_control_connection_is_not_idle_timed_during_a_transfer(make_door: MakeDoor) -> None:
    door = make_door(ftps={"idle_timeout": "0.5 s", "stall_timeout": "20 s"})
    acme = door.customer()
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        for _ in range(8):
            data.sendall(BYTES)
            time.sleep(0.15)  # a slow client: that is the point
        talk.talk("C: NOOP\nS: 200 *")
        data.unwrap().close()
        assert talk.reply()[-1].startswith("226 ")
        talk.talk("S: 421 *")


def test_10_noop_and_stat_are_answered_during_a_transfer(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES)
        talk.talk("C: NOOP\nS: 200 *")
        until(lambda: f"{len(BYTES)} bytes" in talk.command("STAT"), "STAT tells what came")
        talk.send("PWD")  # has to wait for its turn …
        talk.talk("C: NOOP")
        data.unwrap().close()
        assert talk.reply()[-1].startswith("226 ")
        talk.talk("S: 257 *\nS: 200 *")  # … and gets it


def test_10a_data_that_came_with_the_end_of_the_handshake_is_read(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        for number in range(20):
            data = talk.begin(f"STOR {number}")
            data.sendall(b"a few bytes")
            data.unwrap().close()
            assert talk.reply()[-1].startswith("226 ")
    assert {version.size for version in door.versions(acme)} == {11}


def test_10a_the_public_way_reads_the_same_bytes(make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "_try", lambda make: (_ for _ in ()).throw(AttributeError("SSL_read")))
    door = make_door()
    acme = door.customer()
    content = os.urandom(5_000_000)
    with door.talk(acme) as talk:
        assert talk.put("logs.bin", content).splitlines()[-1].startswith("226 ")
    assert only_version(door, acme, VersionState.COMPLETE) == content


# 11


def test_11_no_cpu_is_burnt_after_disconnects(door: Door, acme: Customer) -> None:
    for how in ("fin", "rst") * 3:
        with door.talk(acme) as talk:
            data = talk.begin("STOR logs.bin")
            data.sendall(BYTES)
            hang_up(data, how)
            talk.reply()
            hang_up(talk.socket, how)
        with door.talk(acme) as talk:
            data = talk.begin("STOR other.bin")
            hang_up(talk.socket, how)
            data.close()
        with door.talk() as talk:
            talk.talk("S: 220 *\nC: AUTH TLS\nS: 234 *")
            talk.send_raw(b"\x16\x03\x01\x02\x00\x01")
            hang_up(talk.socket, how)
    until(lambda: not any(one.name.startswith("ftps ") for one in threading.enumerate()), "all sessions have ended")
    with door.talk(acme) as idle:
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.25
        idle.command("NOOP")


def test_11_every_cut_upload_is_noticed(door: Door, acme: Customer) -> None:
    """Also when the control connection goes at the same time: the partial is there, and nothing says complete."""
    for number, how in enumerate(("fin", "rst") * 4):
        with door.talk(acme) as talk:
            data = talk.begin(f"STOR {number}.bin")
            data.sendall(BYTES)
            if number % 4 < 2:
                hang_up(data, how)
                hang_up(talk.socket, how)
            else:
                hang_up(talk.socket, how)
                hang_up(data, how)
    until(lambda: len(door.versions(acme)) == 8, "all are recorded")
    assert {version.state for version in door.versions(acme)} == {VersionState.PARTIAL}


# 12


def test_12_a_download_does_not_wait_for_the_clients_close_notify(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.put("logs.bin", BYTES)
        data = talk.begin("RETR logs.bin")
        got = b""
        while len(got) < len(BYTES):
            got += data.recv(65536)
        assert talk.reply()[-1].startswith("226 ")  # and we have not closed
        assert got == BYTES
        data.close()


def test_12_an_uploads_close_notify_is_answered_at_once(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, go_on = Upload.complete, threading.Event()

    def slow(self: Upload, *args: object, **kwargs: object) -> object:
        assert go_on.wait(30)
        return complete(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Upload, "complete", slow)
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES)
        data.unwrap().close()  # returns with the server's close_notify, while nothing is durable yet
        go_on.set()
        assert talk.reply()[-1].startswith("226 ")


# 13


def test_13_sessions_can_be_resumed_longer_than_any_upload_takes(door: Door, acme: Customer) -> None:
    with door.talk(acme, tls="1.3") as talk:
        assert talk.socket.session.ticket_lifetime_hint >= 2 * 24 * 3600  # type: ignore[attr-defined]
    assert identity.new_context([], identity.CIPHERS).get_timeout() == identity.SESSION_LIFETIME


# 14


def test_14_one_odd_name_does_not_break_a_listing(door: Door, acme: Customer) -> None:
    odd = [b"caf\xe9.log", "café.log".encode(), b"\xff\xfe", b'a"b.log', b" leading", b"semi;colon", b"100%"]
    with door.talk(acme) as talk:
        for name in odd:
            sock = talk.connect_data()
            talk.send(b"STOR " + name.replace(b"\xff", b"\xff\xff"))
            assert talk.line().startswith("150 ")
            data = talk.secure_data(sock)
            data.sendall(name)
            data.unwrap().close()
            assert talk.reply()[-1].startswith("226 ")
        listed: dict[str, list[bytes]] = {}
        for verb in ("MLSD", "NLST", "LIST"):
            data = talk.begin(verb)
            listed[verb] = everything(data).split(b"\r\n")[:-1]
            talk.reply()
        assert sorted(listed["NLST"]) == sorted([*odd, b"SR-12345"])
        assert all(any(line.endswith(b" " + name) for line in listed["MLSD"]) for name in odd)
        assert all(any(line.endswith(b" " + name) for line in listed["LIST"]) for name in odd)
        for name in odd:
            sock = talk.connect_data()
            talk.send(b"RETR " + name.replace(b"\xff", b"\xff\xff"))
            assert talk.line().startswith("150 ")
            data = talk.secure_data(sock)
            assert data.recv(100) == name
            data.close()
            talk.reply()


# 15


def test_15_a_rename_from_part_completes_only_what_had_ended_complete(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        told = talk.put("whole.zip.filepart", a_zip())
        assert told.endswith("support is told of it when you rename it.")
        talk.cut("cut.zip.filepart", a_zip()[:-30])
        for name in ("whole.zip", "cut.zip"):
            words = "Renamed; support is told of it now*" if name == "whole.zip" else "Renamed."
            talk.talk(f"C: RNFR {name}.filepart\nS: 350 *\nC: RNTO SR-12345/{name}\nS: 250 {words}")
    found = {version.path: (version.state, version.sr) for version in door.versions(acme)}
    assert found == {
        "/SR-12345/whole.zip": (VersionState.COMPLETE, "12345"),
        "/SR-12345/cut.zip": (VersionState.PARTIAL, "12345"),
    }


# 16


def test_16_the_same_name_again_keeps_the_earlier_file(door: Door, acme: Customer) -> None:
    contents = [os.urandom(1000) for _ in range(3)]
    with door.talk(acme) as talk:
        receipts = [talk.put("logs.zip", content) for content in contents]
        again = talk.put("logs.zip", contents[2])
    versions = door.versions(acme)
    assert [door.content(version) for version in versions] == contents
    assert [version.number for version in versions] == [1, 2, 3]
    assert versions[2].id in receipts[2]
    assert versions[2].id in again, "the same bytes again are the same receipt, and no new version"


# 17


@pytest.mark.parametrize("offset", ["-1", str(1 << 63), "1e3", "0x10", "", "9" * 40, "１"])
def test_17_impossible_offsets(door: Door, acme: Customer, offset: str) -> None:
    with door.talk(acme) as talk:
        assert talk.command(f"REST {offset}").startswith("501 ")
        assert talk.put("logs.bin", BYTES).splitlines()[-1].startswith("226 ")


def test_17_rest_beyond_the_partials_end(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.cut("logs.bin", BYTES)
        talk.port()
        talk.talk(f"C: REST {len(BYTES) + 1}\nS: 350 *\nC: STOR logs.bin\nS: 554 *")
        talk.talk("C: REST 5\nS: 350 *\nC: STOR other.bin\nS: 554 *")
        assert only_version(door, acme, VersionState.PARTIAL) == BYTES


def test_17_rest_and_appe_onto_a_complete_file_are_refused_in_words(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.put("logs.bin", BYTES)
        talk.port()
        talk.talk("C: REST 5\nS: 350 *\nC: STOR logs.bin\nS: 553 This file is complete*\nC: APPE logs.bin\nS: 553 *")
    assert only_version(door, acme, VersionState.COMPLETE) == BYTES


def test_17_stor_to_a_folder(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.talk("C: MKD logs\nS: 257 *")
        talk.port()
        talk.talk(
            """
            C: STOR logs
            S: 550 *
            C: STOR /
            S: 550 *
            C: STOR SR-12345
            S: 550 *
            C: STOR SR-99999
            S: 550 *
            C: STOR nowhere/logs
            S: 550 *
            C: STOR SR-99999/logs
            S: 550 *
            C: RETR logs
            S: 550 *
            """
        )


# 18


def test_18_who_says_more_than_it_reads_is_not_listened_to(
    door: Door, acme: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    """Replies that nobody reads would fill the memory, and nobody needs to be logged in for that."""
    with door.talk() as talk, door.talk(acme) as other:
        caplog.set_level(logging.INFO)
        talk.secure()
        talk.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            for _ in range(2000):
                talk.socket.sendall(b"HELP\r\n" * 500)
        other.talk("C: NOOP\nS: 200 *")
        until(lambda: "too many commands at once" in caplog.text, "the connection takes no more replies")
        talk.socket.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while talk.socket.recv(65536):
                pass  # … until the session is closed


def test_18_over_long_and_odd_command_lines(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.send_raw(b"CWD " + b"a" * 100_000 + b"\r\n")
        talk.talk("S: 500 *")
        talk.send_raw(b"\r\n\n\nNOOP\r\n")
        talk.talk("S: 200 *")
        talk.send_raw(b"NO\0OP\r\n")
        talk.talk("S: 500 *")
        talk.send_raw(b"N\xf6\xf6P\r\n")
        talk.talk("S: 500 *")
        talk.send_raw("ＮＯＯＰ\r\n".encode())
        talk.talk("S: 500 *")
        talk.send_raw(b"CWD a\0b\r\n")
        talk.talk("S: 501 *")
        talk.send_raw(b"\xff\xf4\xff\xf2ABOR\r\n")
        talk.talk("S: 225 *")
        talk.talk('C: MKD say "hi"\nS: 257 "/say ""hi""" *')


@pytest.mark.parametrize("verb", ["CWD", "MKD", "RMD", "DELE", "STOR", "RETR", "SIZE", "MDTM", "MLST", "RNFR", "APPE"])
def test_18_no_path_leads_out_of_the_account(make_door: MakeDoor, verb: str) -> None:
    door = make_door()
    acme, foreign = door.customer("acme"), door.customer("foreign")
    door.sr("777", foreign)
    with door.talk(foreign) as theirs:
        theirs.put("secret.zip", BYTES)
        theirs.put("SR-777/secret.zip", BYTES)
    paths = [
        b"../foreign/secret.zip",
        b"../../../../../../etc/passwd",
        b"/../../etc/passwd",
        b"..\\..\\etc\\passwd",
        b"%2e%2e/%2e%2e/etc/passwd",
        b"....//....//etc/passwd",
        b"//etc//passwd",
        b"SR-777/secret.zip",
        b"/SR-777/secret.zip",
        b"~/x/y",
        b"a\x01b",
        b"a\x7fb",
    ]
    with door.talk(acme) as talk:
        for path in paths:
            talk.port()
            talk.send(verb.encode() + b" " + path)
            told = talk.reply()[-1]
            assert told[0] in "45", (path, told)
    assert door.versions(acme) == []


# 19


def test_19_passive_only(door: Door, acme: Customer) -> None:
    with socket.socket() as target, door.talk(acme) as talk:
        target.bind(("127.0.0.1", 0))
        target.listen()
        port = target.getsockname()[1]
        talk.talk(f"C: PORT 127,0,0,1,{port >> 8},{port & 255}\nS: 502 *")
        talk.talk(f"C: EPRT |1|127.0.0.1|{port}|\nS: 502 *")
        talk.talk("C: LIST\nS: 425 *")
        target.setblocking(False)
        with pytest.raises(BlockingIOError):
            target.accept()


# 20


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\nHost: gateway.example.com\r\n\r\n",
        b"POST / HTTP/1.0\r\n\r\n",
        b"EHLO mail.example.org\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
@pytest.mark.parametrize("secured", [False, True])
def test_20_foreign_protocols_are_dropped_at_their_first_word(door: Door, words: bytes, secured: bool) -> None:
    with door.talk() as talk:
        if secured:
            talk.secure()
        else:
            talk.talk("S: 220 *")
        if secured and words.startswith(b"\x16"):
            words = b"GET / HTTP/1.1\r\n\r\n"
        talk.send_raw(words + b"NOOP\r\nNOOP\r\n")
        assert talk.line().startswith("421 ")
        assert talk.is_closed()


@pytest.mark.parametrize(
    "offered, welcome",
    [(["ftp"], True), (["x-filezilla-ftp"], True), ([], True), (["h2", "http/1.1"], False), (["smtp"], False)],
)
def test_20_foreign_alpn_is_refused(door: Door, offered: list[str], welcome: bool) -> None:
    with door.talk() as talk:
        if offered:
            talk.context.set_alpn_protocols(offered)
        if welcome:
            talk.secure()
            talk.talk("C: NOOP\nS: 200 *")
        else:
            with pytest.raises((ssl.SSLError, OSError)):
                talk.secure()


# 21


def test_21_idle_strangers_do_not_keep_a_customer_out(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"sessions_not_logged_in": 20, "sessions_per_address": 2000}})
    acme = door.customer()
    strangers = [socket.create_connection((door.host, door.port)) for _ in range(200)]
    try:
        with door.talk(acme) as talk:
            talk.command("NOOP")
            assert talk.put("logs.bin", BYTES).splitlines()[-1].startswith("226 ")
    finally:
        for stranger in strangers:
            stranger.close()


def test_21_connections_that_got_no_thread_keep_nobody_out(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = make_door(ftps={"limits": {"sessions_per_address": 3}})
    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        if thread.name.startswith("ftps "):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as host:
        host.setattr(threading.Thread, "start", no_thread)
        for _ in range(3):
            with Talk(socket.create_connection((door.host, door.port), PATIENCE)) as talk:
                talk.talk("S: 421 *")
    with door.talk() as talk:
        talk.talk("S: 220 *")
    door.stop()


def test_21_a_session_that_could_not_end_well_is_counted_no_more(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = make_door(ftps={"limits": {"sessions_per_address": 3, "sessions_per_account": 1}})
    acme = door.customer()

    def defect(session: Session, ending: object) -> None:
        raise RuntimeError("a defect of ours")

    with monkeypatch.context() as ours:
        ours.setattr(Session, "give_up", defect)
        with door.talk(acme):
            pass
        until(lambda: not any(each.name.startswith("ftps ") for each in threading.enumerate()), "the session's end")
    with door.talk(acme) as talk:
        talk.talk("C: NOOP\nS: 200 *")


# 22 is about resets and reminders: tests/contract/test_access.py and the tests of the rotation show them.


def test_the_engine_has_the_names_it_is_built_on() -> None:
    """If a new pyOpenSSL takes them away, the door still serves, slower; this says so first."""
    for name in ("SSL_read", "BIO_write", "SSL_get_error", "SSL_CTX_set_session_id_context", "SSL_session_reused"):
        assert hasattr(SSL._lib, name), name


def test_a_partial_is_resumed_to_the_right_hash(door: Door, acme: Customer) -> None:
    content = os.urandom(3_000_000)
    with door.talk(acme) as talk:
        talk.cut("logs.bin", content[:1_000_000])
        talk.talk("C: REST 700000\nS: 350 *")
        told = talk.put("logs.bin", content[700_000:])
        assert hashlib.sha256(content).hexdigest() in told
        talk.cut("more.bin", content[:2_000_000])
        told = talk.put("more.bin", content[2_000_000:], verb="APPE")
        assert hashlib.sha256(content).hexdigest() in told
    assert isinstance(talk, Talk)


def test_of_several_that_resume_at_once_one_completes_and_all_are_answered(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        assert talk.cut("logs.bin", BYTES[:100_000]).startswith("426 ")

    def resume(number: int) -> str:
        with door.talk(acme) as talk:
            talk.command("REST 100000")
            data = talk.begin("STOR logs.bin")
            with data, contextlib.suppress(OSError):  # whoever is fenced is cut off
                data.sendall(BYTES[100_000:])
                data.unwrap()
            told = "\n".join(talk.reply())
            assert talk.command("NOOP").startswith("200 ")
            return told

    def attempt(number: int) -> str:
        try:
            return resume(number)
        except AssertionError as refused:  # no 150: somebody was quicker
            return str(refused)
        except OSError:  # fenced before the data connection was used
            return "426 "

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        told = list(pool.map(attempt, range(4)))
    assert any("226 " in each for each in told), told
    assert not any("451 " in each for each in told), told
    assert only_version(door, acme, VersionState.COMPLETE) == BYTES


def test_a_port_that_was_not_used_is_given_back_and_has_to_be_asked_for_again(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passive, "UNUSED", 0.2)
    with door.talk(acme) as talk:
        port = talk.port()
        until(lambda: _refused(door.host, port), "the port is given back")
        assert talk.command("STOR logs.bin").startswith("425 Say PASV")
        assert talk.put("logs.bin", BYTES).splitlines()[-1].startswith("226 ")


def _refused(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == errno.ECONNREFUSED
