"""A look through the crew always has an answer, whatever becomes of the worker."""

from __future__ import annotations

import gzip
import lzma
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from archives import LOG, a_7z, a_zip

from gateway.examine.looks import look, prove, unanswered
from gateway.examine.worker import Crew, Reason, WorkerDied


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with Crew(1) as crew:
        yield crew


async def test_a_look_says_what_is_inside(crew: Crew, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(a_7z())
    answer = await look(crew, str(tmp_path / "file"))
    assert answer["words"] == "7z: 3 members, intact"
    assert answer["verdict"] == "intact"


async def test_a_proof_through_the_crew(crew: Crew, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(LOG))
    proof = await prove(crew, str(tmp_path / "file"), len(gzip.compress(LOG)))
    assert proof["complete"]
    assert proof["finding"]["words"] == "gzip: intact"
    (tmp_path / "file").write_bytes(a_zip()[:-1])
    assert not (await prove(crew, str(tmp_path / "file"), len(a_zip()) - 1))["complete"]


async def test_a_7z_that_wants_4_gib_is_named(crew: Crew, tmp_path: Path) -> None:
    """Its dictionary is as large as LZMA2 can have it; the worker's memory is not."""
    whole = a_7z(filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    (tmp_path / "file").write_bytes(with_dictionary(whole, 39))
    answer = await look(crew, str(tmp_path / "file"))
    assert answer["words"] == "7z: takes too much memory to check, not checked"


def with_dictionary(archive: bytes, size: int) -> bytes:
    """The archive with another LZMA2 dictionary size in its packed header's description, and every CRC made right."""
    *_, offset, length, _ = struct.unpack_from("<LQQL", archive, 8)
    header = bytearray(archive[32 + offset : 32 + offset + length])
    at = header.index(b"\x21\x21\x01")  # one coder with properties, LZMA2, one byte of them
    header[at + 3] = size
    rest = struct.pack("<QQL", offset, length, zlib.crc32(header))
    return archive[:8] + struct.pack("<L", zlib.crc32(rest)) + rest + archive[32 : 32 + offset] + bytes(header)


async def test_a_file_that_is_gone_could_not_be_checked(crew: Crew, tmp_path: Path) -> None:
    assert (await look(crew, str(tmp_path / "gone")))["words"] == "could not be checked"
    assert not (await prove(crew, str(tmp_path / "gone"), 1))["complete"]


@pytest.mark.parametrize(
    "reason, words",
    [
        (Reason.CPU, "too large to check in time"),
        (Reason.WALL, "too large to check in time"),
        (Reason.MEMORY, "takes too much memory to check, not checked"),
        (Reason.KILLED, "could not be checked"),
        (Reason.RAISED, "could not be checked"),
    ],
)
def test_a_worker_that_died_over_a_file_is_an_answer(reason: Reason, words: str) -> None:
    answer = unanswered(WorkerDied(reason, "a secret"))
    assert (answer["words"], answer["verdict"]) == (words, "unchecked")
    assert "secret" not in str(answer)
