"""The bytes of one transfer: an upload's from TLS to the spool, a download's or a listing's from a source to TLS.

Rules:

- The session's own thread pumps, BUDGET bytes at a time, and looks after its control connection in between.
- At most PUMPS sessions pump at once, from a file's first MiB on: more threads would only hand the interpreter lock to
  and fro. Those that wait get their turn in order. Whoever pumps so much may run on any processor (``processors``).
- Nothing moved for ``stall_timeout``: the transfer ends. Types and structures change no byte.
- An upload's peer is answered with our close_notify at once; a download does not wait for its peer's.

What an ending means is not decided here, and no reply is said here: ``ended`` tells the session.
A crash leaves what intake leaves.
"""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from gateway import processors
from gateway.domain.evidence import Ending
from gateway.ftps.channel import Channel, Watch, cancel, keep_alive
from gateway.ftps.limits import Throttle
from gateway.ftps.tls import Flow, TlsStream

BUDGET = 1 << 20
"""Bytes a session pumps before it gives its turn on and looks at its control connection (NOOP waits for a few)."""
SIP = 1 << 16
"""The same, at the least, where the bandwidth is limited."""
PUMPS = 2
FREE_START = 1 << 20
"""Bytes of a file that need no turn: small files would only wait."""
LINGER = 10.0
"""Seconds a finished download waits for the peer's end before the socket is closed."""

_ENDINGS = {
    Flow.CLOSE_NOTIFY: Ending.CLOSE_NOTIFY,
    Flow.FIN: Ending.FIN,
    Flow.RESET: Ending.RESET,
    Flow.BROKEN: Ending.BROKEN,
}


class _Turn(AbstractContextManager[None]):
    """The right to pump. Handed out in the order in which it was asked for."""

    def __init__(self, turns: int) -> None:
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(turns):
            self._turns.put(None)

    def __enter__(self) -> None:
        self._turns.get()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns.put(None)


_turn = _Turn(PUMPS)
_FREE = nullcontext()


class Transfer(Channel):
    """What receiving and sending share: counting, stalling, throttling, and ending once."""

    def __init__(
        self,
        loop: Any,
        stream: TlsStream,
        ended: Callable[[Ending, Exception | None], None],
        stall_timeout: float,
        throttles: Sequence[Throttle],
    ) -> None:
        super().__init__(loop, stream.sock)
        self.stream = stream
        self.moved = 0
        self.started = time.monotonic()
        self._ended = ended
        self._stall_timeout = stall_timeout
        self._throttles = throttles
        self._budget = int(min([BUDGET, *(max(SIP, throttle.rate / 8) for throttle in throttles)]))
        self._pause: Any = None
        self._seen = 0
        self._since = self.started
        self._roams = False
        self._stall = self.later(stall_timeout, self._look)

    def _look(self) -> None:
        """End the transfer if nothing moved for too long, else look again when that could be so."""
        now, moved = time.monotonic(), self.progress
        if moved > self._seen or self._pause is not None:
            self._seen, self._since = moved, now
        left = self._since + self._stall_timeout - now
        if left <= 0:
            self.end(Ending.STALLED)
        else:
            self._stall = self.later(left, self._look)

    @property
    def progress(self) -> int:
        """Bytes moved, those that wait for their block included."""
        return self.moved + self.stream.held

    def _turn(self, moved: int) -> AbstractContextManager[None]:
        """What to have while pumping, after so many bytes: from the first MiB on a turn, and any processor."""
        if moved < FREE_START:
            return _FREE
        if not self._roams:
            self._roams = True
            processors.roam()
        return _turn

    def pause(self, moved: int, then: Watch) -> bool:
        """Stop for as long as the account's bandwidth asks; True when that is not at once over."""
        delay = max((throttle.take(moved) for throttle in self._throttles), default=0.0)
        if delay <= 0:
            return False
        self.watch(Watch.NOTHING)
        cancel(self._pause)

        def go_on() -> None:
            self._pause = None
            self.watch(then)

        self._pause = self.later(delay, go_on)
        return True

    def end(self, ending: Ending, error: Exception | None = None) -> None:
        """End the transfer, once."""
        if not self.closed:
            self.close()
            self._ended(ending, error)

    def close(self) -> None:
        if not self.closed:
            cancel(self._stall)
            cancel(self._pause)
            self.unwatch()
            self.closed = True
            self.stream.close()
            if self._roams:
                processors.keep_home()

    def failed(self, error: Exception) -> None:
        self.end(Ending.FAILED, error)


