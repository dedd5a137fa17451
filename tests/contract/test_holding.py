"""Several processes of one door: an upload is touched by nobody but who holds it, and taken over where that is asked.

The other process is a real one (``sibling``), for only another process shows whose a lock is, and only a killed one
shows what it leaves.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from contract.conftest import ACME, NOON, source
from contract.sibling import CONTENT, Sibling

from gateway.domain.ids import new_id
from gateway.domain.records import Version, VersionState
from gateway.intake import Intake, Upload
from gateway.retention import purge
from gateway.spool import Fenced, Spool
from gateway.store import endings, files, one_by_one, uploads
from gateway.testing.faults import Fault, Faults
from gateway.testing.waiting import PATIENCE, eventually

SIZE = 2_000_000
"""Bytes that are there when an upload's end is looked at: more than where it gets its row."""

MakeSibling = Callable[[], Sibling]


@pytest.fixture
def make_sibling(intake: Intake, database: str, tmp_path: Path) -> Iterator[MakeSibling]:
    made: list[Sibling] = []

    def make() -> Sibling:
        made.append(Sibling(database, tmp_path, source()))
        return made[-1]

    yield make
    for sibling in made:
        sibling.close()


@pytest.fixture
def sibling(make_sibling: MakeSibling) -> Sibling:
    return make_sibling()


