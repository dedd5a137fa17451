"""Real clients send, list, resume and fetch; what they say is what a customer sees."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gateway.domain.records import VersionState
from gateway.testing.ftps import Customer, Door
from gateway.testing.waiting import PATIENCE, until


def run(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE * 2
    )


def curl(door: Door, customer: Customer, *words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    url = f"ftp://{door.host}:{door.port}"
    fixed = [
        "curl",
        "-sS",
        "-v",
        "--ssl-reqd",
        "--cacert",
        door.certificate,
        "-u",
        f"{customer.login}:{customer.password}",
    ]
    return run(*fixed, *(str(word).replace("URL", url) for word in words), folder=folder)


def lftp(door: Door, customer: Customer, commands: str, *, folder: Path) -> subprocess.CompletedProcess[str]:
    settings = (
        f"set ssl:ca-file {door.certificate}; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; "
        f"set net:max-retries 2; set net:timeout 20; "
        f"open -u {customer.login},{customer.password.replace(' ', chr(92) + ' ')} -p {door.port} {door.host}; "
    )
    return run("lftp", "--norc", "-c", settings + commands, folder=folder)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_uploads_and_downloads_over_each_tls_version(
    door: Door, acme: Customer, tmp_path: Path, version: str
) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "logs.zip").write_bytes(content)
    only = [f"--tlsv{version}", "--tls-max", version]
    sent = curl(door, acme, *only, "-T", "logs.zip", "URL/SR-12345/", folder=tmp_path)
    assert sent.returncode == 0, sent.stderr
    assert "226 " in sent.stderr
    got = curl(door, acme, *only, "-o", "back.zip", "URL/SR-12345/logs.zip", folder=tmp_path)
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "back.zip").read_bytes() == content


def test_lftp_mirrors_a_folder_and_lists_it(door: Door, acme: Customer, tmp_path: Path) -> None:
    for name in ("a.gz", "b/c.gz", "b/d e.gz"):
        file = tmp_path / "logs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(10_000))
    sent = lftp(door, acme, "mirror -R logs SR-12345/logs", folder=tmp_path)
    assert sent.returncode == 0, sent.stderr
    assert {version.path for version in door.versions(acme)} == {
        "/SR-12345/logs/a.gz",
        "/SR-12345/logs/b/c.gz",
        "/SR-12345/logs/b/d e.gz",
    }
    assert {version.state for version in door.versions(acme)} == {VersionState.COMPLETE}
    again = lftp(door, acme, "mirror -R logs SR-12345/logs", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(door.versions(acme)) == 3, "an unchanged folder makes no new versions"
    listed = lftp(door, acme, "cls -1 SR-12345/logs/b", folder=tmp_path)
    assert "d e.gz" in listed.stdout


def test_lftp_resumes_with_reput(door: Door, acme: Customer, tmp_path: Path) -> None:
    content = os.urandom(400_000)
    (tmp_path / "logs.bin").write_bytes(content)
    with door.talk(acme) as talk:
        talk.cut("logs.bin", content[:150_000])
    sent = lftp(door, acme, "reput logs.bin", folder=tmp_path)
    assert sent.returncode == 0, sent.stderr
    (version,) = door.versions(acme)
    assert (version.state, door.content(version)) == (VersionState.COMPLETE, content)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_that_gives_up_leaves_a_partial(door: Door, acme: Customer, tmp_path: Path, version: str) -> None:
    """It ends the data connection in good order, as if that had been all, and goes without waiting for the reply."""
    (tmp_path / "slow.log").write_bytes(b"a line of a log\n" * 400_000)
    slowly = ["--limit-rate", "1M", "--max-time", "1", "--tls-max", version]
    gone = curl(door, acme, *slowly, "-T", "slow.log", "URL/", folder=tmp_path)
    assert gone.returncode == 28, gone.stderr
    until(lambda: [each.state for each in door.versions(acme)] == [VersionState.PARTIAL], "it is a partial")
    sent = curl(door, acme, "-C", "-", "-T", "slow.log", "URL/", folder=tmp_path)
    assert sent.returncode == 0, sent.stderr
    (version_now,) = door.versions(acme)
    assert door.content(version_now) == (tmp_path / "slow.log").read_bytes()


def test_curl_resumes_with_continue_at(door: Door, acme: Customer, tmp_path: Path) -> None:
    content = os.urandom(400_000)
    (tmp_path / "logs.bin").write_bytes(content)
    with door.talk(acme) as talk:
        talk.cut("logs.bin", content[:150_000])
    sent = curl(door, acme, "-C", "-", "-T", "logs.bin", "URL/logs.bin", folder=tmp_path)
    assert sent.returncode == 0, sent.stderr
    (version,) = door.versions(acme)
    assert (version.state, door.content(version)) == (VersionState.COMPLETE, content)
