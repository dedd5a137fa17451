"""What shows itself only on this machine: pairs that do not match, folders that cannot be used."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from gateway.config import Config, load
from gateway.config.machine import serve_problems


def make_pair(folder: Path, name: str, encryption: KeySerializationEncryption | None = None) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pair = folder / f"{name}.pem", folder / f"{name}.key"
    pair[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    pair[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    return pair


def config(tmp_path: Path, certificate: str, key: str, state_dir: str = "state") -> Config:
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[gateway]\nstate_dir = "{state_dir}"\n[ftps]\ncertificate = "{certificate}"\nprivate_key = "{key}"\n'
    )
    return load(file)


def said(config: Config, tmp_path: Path) -> list[str]:
    return [str(problem).replace(f"{tmp_path}/", "") for problem in serve_problems(config)]


def test_a_pair_that_matches_is_fine(tmp_path: Path) -> None:
    make_pair(tmp_path, "a")
    assert said(config(tmp_path, "a.pem", "a.key"), tmp_path) == []
    assert not (tmp_path / "state").exists()


def test_a_certificate_that_does_not_match_its_key(tmp_path: Path) -> None:
    make_pair(tmp_path, "a")
    make_pair(tmp_path, "b")
    assert said(config(tmp_path, "a.pem", "b.key"), tmp_path) == [
        "gateway.toml:4: ftps.certificate: a.pem does not belong to the key b.key; allowed: the certificate of that key"
    ]


def test_files_that_are_missing_or_something_else(tmp_path: Path) -> None:
    make_pair(tmp_path, "a", BestAvailableEncryption(b"hunter2"))
    assert said(config(tmp_path, "none.pem", "a.key"), tmp_path) == [
        "gateway.toml:4: ftps.certificate: none.pem cannot be read: No such file or directory",
        "gateway.toml:5: ftps.private_key: a.key has a passphrase; "
        "allowed: a PEM key without one, readable for the gateway only",
    ]
    for name in "xy":
        (tmp_path / name).write_bytes(b"\0not PEM")
    assert [line.split(":")[1] for line in said(config(tmp_path, "x", "y"), tmp_path)] == ["4", "5"]


def test_serving_needs_a_certificate(tmp_path: Path) -> None:
    assert "ftps.certificate: is missing" in str(serve_problems(Config())[0])


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    make_pair(tmp_path, "a")
    (tmp_path / "file").touch()
    for folder in ("file", "file/below"):
        assert (
            "gateway.toml:2: gateway.state_dir: file is not a folder"
            in said(config(tmp_path, "a.pem", "a.key", folder), tmp_path)[0]
        )


def test_a_state_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pair(tmp_path, "a")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write everywhere
    assert said(config(tmp_path, "a.pem", "a.key"), tmp_path) == [
        f"gateway.toml:2: gateway.state_dir: {tmp_path} is not writable for this user, so state cannot be made"
    ]


def test_the_console_needs_a_certificate_and_sealing_needs_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"gateway": {"state_dir": tmp_path}, "ftps": {"enabled": False}, "console": {"enabled": True}}
    wanted = Config.model_validate({**asked, "rotation": {"sealed_passwords": True}})
    found = "\n".join(str(problem) for problem in serve_problems(wanted))
    assert "console.enabled: the page is served in the FTPS door's certificate; there is none" in found
    assert "rotation.sealed_passwords: there is no sealing key" in found
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "sealing-key").write_text("id key\n")
    assert "sealing key" not in "\n".join(str(problem) for problem in serve_problems(wanted))
