"""What can go wrong in a worker, on purpose: the tests show with these that it costs one task and nothing else."""

import os
import resource
import signal
import threading
from typing import Any


def echo(**arguments: Any) -> dict[str, Any]:
    """What a task sees of itself, and what it was given."""
    return {
        "arguments": arguments,
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "niceness": os.nice(0),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    }


def spin() -> dict[str, Any]:
    while True:
        pass


def hang() -> dict[str, Any]:
    threading.Event().wait()
    return {}


def swell() -> dict[str, Any]:
    held = []
    while True:
        held.append(bytearray(1 << 20))


def die(number: int = signal.SIGSEGV) -> dict[str, Any]:
    os.kill(os.getpid(), number)
    return hang()


def leave(code: int) -> dict[str, Any]:
    os._exit(code)


def fail(text: str) -> dict[str, Any]:
    raise ValueError(text)


def chatter(size: int) -> dict[str, Any]:
    """Prints, and answers at length."""
    print("x" * size)
    return {"text": "x" * size}


def write(path: str) -> dict[str, Any]:
    with open(path, "wb") as file:
        return {"written": file.write(b"x")}


def odd() -> dict[str, Any]:
    return {"bytes": b"not JSON"}
