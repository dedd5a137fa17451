"""The only way in for uploads: begin → write → complete | keep. The mail door's way in is in smtp/filing.

The order is the promise: bytes, fsync, final name, fsync of the directory, row and event in one commit, and only then
does a caller get a ``Receipt`` to speak of. ``keep`` makes a durable partial of what has come.

Rules: a small upload has no row before its end, so that it costs one commit; one that grows past ROW_AFTER gets its row
at once and is flushed every FLUSH_EVERY, so that neither a crash nor the final fsync loses much of anybody's time.
Every step names the epoch it holds: a session that was fenced can neither write nor settle.

A crash leaves: a row that says *receiving* with bytes under ``incoming`` (``recover`` makes it a partial: all of it
after a kill, up to the recorded flush after a power cut), or bytes that no row speaks of and nobody was promised.

The methods of ``Upload`` block, and one thread at a time calls them: the session's own, or for a slow end one of
``Intake.ends``; *submit* carries coroutines to the store's loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.clock import Clock
from gateway.domain.ids import new_id
from gateway.domain.records import Version, VersionState
from gateway.spool import Fenced, Incoming, Spool, boot_id
from gateway.store import Store, endings, files, one_by_one, uploads

ROW_AFTER = 1 << 20
"""Bytes after which an upload under way is recorded, so that a crash leaves a partial that can be found."""

FLUSH_EVERY = 128 << 20
"""Bytes between two flushes of an upload under way (one fsync after 40 GB would outlast a client's patience)."""

LONG_END = 8 << 20
"""Bytes that are still to be flushed or hashed, from which on an upload's end is worth a thread of its own."""

ENDS = 32
"""Such ends at a time; further ones wait their turn."""

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
    """Makes uploads. One for a process, made in the store's loop; *submit* runs a coroutine there from any thread."""

    def __init__(self, store: Store, spool: Spool, clock: Clock, submit: Submit) -> None:
        self.store = store
        self.spool = spool
        self.clock = clock
        self.submit = submit
        self.loop = asyncio.get_running_loop()
        self.boot = boot_id()
        self._resuming = threading.Condition()
        self._completing: set[str] = set()
        self._abandoned: dict[str, int] = {}  # what the last look found that nobody held, with its epoch
        self.flusher = ThreadPoolExecutor(2, thread_name_prefix="flush")
        self.ends = ThreadPoolExecutor(ENDS, thread_name_prefix="end")

    def begin(self, source: Source, *, hashing: bool = True) -> Upload:
        """Start a new upload. Raises OSError when the disk refuses."""
        now = self.clock.now()
        upload = new_id(now.timestamp())
        return Upload(self, self._begin(upload, source, now), self.spool.begin(upload, hashing=hashing), epoch=1)

    def resume(self, version: Version, source: Source, offset: int, *, hashing: bool = True) -> Upload:
        """Go on with a partial at *offset*; whoever held it is fenced, here and in the store.

        Raises LookupError (it is no partial any more), ValueError (beyond its end), Fenced (held by another process);
        then it is what it was.
        """
        if not 0 <= offset <= (self.spool.size_of_incoming(version.id) or version.size):
            raise ValueError(f"there are {version.size} bytes, not {offset}")
        with self._resuming:  # who claims the row last is to have the bytes, too
            self._resuming.wait_for(lambda: version.id not in self._completing)
            claim = (version.id, self.boot, offset)
            claimed: Version = self.submit(self.store.write(uploads.claim, claim)).result()
            try:
                if version.state is VersionState.DAMAGED:  # it was sealed; a receiving row and bytes there go together
                    self.spool.recover(version.id, version.size, same_boot=True)
                incoming = self.spool.resume(version.id, offset, hashing=hashing)
            except BaseException:
                size = self.spool.size_of_incoming(version.id) or version.size
                back = (version.id, claimed.epoch, size)
                self.submit(self.store.write(one_by_one(uploads.unclaim), back)).result()
                raise
        begin = self._begin(version.id, source, version.started_at)
        return Upload(self, begin, incoming, epoch=claimed.epoch, recorded=True)

    async def recover(self) -> list[str]:
        """At the door's start: make partials of what a crash interrupted; what was found, in words."""
        async with self.store.reading() as connection:
            interrupted = await uploads.under_way(connection, self.spool.id)
        words = [await self._recover(version, "the gateway was interrupted") for version in interrupted]
        async with self.store.reading() as connection:
            known = await files.known(connection)
        swept = await asyncio.to_thread(self.spool.sweep, known)
        return words + [f"{name}: removed, nothing of it was acknowledged" for name in swept]

    async def recover_abandoned(self) -> list[str]:
        """While the door serves, now and then: the same for rows that say *receiving* and that no session holds.

        A store that was out of reach when their uploads ended leaves such. What is about to be held, or settled, looks
        the same for a moment: only what the look before found already is touched.
        """
        async with self.store.reading() as connection:
            receiving = await uploads.under_way(connection, self.spool.id)
        before = self._abandoned
        self._abandoned = {one.id: one.epoch for one in receiving if not self._is_held(one.id)}
        again = [one for one in receiving if self._abandoned.get(one.id) == before.get(one.id, 0)]
        return [await self._recover(one, "the store was out of reach") for one in again if not self._is_held(one.id)]

    def _is_held(self, upload: str) -> bool:
        return self.spool.holds(upload) or upload in self._completing

    async def _recover(self, version: Version, why: str) -> str:
        same_boot = version.boot_id == self.boot
        size = await asyncio.to_thread(self.spool.recover, version.id, version.durable_size, same_boot=same_boot)
        await self.store.write(one_by_one(uploads.recovered), (version.id, version.epoch, size, why))
        return f"{version.path} ({version.id}): " + ("nothing left" if size is None else f"{size} bytes kept")

    @contextmanager
    def completing(self, upload: str) -> Iterator[None]:
        """Whoever would resume *upload* waits: between its seal and its row it is neither a partial nor complete."""
        with self._resuming:
            self._completing.add(upload)
        try:
            yield
        finally:
            with self._resuming:
                self._completing.discard(upload)
                self._resuming.notify_all()

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
        self._unsealed: int | None = None  # bytes of what was sealed, but came to no row

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
        if size - self._flushed >= FLUSH_EVERY:
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
            sealed = self._incoming.seal()
            try:
                settled = self._settle(state, sealed.size, sealed.sha256, evidence, inspection, modified_at)
            except BaseException as error:
                if isinstance(error, endings.Superseded) or not self._came_to_a_row():
                    self._unsealed = self._intake.spool.recover(self.id, sealed.size, same_boot=True)
                raise
        if settled.repeats:
            self._intake.spool.remove(sealed.sha256, self.id)
        return Receipt(settled.version, settled.repeats)

    def keep(self, evidence: str) -> Version | None:
        """Make a durable partial of what has come and return it; None when nothing has, or it was fenced."""
        try:
            if not self._recorded and self._incoming.size == 0:
                self._incoming.discard()
                return None
            size = self._incoming.keep() if self._unsealed is None else self._unsealed
            version: Version = self._settle(VersionState.PARTIAL, size, None, evidence, None, None).version
        except (Fenced, endings.Superseded):
            return None
        except BaseException:
            self._incoming.fence()  # nobody writes any more: ``recover_abandoned`` finds it
            raise
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
