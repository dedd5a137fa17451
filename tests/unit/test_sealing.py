"""Sealed passwords: they open for their own account, under the right key, and for nobody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.access import sealing
from gateway.access.sealing import (
    Keyring,
    SealingError,
    key_file,
    new_key,
    seal_under,
    unseal_under,
    write_keys,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sealing.key"
    write_keys(path, [new_key()])
    return path


def test_a_sealed_password_opens_for_its_own_account_only(path: Path) -> None:
    keys = Keyring(path)
    sealed, key_id = keys.seal("account-1", "secret")
    assert b"secret" not in sealed
    assert keys.unseal("account-1", sealed, key_id) == "secret"
    with pytest.raises(SealingError, match="another account"):
        keys.unseal("account-2", sealed, key_id)


def test_a_changed_seal_does_not_open(path: Path) -> None:
    keys = Keyring(path)
    sealed, key_id = keys.seal("account-1", "secret")
    for position in (0, len(sealed) - 1):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(SealingError):
            keys.unseal("account-1", bytes(broken), key_id)


def test_two_seals_of_one_password_differ(path: Path) -> None:
    keys = Keyring(path)
    assert keys.seal("a", "secret") != keys.seal("a", "secret")


def test_after_a_rotation_old_seals_still_open_and_every_process_seals_anew(path: Path) -> None:
    here, there = Keyring(path), Keyring(path)
    sealed, old = here.seal("a", "secret")
    new = here.add()
    assert there.key_id == new != old
    assert there.unseal("a", sealed, old) == "secret"


def test_the_key_before_stays_and_the_one_before_that_goes_unless_used(path: Path) -> None:
    keys = Keyring(path)
    first = keys.key_id
    second = keys.add()
    third = keys.add()
    assert [line.split()[0] for line in path.read_text().splitlines()] == [third, second]
    fourth = keys.add(used={second})
    assert [line.split()[0] for line in path.read_text().splitlines()] == [fourth, third, second]
    assert first not in path.read_text()


def test_a_key_that_others_may_read_is_refused(path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(SealingError, match="chmod 600"):
        Keyring(path)


def test_a_new_key_file_is_its_owners_alone(path: Path) -> None:
    Keyring(path).add()
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_systemds_credential_comes_first_whatever_its_mode(path: Path, tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    directory.mkdir()
    environment = {"CREDENTIALS_DIRECTORY": str(directory)}
    assert key_file(path, environment) == path
    write_keys(directory / "sealing-key", [new_key()])
    assert key_file(path, environment) == directory / "sealing-key"
    assert key_file(None, environment) == directory / "sealing-key"
    assert key_file(None, {}) is None


def test_a_credentials_mode_is_systemds_affair(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    assert Keyring(path).key_id


def test_a_credentials_mode_is_systemds_affair_at_the_command_line_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.chmod(0o440)
    with pytest.raises(SealingError, match="may be read by others"):
        Keyring(path)
    monkeypatch.setattr(sealing, "SYSTEMD", path.parent)
    assert Keyring(path).key_id


@pytest.mark.parametrize("content", ["", "# only words\n", "id notbase64!\n", "id c2hvcnQ=\n", "three words here\n"])
def test_a_file_without_a_good_key_is_refused_without_repeating_it(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(SealingError) as refused:
        Keyring(path)
    assert str(path) in str(refused.value)
    assert "notbase64" not in str(refused.value)


def test_a_key_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SealingError, match="can't be read: No such file"):
        Keyring(tmp_path / "nowhere")
    with pytest.raises(SealingError, match="not a regular file"):
        Keyring(tmp_path)


def test_what_is_sealed_under_a_token_opens_with_that_token_only() -> None:
    sealed = seal_under("token", "account-1", "secret")
    assert unseal_under("token", "account-1", sealed) == "secret"
    for token, account in (("other", "account-1"), ("token", "account-2")):
        with pytest.raises(SealingError):
            unseal_under(token, account, sealed)
