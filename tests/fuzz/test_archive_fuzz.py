"""Archives that chance has damaged: a look has a definite answer, in bounds.

Seeded, so that a failure comes back. GATEWAY_FUZZ=100 makes a hundred times as many.
"""

from __future__ import annotations

import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from archives import CONTENT, SEVERAL, SINGLE, a_tar, folder_of

from gateway.domain.findings import Verdict
from gateway.examine.archive import inspect, proves_itself
from gateway.examine.archive.bounds import Bounds
from gateway.examine.looks import look
from gateway.examine.worker import Crew

ROUNDS = 60 * int(os.environ.get("GATEWAY_FUZZ", "1"))
BOUNDS = {"seconds": 10.0, "harmless": 64 << 20, "memory": 64 << 20}
SAMPLES = {
    **{f"one: {name}": make for name, make in SINGLE.items()},
    **{f"several: {n}": m for n, m in SEVERAL.items()},
}
SAMPLES["tar"] = lambda _: a_tar()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(CONTENT, tmp_path_factory.mktemp("content") / "in")


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The content after one to four accidents."""
    copy = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(copy) + 1)
        match chance.randrange(6):
            case 0 if at < len(copy):
                copy[at] ^= 1 << chance.randrange(8)
            case 1:
                copy[at : at + 8] = chance.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * chance.choice([1, 2, 4, 8])
            case 2:
                del copy[at:]
            case 3:
                del copy[at : at + chance.randint(1, 40)]
            case 4:
                copy[at:at] = copy[chance.randrange(len(copy) + 1) :][:200]
            case _:
                copy[at:at] = chance.randbytes(chance.randint(1, 20))
    return bytes(copy)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_archive_gets_a_definite_answer(name: str, folder: Path, tmp_path: Path) -> None:
    chance = random.Random(name)
    content, path = SAMPLES[name](folder), tmp_path / "file"
    for _ in range(ROUNDS):
        damaged = mutated(content, chance)
        path.write_bytes(damaged)
        answer = inspect(str(path), **BOUNDS)
        assert Verdict(answer["verdict"])
        assert answer["words"].isprintable()
        assert len(answer["words"]) < 100
        proves_itself(path, len(damaged), Bounds(seconds=10, memory=64 << 20))


async def test_7z_headers_that_lie_with_a_right_crc(folder: Path, tmp_path: Path) -> None:
    """Such a header reaches the parser, which may want any amount of memory: this one is for a worker to die of."""
    chance, path = random.Random(7), tmp_path / "file"
    async with Crew(1) as crew:
        wholes = [SINGLE[name](folder) for name in ("7z", "7z by 7z, stored", "7z by 7z, not solid")]
        for _ in range(ROUNDS * 2):
            path.write_bytes(with_a_lying_header(chance.choice(wholes), chance))
            answer = await look(crew, str(path), seconds=10)
            assert answer["verdict"] in {"intact", "damaged", "unchecked"}


def with_a_lying_header(archive: bytes, chance: random.Random) -> bytes:
    *_, offset, length, _ = struct.unpack_from("<LQQL", archive, 8)
    header = mutated(archive[32 + offset : 32 + offset + length], chance)
    rest = struct.pack("<QQL", offset, len(header), zlib.crc32(header))
    return archive[:8] + struct.pack("<L", zlib.crc32(rest)) + rest + archive[32 : 32 + offset] + header
