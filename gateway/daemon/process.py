"""Inside a door process: ``python -m gateway.daemon.process NAME MODULE CONTROL PARENT``, started by the supervisor.

It imports the door at once, so that this time is not lost while the supervisor still checks, then waits for its
configuration and sockets, and serves. Rules: it is in a session of its own and never sees the terminal's Ctrl-C; it
ends with the supervisor, whatever ends that one (the kernel's parent-death signal, and the control socket's end).
It never binds, never forks a door of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import os
import signal
import socket
import sys

from gateway import heap, processors
from gateway.daemon import control
from gateway.doorway import CannotServe, Doorway
from gateway.log import configure, get
from gateway.tally import Tally

PR_SET_PDEATHSIG = 1

log = get("gateway.daemon")


def main() -> int:
    """Serve one door; the exit code is 0 after a stop, 1 after a death."""
    name, module, descriptor, parent = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    die_with(parent)
    line = socket.socket(fileno=descriptor)
    line.set_inheritable(False)
    heap.keep_small()
    door = _imported(module)
    given = control.receive_open(line)
    if given is None:
        return 0
    configure(given.config.gateway.log_level, given.config.gateway.log_format, name)
    if given.of > 1:
        processors.settle(given.place, given.of, from_last=module == "gateway.smtp.door")
    try:
        asyncio.run(_serve(door, name, given, line))
    except CannotServe as error:
        control.send(line, "cannot", str(error))
        return 2
    except Exception:
        log.exception(f"the {name} door failed")
        return 1
    return 0


def _imported(module: str) -> object:
    """The door's module. No collection of garbage ever looks through what it imported: that held the loop for 40 ms."""
    gc.disable()
    door = importlib.import_module(module)
    gc.freeze()
    gc.enable()
    return door


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; for the case that it has ended already, look."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


async def _serve(door: object, name: str, given: control.Opening, line: socket.socket) -> None:
    def tell(*words: str) -> None:
        control.send(line, *words)

    doorway = Doorway(
        name,
        given.config,
        given.sockets,
        tell_ready=lambda: tell("ready"),
        place=given.place,
        of=given.of,
        tally=Tally(given.board, given.place, given.of),
        tell_others=lambda text: tell("others", text),
    )
    loop = asyncio.get_running_loop()
    line.setblocking(False)
    loop.add_reader(line, _hear, line, doorway)
    beside = [asyncio.create_task(_beat(line)), asyncio.create_task(heap.give_back())]
    try:
        await door.serve(doorway)  # type: ignore[attr-defined]
    finally:
        for task in beside:
            task.cancel()
        loop.remove_reader(line)
    if not doorway.stopping.is_set():
        raise RuntimeError(f"the {name} door ended without being stopped")


async def _beat(line: socket.socket) -> None:
    while True:
        control.send(line, "alive")
        await asyncio.sleep(control.BEAT)


_reloads: set[asyncio.Task[None]] = set()


def _hear(line: socket.socket, doorway: Doorway) -> None:
    try:
        message = control.receive(line)
    except BlockingIOError:
        return
    match message:
        case None:
            os._exit(1)  # the supervisor is gone: nothing may keep the port a moment longer
        case "stop", seconds:
            doorway.stop(*map(float, seconds.split()))
        case "reload", _:
            task = asyncio.create_task(_reload(line, doorway))
            _reloads.add(task)
            task.add_done_callback(_reloads.discard)
        case "word", text:
            doorway.hear(text)


async def _reload(line: socket.socket, doorway: Doorway) -> None:
    for error in await doorway.reload():
        log.error(f"the {doorway.name} door goes on with what it had", reason=error)
    control.send(line, "reloaded")


if __name__ == "__main__":
    sys.exit(main())
