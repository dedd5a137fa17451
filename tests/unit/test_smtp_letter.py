"""A message on its way in: small ones in memory, larger ones in the spool, never more held than a block or two."""

from __future__ import annotations

import asyncio
import hashlib
import random
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.policy import Fault
from gateway.smtp.data import DataReader
from gateway.smtp.letter import HEAD_MOST, SMALL, Letter
from gateway.smtp.stream import BLOCK_MOST, HIGH_WATER, LARGE, Incoming, LineTooLong, PeerGone
from gateway.spool import Spool

HEADER = b"From: a@example.com\r\nSubject: x\r\n\r\n"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


@pytest.fixture
def disk() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def test_what_fits_stays_in_memory_and_one_byte_more_goes_to_the_spool(
    spool: Spool, disk: ThreadPoolExecutor
) -> None:
    for size, large in ((SMALL, False), (SMALL + 1, True)):
        letter = Letter(spool, disk, 1 << 20)
        raw = HEADER + b"z" * (size - len(HEADER))
        await letter.take(raw)
        assert (letter.large, letter.raw) == (large, None if large else raw)
        assert letter.headers.first("subject") == b"x"
        await letter.discard()


@pytest.mark.parametrize("size", [1, 7, 4096, 100_000, 1 << 20])
async def test_the_content_key_and_the_bytes_are_the_same_in_any_cut(
    spool: Spool, disk: ThreadPoolExecutor, size: int
) -> None:
    raw = HEADER + bytes(range(256)) * (40 if size < 10 else 2_000)
    letter, whole = Letter(spool, disk, 1 << 20), Letter(spool, disk, 1 << 20)
    for start in range(0, len(raw), size):
        await letter.take(raw[start : start + size])
    await whole.take(raw)
    await letter.settle()
    await whole.settle()
    assert letter.content_key == whole.content_key
    if letter.large:
        sealed = await letter.seal()
        assert sealed.sha256 == hashlib.sha256(raw).hexdigest()
        assert sealed.path.read_bytes() == raw
    await whole.discard()
    assert list(spool.incoming.iterdir()) == []


async def test_a_fault_throws_the_rest_away_and_leaves_no_file(spool: Spool, disk: ThreadPoolExecutor) -> None:
    for raw, fault in ((HEADER + b"z" * 500_000, Fault.TOO_LARGE), (b"X: y\r\n" * 60_000, Fault.HEADER_TOO_LARGE)):
        letter = Letter(spool, disk, HEAD_MOST + 200_000)
        for start in range(0, len(raw), 50_000):
            await letter.take(raw[start : start + 50_000])
        assert letter.fault is fault
        assert letter.size == len(raw)
        assert list(spool.incoming.iterdir()) == []


@pytest.mark.parametrize(
    "lines",
    [b"ab\r\n", b"x" * 30 + b"\r\n", b"x" * 76 + b"\r\n", b"x" * 70 + b"\r\n" + b"y" * 9 + b"\r\n.z\r\n", b"x" * 1000],
)
async def test_smtp_5_one_session_holds_less_than_a_mebibyte_whatever_the_message(
    spool: Spool, disk: ThreadPoolExecutor, lines: bytes
) -> None:
    class Slow(Executor):
        """Lets go of its work when the next comes: a thread may, when it is not its turn."""

        def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
            self.last = work
            return disk.submit(work, *given, **named)

    letter, reader = Letter(spool, Slow(), 1 << 30), DataReader()
    block = lines * (BLOCK_MOST // len(lines))
    await letter.take(reader.feed(HEADER + block * 2))
    tracemalloc.start()
    try:
        for _ in range(80):
            await letter.take(reader.feed(bytearray(block)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Beside it the reader's buffer: HIGH_WATER and one recv of asyncio's (256 KiB).
    assert peak + HIGH_WATER + (256 << 10) < 1 << 20, peak
    await letter.discard()


class Transport(asyncio.ReadTransport):
    """Knows whether it was told to wait."""

    paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


async def test_the_peer_waits_while_nobody_reads() -> None:
    inbox, transport = Incoming(asyncio.get_running_loop()), Transport()
    inbox.set_transport(transport)
    inbox.feed_data(b"x" * HIGH_WATER)
    assert not transport.paused
    inbox.feed_data(b"x")
    assert transport.paused
    assert len(await inbox.block()) == HIGH_WATER + 1
    assert not transport.paused


async def test_a_large_piece_is_handed_over_as_it_came() -> None:
    inbox = Incoming(asyncio.get_running_loop())
    piece = b"x" * LARGE
    inbox.feed_data(piece)
    assert len(inbox) == LARGE
    assert await inbox.block() is piece


@pytest.mark.parametrize("seed", range(50))
async def test_however_it_comes_and_is_read_it_is_what_was_sent(seed: int) -> None:
    chance = random.Random(seed)
    inbox, sent, read = Incoming(asyncio.get_running_loop()), bytearray(), bytearray()
    while len(sent) < 1 << 20:
        for _ in range(chance.randrange(1, 4)):
            piece = chance.choice([b"NOOP\r\n", chance.randbytes(30), chance.randbytes(LARGE), b"z" * 100_000 + b"\n"])
            sent += piece
            inbox.feed_data(piece)
        assert len(inbox) == len(sent) - len(read)
        assert inbox.has_line == (b"\n" in sent[len(read) :])
        match chance.randrange(4):
            case 0:
                read += await inbox.block(chance.choice([10, LARGE, BLOCK_MOST]))
            case 1:
                read += await inbox.readexactly(chance.randrange(len(inbox)))
            case 2 if inbox.has_line:
                read += await inbox.line(1 << 20)
            case 3:
                block = await inbox.block()
                inbox.unread(block[5:])
                read += block[:5]
        assert sent.startswith(read)
    assert inbox.discard() == len(sent) - len(read)
    assert len(inbox) == 0


@pytest.mark.parametrize("wire", [b"NOOP\r\nQUIT\r\n", b"NOOP\nQUIT\n"])
async def test_lines_are_the_same_one_byte_at_a_time(wire: bytes) -> None:
    whole, cut = (Incoming(asyncio.get_running_loop()) for _ in range(2))
    whole.feed_data(wire)
    for byte in wire:
        cut.feed_data(bytes([byte]))
    for inbox in (whole, cut):
        inbox.feed_eof()
        assert [await inbox.line(100), await inbox.line(100)] == wire.splitlines(keepends=True)
        with pytest.raises(PeerGone):
            await inbox.line(100)


@pytest.mark.parametrize("cut", [1, 64, 10_000])
async def test_an_overlong_line_is_thrown_away_and_the_next_is_read(cut: int) -> None:
    inbox = Incoming(asyncio.get_running_loop())
    wire = b"x" * 5_000 + b"\r\nNOOP\r\n"

    async def feed() -> None:
        for start in range(0, len(wire), cut):
            inbox.feed_data(wire[start : start + cut])
            await asyncio.sleep(0)

    feeding = asyncio.create_task(feed())
    with pytest.raises(LineTooLong):
        await inbox.line(100)
    assert await inbox.line(100) == b"NOOP\r\n"
    await feeding


async def test_a_lost_connection_is_told_to_who_waits() -> None:
    inbox: Any = Incoming(asyncio.get_running_loop())
    waiting = asyncio.create_task(inbox.block())
    await asyncio.sleep(0)
    inbox.set_exception(ConnectionResetError("reset"))
    with pytest.raises(PeerGone, match="reset"):
        await waiting
