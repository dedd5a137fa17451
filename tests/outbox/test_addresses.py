"""Where a webhook may lead: never into our own network unless the operator said so."""

from __future__ import annotations

import pytest

from gateway.outbox.addresses import Forbidden, allowed_address

URL = "https://crm.example.com/hook"


def resolving(*addresses: str):  # type: ignore[no-untyped-def]
    async def answer(host: str, port: int) -> list[str]:
        return list(addresses)

    return answer


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
async def test_a_public_address_is_connected_to(address: str) -> None:
    assert await allowed_address(URL, private=False, resolving=resolving(address)) == address


PRIVATE = ["10.0.0.1", "172.16.5.5", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
NEVER = [
    "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.169.254", "fe80::1%eth0",
    "224.0.0.1", "ff02::1", "240.0.0.1", "255.255.255.255", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE + NEVER)
async def test_a_name_that_leads_into_our_network_is_refused(address: str) -> None:
    with pytest.raises(Forbidden, match=r"crm\.example\.com is at .*nothing was sent"):
        await allowed_address(URL, private=False, resolving=resolving(address))


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_receiver_of_our_own_may_be_private(address: str) -> None:
    assert await allowed_address(URL, private=True, resolving=resolving(address)) == address


@pytest.mark.parametrize("address", NEVER)
async def test_private_does_not_open_loopback_and_link_local(address: str) -> None:
    with pytest.raises(Forbidden):
        await allowed_address(URL, private=True, resolving=resolving(address))


async def test_one_bad_address_among_good_ones_is_enough() -> None:
    with pytest.raises(Forbidden):
        await allowed_address(URL, private=False, resolving=resolving("93.184.216.34", "10.0.0.1"))


async def test_what_was_named_loopback_is_loopback_and_nothing_else() -> None:
    local = "http://localhost:8080/hook"
    assert await allowed_address(local, private=False, resolving=resolving("127.0.0.1")) == "127.0.0.1"
    with pytest.raises(Forbidden, match="not this machine"):
        await allowed_address(local, private=False, resolving=resolving("93.184.216.34"))


async def test_a_name_without_an_address_is_no_name() -> None:
    with pytest.raises(OSError, match="no address"):
        await allowed_address(URL, private=False, resolving=resolving())
