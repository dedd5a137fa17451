"""A new password: generated, hashed, and sealed where sealing is on.

Rules: the password itself goes back to the caller, once, who prints it or drops it; the store gets the credential.
It writes nothing, so a crash leaves nothing but a password that nobody has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from gateway.access.hashing import Hashing
from gateway.access.sealing import Keyring, SealingError, key_file
from gateway.config import Config
from gateway.domain import passwords
from gateway.store.credentials import Credential


@dataclass(frozen=True, slots=True)
class Issued:
    """A password just made, and what is kept of it."""

    password: str = field(repr=False)
    credential: Credential


class Issuer:
    """Makes passwords; *keys* None means that none is kept sealed."""

    def __init__(
        self, hashing: Hashing, keys: Keyring | None = None, generate: Callable[[], str] = passwords.generate
    ) -> None:
        self._hashing = hashing
        self._keys = keys
        self._generate = generate

    @classmethod
    def of(cls, config: Config, hashing: Hashing) -> Self:
        """What the configuration asks for, sealing or not. Raises SealingError where it asks and there is no key."""
        if not config.rotation.sealed_passwords:
            return cls(hashing)
        path = key_file(config.rotation.sealing_key)
        if path is None:
            raise SealingError("[rotation] sealed_passwords needs sealing_key, or the systemd credential sealing-key")
        return cls(hashing, Keyring(path))

    async def issue(self, account_id: str) -> Issued:
        """A new password for an account. Raises SealingError where the key can't be used."""
        password = self._generate()
        sealed, key_id = (None, None) if self._keys is None else self._keys.seal(account_id, password)
        return Issued(password, Credential(await self._hashing.hash(password), sealed, key_id))
