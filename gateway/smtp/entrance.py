"""A listening socket of the mail door: accepts who knocks, and waits a moment where the machine has no room for them.

Why not ``loop.create_server``: out of file descriptors, asyncio (3.11) goes on trying in a loop as long as the backlog,
and each try logs, and arms a timer that begins anew: a thousand lines at once, and a busy loop until room comes.
A crash ends what waits in the backlog; the peers come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import socket

from gateway import log as voices
from gateway.scarcity import PAUSE, Scarcity
from gateway.tally import AFTER_YOU

BACKLOG = 1024
MOST = 100
"""Connections that are accepted in a row before the others have their turn."""

log = voices.get(__name__)


class Entrance:
    """Accepts connections on one socket, which it owns; *make* gives each its protocol.

    *ahead* says whether another process that accepts on it has fewer of them; None where there is no other.
    """

    def __init__(
        self,
        listening: socket,
        make: Callable[[], asyncio.BaseProtocol],
        ahead: Callable[[], bool] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._make = make
        self._ahead = ahead
        self._greeting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._scarcity = Scarcity()
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._open()

    def close(self) -> None:
        """Accept nothing more."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _open(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        if self._ahead is None:
            self._accept_some(MOST)
        elif self._ahead():
            self._loop.remove_reader(self._listening)
            self._pause = self._loop.call_later(AFTER_YOU, self._accept_after_all)
        else:
            self._accept_some(1)

    def _accept_after_all(self) -> None:
        self._open()
        self._accept_some(1)

    def _accept_some(self, most: int) -> None:
        for _ in range(most):
            try:
                peer, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if not self._scarcity.shows_in(error):
                    raise
                self._rest(error)
                return
            task = self._loop.create_task(self._greet(peer))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    def _rest(self, error: OSError) -> None:
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(PAUSE, self._open)
        self._scarcity.tell(error)

    async def _greet(self, peer: socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, peer)
        except Exception:
            log.exception("a connection could not be admitted")
            peer.close()
