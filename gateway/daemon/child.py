"""One process of one door, as the supervisor sees it: start it, open it, hear from it, stop it, see it end.

A process is made at once but serves only when it is opened, so that its imports run while the supervisor still checks.
It ends exactly once; ``ended`` is the exit code then (negative: the signal). Nothing is left behind: it is reaped,
and its control socket closed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from gateway.daemon import control

PROCESS = "gateway.daemon.process"
AGAIN = 0.25
"""Seconds until a process is told again to stop that had no room for it."""


class Child:
    """A process that serves one door: *name*, with the ``serve`` of *module*. Make it inside the running loop."""

    def __init__(self, name: str, module: str, pass_on: Callable[[str], None] = lambda text: None) -> None:
        """*pass_on* is called with each word that it has for the other processes of its door."""
        loop = asyncio.get_running_loop()
        self.name = name
        self.ready: asyncio.Future[None] = loop.create_future()
        """Done when clients are answered; cancelled when the process ends before that."""
        self.ended: asyncio.Future[int] = loop.create_future()
        self.reloaded = asyncio.Event()
        self.cannot: str | None = None
        """Why the configuration can't be served, if that is what ended it."""
        self.heard = time.monotonic()
        """When the door last gave a sign of life."""
        self._opened = False
        self._pass_on = pass_on
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", PROCESS, name, module, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # the terminal's Ctrl-C is the supervisor's alone
            )
        self._watch = os.pidfd_open(self._process.pid)
        loop.add_reader(self._watch, self._end)
        loop.add_reader(self._line, self._hear)

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self, opening: control.Opening) -> None:
        """Let it serve."""
        self._opened = True
        self.heard = time.monotonic()
        try:
            control.send_open(self._line, opening)
        except (BrokenPipeError, ConnectionResetError):
            return  # it has ended, which ``ended`` tells

    def stop(self, within: float, grace: float) -> None:
        """Have it accept nothing more, its transfers end within so many seconds, and itself in so many more.

        One that is not ready has no customer, and is ended at once.
        """
        if self.ended.done():
            return
        if not self.ready.done():
            self.kill()
        elif not control.send(self._line, "stop", f"{within:.3f} {grace:.3f}"):  # words of others wait for it
            until = time.monotonic() + within
            asyncio.get_running_loop().call_later(AGAIN, lambda: self.stop(max(0.0, until - time.monotonic()), grace))

    def tell(self, word: str) -> None:
        """Tell it what another process of its door says; nothing where it does not serve."""
        if self._opened and not self.ended.done():
            control.send(self._line, "word", word)

    def reload(self) -> None:
        """Have it read its certificates again; ``reloaded`` is set when it has, or is not there to do it.

        One that never opened has read nothing yet.
        """
        self.reloaded.clear()
        if self.ended.done() or not self._opened:
            self.reloaded.set()
        else:
            control.send(self._line, "reload")

    def kill(self) -> None:
        """End it now; nothing where it has ended."""
        self._process.send_signal(signal.SIGKILL)

    def _hear(self) -> bool:
        """Take one message; False when none waits, or none ever will."""
        try:
            message = control.receive(self._line)
        except (BlockingIOError, ConnectionResetError):
            return False
        self.heard = time.monotonic()
        match message:
            case None:
                asyncio.get_running_loop().remove_reader(self._line)
                return False
            case "ready", _ if not self.ready.done():
                self.ready.set_result(None)
            case "reloaded", _:
                self.reloaded.set()
            case "cannot", why:
                self.cannot = why
            case "others", text:
                self._pass_on(text)
        return True

    def _end(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._watch)
        loop.remove_reader(self._line)
        os.close(self._watch)
        while self._hear():  # its last words
            pass
        self._line.close()
        self.ready.cancel()
        self.reloaded.set()
        self.ended.set_result(self._process.wait())
