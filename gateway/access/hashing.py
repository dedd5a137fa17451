"""Password hashes: argon2id, off every event loop, a bounded number at a time.

The parameters are 12 MiB, 3 passes, 1 lane: one of the equal choices of OWASP's Password Storage Cheat Sheet for
argon2id, the one that is quickest here (about 26 ms). What is hashed has 139 random bits (domain/passwords.py), so
the cost only has to slow down somebody who stole the store and knows a former password's form.

Rules: a check always makes two verifications, against the present hash and the former one; where there is none, a hash
that nothing matches stands in. So right, wrong, unknown, disabled and former take the same time. More checks than
``waiting`` at once are refused, for a queue without end only makes everybody time out.

It never logs or keeps a password. A crash leaves nothing.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from gateway.domain.admission import Match
from gateway.processors import roam


@dataclass(frozen=True, slots=True)
class Parameters:
    """What one hash costs: KiB of memory, passes over it, lanes (RFC 9106 section 3.1)."""

    memory: int = 12 * 1024
    passes: int = 3
    lanes: int = 1


class Busy(Exception):
    """More logins wait to be checked than is sensible; the peer may come again in a moment."""


class Hashing:
    """Hashes and checks passwords in threads of its own (argon2 works without the interpreter's lock)."""

    def __init__(self, parameters: Parameters | None = None, *, threads: int | None = None, waiting: int = 256) -> None:
        parameters = parameters or Parameters()
        self._argon2 = PasswordHasher(
            time_cost=parameters.passes,
            memory_cost=parameters.memory,
            parallelism=parameters.lanes,
            hash_len=32,
            salt_len=16,
            type=Type.ID,
        )
        self._threads = ThreadPoolExecutor(
            threads or min(4, os.cpu_count() or 1), thread_name_prefix="argon2", initializer=roam
        )
        self._room = waiting
        self._nothing = self._argon2.hash(secrets.token_hex(16))
        self.verifications = 0
        """How many argon2 verifications were made (for metrics, and to show that every answer costs the same)."""

    async def hash(self, password: str) -> str:
        """The hash to keep of a new password."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._argon2.hash, password)

    async def match(self, password: str, present: str | None, former: str | None) -> Match:
        """Which of the two hashes *password* belongs to. Raises Busy."""
        if self._room == 0:
            raise Busy("too many logins wait to be checked")
        self._room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._match, password, present, former
            )
        finally:
            self._room += 1

    def close(self) -> None:
        """End the threads; a hash that is being made is finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _match(self, password: str, present: str | None, former: str | None) -> Match:
        is_present = self._verify(present or self._nothing, password)
        is_former = self._verify(former or self._nothing, password)
        if present is not None and is_present:
            return Match.PRESENT
        return Match.FORMER if former is not None and is_former else Match.NEITHER

    def _verify(self, stored: str, password: str) -> bool:
        self.verifications += 1
        try:
            return self._argon2.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
