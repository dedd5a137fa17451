"""After an update is filed, somebody looks inside: its words and its attachments are added, by killable workers.

Rules: the raw mail is safe before anybody looks, so nothing can be lost here; a mail that a worker dies of, or can't
read, gets a mark and its raw message as an attachment, once, and never holds up the next one. Attachments are sealed in
the spool before the row that names them. An update is looked into once: its row says so.

A crash leaves an update that nobody has looked into, and perhaps sealed attachments that no row names: at the next
start they are found, and the update is looked into again.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway import log as voices
from gateway.clock import Clock
from gateway.domain.ids import new_id
from gateway.domain.policy import Mark
from gateway.domain.records import Attachment
from gateway.examine.worker import Crew, WorkerDied
from gateway.spool import Sealed, Spool
from gateway.store import Store, mails, one_by_one, updates

TASK = "gateway.examine.mail:inspect"
"""Answers with ``text``, ``marks`` and ``attachments`` (files in the directory it is given)."""
POLL = 30.0
"""Seconds until somebody looks whether an update waits of which nobody told us (an operator released it)."""
RETRY = 30.0
"""Seconds until an update is tried again whose result could not be kept."""
BLOCK = 1 << 20
_WORD = re.compile(r"[0-9A-Za-z_-]{1,64}")

log = voices.get(__name__)


class Examination:
    """Looks into updates, several at once, the oldest first. ``wake`` it when there is a new one."""

    def __init__(
        self, store: Store, spool: Spool, crew: Crew, clock: Clock, *, lookers: int, bounds: dict[str, Any]
    ) -> None:
        self._store = store
        self._spool = spool
        self._crew = crew
        self._clock = clock
        self._lookers = lookers
        self._bounds = bounds
        self._desk = spool.root / "examine"
        self._news = asyncio.Event()
        self._held: dict[str, float] = {}
        """Updates that somebody is looking into, or that wait until some moment, by the loop's clock."""
        self._choosing = asyncio.Lock()

    def wake(self) -> None:
        """There is an update that nobody has looked into."""
        self._news.set()

    async def run(self) -> None:
        """Look into what there is and what comes, until cancelled."""
        await asyncio.to_thread(shutil.rmtree, self._desk, ignore_errors=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._lookers):
                group.create_task(self._look_on())

    async def _look_on(self) -> None:
        while True:
            update, mail = await self._next()
            try:
                await self._look(update, mail)
                del self._held[update]
            except Exception:
                log.exception("an update could not be examined; it will be tried again", update=update)
                self._held[update] = asyncio.get_running_loop().time() + RETRY

    async def _next(self) -> tuple[str, str]:
        """The oldest update that nobody has looked into or is looking into here; wait until there is one."""
        loop = asyncio.get_running_loop()
        while True:
            async with self._choosing:
                self._news.clear()
                now = loop.time()
                self._held = {update: until for update, until in self._held.items() if until > now}
                async with self._store.glance() as connection:
                    waiting = await updates.unexamined(connection, self._spool.id, limit=len(self._held) + 1)
                for update, mail in waiting:
                    if update not in self._held:
                        self._held[update] = float("inf")
                        return update, mail
                try:
                    async with asyncio.timeout(POLL):
                        await self._news.wait()
                except TimeoutError:
                    continue

    async def _look(self, update: str, mail: str) -> None:
        async with self._store.glance() as connection:
            row = await mails.by_id(connection, mail)
            raw = await mails.raw(connection, mail) if row and row["kept"] == mails.KEPT_IN_ROW else None
        assert row is not None
        folder = self._desk / update
        parts = folder / "parts"
        try:
            await asyncio.to_thread(parts.mkdir, parents=True, exist_ok=True)
            path = self._spool.path(row["sha256"], mail)
            if raw is not None:
                path = folder / "message.eml"
                await asyncio.to_thread(path.write_bytes, raw)
            text, marks, files = await self._ask(path, parts, mail)
            kept = await self._kept(files)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        # Where the write fails or is cut off, nobody knows whether it was committed: what was kept stays, for a row may
        # speak of it. At worst the doctor names it.
        inside = updates.Inside(update, self._clock.now(), text, tuple(kept), tuple(marks))
        if not await self._store.write(_SETTLE, inside):
            await asyncio.to_thread(self._forget, kept)
        log.info("update examined", update=update, attachments=len(kept), marks=",".join(marks) or None)

    async def _ask(self, path: Path, parts: Path, mail: str) -> tuple[str, list[str], list[_Part]]:
        """A worker's answer, or what stands in for it: the raw message, with a mark."""
        whole = _Part(path, "message.eml", None, "message/rfc822", "raw", made=False)
        try:
            answer = await self._crew.run(TASK, path=str(path), into=str(parts), **self._bounds)
            text, marks, found = _read(answer, parts)
        except WorkerDied as death:
            log.warning("a worker died of a mail", mail=mail, reason=death.reason.value, detail=death.detail)
            return "", [Mark.UNPARSEABLE], [whole]
        except (KeyError, TypeError, ValueError, OSError) as error:
            log.warning("a worker's answer about a mail is no answer", mail=mail, error=error)
            return "", [Mark.UNPARSEABLE], [whole]
        return text, marks, [*found, whole] if Mark.UNPARSEABLE in marks else found

    async def _kept(self, files: Sequence[_Part]) -> list[Attachment]:
        """Seal what was found, in a thread; one that is told to stop meanwhile leaves nothing."""
        sealing = asyncio.create_task(asyncio.to_thread(self._keep, files))
        try:
            return await asyncio.shield(sealing)
        except asyncio.CancelledError:
            await asyncio.to_thread(self._forget, await sealing)
            raise

    def _keep(self, found: Sequence[_Part]) -> list[Attachment]:
        """Seal what was found, each under an id of its own. Raises OSError, and then nothing is kept."""
        kept: list[Attachment] = []
        try:
            for position, part in enumerate(found, start=1):
                version = new_id()
                sealed = self._spool.adopt(part.path, version) if part.made else self._copy(part.path, version)
                kept.append(
                    Attachment(
                        id=version,
                        position=position,
                        name=part.name,
                        original=part.original,
                        content_type=part.content_type,
                        kind=part.kind,
                        size=sealed.size,
                        sha256=sealed.sha256,
                        spool=self._spool.id,
                    )
                )
        except BaseException:
            self._forget(kept)
            raise
        return kept

    def _copy(self, path: Path, version: str) -> Sealed:
        incoming = self._spool.begin(version)
        try:
            with open(path, "rb") as file:
                while block := file.read(BLOCK):
                    incoming.write(memoryview(block))
            return incoming.seal()
        except BaseException:
            incoming.discard()
            raise

    def _forget(self, kept: Sequence[Attachment]) -> None:
        for each in kept:
            self._spool.remove(each.sha256, each.id)


