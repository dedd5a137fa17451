"""How fast a look inside goes, per format: ``.venv/bin/python tests/bench/inspect_speed.py [MIB]`` prints a table.

Every format packs the same log (made up, seeded; it packs about as logs do). MB/s are per second of CPU time, the best
of three looks in a fresh process: of the file as it arrived, and of what came out of it. Memory is that process's peak;
it holds no more however large the file.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import py7zr
import zstandard

from gateway.examine.archive import inspect, proof

ROUNDS = 3


def write_log(path: Path, mib: int) -> None:
    """Lines of a busy server."""
    chance = random.Random(1)
    with path.open("wb") as file:
        while file.tell() < mib << 20:
            session, port = chance.getrandbits(32), chance.randrange(65536)
            stamp = b"2024-03-%02d 12:%02d:%02d.%03d" % tuple(chance.randrange(limit) for limit in (28, 60, 60, 1000))
            file.write(
                b"%b [%d] Trc %05d session %08x: message EventRinging received from 10.0.%d.%d:%d, reference id %d\n"
                % (stamp, port % 8, port % 400, session, port % 3, session % 256, port, session % 5000)
            )


def pack_zip(method: int) -> Callable[[Path, Path], None]:
    def pack(log: Path, to: Path) -> None:
        with zipfile.ZipFile(to, "w", method) as archive:
            archive.write(log, "trace.log")

    return pack


def pack_7z(log: Path, to: Path) -> None:
    with py7zr.SevenZipFile(to, "w", filters=[{"id": py7zr.FILTER_LZMA2, "preset": 1}]) as archive:
        archive.write(log, "trace.log")


def pack_tar(log: Path, to: Path) -> None:
    with tarfile.open(to, "w:gz", compresslevel=6) as archive:
        archive.add(log, "trace.log")


PACK: dict[str, Callable[[Path, Path], object]] = {
    "zip, deflated": pack_zip(zipfile.ZIP_DEFLATED),
    "zip, stored": pack_zip(zipfile.ZIP_STORED),
    "gzip": lambda log, to: to.write_bytes(gzip.compress(log.read_bytes(), 6)),
    "tar.gz": pack_tar,
    "bzip2": lambda log, to: to.write_bytes(bz2.compress(log.read_bytes())),
    "xz": lambda log, to: to.write_bytes(lzma.compress(log.read_bytes(), preset=1)),
    "zstd": lambda log, to: to.write_bytes(zstandard.ZstdCompressor(3, write_checksum=True).compress(log.read_bytes())),
    "7z (LZMA2)": pack_7z,
}


def look(path: str) -> None:
    """In the fresh process: CPU seconds of the best look and proof, peak memory, what was said."""
    inspect(__file__)  # imports
    size, seconds, proving = Path(path).stat().st_size, [], []
    for _ in range(ROUNDS):
        before = time.process_time()
        answer = inspect(path)
        seconds.append(time.process_time() - before)
    before = time.process_time()
    proof(path, size)
    proving.append(time.process_time() - before)
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps({"seconds": min(seconds), "proof": min(proving), "peak": int(peak), **answer}))


def main(mib: int) -> None:
    print("| Format | arrived MB/s | unpacked MB/s | packs to | proof takes | peak memory |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "trace.log"
        write_log(log, mib)
        for name, pack in PACK.items():
            packed = Path(folder) / "packed"
            pack(log, packed)
            size, whole = packed.stat().st_size, log.stat().st_size
            done = subprocess.run([sys.executable, __file__, "--look", packed], capture_output=True, check=True)
            seen = json.loads(done.stdout)
            assert seen["verdict"] == "intact", seen
            print(
                f"| {name} | {size / seen['seconds'] / 1e6:,.0f} | {whole / seen['seconds'] / 1e6:,.0f} "
                f"| {size / whole:.0%} | {seen['proof'] / seen['seconds']:.0%} of a look | {seen['peak'] >> 10} MiB |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--look"]:
        look(sys.argv[2])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 256)
