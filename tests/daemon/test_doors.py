"""The real doors under the supervisor: what a customer sees when a door, the other door, or everything is killed."""

from __future__ import annotations

import io
import os
import resource
import signal
import smtplib
import socket
import ssl
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from gateway import selfsigned
from gateway.testing import Login, RunningGateway, running_gateway, until
from gateway.testing.running import HOST, free_range, is_free
from gateway.testing.waiting import PATIENCE
from gateway.testing.wire import trusting

HALF = os.urandom(3 << 20)


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway({"gateway": {"drain_timeout": "60s"}}) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def acme(gateway: RunningGateway) -> Login:
    """An account with SR 12345 and a Designated Contact."""
    account = gateway.add_account("Acme")
    gateway.add_contact("eva@example.com", account.login)
    gateway.add_sr("12345", account.login)
    return account


class Upload:
    """An upload that is under way, its first half sent."""

    def __init__(self, gateway: RunningGateway, account: Login, name: str) -> None:
        self.client = gateway.ftp(account)
        self.data = self.client.transfercmd(f"STOR SR-12345/{name}")
        self.data.sendall(HALF)

    def finish(self) -> str:
        """Send the second half and end in order; the reply."""
        self.data.sendall(HALF)
        assert isinstance(self.data, ssl.SSLSocket)
        self.data.unwrap().close()
        reply = self.client.voidresp()
        self.client.close()
        return reply

    def abandon(self) -> None:
        self.client.close()
        self.data.close()


def state_of(gateway: RunningGateway, name: str) -> tuple[str, int]:
    """A file's state and size, as the command line says."""
    (found,) = [each for each in gateway.command("file", "list") if each["path"].endswith(name)]
    return found["state"], found["size"]


def update_by_mail(gateway: RunningGateway) -> smtplib.SMTP:
    """Send an update on a new connection, which stays open."""
    message = EmailMessage()
    message["From"], message["To"] = "eva@example.com", "support@example.com"
    message["Subject"] = "SR# 12345 once more"
    message.set_content("Hello")
    client = gateway.mail()
    assert client.send_message(message) == {}
    return client


def test_an_upload_goes_on_while_the_mail_door_is_killed(gateway: RunningGateway, acme: Login) -> None:
    upload = Upload(gateway, acme, "while-mail-dies.bin")
    os.kill(gateway.pid("smtp"), signal.SIGKILL)
    update_by_mail(gateway).quit()  # it waits in the supervisor's queue until the new door is there
    assert upload.finish().startswith("226")
    assert state_of(gateway, "while-mail-dies.bin") == ("complete", 2 * len(HALF))


def test_a_mail_session_goes_on_while_the_ftps_door_is_killed(gateway: RunningGateway, acme: Login) -> None:
    mail = update_by_mail(gateway)
    upload = Upload(gateway, acme, "killed.bin")
    until(lambda: "killed.bin" in str(gateway.command("file", "list")), "the upload is recorded")
    os.kill(gateway.pid("ftps"), signal.SIGKILL)
    assert mail.noop()[0] == 250
    again = gateway.ftp(acme)
    size = again.size("SR-12345/killed.bin")
    assert size is not None
    assert 0 < size <= len(HALF), "what had arrived is a partial, and can be resumed"
    assert state_of(gateway, "killed.bin")[0] == "partial"
    upload.abandon()
    again.quit()
    mail.quit()


def test_sigterm_lets_an_upload_finish(gateway: RunningGateway, acme: Login) -> None:
    upload = Upload(gateway, acme, "drained.bin")
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGTERM)
    until(lambda: is_free(gateway.addresses["smtp"][1]), "the mail door, idle, is closed")
    assert upload.finish().startswith("226")
    assert gateway.wait() == 0
    gateway.start()
    assert state_of(gateway, "drained.bin") == ("complete", 2 * len(HALF))


def test_ctrl_c_makes_an_upload_a_partial_and_exit_code_0(gateway: RunningGateway, acme: Login) -> None:
    upload = Upload(gateway, acme, "interrupted.bin")
    until(lambda: "interrupted.bin" in str(gateway.command("file", "list")), "the upload is recorded")
    assert gateway.stop(signal.SIGINT) == 0
    upload.abandon()
    gateway.start()
    state, size = state_of(gateway, "interrupted.bin")
    assert state == "partial"
    assert 0 < size <= len(HALF)


def test_ctrl_c_ends_every_kind_of_session_and_kills_no_door() -> None:
    """Idle ones, one within its handshake, one that waits for a data port, one that uploads."""
    low = free_range(1)
    with running_gateway({"ftps": {"passive_ports": f"{low}-{low}", "passive_wait": "60s"}}) as gateway:
        acme = gateway.add_account("Acme")
        gateway.add_sr("12345", acme.login)
        upload = Upload(gateway, acme, "interrupted.bin")
        until(lambda: "interrupted.bin" in str(gateway.command("file", "list")), "the upload is recorded")
        logged_in, waiting = gateway.ftp(acme), gateway.ftp(acme)
        with (
            socket.create_server((HOST, low)),  # the only data port: it stays taken
            gateway.wire("ftps") as idle,
            gateway.wire("ftps") as shaking,
        ):
            waiting.putcmd("EPSV")
            idle.talk("S: 220 *")
            shaking.talk("S: 220 *\nC: AUTH TLS\nS: 234 *")
            shaking.send_raw(b"\x16\x03\x01\x02\x00\x01")
            assert gateway.stop(signal.SIGINT) == 0
            idle.talk("S: 421 *")
        assert "killed" not in gateway.log()
        assert "in time" not in gateway.log()
        assert waiting.getmultiline().startswith("425")
        for client in (logged_in, waiting):
            client.close()
        upload.abandon()
        gateway.start()
        state, size = state_of(gateway, "interrupted.bin")
        assert state == "partial"
        assert 0 < size <= len(HALF)


