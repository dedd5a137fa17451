"""Another process of the same door: it opens the same store and spool and does with one upload what a test tells it.

It runs in a process of its own, forked from a server that has imported everything, so that it is there at once.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gateway.clock import SystemClock
from gateway.intake import Intake, Source, Upload
from gateway.spool import Spool
from gateway.store import Store, one_by_one
from gateway.testing.faults import Fault, Faults
from gateway.testing.waiting import PATIENCE

CONTENT = random.Random(7).randbytes(3 << 20)

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["gateway.intake", "gateway.testing.faults"])


class Sibling:
    """The test's end: ``sibling("begin", 10)`` does what ``_Hands.begin`` does, and waits for it."""

    def __init__(self, database: str, root: Path, source: Source) -> None:
        self._wire, theirs = _processes.Pipe()
        self._process = _processes.Process(target=_main, args=(theirs, database, root, source), daemon=True)
        self._process.start()
        theirs.close()
        self._mutex = threading.Lock()

    def __call__(self, what: str, *arguments: Any) -> Any:
        """Have the sibling do it; what came of it, or the name of what it raised."""
        with self._mutex:
            self.start(what, *arguments)
            return self.answer()

    def start(self, what: str, *arguments: Any) -> None:
        self._wire.send((what, *arguments))

    def answer(self) -> Any:
        assert self._wire.poll(PATIENCE), "the sibling does not answer"
        return self._wire.recv()

    def kill(self) -> None:
        """As the kernel kills for want of memory."""
        self._process.kill()
        self.join()

    def join(self) -> None:
        """Wait for its end."""
        self._process.join(PATIENCE)
        assert self._process.exitcode is not None

    def close(self) -> None:
        if self._process.is_alive():
            self.kill()
        self._wire.close()
        self._process.close()


def _main(wire: Connection, database: str, root: Path, source: Source) -> None:
    asyncio.run(_serve(wire, database, root, source))


async def _serve(wire: Connection, database: str, root: Path, source: Source) -> None:
    store = await Store.open(database)
    loop = asyncio.get_running_loop()
    intake = Intake(store, Spool(root), SystemClock(), lambda work: asyncio.run_coroutine_threadsafe(work, loop))
    await asyncio.to_thread(_Hands(intake, source, wire).work)


class _Hands:
    """What a sibling can do, a method each; one upload at a time."""

    def __init__(self, intake: Intake, source: Source, wire: Connection) -> None:
        self.intake = intake
        self.source = source
        self.wire = wire
        self.upload: Upload | None = None
        self.ending: Future[Any] | None = None
        self.free = threading.Event()
        self.faults: Faults | None = None

    def work(self) -> None:
        while True:
            what, *arguments = self.wire.recv()
            try:
                answer = getattr(self, what)(*arguments)
            except Exception as error:
                answer = type(error).__name__
            self.wire.send(answer)

    def begin(self, size: int) -> str:
        """Receive so many bytes, up to where the row is there, if there is to be one."""
        self.upload = self.intake.begin(self.source)
        self.write(size)
        self.intake.submit(self.intake.store.write(one_by_one(_nothing), None)).result()
        return self.upload.id

    def write(self, size: int) -> int:
        assert self.upload is not None
        self.upload.write(memoryview(CONTENT)[self.upload.size :][:size])
        return self.upload.size

    def complete(self) -> str:
        assert self.upload is not None
        return self.upload.complete("close_notify").version.state.value

    def keep(self) -> int | None:
        assert self.upload is not None
        kept = self.upload.keep("RST")
        return None if kept is None else kept.size

    def stop_before_the_row(self, end: str) -> None:
        """End the upload in a thread, up to where its row is to be written: it is, when ``go_on`` says so."""
        arrived, post = threading.Event(), self.intake.store.post

        def waits(*arguments: Any) -> Any:
            arrived.set()
            assert self.free.wait(PATIENCE)
            return post(*arguments)

        self.intake.store.post = waits  # type: ignore[method-assign]
        do: Callable[[], Any] = getattr(self, end)
        self.ending = self.intake.ends.submit(do)
        assert arrived.wait(PATIENCE)

    def go_on(self) -> Any:
        assert self.ending is not None
        self.free.set()
        return self.ending.result(PATIENCE)

    def let_go(self, upload: str) -> None:
        self.intake.let_go(upload)

    def recover(self) -> list[str]:
        return list(self.intake.submit(self.intake.recover()).result(PATIENCE))

    def die_at(self, where: str, what: str, path: str) -> None:
        self.faults = Faults(Fault(where, what, path=path))
        self.faults.install()


async def _nothing(tx: Any, item: None) -> None:
    """Durable after all that was submitted before it."""
