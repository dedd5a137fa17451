"""A crew of killable workers: processes that look at strangers' bytes. A hostile file costs one task and no door.

Rules
- A task is the name of a function under ``gateway.examine.`` and JSON arguments; its answer is a JSON object.
- Every task has limits: CPU seconds, wall seconds, memory, the size of its answer, the size of what it may write.
- A worker that passes a limit, dies, raises or is no longer wanted (its awaiting task was cancelled) is killed and
  replaced. That one task raises `WorkerDied`; the others never notice.
- Workers start when first needed, stay warm, and are replaced after some tasks, so that a leak cannot grow old.

It never passes a secret on: a worker gets three harmless environment variables and one descriptor.

A crash leaves nothing behind: a worker is killed by the kernel when its parent dies (PR_SET_PDEATHSIG), and ends at
the end of its pipe. As that signal is tied to the thread which started the worker, a crew belongs to an event loop
that lives as long as its process.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from gateway.examine.child import DETAIL, HEADER, checked_name
from gateway.processors import roaming

MIB = 1 << 20
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    # glibc reserves 64 MiB of address space per thread otherwise, which counts against the memory limit.
    "MALLOC_ARENA_MAX": "1",
    # A mail and its parts are looked at in pieces of megabytes. By glibc's own judgement each is fetched from the
    # system, page by page, and given back: half the time of a look at 5 MiB. Up to this size what is there serves.
    "MALLOC_MMAP_THRESHOLD_": str(8 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(16 * MIB),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one task may take. Seconds and bytes."""

    cpu_seconds: float = 60.0
    wall_seconds: float = 120.0
    memory: int = 512 * MIB
    """Address space of the whole worker, the interpreter's own 50 MiB or so included."""
    output: int = 1 * MIB
    """The answer, as JSON."""
    written: int = 0
    """The largest file that the task may write; 0 = it may only read."""


class Reason(StrEnum):
    """Why a task has no answer."""

    CPU = "cpu"
    WALL = "wall"
    MEMORY = "memory"
    OUTPUT = "output"
    RAISED = "raised"
    KILLED = "killed"
    EXITED = "exited"
    CLOSED = "closed"


