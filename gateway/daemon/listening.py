"""The listening sockets: bound here, once, by the supervisor; a door that is restarted gets the same ones again.

All or none: where one address can't be bound, those bound before it are closed.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping

from gateway.config import Config, problem
from gateway.doorway import CannotServe

BACKLOG = 1024
"""Connections that may wait while a door is restarted or busy; the kernel's net.core.somaxconn may lower it."""

Sockets = Mapping[str, tuple[socket.socket, ...]]


def bind(config: Config) -> dict[str, tuple[socket.socket, ...]]:
    """Bind every enabled door's address, by the door's name. Raises CannotServe with one clear line."""
    bound: dict[str, tuple[socket.socket, ...]] = {}
    for name, door in (("ftps", config.ftps), ("smtp", config.smtp), ("console", config.console)):
        if door.enabled:
            try:
                bound[name] = (_listen(door.host, door.port),)
            except OSError as error:
                close(bound)
                key, what = _why_not(error, door.host, door.port)
                raise CannotServe(str(problem(config, f"{name}.{key}", what))) from error
    return bound


def close(sockets: Sockets) -> None:
    for each in sockets.values():
        for listening in each:
            listening.close()


def address_of(listening: socket.socket) -> str:
    """``host:port``, as a person writes it."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # "::" takes IPv4 as well
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _why_not(error: OSError, host: str, port: int) -> tuple[str, str]:
    """The key that is to be changed, and what is wrong with it."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "host", f"{host} is no address of this machine"
    match error.errno:
        case errno.EADDRINUSE:
            return "port", f"{port} on {host} is in use by another program"
        case errno.EACCES | errno.EPERM:
            return "port", f"{port} needs root or CAP_NET_BIND_SERVICE, which systemd/gateway.service gives"
        case _:
            return "host", f"{host} port {port}: {os.strerror(error.errno or 0)}"
