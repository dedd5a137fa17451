"""Which addresses a webhook may be posted to: an attacker who can name one must not make us knock inside our network.

Rules: a name is resolved once, every address it has is checked, and the connection goes to a checked address, not to
the name: a second answer from the DNS (rebinding) is never asked for. Loopback is for receivers that the operator named
as loopback; private networks are for those that the operator marked so. Addresses that carry another one inside
(IPv4-mapped, 6to4, NAT64) are judged by what they carry.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a name, for a port."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_NAT64 = IPv6Network("64:ff9b::/96")


class Forbidden(Exception):
    """A webhook's name leads where it may not; one clear line for the operator."""


async def resolve(host: str, port: int) -> list[str]:
    """The system's resolver. Raises OSError where there is no such name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def allowed_address(url: str, *, private: bool, resolving: Resolve = resolve) -> str:
    """An address to connect to for *url*. Raises Forbidden, or OSError where the name has none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    addresses = await resolving(host, parts.port or (443 if parts.scheme == "https" else 80))
    if not addresses:
        raise OSError(f"{host} has no address")
    for address in addresses:
        reason = _forbidden(ip_address(address.partition("%")[0]), loopback=host in LOOPBACK_NAMES, private=private)
        if reason is not None:
            raise Forbidden(f"{host} is at {address}, {reason}; nothing was sent")
    return addresses[0]


def _forbidden(address: Address, *, loopback: bool, private: bool) -> str | None:
    """Why *address* may not be connected to; None if it may."""
    inner = _carried(address)
    if inner is not None:
        return _forbidden(inner, loopback=loopback, private=private)
    if address.is_loopback:
        return None if loopback else "which is this machine"
    if loopback:
        return "which is not this machine"
    if address.is_multicast or address.is_unspecified or address.is_link_local or address.is_reserved:
        return "which no receiver has"  # link-local is where clouds keep their secrets (169.254.169.254)
    if address.is_global or private:
        return None
    return "inside a private network (a receiver of your own there needs private = true)"


def _carried(address: Address) -> IPv4Address | None:
    """The IPv4 address inside an IPv6 one."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