class WorkerDied(Exception):
    """The task has no answer. `detail` is for the operator's log alone: it may quote the stranger's bytes."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class Crew:
    """A pool of at most `size` workers. Use it from one event loop; `close()` it, or use it in ``async with``."""

    def __init__(self, size: int = 2, limits: Limits | None = None, *, niceness: int = 10, recycle: int = 200) -> None:
        self.limits = limits or Limits()
        self._size = size
        self._niceness = niceness
        self._recycle = recycle
        self._slots = asyncio.Semaphore(size)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._reaping: set[asyncio.Task[int]] = set()
        self._closed = False

    async def run(self, task: str, /, *, limits: Limits | None = None, **arguments: Any) -> dict[str, Any]:
        """Run `task` ("gateway.examine.module:function") with `arguments` in a worker and return its answer.

        Waits for a free worker first, which no limit counts. Cancelling the caller kills the worker.
        Raises ValueError for a name outside ``gateway.examine.``, `WorkerDied` for everything that went wrong.
        """
        limits = limits or self.limits
        request = _frame({"task": checked_name(task), "arguments": arguments, "limits": asdict(limits)})
        async with self._slots:
            worker = self._recruit()
            self._busy.add(worker)
            try:
                answer = await self._ask(worker, request, limits)
            except BaseException:
                self._dismiss(worker)
                raise
            finally:
                self._busy.discard(worker)
            worker.tasks += 1
            if self._closed or worker.tasks >= self._recycle:
                self._dismiss(worker)
            else:
                self._idle.append(worker)
            return answer

    async def close(self) -> None:
        """Kill every worker and wait until they are gone; tasks under way raise `WorkerDied(CLOSED)`."""
        self._closed = True
        for worker in self._busy:
            worker.process.kill()
        for _ in range(self._size):
            await self._slots.acquire()
        for _ in range(self._size):
            self._slots.release()
        while self._idle:
            self._dismiss(self._idle.pop())
        await asyncio.gather(*self._reaping)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _recruit(self) -> "_Worker":
        """The warmest idle worker that is still alive, else a new one."""
        if self._closed:
            raise WorkerDied(Reason.CLOSED)
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            self._dismiss(worker)
        return _Worker(self._niceness)

    async def _ask(self, worker: "_Worker", request: bytes, limits: Limits) -> dict[str, Any]:
        try:
            async with asyncio.timeout(limits.wall_seconds):
                reply = await worker.exchange(request, limits.output + DETAIL)
        except TimeoutError:
            raise WorkerDied(Reason.WALL, f"no answer after {limits.wall_seconds} s") from None
        except (EOFError, OSError):
            raise self._obituary(await asyncio.shield(self._dismiss(worker))) from None
        return _opened(reply)

    def _obituary(self, code: int) -> WorkerDied:
        if self._closed:
            return WorkerDied(Reason.CLOSED)
        if code == -signal.SIGPROF:
            return WorkerDied(Reason.CPU)
        if code < 0:
            return WorkerDied(Reason.KILLED, signal.strsignal(-code) or f"signal {-code}")
        return WorkerDied(Reason.EXITED, f"exit code {code}")

    def _dismiss(self, worker: "_Worker") -> asyncio.Task[int]:
        """Kill it now, reap it in the background (a dying process that holds much memory takes a while)."""
        if worker.reaped is None:
            worker.process.kill()
            worker.channel.close()
            worker.reaped = asyncio.create_task(asyncio.to_thread(worker.process.wait))
            self._reaping.add(worker.reaped)
            worker.reaped.add_done_callback(self._reaping.discard)
        return worker.reaped


class _Worker:
    """One process and our end of its channel: a socket pair, the worker's standard input."""

    def __init__(self, niceness: int) -> None:
        self.tasks = 0
        self.reaped: asyncio.Task[int] | None = None
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        with theirs:
            try:
                with roaming():
                    self.process = subprocess.Popen(
                        [sys.executable, "-I", "-m", "gateway.examine.child", str(os.getpid()), str(niceness)],
                        stdin=theirs.fileno(),
                        # What a library prints must not be taken for an answer.
                        stdout=subprocess.DEVNULL,
                        env=ENVIRONMENT,
                        # Not the terminal's Ctrl-C: the parent ends its workers itself, after its transfers.
                        start_new_session=True,
                    )
            except BaseException:
                self.channel.close()
                raise

    async def exchange(self, request: bytes, largest: int) -> bytes:
        """Send the request, return the reply. EOFError or OSError if the worker died."""
        await asyncio.get_running_loop().sock_sendall(self.channel, request)
        size = int.from_bytes(await self._read(HEADER), "big")
        if size > largest:
            raise WorkerDied(Reason.OUTPUT, f"{size} bytes")
        return await self._read(size)

    async def _read(self, size: int) -> bytes:
        loop, received = asyncio.get_running_loop(), bytearray()
        while len(received) < size:
            block = await loop.sock_recv(self.channel, min(size - len(received), MIB))
            if not block:
                raise EOFError
            received += block
        return bytes(received)


def _opened(reply: bytes) -> dict[str, Any]:
    """The answer in a reply. A worker may have been taken over by what it read: believe no shape."""
    try:
        message = json.loads(reply)
        if "died" in message:
            raise WorkerDied(Reason(message["died"]), str(message["detail"]))
        answer: dict[str, Any] = message["answer"]
        if not isinstance(answer, dict):
            raise TypeError(answer)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WorkerDied(Reason.RAISED, f"not an answer: {error!r}"[:DETAIL]) from None
    return answer


def _frame(message: Mapping[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return len(body).to_bytes(HEADER, "big") + body
