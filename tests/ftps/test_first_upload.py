"""The first slice: a customer logs in and sends a file; it is durable, filed, and comes back as it was."""

from __future__ import annotations

import hashlib
import os

from gateway.domain.records import VersionState
from gateway.testing.ftps import Customer, Door


def test_an_upload_is_answered_with_a_receipt_that_the_store_keeps(door: Door, acme: Customer) -> None:
    content = os.urandom(300_000)
    with door.client(acme) as client:
        reply = client.put("/SR-12345/logs.bin", content)
    (version,) = door.versions(acme)
    assert version.state is VersionState.COMPLETE
    assert version.sha256 == hashlib.sha256(content).hexdigest()
    assert (version.path, version.sr, version.size) == ("/SR-12345/logs.bin", "12345", len(content))
    for fact in ("12345", str(len(content)), version.sha256, version.id):
        assert fact in reply
    assert door.content(version) == content


def test_an_upload_comes_back_as_it_was(door: Door, acme: Customer) -> None:
    content = os.urandom(5_000_000)
    with door.client(acme) as client:
        client.put("logs.bin", content)
        assert client.get("logs.bin") == content
        assert client.size("logs.bin") == len(content)
        assert client.names() == ["SR-12345", "logs.bin"]
