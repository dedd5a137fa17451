"""Sealed passwords: AES-256-GCM under a key that is not in the store, so that a Designated Contact can look one up.

Rules
- Keys come from a file of lines ``<key id> <32 bytes in base64>``: the first seals, all unseal. It is the systemd
  credential ``sealing-key`` where there is one, else the configured file, which nobody but its owner may read.
- What is sealed is bound to its account's id: put into another account's row it does not open.
- The file is read again whenever it changes, so a rotated key is used at once in every process.
- A new key is written beside the old ones and renamed into place: a crash leaves the old file or the new one, and
  either opens every row. The key that was just replaced stays until the next rotation, for rows sealed meanwhile.

It never writes a key or a password to a log, and has no default key: without one nothing is sealed.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CREDENTIAL = "sealing-key"
"""The name under which systemd is told of the key (``LoadCredential=sealing-key:…``)."""

SYSTEMD = Path("/run/credentials")
"""Where systemd puts credentials, and says by access lists who may read them: those look like a mode for the group."""

_NONCE = 12
_KEY = 32


class SealingError(Exception):
    """A key can't be used, or something does not open; one clear line for the operator."""


def key_file(configured: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where the keys are: systemd's credential, else *configured*, else nowhere (sealing is off)."""
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if directory and (credential := Path(directory, CREDENTIAL)).exists():
        return credential
    return configured


def new_key() -> str:
    """A line for a key file: a new key with its id."""
    return f"{secrets.token_hex(4)} {base64.b64encode(secrets.token_bytes(_KEY)).decode()}"


class Keyring:
    """The keys of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, AESGCM] = {}
        self._load()

    @property
    def key_id(self) -> str:
        """The id of the key that seals now."""
        self._load()
        return next(iter(self._keys))

    def seal(self, account_id: str, password: str) -> tuple[bytes, str]:
        """The sealed password, and the id of the key that sealed it."""
        key_id = self.key_id
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._keys[key_id].encrypt(nonce, password.encode(), _bound_to(account_id)), key_id

    def unseal(self, account_id: str, sealed: bytes, key_id: str) -> str:
        """The password that was sealed for *account_id*. Raises SealingError."""
        self._load()
        key = self._keys.get(key_id)
        if key is None:
            raise SealingError(f"the key {key_id} that sealed this password is not in {self._path}")
        return _open(key, sealed, _bound_to(account_id))

    def add(self, used: Collection[str] = ()) -> str:
        """Make a new key the one that seals; drop the keys but the last one and those in *used*. Returns its id."""
        self._load()
        last = next(iter(self._keys))
        keep = [line for line in _lines(self._path) if (key_id := line.split()[0]) == last or key_id in used]
        line = new_key()
        try:
            write_keys(self._path, [line, *keep])
        except OSError as error:
            raise SealingError(
                f"{self._path} can't be written ({error.strerror}); nothing was changed. A key that systemd hands out "
                "is replaced in the file that LoadCredential= names: put a new line before the others there, restart "
                "the gateway, and run `gateway key seal` (docs/operators.md has the commands)"
            ) from None
        return line.split()[0]

    def _load(self) -> None:
        """Read the file if it is not the one that was read last."""
        try:
            facts = self._path.stat()
            seen = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
            if seen == self._seen:
                return
            _check(self._path, facts)
            self._keys = dict(_key(line, self._path) for line in _lines(self._path))
        except OSError as error:
            made = ": 'gateway key rotate' makes the first one" if isinstance(error, FileNotFoundError) else ""
            raise SealingError(f"the sealing key {self._path} can't be read: {error.strerror}{made}") from None
        if not self._keys:
            raise SealingError(f"{self._path} holds no key: it is made by 'gateway key rotate'")
        self._seen = seen


def write_keys(path: Path, lines: Collection[str]) -> None:
    """Put a key file in place, whole, readable by its owner alone."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(descriptor)
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def seal_under(token: str, account_id: str, password: str) -> bytes:
    """Seal for who holds *token*, which is random and kept nowhere: no other key opens it."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + _from_token(token).encrypt(nonce, password.encode(), _bound_to(account_id))


def unseal_under(token: str, account_id: str, sealed: bytes) -> str:
    """What ``seal_under`` sealed. Raises SealingError."""
    return _open(_from_token(token), sealed, _bound_to(account_id))


def _from_token(token: str) -> AESGCM:
    # The token has 256 random bits, so one cheap derivation is enough (RFC 5869).
    return AESGCM(HKDF(hashes.SHA256(), _KEY, salt=None, info=b"gateway reveal link").derive(token.encode()))


def _bound_to(account_id: str) -> bytes:
    return b"gateway password " + account_id.encode()


def _open(key: AESGCM, sealed: bytes, bound_to: bytes) -> str:
    try:
        return key.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound_to).decode()
    except (InvalidTag, ValueError):
        raise SealingError(
            "a sealed password does not open: it was changed, or it belongs to another account"
        ) from None


def _lines(path: Path) -> list[str]:
    return [line for raw in path.read_text().splitlines() if (line := raw.strip()) and not line.startswith("#")]


def _key(line: str, path: Path) -> tuple[str, AESGCM]:
    # The message must not repeat the line: it may be a key with a typing mistake.
    try:
        key_id, encoded = line.split()
        key = base64.b64decode(encoded, validate=True)
        if len(key) != _KEY:
            raise ValueError
    except (ValueError, binascii.Error):
        raise SealingError(f"{path} has a line that is not '<key id> <32 bytes in base64>'") from None
    return key_id, AESGCM(key)


def _check(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise SealingError(f"the sealing key {path} is not a regular file")
    if facts.st_uid not in (os.geteuid(), 0):
        raise SealingError(f"the sealing key {path} belongs to another user")
    by_systemd = path.is_relative_to(SYSTEMD) or str(path.parent) == os.environ.get("CREDENTIALS_DIRECTORY")
    if facts.st_mode & 0o077 and not by_systemd:
        raise SealingError(f"the sealing key {path} may be read by others: chmod 600 {path}")