def test_after_a_kill_of_everything_the_acknowledged_is_there_and_the_cut_is_a_partial(
    gateway: RunningGateway, acme: Login
) -> None:
    done = Upload(gateway, acme, "acknowledged.bin")
    assert done.finish().startswith("226")
    cut = Upload(gateway, acme, "cut.bin")
    until(lambda: "cut.bin" in str(gateway.command("file", "list")), "the upload is recorded")
    gateway.restart()
    cut.abandon()
    assert state_of(gateway, "acknowledged.bin") == ("complete", 2 * len(HALF))
    assert state_of(gateway, "cut.bin")[0] == "partial"
    found = gateway.command("doctor")["findings"]
    assert [each for each in found if each["level"] == "error"] == []


def test_sighup_takes_a_renewed_certificate_into_use_at_both_doors_and_drops_no_session(
    gateway: RunningGateway, acme: Login
) -> None:
    before = {door: certificate_of(gateway, door) for door in ("ftps", "smtp")}
    session = gateway.ftp(acme)
    selfsigned.make(gateway.certificate, gateway.folder / "private_key.pem", ["localhost", "127.0.0.1"])
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGHUP)
    for door, old in before.items():
        until(lambda door=door, old=old: certificate_of(gateway, door) != old, f"the {door} door's new certificate")  # type: ignore[misc]
    assert session.pwd() == "/"
    session.quit()


def test_a_renewed_certificate_is_taken_into_use_at_both_doors_without_anybody_asking(
    gateway: RunningGateway, acme: Login
) -> None:
    before = {door: certificate_of(gateway, door) for door in ("ftps", "smtp")}
    session = gateway.ftp(acme)
    key = gateway.folder / "private_key.pem"
    selfsigned.make(gateway.certificate, gateway.folder / "other.pem", ["localhost"])
    until(lambda: gateway.log().count("new certificate refused") >= 2, "both doors refuse a wrong pair")
    assert {door: certificate_of(gateway, door) for door in before} == before
    selfsigned.make(gateway.certificate, key, ["localhost", "127.0.0.1"])
    for door, old in before.items():
        until(lambda door=door, old=old: certificate_of(gateway, door) != old, f"the {door} door's new certificate")  # type: ignore[misc]
    assert gateway.log().count("new certificate refused") == 2
    assert session.pwd() == "/"
    session.quit()


def test_sighup_with_a_wrong_pair_keeps_the_old_one(gateway: RunningGateway, acme: Login) -> None:
    before = {door: certificate_of(gateway, door) for door in ("ftps", "smtp")}
    right = gateway.certificate.read_bytes()
    selfsigned.make(gateway.certificate, gateway.folder / "other.pem", ["localhost"])
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: gateway.log().count("goes on with what it had") >= 2, "both doors refuse the pair")
    assert {door: certificate_of(gateway, door) for door in before} == before
    gateway.certificate.write_bytes(right)


def test_the_console_keeps_its_pair_when_a_wrong_one_comes_and_takes_the_right_one_by_itself() -> None:
    port = free_range(1)
    with running_gateway({"console": {"enabled": True, "host": HOST, "port": port}}) as gateway:

        def shown() -> bytes:
            with socket.create_connection((HOST, port), PATIENCE) as sock, trusting().wrap_socket(sock) as stream:
                found = stream.getpeercert(binary_form=True)
                assert found
                return found

        before = shown()
        selfsigned.make(gateway.certificate, gateway.folder / "other.pem", ["localhost"])
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: gateway.log().count("goes on with what it had") >= 3, "all doors refuse the pair")
        assert shown() == before
        selfsigned.make(gateway.certificate, gateway.folder / "private_key.pem", ["localhost"])
        until(lambda: shown() != before, "it is taken")


def certificate_of(gateway: RunningGateway, door: str) -> bytes:
    """The certificate that a new session is shown, in DER."""
    with gateway.wire(door) as wire:
        wire.reply()
        if door == "smtp":
            wire.command("EHLO client.example.com")
        wire.command({"ftps": "AUTH TLS", "smtp": "STARTTLS"}[door])
        wire.start_tls()
        assert isinstance(wire.socket, ssl.SSLSocket)
        shown = wire.socket.getpeercert(binary_form=True)
        assert shown
        return shown


@pytest.mark.parametrize("door", ["ftps", "smtp"])
def test_a_door_that_has_no_file_descriptors_left_says_so_once_and_goes_on_when_there_are(
    gateway: RunningGateway, acme: Login, door: str
) -> None:
    pid = gateway.pid(door)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    said = gateway.log().count("no connection can be accepted")
    used = max(int(each) for each in os.listdir(f"/proc/{pid}/fd"))
    peers = []
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 4, hard))
        for _ in range(12):
            peers.append(socket.create_connection(gateway.addresses[door], timeout=PATIENCE))
        until(lambda: gateway.log().count("no connection can be accepted") > said, f"the {door} door is full")
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    for peer in peers:  # those who waited in the backlog are greeted, too
        assert peer.recv(3) in (b"220", b"421")
        peer.close()
    assert gateway.log().count("no connection can be accepted") == said + 1
    assert gateway.pid(door) == pid
    if door == "smtp":
        with gateway.mail() as client:
            assert client.noop()[0] == 250
    else:
        uploader = gateway.ftp(acme)
        assert uploader.storbinary("STOR /SR-12345/roomy.log", io.BytesIO(b"x")).startswith("226")
        uploader.close()