class Receiving(Transfer):
    """An upload: *sink* takes blocks in order; what it raises ends the transfer as failed."""

    def __init__(
        self,
        loop: Any,
        stream: TlsStream,
        sink: Callable[[memoryview], None],
        ended: Callable[[Ending, Exception | None], None],
        stall_timeout: float,
        throttles: Sequence[Throttle] = (),
    ) -> None:
        super().__init__(loop, stream, ended, stall_timeout, throttles)
        self._sink = sink

    def start(self) -> None:
        """Begin with what is there, and what came along with the end of the handshake: no event tells of that."""
        self.can_read()
        if not self.closed:
            keep_alive(self.sock)

    def can_read(self) -> None:
        before = self.progress
        with self._turn(before):
            flow = self._pour()
        if flow is None or self.closed:
            return
        if flow.ended:
            if flow is Flow.CLOSE_NOTIFY:
                self.stream.close_notify()
            self.end(_ENDINGS[flow])
        elif not self.pause(self.progress - before, Watch.READ):
            self.watch(Watch.READ)

    def gone(self) -> None:
        self.can_read()

    def take_what_is_there(self) -> None:
        """Pour what has arrived, for an end that comes from elsewhere."""
        while not self.closed and self._pour() is Flow.MORE:
            pass
        if not self.closed:
            self._hand_over()

    def end(self, ending: Ending, error: Exception | None = None) -> None:
        if not self.closed and error is None:
            error = self._hand_over()
            if error is not None:
                ending = Ending.FAILED
        super().end(ending, error)

    def _hand_over(self) -> Exception | None:
        try:
            self.stream.rest(self._take)
        except Exception as error:
            return error
        return None

    def _pour(self) -> Flow | None:
        try:
            return self.stream.pour(self._take, self._budget)
        except Exception as error:  # the sink's: the disk, the quota, a session that took over
            self.end(Ending.FAILED, error)
            return None

    def _take(self, block: memoryview) -> None:
        self.moved += len(block)
        self._sink(block)


class Sending(Transfer):
    """A download or a listing: *source* gives the next bytes, and nothing when that was all."""

    def __init__(
        self,
        loop: Any,
        stream: TlsStream,
        source: Callable[[], bytes],
        ended: Callable[[Ending, Exception | None], None],
        stall_timeout: float,
        throttles: Sequence[Throttle] = (),
    ) -> None:
        super().__init__(loop, stream, ended, stall_timeout, throttles)
        self._source = source
        self._rest = memoryview(b"")
        self._exhausted = False

    def start(self) -> None:
        keep_alive(self.sock)
        self.watch(Watch.WRITE)

    def can_write(self) -> None:
        before = self.moved
        try:
            with self._turn(before):
                self._send()
        except Exception as error:  # the peer's connection, or the source's disk
            self.end(Ending.RESET if isinstance(error, ConnectionError) else Ending.FAILED, error)
            return
        if self._exhausted and not self.stream.unsent:
            self._finish()
        else:
            self.pause(self.moved - before, Watch.WRITE)

    def gone(self) -> None:
        self.end(Ending.RESET)

    def _send(self) -> None:
        budget = self._budget
        while budget > 0:
            if not self._rest and not self._exhausted:
                self._rest = memoryview(self._source())
                if not self._rest:
                    self._exhausted = True
                    self.stream.close_notify()
            if self._exhausted:
                self.stream.flush()
                return
            sent = self.stream.send(self._rest)
            self._rest = self._rest[sent:]
            self.moved += sent
            budget -= sent
            if self.stream.unsent:
                return

    def _finish(self) -> None:
        """All is with the kernel. Closing now could reset the connection under the peer: linger a little."""
        sock = self.sock.dup()
        self.end(Ending.CLOSE_NOTIFY)
        _Lingering(self.loop, sock)


class _Lingering(Channel):
    """A data connection whose bytes are all sent: swallows what comes, and closes at the peer's end."""

    def __init__(self, loop: Any, sock: socket.socket) -> None:
        super().__init__(loop, sock)
        self._timer = self.later(LINGER, self.close)
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.watch(Watch.READ)

    def can_read(self) -> None:
        try:
            while self.sock.recv(1 << 16):
                pass
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        cancel(self._timer)
        super().close()
