"""TLS streams over a pair of sockets, by both ways: what arrives, how it ends, and what others leave in OpenSSL."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL

from gateway import selfsigned
from gateway.ftps import quick
from gateway.ftps.identity import Identity
from gateway.ftps.quick import QuickStream
from gateway.ftps.tls import GULP, RECORD, Flow, TlsStream

SAMPLE = os.urandom(3 * RECORD + 1)

Pair = tuple[TlsStream, SSL.Connection]
Read = Callable[[TlsStream], tuple[bytes, Flow]]
_lib = quick._lib


@pytest.fixture(params=[TlsStream, QuickStream], ids=["public", "quick"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """A stream of ours and its client, over TCP, their handshake done."""
    certificate = (tmp_path / "c.pem", tmp_path / "k.pem")
    selfsigned.make(*certificate, ["localhost"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.setblocking(False)
    stream = request.param(Identity([certificate]).realm().connection(), ours, withhold=True)
    with theirs:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_keylog_callback(lambda connection, line: connection.set_app_data(known(connection, line)))
        client = SSL.Connection(context, theirs)
        client.set_connect_state()
        theirs.setblocking(False)
        while not stream.handshake():
            with contextlib.suppress(SSL.WantReadError):
                client.do_handshake()
        yield stream, client
    stream.close()


def known(connection: SSL.Connection, line: bytes) -> dict[str, bytes]:
    label, _, secret = line.decode().split(" ")
    return {**(connection.get_app_data() or {}), label: bytes.fromhex(secret)}


def alerts(client: SSL.Connection, sent: int, *codes: bytes) -> bytes:
    """Alerts as OpenSSL would not send them, for TLS 1.3 (RFC 8446 section 5.2) after so many records of data."""
    secret = client.get_app_data()["CLIENT_TRAFFIC_SECRET_0"]

    def key(label: bytes, size: int) -> bytes:
        info = struct.pack(">HB", size, 6 + len(label)) + b"tls13 " + label + b"\0"
        return HKDFExpand(SHA256(), size, info).derive(secret)

    records = b""
    for number, code in enumerate(codes, sent):
        nonce = (int.from_bytes(key(b"iv", 12)) ^ number).to_bytes(12)
        head = b"\x17\x03\x03" + struct.pack(">H", len(code) + 17)
        records += head + AESGCM(key(b"key", 16)).encrypt(nonce, code + b"\x15", head)
    return records


def leave_an_error() -> None:
    """What a call into OpenSSL that failed in this thread leaves when nobody asks it why."""
    _lib.ERR_put_error(20, 0, 1, b"elsewhere.c", 1)
    assert _lib.ERR_peek_error()


def poured(stream: TlsStream) -> tuple[bytes, Flow]:
    arrived = bytearray()
    while (flow := stream.pour(lambda block: arrived.extend(block), GULP)) in (Flow.MORE, Flow.WAITING):
        pass
    return bytes(arrived), flow


def received(stream: TlsStream) -> tuple[bytes, Flow]:
    arrived = b""
    while True:
        some, flow = stream.receive()
        arrived += some
        if flow is not Flow.WAITING:
            return arrived, flow


@pytest.mark.parametrize("read", [poured, received])
def test_all_that_was_sent_arrives_and_how_it_ended(pair: Pair, read: Read) -> None:
    stream, client = pair
    client.sendall(SAMPLE)
    client.shutdown()
    assert read(stream) == (SAMPLE, Flow.CLOSE_NOTIFY)


@pytest.mark.parametrize("read", [poured, received])
def test_an_end_without_a_word(pair: Pair, read: Read) -> None:
    stream, client = pair
    client.sendall(SAMPLE)
    client.sock_shutdown(socket.SHUT_WR)
    assert read(stream) == (SAMPLE, Flow.FIN)


USER_CANCELED, CLOSE_NOTIFY, INTERNAL_ERROR = b"\x01\x5a", b"\x01\x00", b"\x02\x50"


@pytest.mark.parametrize("read", [poured, received])
@pytest.mark.parametrize(
    ("said", "flow"),
    [
        ((USER_CANCELED, CLOSE_NOTIFY), Flow.CLOSE_NOTIFY),  # how Java ends every connection under TLS 1.3
        ((CLOSE_NOTIFY,), Flow.CLOSE_NOTIFY),
        ((USER_CANCELED,), Flow.FIN),
        ((INTERNAL_ERROR,), Flow.BROKEN),
        ((USER_CANCELED, INTERNAL_ERROR), Flow.BROKEN),
    ],
)
def test_only_a_close_notify_says_that_this_was_all(
    pair: Pair, read: Read, said: tuple[bytes, ...], flow: Flow
) -> None:
    stream, client = pair
    client.sendall(b"whole")
    os.write(client.fileno(), alerts(client, 1, *said))
    client.sock_shutdown(socket.SHUT_WR)
    assert read(stream) == (b"whole", flow)


@pytest.mark.parametrize("read", [poured, received])
def test_a_reset(pair: Pair, read: Read) -> None:
    stream, client = pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert read(stream) == (b"", Flow.RESET)


class _Older:
    """OpenSSL before 4.0: SSL_get_error(3) looks into the thread's list of errors first, whoever made them."""

    def SSL_get_error(self, ssl: Any, result: int) -> int:
        if result <= 0 and _lib.ERR_peek_error():
            return int(_lib.SSL_ERROR_SSL)
        return int(_lib.SSL_get_error(ssl, result))

    def __getattr__(self, name: str) -> Any:
        return getattr(_lib, name)


@pytest.mark.parametrize("pair", [QuickStream], indirect=True, ids=["quick"])
@pytest.mark.parametrize("read", [poured, received])
def test_what_another_call_left_in_the_thread_breaks_no_stream(
    pair: Pair, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "_lib", _Older())
    stream, client = pair
    client.sendall(SAMPLE)
    leave_an_error()
    client.shutdown()
    assert read(stream) == (SAMPLE, Flow.CLOSE_NOTIFY)


@pytest.mark.parametrize("pair", [QuickStream], indirect=True, ids=["quick"])
def test_nor_does_it_break_who_waits(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "_lib", _Older())
    stream, _ = pair
    leave_an_error()
    assert stream.receive() == (b"", Flow.WAITING)
    leave_an_error()
    assert stream.pour(lambda block: None, GULP) is Flow.WAITING


@pytest.mark.parametrize("pair", [QuickStream], indirect=True, ids=["quick"])
def test_threads_leave_no_buffers_of_their_own_behind(pair: Pair) -> None:
    """With a desk of 300 KiB for each session's thread, 500 idle sessions took 130 MiB and never gave it back."""
    stream, client = pair
    desks = len(quick._desks)
    read, idle = threading.Barrier(21), threading.Event()

    def session(number: int) -> None:
        with turn:
            client.sendall(SAMPLE[:100])
            while (got := stream.receive()) == (b"", Flow.WAITING):
                pass
            stream.send(b"220 Hello\r\n")
            taken[number] = got[0]
        read.wait()
        idle.wait()

    turn, taken = threading.Lock(), {}
    threads = [threading.Thread(target=session, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    read.wait()
    try:
        assert set(taken.values()) == {SAMPLE[:100]}
        assert len(quick._desks) <= desks + 1
        held = [each for each in gc.get_objects() if type(each) is quick._Desk]
        assert len(held) <= len(quick._desks), "a desk belongs to a thread"
    finally:
        idle.set()
        for thread in threads:
            thread.join()
