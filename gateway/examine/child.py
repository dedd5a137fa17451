"""The worker's own end of the crew's channel: ``python -m gateway.examine.child PARENT_PID NICENESS``.

Rules: messages are JSON after a 4-byte length, on standard input, which is a socket. One request, one reply, until the
channel ends. A task's limits are set before it starts, by the kernel where it can. Modules are imported by the task
that needs them first, so that the parent never loads them.

It never outlives its parent, never dumps core (a core holds customers' data), and answers no name outside
``gateway.examine.``. A crash leaves nothing behind.
"""

import contextlib
import ctypes
import importlib
import json
import os
import re
import resource
import signal
import sys
import traceback
from typing import Any

HEADER = 4
"""Bytes of the length before a message."""
CHANNEL = 0
TASK = re.compile(r"gateway\.examine(\.[a-z][a-z0-9_]*)+:[a-z][a-z0-9_]*")
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # prctl(2)
DETAIL = 16384
"""Bytes of a reply that says what a task died of, at most."""


def checked_name(task: str) -> str:
    """The name itself, if it is a public function under ``gateway.examine.``; else ValueError."""
    if not TASK.fullmatch(task):
        raise ValueError(f"not a task of this crew: {task!r}")
    return task


def main(parent: int, niceness: int) -> None:
    settle(parent, niceness)
    while (request := receive()) is not None:
        send(answer(request), request["limits"]["output"])


def settle(parent: int, niceness: int) -> None:
    """Give away what a worker does not need, and tie its life to its parent's."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(0)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # A service manager that stops the service signals every process of it: doors finish transfers first, so do we.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(niceness)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")  # when memory runs out, a worker goes before a door
    limit(resource.RLIMIT_CORE, 0)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run the task and return its answer, or what it died of."""
    limits = request["limits"]
    limit(resource.RLIMIT_AS, limits["memory"])
    limit(resource.RLIMIT_FSIZE, limits["written"])
    signal.setitimer(signal.ITIMER_PROF, limits["cpu_seconds"])  # SIGPROF's default is death
    try:
        module, function = checked_name(request["task"]).split(":")
        return {"answer": getattr(importlib.import_module(module), function)(**request["arguments"])}
    except MemoryError:
        return {"died": "memory", "detail": ""}
    except Exception:
        return {"died": "raised", "detail": traceback.format_exc()[-2000:]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def limit(what: int, value: int) -> None:
    """Set the soft limit, within the hard one, which stays: the next task may have another."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def receive() -> dict[str, Any] | None:
    """The next request; None at the end of the channel."""
    header = read(HEADER)
    body = header and read(int.from_bytes(header, "big"))
    return json.loads(body) if body else None


def send(reply: dict[str, Any], largest: int) -> None:
    try:
        body = json.dumps(reply).encode()
        if len(body) > largest:
            body = json.dumps({"died": "output", "detail": f"{len(body)} bytes"}).encode()
    except (TypeError, ValueError, RecursionError):
        body = json.dumps({"died": "raised", "detail": "its answer is no JSON"}).encode()
    message = memoryview(len(body).to_bytes(HEADER, "big") + body)
    while message:
        message = message[os.write(CHANNEL, message) :]


def read(size: int) -> bytes:
    """Exactly `size` bytes; none if the channel ended."""
    received = bytearray()
    while len(received) < size:
        block = os.read(CHANNEL, size - len(received))
        if not block:
            return b""
        received += block
    return bytes(received)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
