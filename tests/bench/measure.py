"""What a server costs: the CPU seconds, memory and threads of a process and all its descendants.

CPU comes from a cgroup of the server's own where there is one (exact, exited children included), else from the live
tree's user, system and reaped children's time. Both are nanoseconds in the kernel, and 10 ms when read from /proc.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CGROUPS = (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup"))
"""Where a group can be made: version 1, then version 2."""


def in_group(folder: Path | None, command: Sequence[str]) -> list[str]:
    """The command that enters the cgroup *folder* and goes on as *command*, under the same process id."""
    if folder is None:
        return [*command]
    return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(folder), *command]


def make_group(name: str) -> Path | None:
    """A new cgroup that counts CPU; None where that is not allowed."""
    for root in CGROUPS:
        folder = root / f"gateway-bench-{os.getpid()}-{name}"
        try:
            folder.mkdir(exist_ok=True)
        except OSError:
            continue
        if _usage_file(folder) is not None:
            return folder
        folder.rmdir()
    return None


def remove_group(folder: Path, patience: float = 30.0) -> None:
    """Remove a group whose processes have ended, or are about to."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            return folder.rmdir()
        except OSError:
            time.sleep(0.05)


def _usage_file(folder: Path) -> Path | None:
    return next((file for file in (folder / "cpuacct.usage", folder / "cpu.stat") if file.exists()), None)


def cpu_seconds(pid: int, folder: Path | None) -> float:
    """CPU seconds so far of *pid*'s tree."""
    usage = _usage_file(folder) if folder is not None else None
    if usage is None:
        return sum(_cpu_of(process) for process in tree(pid))
    text = usage.read_text()
    if usage.name == "cpuacct.usage":
        return int(text) / 1e9
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("usage_usec")) / 1e6


def tree(pid: int) -> Iterator[int]:
    """*pid* and its live descendants."""
    children: dict[int, list[int]] = {}
    for process in map(int, filter(str.isdigit, os.listdir("/proc"))):
        fields = _stat(process)
        if fields:
            children.setdefault(int(fields[1]), []).append(process)
    waiting = [pid]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children.get(process, [])


def _cpu_of(pid: int) -> float:
    """User and system time, its own and that of children it has reaped."""
    return sum(map(int, _stat(pid)[11:15])) / TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def proportional_kib(pid: int) -> int:
    """Memory of the tree in KiB, shared pages counted by share (PSS)."""
    return sum(_field(process, "smaps_rollup", "Pss") for process in tree(pid))


def resident_kib(pids: Sequence[int]) -> int:
    """Resident memory of a door's processes in KiB; the pages of files (libraries), which they share, counted once."""
    files = [_field(pid, "status", "RssFile") + _field(pid, "status", "RssShmem") for pid in pids]
    return sum(_field(pid, "status", "RssAnon") for pid in pids) + max(files, default=0)


class Peak(threading.Thread):
    """The most resident memory of a door's processes from now on until ``end``, seen every EVERY seconds."""

    EVERY = 0.02

    def __init__(self, pids: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self._pids = pids
        self._over = threading.Event()
        self.kib = 0
        self.start()

    def run(self) -> None:
        while not self._over.wait(self.EVERY):
            self.kib = max(self.kib, resident_kib(self._pids))

    def end(self) -> int:
        """The peak in KiB."""
        self._over.set()
        self.join()
        return self.kib


def _field(pid: int, file: str, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name + ":")), 0)
