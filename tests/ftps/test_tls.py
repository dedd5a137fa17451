"""Certificates side by side, renewed under running sessions, refused when they don't fit; versions and suites."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
import socket
import ssl
import struct
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from gateway import selfsigned
from gateway.ftps.identity import BadCertificate, Identity
from gateway.testing.ftps import Customer, Door
from gateway.testing.wire import trusting

from .conftest import MakeDoor

BYTES = os.urandom(200_000)


def make_rsa(certificate: Path, private_key: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def shown(door: Door, ciphers: str) -> tuple[bytes, str]:
    """The certificate and the suite that a TLS 1.2 client with these suites gets."""
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with door.talk(context=context) as talk:
        talk.secure()
        return talk.socket.getpeercert(binary_form=True) or b"", talk.socket.cipher()[0]  # type: ignore


def test_ecdsa_and_rsa_side_by_side(make_door: MakeDoor, tmp_path: Path) -> None:
    certificate, key = tmp_path / "rsa.pem", tmp_path / "rsa.key"
    make_rsa(certificate, key)
    door = make_door(ftps={"certificate_rsa": certificate, "private_key_rsa": key})
    new, suite = shown(door, "ECDHE-ECDSA-AES256-GCM-SHA384")
    assert "ECDSA" in suite
    old, suite = shown(door, "ECDHE-RSA-AES256-GCM-SHA384")
    assert "RSA" in suite
    assert new == ssl.PEM_cert_to_DER_cert(door.certificate.read_text())
    assert old == ssl.PEM_cert_to_DER_cert(certificate.read_text())


def test_renewed_certificates_are_served_and_sessions_go_on(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES)
        before, _ = shown(door, "ECDHE+AESGCM")
        selfsigned.make(door.certificate, door.private_key, ["localhost", "127.0.0.1"])
        assert asyncio.run_coroutine_threadsafe(door.doorway.reload(), door.loop).result(30) == []
        after, _ = shown(door, "ECDHE+AESGCM")
        assert before != after
        data.unwrap().close()
        assert talk.reply()[-1].startswith("226 ")
        data = talk.begin("STOR more.bin")  # resumes the session of the context before
        assert data.session_reused
        data.unwrap().close()
        assert talk.reply()[-1].startswith("226 ")


def test_a_wrong_pair_is_refused_and_the_old_one_goes_on(door: Door, tmp_path: Path) -> None:
    before, _ = shown(door, "ECDHE+AESGCM")
    selfsigned.make(tmp_path / "other.pem", tmp_path / "other.key", ["localhost"])
    shutil.copy(tmp_path / "other.pem", door.certificate)
    failures = asyncio.run_coroutine_threadsafe(door.doorway.reload(), door.loop).result(30)
    assert [type(failure) for failure in failures] == [BadCertificate]
    assert shown(door, "ECDHE+AESGCM")[0] == before


def test_a_file_that_changed_is_noticed(tmp_path: Path) -> None:
    pair = (tmp_path / "c.pem", tmp_path / "k.pem")
    selfsigned.make(*pair, ["localhost"])
    identity = Identity([pair])
    assert identity.fast
    assert not identity.changed()
    selfsigned.make(*pair, ["localhost"])
    assert identity.changed()
    identity.reload()
    assert not identity.changed()


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pem").write_bytes(content)
    with pytest.raises(BadCertificate, match=r"c\.pem"):
        Identity([(tmp_path / "c.pem", tmp_path / "c.pem")])
    with pytest.raises(BadCertificate, match=r"missing\.pem: No such file"):
        Identity([(tmp_path / "missing.pem", tmp_path / "c.pem")])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_versions_are_refused(door: Door, version: ssl.TLSVersion) -> None:
    context = trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    with door.talk(context=context) as talk, pytest.raises((ssl.SSLError, OSError)):
        talk.secure()


def test_suites_without_forward_secrecy_are_refused(door: Door) -> None:
    for suite in ("AES256-GCM-SHA384", "AES128-SHA", "ECDHE-ECDSA-AES128-SHA"):
        with pytest.raises((ssl.SSLError, OSError)):
            shown(door, f"{suite}:@SECLEVEL=0")


def test_renegotiation_is_refused_and_harms_nobody_else(door: Door, acme: Customer) -> None:
    """A client of TLS 1.2 asks for it on its control connection while others transfer."""
    with door.talk(acme) as other, door.talk() as asking:
        data = other.begin("STOR logs.bin")
        data.sendall(b"x" * 100_000)
        asking.talk("S: 220 *\nC: AUTH TLS\nS: 234 *")
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        asking.socket.settimeout(None)
        patience = struct.pack("@ll", 20, 0)  # the idle timeout of a session that is not logged in would end it, too
        asking.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        client = SSL.Connection(context, asking.socket)
        client.set_connect_state()
        client.do_handshake()
        client.send(b"NOOP\r\n")
        assert client.recv(100).startswith(b"200 ")
        assert client.renegotiate()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            client.do_handshake()
        other.talk("C: NOOP\nS: 200 *")
        data.sendall(b"x" * 100_000)
        data.unwrap().close()
        assert other.reply()[-1].startswith("226 ")
    with door.talk(acme, tls="1.2") as next_one:
        next_one.talk("C: NOOP\nS: 200 *")


def test_no_renegotiation_and_no_client_certificate(door: Door, acme: Customer) -> None:
    with door.talk(acme, tls="1.2") as talk:
        assert talk.socket.compression() is None  # type: ignore[attr-defined]
        assert talk.command("NOOP").startswith("200 ")
