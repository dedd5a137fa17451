"""What the 226 says of a file, and how it can be had again: receipts, findings, hashes."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import zipfile
import zlib

import pytest

from gateway.domain.records import VersionState
from gateway.ftps import looking
from gateway.testing.ftps import Customer, Door
from gateway.testing.waiting import until

from .conftest import MakeDoor

TEXT = b"12:00:00 sip: INVITE refused\n" * 4000


def a_zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name, content, words, state",
    [
        ("logs.zip", a_zip("a", "b", "c"), "zip: 3 members, intact", VersionState.COMPLETE),
        ("logs.gz", gzip.compress(TEXT), "gzip: intact", VersionState.COMPLETE),
        ("cut.gz", gzip.compress(TEXT)[:-20], "gzip: truncated, please send again", VersionState.DAMAGED),
        ("logs.txt", TEXT, "not compressed: please use zip or gzip", VersionState.COMPLETE),
        ("empty", b"", "empty file", VersionState.COMPLETE),
    ],
)
def test_the_receipt_says_what_is_inside(
    door: Door, acme: Customer, name: str, content: bytes, words: str, state: VersionState
) -> None:
    with door.talk(acme) as talk:
        told = talk.put(f"SR-12345/{name}", content)
        assert f"Inside: {words}" in told
        again = talk.command(f"SITE RECEIPT SR-12345/{name}")
    (version,) = door.versions(acme)
    assert version.state is state
    for fact in ("SR: 12345", f"Size: {len(content)}", hashlib.sha256(content).hexdigest(), version.id, words):
        assert fact in told
        assert fact in again


def test_a_truncated_archive_can_be_resumed(door: Door, acme: Customer) -> None:
    whole = gzip.compress(os.urandom(300_000))
    with door.talk(acme) as talk:
        talk.put("logs.gz", whole[:200_000])
        talk.talk("C: REST 200000\nS: 350 *")
        told = talk.put("logs.gz", whole[200_000:])
        assert "gzip: intact" in told
    (version,) = door.versions(acme)
    assert (version.state, door.content(version)) == (VersionState.COMPLETE, whole)


def test_what_takes_longer_is_not_called_intact_and_is_recorded_later(make_door: MakeDoor) -> None:
    door = make_door(ftps={"inspect_wait": 0})
    acme = door.customer()
    with door.talk(acme) as talk:
        told = talk.put("logs.zip", a_zip("a"))
        assert "Inside: not yet inspected" in told
        until(lambda: "zip: 1 member, intact" in talk.command("SITE RECEIPT logs.zip"), "it is recorded")


def test_what_a_stop_left_without_a_finding_is_looked_at_after_the_start(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = make_door(ftps={"inspect_wait": 0})
    acme = door.customer()
    monkeypatch.setattr(looking.Looking, "later", lambda *args: None)
    with door.talk(acme) as talk:
        talk.put("logs.zip", a_zip("a"))
    door.stop()
    door.start()
    until(lambda: door.versions(acme)[0].inspection, "it is looked at")


def zip_saying(*, flags: int = 0, method: int | None = None) -> bytes:
    """A zip of one member whose two headers say these flags and this method."""
    said = bytearray(a_zip("a"))
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        where = said.index(signature) + at
        said[where] |= flags
        if method is not None:
            said[where + 2] = method
    return bytes(said)


def zip_overlapping() -> bytes:
    """Forty members with the same bytes (after D. Fifield, "A better zip bomb")."""
    once = a_zip("a")
    start, end = once.index(b"PK\1\2"), once.index(b"PK\5\6")
    entries = once[start:end] * 40
    return once[:start] + entries + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 40, 40, len(entries), start, 0)


@pytest.mark.parametrize(
    "content, words",
    [
        (zip_saying(flags=1), "zip: 1 member, encrypted, not checked"),
        (zip_saying(method=9), "zip: 1 member, compressed with deflate64, not checked"),
        (zip_overlapping(), "zip: 40 members, unpacks to far more than its size, not checked"),
    ],
    ids=["encrypted", "deflate64", "bomb"],
)
def test_what_cannot_be_checked_is_named_and_kept(door: Door, acme: Customer, content: bytes, words: str) -> None:
    with door.talk(acme) as talk:
        told = talk.put("odd", content)
        assert told.splitlines()[-1].startswith("226 ")
        until(lambda: f"Inside: {words}" in talk.command("SITE RECEIPT odd"), "the receipt says what is inside")
        assert "intact" not in told
        talk.talk("C: NOOP\nS: 200 *")
    (version,) = door.versions(acme)
    assert (version.state, door.content(version)) == (VersionState.COMPLETE, content)


def test_no_receipt_without_a_complete_file(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.cut("logs.bin", TEXT)
        talk.talk("C: SITE RECEIPT logs.bin\nS: 550 *\nC: SITE RECEIPT nothing\nS: 550 *\nC: SITE RECEIPT\nS: 501 *")


def test_hashes_in_every_dialect(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.put("a b.txt", TEXT)
        size, crc = len(TEXT), f"{zlib.crc32(TEXT):08X}"
        assert talk.command("HASH a b.txt") == f"213 SHA-256 0-{size} {hashlib.sha256(TEXT).hexdigest()} /a b.txt"
        assert talk.command("XSHA256 a b.txt") == f"250 {hashlib.sha256(TEXT).hexdigest().upper()}"
        assert talk.command("XMD5 a b.txt") == f"250 {hashlib.md5(TEXT).hexdigest().upper()}"
        assert talk.command('XMD5 "a b.txt"') == f"250 {hashlib.md5(TEXT).hexdigest().upper()}"
        assert talk.command("XCRC a b.txt") == f"250 {crc}"
        assert talk.command('XCRC "a b.txt" 0 100') == f"250 {zlib.crc32(TEXT[:100]):08X}"
        assert talk.command("XCRC a b.txt 5 50") == f"250 {zlib.crc32(TEXT[5:50]):08X}"
        assert talk.command(f'XCRC "a b.txt" 0 {size + 1}').startswith("501 ")
        talk.talk("C: OPTS HASH MD5\nS: 200 MD5\nC: OPTS HASH ROT13\nS: 501 *\nC: XCRC\nS: 501 *\nC: XCRC no\nS: 550 *")
        assert hashlib.md5(TEXT).hexdigest() in talk.command("HASH a b.txt")
        assert "HASH SHA-256;SHA-512;SHA-1;MD5*;CRC32" in talk.command("FEAT")
