"""curl, swaks, msmtp and a real Postfix in front of the mail door: filed, refused in words, and nothing twice."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config.smtp import Smtp
from gateway.testing import until
from gateway.testing.mail_door import MailDoor, mail_door

POSTFIX = Path("/usr/lib/postfix/sbin/master")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailDoor]:
    """Eva may write to SR 12345; relays on this machine are ours."""
    settings = Smtp(trusted_relays=(ip_network("127.0.0.0/8"),))
    with mail_door(tmp_path_factory.mktemp("door"), settings) as opened:
        acme = opened.add_account()
        opened.add_contact("eva@example.com", acme)
        opened.add_sr("12345", acme)
        yield opened


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, cwd=cwd)


def message(subject: str) -> str:
    return f"From: Eva <eva@example.com>\nTo: support@example.com\nSubject: {subject}\n\nIt happened again.\n"


def filed(door: MailDoor, words: str) -> bool:
    return sum(update.subject.endswith(words) for update in door.updates()) == 1


def curl(door: MailDoor, tmp_path: Path, subject: str) -> subprocess.CompletedProcess[str]:
    mail = tmp_path / "mail.eml"
    mail.write_text(message(subject))
    host, port = door.address
    return run(
        program("curl"), "-sv", "--ssl-reqd", "--cacert", door.certificate,
        "--connect-to", f"localhost:{port}:{host}:{port}", f"smtp://localhost:{port}/client.example.com",
        "--mail-from", "eva@example.com", "--mail-rcpt", "support@example.com", "--crlf", "-T", str(mail),
    )  # fmt: skip


def test_curl_over_starttls(door: MailDoor, tmp_path: Path) -> None:
    done = curl(door, tmp_path, "SR# 12345 by curl")
    assert done.returncode == 0, done.stderr
    assert filed(door, "by curl")


def test_curl_is_told_where_a_new_sr_is_opened(door: MailDoor, tmp_path: Path) -> None:
    done = curl(door, tmp_path, "please help")
    assert done.returncode != 0
    assert "https://support.example.com/new" in done.stderr


def swaks(door: MailDoor, *further: str) -> subprocess.CompletedProcess[str]:
    host, port = door.address
    return run(
        program("swaks"), "--server", f"{host}:{port}", "--ehlo", "client.example.com", "--from", "eva@example.com",
        "--to", "support@example.com", *further,
    )  # fmt: skip


@pytest.mark.parametrize("further", [("--tls",), ("--pipeline",), ("--protocol", "SMTP"), ("--tls", "--pipeline")])
def test_swaks_in_every_dialect(door: MailDoor, further: tuple[str, ...]) -> None:
    words = "by swaks " + " ".join(further)
    done = swaks(door, "--header", f"Subject: SR# 12345 {words}", *further)
    assert done.returncode == 0, done.stdout + done.stderr
    assert filed(door, words)


def test_swaks_sees_the_refusal_at_the_end_of_the_data(door: MailDoor) -> None:
    done = swaks(door, "--header", "Subject: no number")
    assert done.returncode == 26, "swaks: error with the data"
    assert "<** 550 5.7.1 Europe: https://support.example.com/new" in done.stdout


def msmtp(door: MailDoor, tmp_path: Path, subject: str) -> subprocess.CompletedProcess[str]:
    host, port = door.address
    return run(
        program("msmtp"), "--file=/dev/null", f"--host={host}", f"--port={port}",
        "--domain=client.example.com", "--auth=off", "--tls=on", "--tls-starttls=on", "--tls-certcheck=off",
        "--from=eva@example.com", "support@example.com",
        stdin=message(subject), cwd=tmp_path,
    )  # fmt: skip


def test_msmtp(door: MailDoor, tmp_path: Path) -> None:
    done = msmtp(door, tmp_path, "SR# 12345 by msmtp")
    assert done.returncode == 0, done.stderr
    assert filed(door, "by msmtp")


def test_msmtp_is_told_why(door: MailDoor, tmp_path: Path) -> None:
    done = msmtp(door, tmp_path, "SR# 99999 by msmtp")
    assert done.returncode != 0
    assert "can't be filed under a Service Request" in done.stderr


# --- a real Postfix in front ------------------------------------------------------------------------------------------


@contextmanager
def postfix(*settings: str, master: str = "") -> Iterator[tuple[str, int]]:
    """A Postfix of the test's own, with its own queue, until left; where it listens."""
    if os.geteuid() != 0 or not POSTFIX.exists():
        pytest.skip("a real Postfix needs root and the package postfix")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="px-"))  # short: its sockets' paths may have 107 characters
    config, queue, data = folder / "config", folder / "queue", folder / "data"
    for each in (config, queue, data):
        each.mkdir()
    folder.chmod(0o755)
    shutil.chown(data, "postfix")
    (config / "main.cf").write_text(
        "\n".join(
            (
                "compatibility_level = 3.6",
                f"queue_directory = {queue}",
                f"data_directory = {data}",
                "myhostname = mx.example.com",
                "mydestination =",
                "alias_maps =",
                "local_recipient_maps =",
                "inet_interfaces = 127.0.0.1",
                "inet_protocols = ipv4",
                "mynetworks = 127.0.0.0/8",
                "smtpd_recipient_restrictions = permit_mynetworks,reject",
                "smtp_tls_security_level = may",
                "smtpd_tls_security_level = none",
                f"maillog_file = {folder}/log",
                "maillog_file_prefixes = /",
                *settings,
            )
        )
        + "\n"
    )
    services = Path("/etc/postfix/master.cf").read_text().splitlines()
    kept = [line for line in services if line[:1].isalpha()]
    kept = [line for line in kept if line.split()[1] != "inet" and line.split()[7] != "pipe"]
    unjailed = [" ".join([*line.split()[:4], "n", *line.split()[5:]]) for line in kept]
    (config / "master.cf").write_text("\n".join([f"127.0.0.1:{port} inet n - n - - smtpd{master}", *unjailed]) + "\n")
    checked = run("/usr/sbin/postfix", "-c", str(config), "check")
    assert checked.returncode == 0, checked.stderr
    # It ends its children by ending its process group.
    process = subprocess.Popen(
        [str(POSTFIX), "-c", str(config), "-d"], stdin=subprocess.DEVNULL, start_new_session=True
    )

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(listens, "Postfix listens")
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def test_postfix_as_a_before_queue_proxy_passes_our_refusals_on_in_the_dialogue(door: MailDoor) -> None:
    """The way to run a Postfix in front: nothing is queued, so nothing is ever bounced."""
    host, port = door.address
    with postfix(master=f" -o smtpd_proxy_filter={host}:{port} -o smtpd_proxy_options=speed_adjust") as front:
        good = run_swaks(front, "SR# 12345 through a proxying Postfix")
        assert good.returncode == 0, good.stdout
        assert filed(door, "through a proxying Postfix")
        bad = run_swaks(front, "no number at all")
        assert bad.returncode == 26
        assert "550" in bad.stdout
        assert "https://support.example.com/new" in bad.stdout


def test_postfix_as_a_queueing_relay_delivers(door: MailDoor) -> None:
    host, port = door.address
    with postfix(f"default_transport = smtp:[{host}]:{port}") as front:
        done = run_swaks(front, "SR# 12345 through a relaying Postfix")
        assert done.returncode == 0, done.stdout
        until(lambda: filed(door, "through a relaying Postfix"), "the relay has delivered")


def run_swaks(front: tuple[str, int], subject: str, *further: str) -> subprocess.CompletedProcess[str]:
    return run(
        program("swaks"), "--server", f"{front[0]}:{front[1]}", "--ehlo", "client.example.com",
        "--from", "eva@example.com", "--to", "support@example.com", "--header", f"Subject: {subject}", *further,
    )  # fmt: skip