_SETTLE: Final = one_by_one(updates.examined)


@dataclass(frozen=True, slots=True)
class _Part:
    """A file that a worker made (or the raw message), and what to call it."""

    path: Path
    name: str
    original: str | None
    content_type: str
    kind: str
    made: bool = True
    """Whether the worker made it, for this alone."""


def _read(answer: Mapping[str, Any], parts: Path) -> tuple[str, list[str], list[_Part]]:
    """A worker's answer. It may have been taken over by what it read, so no shape and no name is believed.

    Raises KeyError, TypeError, ValueError, OSError.
    """
    text = answer["text"]
    if not isinstance(text, str | None):
        raise TypeError("the text is no text")
    marks = [_word(mark) for mark in answer["marks"]]
    found, seen = [], set()
    for part in answer["attachments"]:
        path = parts / _word(part["file"])
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or path in seen:
            raise ValueError(f"no file of its own: {path.name}")
        seen.add(path)
        original = part["original"]
        found.append(
            _Part(
                path,
                _storable(part["name"]),
                _storable(original) if original is not None else None,
                _storable(part["content_type"]),
                _word(part["kind"]),
            )
        )
    return _storable(text or "", most=None), marks, found


def _word(value: object) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ValueError(f"not a word: {value!r}")
    return value


def _storable(value: object, most: int | None = 1_000) -> str:
    """Text that every database takes: no NUL, no lone surrogate."""
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value[:most].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
