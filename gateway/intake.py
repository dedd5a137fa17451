"""The only way in for uploads: begin → write → complete | keep. The mail door's way in is in smtp/filing.

The order is the promise: bytes, fsync, final name, fsync of the directory, row and event in one commit, and only then
does a caller get a ``Receipt`` to speak of. ``keep`` makes a durable partial of what has come.

Rules: a small upload has no row before its end, so that it costs one commit; one that grows past ROW_AFTER gets its row
at once and is flushed every *flush_every* bytes, so that neither a crash nor the final fsync costs anybody much.
Every step names the epoch it holds: a session that was fenced can neither write nor settle. Several processes may share
the store and the spool: an upload's file stays locked (``spool.holding``) from before its row says *receiving* until
the row says something else, and only who has that lock claims the row or sets it right.

A crash leaves: a row that says *receiving* with bytes under ``incoming`` (``recovery`` makes it a partial: all of it
after a kill, up to the recorded flush after a power cut), or bytes that no row speaks of and nobody was promised.

The methods of ``Upload`` block, and one thread at a time calls them: the session's own, or for a slow end one of
``Intake.ends``; *submit* carries coroutines to the store's loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.clock import Clock
from gateway.domain.ids import new_id
from gateway.domain.records import Version, VersionState
from gateway.processors import roam
from gateway.recovery import Recovery
from gateway.spool import Fenced, Hold, Incoming, Spool, boot_id
from gateway.store import Store, endings, one_by_one, uploads

ROW_AFTER = 1 << 20
"""Bytes after which an upload under way is recorded, so that a crash leaves a partial that can be found."""

FLUSH_EVERY = 128 << 20
"""Bytes between two flushes of an upload under way (one fsync after 40 GB would outlast a client's patience)."""

LONG_END = 8 << 20
"""Bytes that are still to be flushed or hashed, from which on an upload's end is worth a thread of its own."""

ENDS = 32
"""Such ends at a time; further ones wait their turn."""

PATIENCE = 10.0
"""Seconds that a resumption waits at most for whoever has the bytes to let go of them, or to have their row."""

LOOK_EVERY = 0.05
"""Seconds between two looks whether they did."""

RESUMABLE = frozenset((VersionState.RECEIVING, VersionState.PARTIAL, VersionState.DAMAGED))

Submit = Callable[[Coroutine[Any, Any, Any]], "Future[Any]"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an upload comes from: the account, the path in its tree, the SR its path names, and what is known of it."""

    account_id: str
    login: str
    path: str
    sr: str | None
    peer: str | None = None
    client: str | None = None
    tls: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What may be told to the customer: the version is durable. *repeats*: these bytes were there already."""

    version: Version
    repeats: bool = False


class Intake:
    """Makes uploads. One for a process, made in the store's loop; *submit* runs a coroutine there from any thread.

    *ask* has the door's other processes call ``let_go`` with an upload's id; any thread may call it, and it waits for
    nothing.
    """

    def __init__(
        self,
        store: Store,
        spool: Spool,
        clock: Clock,
        submit: Submit,
        *,
        ask: Callable[[str], None] = lambda upload: None,
        patience: float = PATIENCE,
        flush_every: int = FLUSH_EVERY,
    ) -> None:
        self.store = store
        self.spool = spool
        self.clock = clock
        self.submit = submit
        self.flush_every = flush_every
        self.loop = asyncio.get_running_loop()
        self.boot = boot_id()
        self._recovery = Recovery(store, spool, self.boot)
        self._ask = ask
        self._patience = patience
        self._changing = threading.Condition()
        self._alone: set[str] = set()
        self.flusher = ThreadPoolExecutor(2, thread_name_prefix="flush", initializer=roam)
        self.ends = ThreadPoolExecutor(ENDS, thread_name_prefix="end", initializer=roam)

    def begin(self, source: Source, *, hashing: bool = True) -> Upload:
        """Start a new upload. Raises OSError when the disk refuses."""
        now = self.clock.now()
        upload = new_id(now.timestamp())
        return Upload(self, self._begin(upload, source, now), self.spool.begin(upload, hashing=hashing), epoch=1)

    def resume(self, version: Version, source: Source, offset: int, *, hashing: bool = True) -> Upload:
        """Go on with a partial at *offset*; whoever held it is fenced, in this process or another, and in the store.

        Raises LookupError (it is no partial any more), ValueError (beyond its end), Fenced (who holds it does not let
        go of it in time); then it is what it was.
        """
        size = self.spool.size_of_incoming(version.id)
        if size is None and version.state is not VersionState.RECEIVING:
            size = version.size
        if offset < 0 or (size is not None and offset > size):  # where it can't be said yet, ``reopen`` says it
            raise ValueError(f"there are {size} bytes, not {offset}")
        hold = self._freed(version)
        try:
            claim = (version.id, self.boot, offset)
            claimed: Version = self.submit(self.store.write(uploads.claim, claim)).result()
            try:
                incoming = self.spool.resume(hold, offset, hashing=hashing)
            except BaseException:
                size = self.spool.size_of_incoming(version.id) or version.size
                back = (version.id, claimed.epoch, size)
                self.submit(self.store.write(one_by_one(uploads.unclaim), back)).result()
                raise
        except BaseException:
            hold.release()
            raise
        finally:
            self._let(version.id)
        begin = self._begin(version.id, source, version.started_at)
        return Upload(self, begin, incoming, epoch=claimed.epoch, recorded=True)

    def let_go(self, upload: str) -> None:
        """Another process resumes *upload*: whoever holds it here is fenced, once what is being done to it is done.

        This is seen to in a thread; not at all where that takes so long that the other process may wait no more.
        """
        threading.Thread(target=self._let_go, args=(upload,), name=f"let go {upload}", daemon=True).start()

    def _let_go(self, upload: str) -> None:
        with self._changing:
            if not self._changing.wait_for(lambda: upload not in self._alone, self._patience / 2):
                return
        self.spool.fence(upload)

    def _freed(self, version: Version) -> Hold:
        """Hold the partial *version*, after whoever does so now; nothing else is done to it here until ``_let``.

        Nothing is written to the store before the bytes are ours: who was about to complete it does so.
        """
        upload, until = version.id, time.monotonic() + self._patience
        rivals = [self._ask, self.spool.fence]
        while True:
            try:
                with self._changing:
                    self._changing.wait_for(lambda: upload not in self._alone)
                    hold = self.spool.hold(upload, version.sha256)
                    if hold is not None:
                        self._alone.add(upload)
                        return hold
            except Fenced:
                if rivals:
                    rivals.pop()(upload)
                    continue
                if time.monotonic() > until:
                    raise
            else:  # it is sealed just now, or was while we looked; then its row says so soon
                version = self.submit(self.version(upload)).result()
                if version.state not in RESUMABLE:
                    raise LookupError(upload)
                if time.monotonic() > until:
                    gone = version.state is not VersionState.RECEIVING
                    raise FileNotFoundError(upload) if gone else Fenced(f"{upload}: its row does not come")
            time.sleep(LOOK_EVERY)

    def _let(self, upload: str) -> None:
        with self._changing:
            self._alone.discard(upload)
            self._changing.notify_all()

    @contextmanager
    def completing(self, upload: str) -> Iterator[None]:
        """Whoever would resume *upload* waits: between its seal and its row it is neither a partial nor complete."""
        with self._changing:
            self._changing.wait_for(lambda: upload not in self._alone)
            self._alone.add(upload)
        try:
            yield
        finally:
            self._let(upload)

    async def recover(self) -> list[str]:
        """At the door's start: make partials of what a crash interrupted; what was found, in words."""
        return await self._recovery.partials("the gateway was interrupted") + await self._recovery.leftovers()

    async def recover_abandoned(self) -> list[str]:
        """While the door serves, now and then: the same for rows that say *receiving* and that no session holds.

        A store that was out of reach when their uploads ended leaves such, and so does another process that died.
        """
        return await self._recovery.partials("it was left behind")

    async def version(self, version_id: str) -> Version:
        """What the store knows of an upload. Raises LookupError."""
        async with self.store.reading() as connection:
            return await uploads.get(connection, version_id)

    def close(self) -> None:
        self.ends.shutdown()
        self.flusher.shutdown()

    def _begin(self, upload: str, source: Source, at: datetime) -> uploads.Begin:
        where = (source.account_id, source.login, source.path, source.sr)
        return uploads.Begin(upload, *where, at, self.boot, self.spool.id, source.peer, source.client, source.tls)


class Upload:
    """One upload under way, driven by its session's thread."""

    def __init__(
        self, intake: Intake, begin: uploads.Begin, incoming: Incoming, *, epoch: int, recorded: bool = False
    ) -> None:
        self.id = begin.id
        self._intake = intake
        self._begin = begin
        self._incoming = incoming
        self._epoch = epoch
        self._row: Future[Any] | None = None
        self._recorded = recorded
        self._flushed = incoming.size
        self._flushing = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that are there, those of the sessions before included."""
        return self._incoming.size

    @property
    def ends_slowly(self) -> bool:
        """Whether ``complete`` and ``keep`` may take so long that who must not wait calls them in ``Intake.ends``."""
        return self._incoming.behind > LONG_END

    def write(self, block: memoryview) -> None:
        """Append *block*. Raises Fenced, or OSError when the disk refuses: then ``keep`` what is there."""
        self._incoming.write(block)
        size = self._incoming.size
        if size >= ROW_AFTER and not self._recorded:
            self._recorded = True
            self._row = self._intake.submit(self._intake.store.write(uploads.begin, self._begin))
        if size - self._flushed >= self._intake.flush_every:
            self._flushed = size
            self._intake.flusher.submit(self._flush)

    def complete(
        self,
        evidence: str,
        *,
        damaged: bool = False,
        inspection: dict[str, Any] | None = None,
        modified_at: datetime | None = None,
    ) -> Receipt:
        """Make what has come a durable version; only the returned receipt may be spoken of.

        Raises Fenced or Superseded when another session resumed it, OSError or the store's error when it could not be
        made durable: then nothing may be acknowledged, and the bytes are a partial again.
        """
        state = VersionState.DAMAGED if damaged else VersionState.COMPLETE
        with self._intake.completing(self.id):
            sealed = self._incoming.seal(held=True)
            try:
                settled = self._settle(state, sealed.size, sealed.sha256, evidence, inspection, modified_at)
            except BaseException as error:
                self._take_back(error)
                raise
            try:
                if settled.repeats:
                    self._intake.spool.remove(sealed.sha256, self.id)
            finally:
                self._incoming.release()
        return Receipt(settled.version, settled.repeats)

    def _take_back(self, error: BaseException) -> None:
        """What was sealed came to no row: it is kept as a partial yet, except where somebody else has the row."""
        superseded = isinstance(error, endings.Superseded)
        came = not superseded and self._came_to_a_row()
        try:
            if not came:
                self._incoming.unseal()
        except BaseException:
            self._incoming.release()
            raise
        if came or superseded:
            self._incoming.release()

    def keep(self, evidence: str) -> Version | None:
        """Make a durable partial of what has come and return it; None when nothing has, or it was fenced.

        Where that fails nobody holds the upload any more, and ``recover_abandoned`` finds it.
        """
        try:
            if not self._recorded and self._incoming.size == 0:
                self._incoming.discard()
                return None
            size = self._incoming.keep(held=True)
            version: Version = self._settle(VersionState.PARTIAL, size, None, evidence, None, None).version
        except (Fenced, endings.Superseded):
            return None
        finally:
            self._incoming.release()
        return version

    def discard(self) -> None:
        """Forget an upload that was refused before any of it counted."""
        self._incoming.discard()

    def _settle(
        self,
        state: VersionState,
        size: int,
        sha256: str | None,
        evidence: str,
        inspection: dict[str, Any] | None,
        modified_at: datetime | None,
    ) -> endings.Settled:
        intake = self._intake
        if self._row is not None:
            self._row.result()
        end = (state, size, sha256, intake.clock.now(), evidence, inspection, modified_at)
        item = endings.Settle(self._begin, self._recorded, self._epoch, *end)
        return intake.store.post(endings.settle, item, intake.loop).result()

    def _came_to_a_row(self) -> bool:
        """Whether a commit that failed may have been done all the same: a connection can break after it.

        Where the store can't say, the bytes stay sealed: they belong there if it was, else ``recover`` finds them.
        """
        try:
            version: Version = self._intake.submit(self._intake.version(self.id)).result()
        except LookupError:
            return False
        except Exception:
            return True
        return version.state is not VersionState.RECEIVING

    def _flush(self) -> None:
        if not self._flushing.acquire(blocking=False):
            return  # the flush under way is slower than the customer; the next one covers more
        try:
            durable = self._incoming.flush()
            progress = (self.id, self._epoch, durable)
            self._intake.submit(self._intake.store.write(uploads.progress, progress)).result()
        except (Fenced, ValueError):
            pass  # it ended meanwhile
        finally:
            self._flushing.release()
