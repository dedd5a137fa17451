"""What the FTPS door was told, in the units its threads count in: seconds and bytes."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from dataclasses import dataclass

from gateway.config import Config
from gateway.domain.binding import Binding
from gateway.domain.names import DEFAULT_NUMBER
from gateway.log import get

log = get(__name__)

LOOK_UP_EVERY = 300.0
"""Seconds after which the name of ``masquerade_address`` is looked up again."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The door's settings. The defaults are those of the configuration."""

    hostname: str = "gateway.example.com"
    number_pattern: str = DEFAULT_NUMBER
    data_binding: Binding = Binding.SESSION_OR_ADDRESS
    login_timeout: float = 60.0
    idle_timeout: float = 900.0
    data_timeout: float = 30.0
    stall_timeout: float = 300.0
    passive_wait: float = 10.0
    inspect_wait: float = 2.0
    closed_folder_grace: float = 14 * 86400.0
    sessions: int = 1000
    sessions_not_logged_in: int = 200
    sessions_per_account: int = 40
    sessions_per_address: int = 100
    transfers_per_account: int = 40
    transfers_per_address: int | None = None
    bandwidth_per_account: int | None = None
    bandwidth_per_address: int | None = None
    bandwidth_per_session: int | None = None
    quota: int | None = None
    largest_file: int | None = None
    free_disk_reserve: int = 1 << 30
    hash_uploads: bool = True

    @classmethod
    def of(cls, config: Config) -> Settings:
        ftps, limits = config.ftps, config.ftps.limits
        return cls(
            hostname=config.gateway.hostname,
            number_pattern=config.sr.number_pattern,
            data_binding=Binding(ftps.data_binding),
            login_timeout=ftps.login_timeout.total_seconds(),
            idle_timeout=ftps.idle_timeout.total_seconds(),
            data_timeout=ftps.data_timeout.total_seconds(),
            stall_timeout=ftps.stall_timeout.total_seconds(),
            passive_wait=ftps.passive_wait.total_seconds(),
            inspect_wait=ftps.inspect_wait.total_seconds(),
            closed_folder_grace=config.sr.closed_folder_grace.total_seconds(),
            sessions=limits.sessions,
            sessions_not_logged_in=limits.sessions_not_logged_in,
            sessions_per_account=limits.sessions_per_account,
            sessions_per_address=limits.sessions_per_address,
            transfers_per_account=limits.transfers_per_account,
            transfers_per_address=limits.transfers_per_address,
            bandwidth_per_address=limits.bandwidth_per_address,
            bandwidth_per_account=limits.bandwidth_per_account,
            bandwidth_per_session=limits.bandwidth_per_session,
            quota=limits.quota,
            largest_file=limits.largest_file,
            free_disk_reserve=config.spool.free_disk_reserve,
        )


class Masquerade:
    """The IPv4 address that PASV names for a NAT before this host; a name is looked up anew now and then."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._address: str | None = None
        self._until = float("-inf")

    def address(self) -> str | None:
        """The address to name; None: the one that the client reached.

        A name that can't be looked up keeps the address it had; where it never had one, PASV must name our own.
        """
        if self._name is None:
            return None
        known = self._address
        if time.monotonic() < self._until or not self._lock.acquire(blocking=known is None):
            return known  # somebody looks it up just now
        try:
            if time.monotonic() >= self._until:
                try:
                    self._address = str(ipaddress.IPv4Address(self._name))
                    self._until = float("inf")
                except ValueError:
                    self._look_up(self._name)
                    self._until = time.monotonic() + LOOK_UP_EVERY
            return self._address
        finally:
            self._lock.release()

    def _look_up(self, name: str) -> None:
        try:
            found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            log.error("masquerade_address can't be looked up", name=name, goes_on_with=self._address, reason=error)
            return
        address = str(found[0][4][0])
        if self._address not in (None, address):
            log.info("masquerade_address is another address now", name=name, address=address)
        self._address = address