async def blocking(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


async def the_version(intake: Intake) -> Version:
    async with intake.store.reading() as connection:
        (version,) = await files.listing(connection)
        return version


def feed(upload: Upload, data: bytes) -> None:
    for start in range(0, len(data), 1 << 18):
        upload.write(memoryview(data)[start : start + (1 << 18)])


def resume_and_complete(intake: Intake, version: Version, offset: int) -> Version:
    upload = intake.resume(version, source(), offset)
    feed(upload, CONTENT[offset:])
    return upload.complete("close_notify").version


def still_open(root: Path) -> list[str]:
    """The spool's files that this process has open."""
    names = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue  # the one that lists them
    return [name for name in names if name.startswith((f"{root}/incoming/", f"{root}/files/"))]


def receiving(sibling: Sibling) -> None:
    sibling("begin", SIZE)


def sealed(sibling: Sibling) -> None:
    sibling("begin", SIZE)
    sibling("stop_before_the_row", "complete")


def kept(sibling: Sibling) -> None:
    sibling("begin", SIZE)
    sibling("stop_before_the_row", "keep")


STAGES = {"receiving": receiving, "sealed, no row yet": sealed, "kept, no row yet": kept}


@pytest.mark.parametrize("look", [Intake.recover, Intake.recover_abandoned], ids=["start", "now and then"])
@pytest.mark.parametrize("stage", STAGES)
async def test_what_a_living_process_holds_is_left_alone(
    intake: Intake, sibling: Sibling, stage: str, look: Callable[[Intake], Any]
) -> None:
    await blocking(STAGES[stage], sibling)
    before = await the_version(intake)
    for _ in range(3):
        assert await look(intake) == []
    assert await the_version(intake) == before
    assert before.state is VersionState.RECEIVING
    if stage == "receiving":
        await blocking(sibling, "write", len(CONTENT))
        assert await blocking(sibling, "complete") == "complete"
        assert intake.spool.digest(hashlib.sha256(CONTENT).hexdigest(), before.id)
    elif stage.startswith("sealed"):
        assert await blocking(sibling, "go_on") == "complete"
        digest = hashlib.sha256(CONTENT[:SIZE]).hexdigest()
        assert intake.spool.digest(digest, before.id) == digest
    else:
        assert await blocking(sibling, "go_on") == SIZE
    assert await look(intake) == []


async def test_what_is_just_getting_its_row_is_not_searched_for_among_all_files(
    intake: Intake, sibling: Sibling, monkeypatch: pytest.MonkeyPatch
) -> None:
    await blocking(sealed, sibling)
    looks, under_way = list[object](), uploads.under_way

    async def twice(connection: Any, spool: str) -> list[Version]:
        looks.append(spool)
        if len(looks) == 2:
            assert await blocking(sibling, "go_on") == "complete"
        return await under_way(connection, spool)

    def never(self: Spool, upload: str) -> Iterator[Path]:
        raise AssertionError

    monkeypatch.setattr(uploads, "under_way", twice)
    monkeypatch.setattr(Spool, "_sealed", never)
    assert await intake.recover_abandoned() == []
    assert len(looks) == 2


@pytest.mark.parametrize("look", [Intake.recover, Intake.recover_abandoned], ids=["start", "now and then"])
@pytest.mark.parametrize("stage", STAGES)
async def test_what_a_killed_process_held_is_a_partial(
    intake: Intake, sibling: Sibling, stage: str, look: Callable[[Intake], Any]
) -> None:
    await blocking(STAGES[stage], sibling)
    await blocking(sibling.kill)
    (words,) = await look(intake)
    assert f"{SIZE} bytes kept" in words
    partial = await the_version(intake)
    assert (partial.state, partial.size) == (VersionState.PARTIAL, SIZE)
    whole = await blocking(resume_and_complete, intake, partial, SIZE)
    assert whole.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert await look(intake) == []


@pytest.mark.parametrize(
    ("where", "what", "path"),
    [
        ("os:fsync", "kill", "/incoming/"),
        ("os:fchmod", "kill-after", "/incoming/"),
        ("os:rename", "kill", "/files/"),
        ("os:rename", "kill-after", "/files/"),
        ("gateway.spool.incoming:sync_directory", "kill-after", "/files/"),
        ("gateway.store.outbox:record", "kill", ""),
    ],
)
async def test_wherever_its_end_was_cut_off_by_a_kill_it_is_a_partial(
    intake: Intake, sibling: Sibling, where: str, what: str, path: str
) -> None:
    await blocking(sibling, "begin", SIZE)
    await blocking(sibling, "die_at", where, what, path)
    sibling.start("complete")
    await blocking(sibling.join)
    (words,) = await intake.recover()
    assert f"{SIZE} bytes kept" in words
    whole = await blocking(resume_and_complete, intake, await the_version(intake), SIZE)
    assert whole.sha256 == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("where", ["gateway.spool.holding:Hold.recover", "gateway.store.uploads:get"])
async def test_what_could_not_be_set_right_is_at_the_next_look(
    intake: Intake, sibling: Sibling, tmp_path: Path, where: str
) -> None:
    await blocking(sealed, sibling)
    await blocking(sibling.kill)
    with Faults(Fault(where, times=0)), pytest.raises(OSError, match="a test's fault"):
        await intake.recover()
    assert still_open(tmp_path) == []
    (words,) = await intake.recover_abandoned()
    assert f"{SIZE} bytes kept" in words


async def test_two_that_start_together_set_an_upload_right_once(
    intake: Intake, sibling: Sibling, make_sibling: MakeSibling
) -> None:
    await blocking(sibling, "begin", SIZE)
    await blocking(sibling.kill)
    other = make_sibling()
    theirs, ours = await asyncio.gather(blocking(other, "recover"), intake.recover())
    assert len(theirs + ours) <= 1
    assert len(theirs + ours + await intake.recover()) == 1
    assert (await the_version(intake)).state is VersionState.PARTIAL


async def test_a_file_without_a_row_is_swept_only_when_nobody_holds_it(intake: Intake, sibling: Sibling) -> None:
    upload = await blocking(sibling, "begin", 10)
    os.utime(intake.spool.incoming_path(upload), (0, 0))
    assert await intake.recover() == []
    await blocking(sibling.kill)
    assert [words.partition(":")[0] for words in await intake.recover()] == [upload]
    assert list(intake.spool.all_incoming()) == []


async def test_a_partial_whose_row_came_while_we_looked_is_not_swept(intake: Intake, sibling: Sibling) -> None:
    upload = await blocking(sibling, "begin", 10)
    assert await blocking(sibling, "keep") == 10
    os.utime(intake.spool.incoming_path(upload), (0, 0))

    async def knows(connection: Any) -> set[str]:
        return set()

    with pytest.MonkeyPatch.context() as before:
        before.setattr(files, "known", knows)
        assert await intake.recover() == []
    assert intake.spool.size_of_incoming(upload) == 10


async def test_who_resumes_has_the_process_let_go_that_holds_the_upload(intake: Intake, sibling: Sibling) -> None:
    await blocking(sibling, "begin", SIZE)
    intake._ask = lambda upload: sibling("let_go", upload)
    whole = await blocking(resume_and_complete, intake, await the_version(intake), SIZE)
    assert whole.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert await blocking(sibling, "write", 10) == "Fenced"
    assert await blocking(sibling, "keep") is None
    assert await the_version(intake) == whole


async def test_what_another_process_is_just_completing_is_complete_and_not_resumed(
    intake: Intake, sibling: Sibling
) -> None:
    await blocking(sealed, sibling)
    version = await the_version(intake)
    resuming = asyncio.create_task(blocking(intake.resume, version, source(), SIZE))
    assert await blocking(sibling, "go_on") == "complete"
    with pytest.raises(LookupError):
        await resuming
    assert (await the_version(intake)).state is VersionState.COMPLETE


async def test_what_is_about_to_complete_here_gets_its_row_before_it_is_let_go(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await blocking(begin_here, intake)
    sealing, asked, fenced = threading.Event(), threading.Event(), threading.Event()
    sha256, fence = upload._incoming.sha256, intake.spool.fence

    def slow() -> str:
        sealing.set()
        assert asked.wait(PATIENCE)
        return sha256()

    def noted(upload: str) -> None:
        fence(upload)
        fenced.set()

    monkeypatch.setattr(upload._incoming, "sha256", slow)
    monkeypatch.setattr(intake.spool, "fence", noted)
    completing = asyncio.create_task(blocking(upload.complete, "close_notify"))
    await blocking(sealing.wait, PATIENCE)
    intake.let_go(upload.id)
    assert not await blocking(fenced.wait, 0.1)
    asked.set()
    assert (await completing).version.state is VersionState.COMPLETE
    assert await blocking(fenced.wait, PATIENCE)


def begin_here(intake: Intake) -> Upload:
    upload = intake.begin(source())
    feed(upload, CONTENT[:SIZE])
    assert upload._row is not None
    upload._row.result()
    return upload


@pytest.mark.parametrize("stage", STAGES)
async def test_who_is_not_let_go_of_disturbs_nobody(intake: Intake, sibling: Sibling, stage: str) -> None:
    await blocking(STAGES[stage], sibling)
    before, asked = await the_version(intake), list[str]()
    intake._ask, intake._patience = asked.append, 0.2
    with pytest.raises(Fenced):
        await blocking(intake.resume, before, source(), SIZE)
    assert asked == ([] if stage.startswith("sealed") else [before.id])
    assert await the_version(intake) == before
    if stage == "receiving":
        assert await blocking(sibling, "write", 10) == SIZE + 10
        assert await blocking(sibling, "complete") == "complete"
    else:
        assert await blocking(sibling, "go_on") in ("complete", SIZE)


async def test_beyond_its_end_nobody_is_asked_to_let_go(intake: Intake, sibling: Sibling) -> None:
    await blocking(sibling, "begin", SIZE)
    asked = list[str]()
    intake._ask = asked.append
    with pytest.raises(ValueError, match=f"{SIZE} bytes, not {SIZE + 1}"):
        await blocking(intake.resume, await the_version(intake), source(), SIZE + 1)
    assert asked == []
    assert await blocking(sibling, "write", 10) == SIZE + 10


async def test_a_resumption_waits_for_a_flush_that_is_under_way(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a copy of the old session's descriptor, and the lock lasts as long as that."""
    flushing, flushed, fdatasync = threading.Event(), threading.Event(), os.fdatasync

    def slow(fd: int) -> None:
        flushing.set()
        assert flushed.wait(PATIENCE)
        fdatasync(fd)

    old = await blocking(begin_here, intake)
    monkeypatch.setattr(os, "fdatasync", slow)
    flush = intake.flusher.submit(old._flush)
    await blocking(flushing.wait, PATIENCE)
    intake._ask = lambda upload: flushed.set()  # it has found that nobody here holds it, and yet it is held
    whole = await blocking(resume_and_complete, intake, await the_version(intake), SIZE)
    assert whole.sha256 == hashlib.sha256(CONTENT).hexdigest()
    flush.result(PATIENCE)


async def test_other_uploads_go_on_while_one_is_waited_for(intake: Intake, sibling: Sibling) -> None:
    await blocking(sibling, "begin", SIZE)
    waited = threading.Event()
    intake._ask = lambda upload: waited.set()
    resuming = asyncio.create_task(blocking(intake.resume, await the_version(intake), source(), SIZE))
    await blocking(waited.wait, PATIENCE)

    def another() -> Version:
        upload = intake.begin(source("/other.bin"))
        feed(upload, b"12345")
        kept = upload.keep("RST")
        assert kept is not None
        upload = intake.resume(kept, source("/other.bin"), 5)
        return upload.complete("close_notify").version

    assert (await blocking(another)).state is VersionState.COMPLETE
    assert not resuming.done()
    await blocking(sibling.kill)
    upload = await resuming
    await blocking(upload.keep, "RST")


async def test_one_that_was_taken_over_and_ends_late_is_superseded(intake: Intake, sibling: Sibling) -> None:
    """Whatever became of its lock: the row has the last word."""
    await blocking(sealed, sibling)
    version = await the_version(intake)
    assert await intake.store.write(one_by_one(uploads.seize), (version.id, version.epoch)) is not None
    assert await intake.store.write(one_by_one(uploads.seize), (version.id, version.epoch)) is None
    assert await blocking(sibling, "go_on") == "Superseded"


async def test_what_is_still_written_to_is_purged_when_its_session_has_ended(intake: Intake, sibling: Sibling) -> None:
    await blocking(sibling, "begin", SIZE)
    await intake.store.write(one_by_one(files.remove), (ACME, "/SR-12345/logs.zip", NOON))
    later = NOON + timedelta(days=7)
    assert await purge(intake.store, intake.spool, later, timedelta(days=6)) == []
    assert await blocking(sibling, "write", 10) == SIZE + 10
    assert await blocking(sibling, "complete") == "Superseded"
    assert len(await purge(intake.store, intake.spool, later, timedelta(days=6))) == 1
    assert list(intake.spool.all_incoming()) == list(intake.spool.all_files()) == []


async def test_no_end_of_an_upload_leaves_its_file_open(
    intake: Intake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole() -> None:
        begin_here(intake).complete("close_notify")

    def again() -> None:
        assert begin_here(intake).complete("close_notify").repeats

    def broken_off() -> None:
        kept = begin_here(intake).keep("RST")
        assert kept is not None
        with pytest.raises(ValueError, match="not"):
            intake.resume(kept, source(), SIZE + 1)
        with Faults(Fault("os:lseek")), pytest.raises(OSError, match="a test's fault"):
            intake.resume(kept, source(), SIZE)
        intake.resume(kept, source(), SIZE).complete("close_notify")
        with pytest.raises(LookupError):
            intake.resume(kept, source(), SIZE)

    def taken_over() -> None:
        old = begin_here(intake)
        version = intake.submit(intake.version(old.id)).result()
        new = intake.resume(version, source(), 10)
        assert old.keep("RST") is None
        assert new.keep("RST") is not None

    def removed() -> None:
        upload = begin_here(intake)
        intake.submit(intake.store.write(one_by_one(files.remove), (ACME, "/SR-12345/logs.zip", NOON))).result()
        with pytest.raises(endings.Superseded):
            upload.complete("close_notify")

    def not_sealed() -> None:
        upload = begin_here(intake)
        with Faults(Fault("os:rename", "ENOSPC", path="/files/")), pytest.raises(OSError, match="No space"):
            upload.complete("close_notify")
        assert upload.keep("failed") is not None

    def no_row() -> None:
        upload = begin_here(intake)
        with Faults(Fault("gateway.store.endings:settle", "EIO", times=0)):
            with pytest.raises(OSError, match="a test's fault"):
                upload.complete("close_notify")
            with pytest.raises(OSError, match="a test's fault"):
                upload.keep("failed")

    def row_unknown() -> None:
        upload = begin_here(intake)
        faults = Faults(
            Fault("gateway.store.endings:settle", "EIO"), Fault("gateway.store.uploads:get", "EIO", times=0)
        )
        with faults, pytest.raises(OSError, match="a test's fault"):
            upload.complete("close_notify")

    def refused() -> None:
        intake.begin(source()).discard()
        assert intake.begin(source()).keep("RST") is None

    for way in (whole, again, broken_off, taken_over, removed, not_sealed, no_row, row_unknown, refused):
        await blocking(way)
        await eventually(lambda: not still_open(tmp_path), f"nothing is open: {way.__name__}")
    assert len(await intake.recover()) == 2, "no_row and row_unknown"
    assert still_open(tmp_path) == []


def test_whoever_holds_a_sealed_file_keeps_it_as_it_is(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(b"12345"))
    made = incoming.seal(held=True)
    incoming.fence()
    with pytest.raises(Fenced):
        spool.hold(upload, made.sha256)
    incoming.release()
    hold = spool.hold(upload, made.sha256)
    assert hold is not None
    hold.release()
    hold.release()
    assert made.path.stat().st_mode & 0o777 == 0o400


def test_many_take_one_upload_and_one_has_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    upload = new_id()
    spool.begin(upload).keep()

    def take(_: int) -> int:
        try:
            hold = spool.hold(upload)
        except Fenced:
            return 0
        assert hold is not None
        return 1  # and it is never released

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(64))) == 1


def test_what_is_sealed_before_it_is_locked_is_found_under_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, flock = Spool(tmp_path), fcntl.flock
    incoming = spool.begin(upload := new_id())

    def late(fd: int, operation: int) -> None:
        monkeypatch.undo()
        incoming.seal()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    hold = spool.hold(upload, search=True)
    assert hold is not None
    assert hold.path.parent.parent == spool.files
    hold.release()


def test_what_is_put_back_while_it_is_looked_for_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    incoming = spool.begin(upload := new_id())
    incoming.seal(held=True)

    def nowhere(folder: Path) -> list[str]:
        monkeypatch.undo()
        incoming.unseal()
        incoming.keep()
        return []

    monkeypatch.setattr(os, "listdir", nowhere)
    hold = spool.hold(upload, search=True)
    assert hold is not None
    assert hold.path == spool.incoming_path(upload)
    hold.release()
