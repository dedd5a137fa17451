"""Memory goes back to the system: gateway/heap.py."""

from __future__ import annotations

import json
import subprocess
import sys

MIB = 1 << 20
HOLES = """
import asyncio, json, os
from pathlib import Path
from gateway import heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main():
    heap.keep_small()
    heap.GIVE_BACK_EVERY = 0.05
    blocks = [bytes([1]) * 4000 for _ in range(20_000)]
    full = resident()
    blocks = blocks[::100]  # what stays stands between what goes
    gone = resident()
    giving = asyncio.create_task(heap.give_back())
    for _ in range(200):
        await asyncio.sleep(0.05)
        if resident() < full - (40 << 20):
            break
    giving.cancel()
    print(json.dumps([full, gone, resident(), len(blocks)]))

asyncio.run(main())
"""


def test_what_is_free_between_what_is_used_goes_back() -> None:
    said = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    full, gone, then, _ = json.loads(said.stdout)
    assert gone > full - 10 * MIB  # nobody gave it back
    assert then < full - 40 * MIB
