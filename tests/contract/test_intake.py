"""Uploads from begin to receipt: what is acknowledged is durable, what is cut is a partial, nothing is overwritten."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from contract.conftest import ACME, NOON, source
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.records import Request, Version, VersionState
from gateway.intake import Intake, Receipt, Source, Upload
from gateway.recovery import Recovery
from gateway.retention import expire, purge
from gateway.spool import Fenced, Spool
from gateway.store import accounts, endings, files, one_by_one, requests, uploads
from gateway.store.tables import events, names
from gateway.testing.faults import Fault, Faults

BYTES = os.urandom(3 << 20)


async def blocking(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


def send(intake: Intake, data: bytes, where: Source | None = None) -> Receipt:
    upload = intake.begin(where or source())
    feed(upload, data)
    return upload.complete("close_notify")


def feed(upload: Upload, data: bytes) -> None:
    for start in range(0, len(data), 1 << 18):
        upload.write(memoryview(data)[start : start + (1 << 18)])


async def shown(intake: Intake, path: str = "/SR-12345/logs.zip") -> Version | None:
    async with intake.store.reading() as connection:
        return await files.newest(connection, ACME, path)


async def told(intake: Intake) -> list[str]:
    async with intake.store.reading() as connection:
        return list((await connection.execute(select(events.c.type).order_by(events.c.sequence))).scalars())


@pytest.mark.parametrize("size", [0, 10, 3 << 20])
async def test_a_receipt_speaks_of_bytes_and_row(intake: Intake, size: int) -> None:
    data = BYTES[:size]
    receipt = await blocking(send, intake, data)
    version = receipt.version
    assert (version.state, version.size, version.sr, version.number) == (VersionState.COMPLETE, size, "12345", 1)
    assert version.sha256 == hashlib.sha256(data).hexdigest()
    assert intake.spool.path(version.sha256, version.id).read_bytes() == data
    assert await shown(intake) == version
    assert await told(intake) == ["file.received", "customer_responded"]


async def test_the_same_name_again_is_a_new_version_and_keeps_the_first(intake: Intake) -> None:
    first = await blocking(send, intake, b"monday")
    second = await blocking(send, intake, b"tuesday")
    assert (first.version.number, second.version.number) == (1, 2)
    async with intake.store.reading() as connection:
        assert [v.id for v in await files.listing(connection, sr="12345")] == [first.version.id, second.version.id]
    assert intake.spool.digest(first.version.sha256, first.version.id) == first.version.sha256


async def test_uploads_that_end_together_under_one_name_are_versions_of_it(intake: Intake) -> None:
    def both() -> list[Receipt]:
        uploads = [intake.begin(source()) for _ in range(3)]
        for number, upload in enumerate(uploads):
            feed(upload, b"%d" % number)
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda upload: upload.complete("close_notify"), uploads))

    receipts = await blocking(both)
    assert sorted(receipt.version.number for receipt in receipts) == [1, 2, 3]
    assert len({receipt.version.id for receipt in receipts}) == 3


async def test_what_a_receipt_says_is_what_the_store_says(intake: Intake) -> None:
    for data in (b"first", b"second"):
        receipt = await blocking(send, intake, data)
        async with intake.store.reading() as connection:
            assert await uploads.get(connection, receipt.version.id) == receipt.version


async def test_the_same_bytes_again_are_the_same_receipt(intake: Intake) -> None:
    first = await blocking(send, intake, BYTES)
    second = await blocking(send, intake, BYTES)
    assert second.repeats
    assert second.version == first.version
    assert len(list(intake.spool.all_files())) == 1


async def test_a_cut_upload_is_a_partial_and_resumes_to_the_right_hash(intake: Intake) -> None:
    def cut() -> Version | None:
        upload = intake.begin(source())
        feed(upload, BYTES[:2_000_000])
        return upload.keep("fin without close_notify")

    partial = await blocking(cut)
    assert (partial.state, partial.size) == (VersionState.PARTIAL, 2_000_000)
    assert await told(intake) == ["file.incomplete"]

    def resume() -> Receipt:
        upload = intake.resume(partial, source(), 2_000_000)
        feed(upload, BYTES[2_000_000:])
        return upload.complete("close_notify")

    receipt = await blocking(resume)
    assert receipt.version.id == partial.id
    assert receipt.version.sha256 == hashlib.sha256(BYTES).hexdigest()


async def test_the_session_that_was_fenced_can_neither_write_nor_settle(intake: Intake) -> None:
    def race() -> Receipt:
        old = intake.begin(source())
        feed(old, BYTES[:2_000_000])
        version = intake.submit(one_version(intake)).result()
        new = intake.resume(version, source(), 2_000_000)
        with pytest.raises(Fenced):
            old.write(memoryview(b"late"))
        assert old.keep("reset") is None
        feed(new, BYTES[2_000_000:])
        return new.complete("close_notify")

    receipt = await blocking(race)
    assert receipt.version.sha256 == hashlib.sha256(BYTES).hexdigest()


async def one_version(intake: Intake) -> Version:
    async def nothing(tx: AsyncConnection, item: None) -> None:
        """Durable after all that was submitted before it."""

    await intake.store.write(one_by_one(nothing), None)
    async with intake.store.reading() as connection:
        (version,) = await files.listing(connection)
        return version


async def test_a_damaged_upload_stays_resumable(intake: Intake) -> None:
    def damaged() -> Receipt:
        upload = intake.begin(source())
        feed(upload, BYTES[:2_000_000])
        return upload.complete("close_notify", damaged=True, inspection={"words": "zip: truncated"})

    first = (await blocking(damaged)).version
    assert first.state is VersionState.DAMAGED
    assert await told(intake) == ["file.damaged"]

    def resume() -> Receipt:
        upload = intake.resume(first, source(), 2_000_000)
        feed(upload, BYTES[2_000_000:])
        return upload.complete("close_notify")

    receipt = await blocking(resume)
    assert receipt.version.state is VersionState.COMPLETE
    assert receipt.version.sha256 == hashlib.sha256(BYTES).hexdigest()
    assert len(list(intake.spool.all_files())) == 1


async def test_beyond_its_end_nothing_is_resumed_and_nothing_changes(intake: Intake) -> None:
    def cut() -> Version | None:
        upload = intake.begin(source())
        feed(upload, b"12345")
        return upload.keep("reset")

    partial = await blocking(cut)
    with pytest.raises(ValueError, match="not 6"):
        await blocking(intake.resume, partial, source(), 6)
    assert await shown(intake) == partial


async def test_a_resumption_that_fails_leaves_a_partial(intake: Intake) -> None:
    def cut() -> Version | None:
        upload = intake.begin(source())
        feed(upload, b"12345")
        return upload.keep("reset")

    partial = await blocking(cut)
    with Faults(Fault("os:lseek")), pytest.raises(OSError, match="a test's fault"):
        await blocking(intake.resume, partial, source(), 5)
    after = await shown(intake)
    assert after is not None
    assert (after.state, after.size) == (VersionState.PARTIAL, 5)


async def test_what_is_written_anew_is_not_durable_any_more(intake: Intake) -> None:
    """Power fails after a resumption at a lower offset: beyond it may be garbage, which nobody may resume upon."""

    def cut() -> Version | None:
        upload = intake.begin(source())
        feed(upload, b"12345")
        return upload.keep("reset")

    upload = await blocking(intake.resume, await blocking(cut), source(), 2)
    upload.write(memoryview(b"xy"))
    upload._incoming.fence()
    await Recovery(intake.store, intake.spool, "another boot").partials("power failed")
    version = await shown(intake)
    assert version is not None
    assert version.size == 2


async def test_a_commit_whose_answer_was_lost_leaves_bytes_and_row_together(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = intake.store.post

    def lost(verb: Any, item: Any, loop: asyncio.AbstractEventLoop) -> Any:
        post(verb, item, loop).result()
        told: Future[Any] = Future()
        told.set_exception(ConnectionError("the connection broke after COMMIT"))
        return told

    monkeypatch.setattr(intake.store, "post", lost)
    with pytest.raises(ConnectionError):
        await blocking(send, intake, b"12345")
    version = await shown(intake)
    assert version is not None
    assert version.state is VersionState.COMPLETE
    assert [(id, size) for _, id, size in intake.spool.all_files()] == [(version.id, 5)]


async def test_what_a_crash_interrupted_is_a_partial_at_the_next_start(intake: Intake) -> None:
    def interrupted() -> None:
        upload = intake.begin(source())
        feed(upload, BYTES[:2_000_000])
        intake.submit(one_version(intake)).result()
        upload._incoming.fence()  # the process is gone, its row still says receiving

    await blocking(interrupted)
    (found,) = await intake.recover()
    assert "2000000 bytes kept" in found
    version = await shown(intake)
    assert version is not None
    assert (version.state, version.size) == (VersionState.PARTIAL, 2_000_000)


async def test_an_upload_under_way_on_another_host_is_left_alone(intake: Intake, tmp_path: Path) -> None:
    there = Intake(intake.store, Spool(tmp_path / "other"), intake.clock, intake.submit)

    def both() -> list[str]:
        upload = there.begin(source())
        feed(upload, BYTES)
        assert intake.submit(one_version(intake)).result().state is VersionState.RECEIVING
        found: list[str] = intake.submit(intake.recover()).result()
        assert upload.complete("close_notify").version.size == len(BYTES)
        return found

    assert await blocking(both) == []
    there.close()


async def test_what_lies_on_another_host_is_neither_purged_nor_looked_at(intake: Intake, tmp_path: Path) -> None:
    elsewhere = Spool(tmp_path / "other")
    receipt = await blocking(send, intake, b"12345", source("/x.log", None))
    async with intake.store.reading() as connection:
        assert await uploads.without_finding(connection, elsewhere.id) == []
        assert await uploads.without_finding(connection, intake.spool.id) == [receipt.version]
    await intake.store.write(one_by_one(files.remove), (ACME, "/x.log", NOON))
    assert await purge(intake.store, elsewhere, NOON + timedelta(days=7), timedelta(days=6)) == []
    assert len(await purge(intake.store, intake.spool, NOON + timedelta(days=7), timedelta(days=6))) == 1


async def test_a_resumed_file_has_no_hash_until_it_is_whole_again(intake: Intake) -> None:
    def damaged_and_resumed() -> Version:
        upload = intake.begin(source())
        feed(upload, b"12345")
        version = upload.complete("close_notify", damaged=True).version
        again = intake.resume(version, source(), 2)
        again.write(memoryview(b"xyz"))
        shown: Version = intake.submit(intake.version(version.id)).result()
        again.keep("reset")
        return shown

    assert (await blocking(damaged_and_resumed)).sha256 is None


async def test_an_upload_that_never_sent_a_byte_leaves_nothing(intake: Intake) -> None:
    assert await blocking(lambda: intake.begin(source()).keep("reset")) is None
    assert await shown(intake) is None
    assert list(intake.spool.all_incoming()) == []


async def test_an_sr_of_another_account_is_not_touched(intake: Intake) -> None:
    other = Request("777", ACME, "Open", "New", None, None, NOON, NOON)

    async def add(tx: AsyncConnection, item: None) -> None:
        await tx.execute(accounts.accounts.insert().from_select(*_copy()))
        await requests.add(tx, other)
        await requests.change(tx, "777", account_id="0" * 26)

    await intake.store.write(one_by_one(add), None)
    receipt = await blocking(send, intake, b"x", source("/777_logs.zip", "777"))
    assert receipt.version.sr is None
    assert await told(intake) == ["file.unfiled"]


def _copy() -> tuple[list[str], Any]:
    from sqlalchemy import literal

    table = accounts.accounts
    columns = list(table.c.keys())
    changed = {"id": literal("0" * 26), "login": literal("other"), "end_user": literal("Other")}
    return columns, select(*[changed.get(name, table.c[name]) for name in columns]).where(table.c.id == ACME)


async def test_what_has_a_provisional_name_is_told_of_in_the_transaction_that_renames_it(intake: Intake) -> None:
    await blocking(send, intake, b"1", source("/SR-12345/logs.zip.part"))
    await blocking(send, intake, BYTES, source("/SR-12345/logs.zip.part"))
    assert await told(intake) == []
    rename = one_by_one(files.rename)
    to = [f"/SR-12345/{name}" for name in ("logs.zip.part", "other.filepart", "logs.zip", "final.zip")]
    with Faults(Fault("gateway.store.outbox:record")), pytest.raises(OSError, match="a test's fault"):
        await intake.store.write(rename, (ACME, to[0], to[2], lambda path: "12345", NOON))
    assert await shown(intake, to[0]) is not None
    assert await told(intake) == []
    for before, after in itertools.pairwise(to):
        await intake.store.write(rename, (ACME, before, after, lambda path: "12345", NOON))
    assert await told(intake) == ["file.received", "customer_responded"] * 2
    async with intake.store.reading() as connection:
        facts = (await connection.execute(select(events.c.payload).order_by(events.c.sequence))).scalars().all()
    assert {each["file"]["path"] for each in facts if isinstance(each["file"], dict)} == {to[2]}


async def test_what_is_filed_under_an_sr_later_is_told_of_there(intake: Intake) -> None:
    """By its customer, with a rename of the file or of its folder, or by an analyst; not when it stays where it is."""
    rename = one_by_one(files.rename)

    def sr_of(path: str) -> str | None:
        return "12345" if path.startswith("/SR-12345/") else None

    for path in ("/logs.zip", "/day/one.zip", "/day/two.zip", "/analyst.zip"):
        await blocking(send, intake, path.encode(), source(path, None))
    await intake.store.write(rename, (ACME, "/logs.zip", "/renamed.zip", sr_of, NOON))
    assert await told(intake) == ["file.unfiled"] * 4
    await intake.store.write(rename, (ACME, "/renamed.zip", "/SR-12345/logs.zip", sr_of, NOON))
    assert await told(intake) == ["file.unfiled"] * 4 + ["file.received", "customer_responded"]
    await intake.store.write(rename, (ACME, "/SR-12345/logs.zip", "/SR-12345/final.zip", sr_of, NOON))
    assert len(await told(intake)) == 6
    await intake.store.write(rename, (ACME, "/day", "/SR-12345/day", sr_of, NOON))
    assert (await told(intake))[6:] == ["file.received", "customer_responded"] * 2
    version = await shown(intake, "/analyst.zip")
    assert version is not None
    for _ in range(2):  # the second time it is there already
        await intake.store.write(one_by_one(files.assign), (version.id, "12345", NOON))
    assert (await told(intake))[10:] == ["file.received", "customer_responded"]


async def test_a_partial_with_a_provisional_name_is_told_of_when_it_is_complete_and_renamed(intake: Intake) -> None:
    upload = intake.begin(source("/SR-12345/logs.zip.part"))
    feed(upload, BYTES[:100])
    partial = await blocking(upload.keep, "cut")
    await intake.store.write(
        one_by_one(files.rename), (ACME, partial.path, "/SR-12345/logs.zip", lambda path: "12345", NOON)
    )
    assert await told(intake) == ["file.incomplete"]
    upload = await blocking(intake.resume, partial, source(), 100)
    feed(upload, BYTES[100:])
    await blocking(upload.complete, "close_notify")
    assert await told(intake) == ["file.incomplete", "file.received", "customer_responded"]


async def test_a_rename_moves_the_name_with_its_versions(intake: Intake) -> None:
    await blocking(send, intake, b"1", source("/logs.zip.part", None))
    await blocking(send, intake, b"2", source("/logs.zip", None))
    item = (ACME, "/logs.zip.part", "/logs.zip", lambda path: None, NOON)
    await intake.store.write(one_by_one(files.rename), item)
    assert await shown(intake, "/logs.zip.part") is None
    version = await shown(intake, "/logs.zip")
    assert version is not None
    assert version.number == 2
    async with intake.store.reading() as connection:
        assert {(v.path, v.number) for v in await files.listing(connection)} == {("/logs.zip", 1), ("/logs.zip", 2)}
        assert len((await connection.execute(select(names))).all()) == 1


async def test_a_folder_is_removed_only_when_it_is_empty(intake: Intake) -> None:
    make, drop = one_by_one(files.make_folder), one_by_one(files.remove_folder)
    await intake.store.write(make, (ACME, "/a", NOON))
    with pytest.raises(FileExistsError):
        await intake.store.write(make, (ACME, "/a", NOON))
    await blocking(send, intake, b"x", source("/a/x.log", None))
    with pytest.raises(OSError, match="not empty"):
        await intake.store.write(drop, (ACME, "/a"))
    await intake.store.write(one_by_one(files.remove), (ACME, "/a/x.log", NOON))
    await intake.store.write(drop, (ACME, "/a"))
    async with intake.store.reading() as connection:
        assert await files.subfolders(connection, ACME, "/") == []
        (gone,) = await files.listing(connection)
        assert gone.state is VersionState.DELETED


@pytest.mark.parametrize("size", [10, len(BYTES)], ids=["small", "large"])
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
async def test_where_a_folder_was_made_meanwhile_the_file_lies_in_it(intake: Intake, size: int, cut: bool) -> None:
    """Nothing is lost, nothing is refused that was sent, and no path is both a file's and a folder's."""
    make = one_by_one(files.make_folder)

    def end(upload: Upload) -> Version:
        kept = upload.keep("RST") if cut else upload.complete("close_notify").version
        assert kept is not None
        return kept

    def begin() -> list[Upload]:
        return [intake.begin(source(path, None)) for path in ("/x.zip", "/x.zip", "/x.zip/x.zip", "/y.zip")]

    under_way = await blocking(begin)
    for number, upload in enumerate(under_way):
        await blocking(upload.write, memoryview(BYTES[number : number + min(size, 1000)]))
    for folder in ("/x.zip", "/y.zip", "/y.zip/y.zip"):
        await intake.store.write(make, (ACME, folder, NOON))
    for upload in under_way:
        await blocking(feed, upload, BYTES[upload.size : size])
    ended = await asyncio.gather(*(blocking(end, upload) for upload in under_way))
    assert [version.path for version in ended] == ["/x.zip/x.zip"] * 3 + ["/y.zip/y.zip/y.zip"]
    assert sorted(version.number for version in ended) == [1, 1, 2, 3]
    async with intake.store.reading() as connection:
        shown = {path: await files.at(connection, ACME, path) for path in ("/x.zip", "/x.zip/x.zip", "/y.zip")}
    assert {path: (folder, version is not None) for path, (folder, version) in shown.items()} == {
        "/x.zip": (True, False),
        "/x.zip/x.zip": (False, True),
        "/y.zip": (True, False),
    }


async def test_an_upload_that_was_removed_meanwhile_is_not_acknowledged(intake: Intake) -> None:
    def removed() -> None:
        upload = intake.begin(source())
        feed(upload, BYTES)
        intake.submit(intake.store.write(one_by_one(files.remove), (ACME, "/SR-12345/logs.zip", NOON))).result()
        upload.complete("close_notify")

    with pytest.raises(endings.Superseded):
        await blocking(removed)


async def test_a_deleted_file_counts_and_can_be_exported_until_its_grace_is_over(intake: Intake) -> None:
    receipt = await blocking(send, intake, b"12345", source("/x.log", None))
    kept = await blocking(send, intake, b"678", source("/y.log", None))
    await intake.store.write(one_by_one(files.remove), (ACME, "/x.log", NOON))
    later = NOON + timedelta(days=7)
    assert await purge(intake.store, intake.spool, later, timedelta(days=14)) == []
    async with intake.store.reading() as connection:
        assert await files.used(connection, ACME) == 8
    (gone,) = await purge(intake.store, intake.spool, later, timedelta(days=6))
    assert gone.id == receipt.version.id
    assert [version for _, version, _ in intake.spool.all_files()] == [kept.version.id]
    async with intake.store.reading() as connection:
        assert await files.used(connection, ACME) == 3
    assert await purge(intake.store, intake.spool, later, timedelta(days=6)) == []


async def test_a_partial_is_removed_when_nobody_went_on_with_it_for_long_enough(intake: Intake) -> None:
    now = datetime.now(UTC)

    def broken_off(path: str, written: datetime = now) -> Version:
        upload = intake.begin(source(path, None))
        feed(upload, b"12345")
        version = upload.keep("reset")
        assert version is not None
        os.utime(intake.spool.incoming / version.id, (0, written.timestamp()))
        return version

    later, fortnight = now + timedelta(days=15), timedelta(days=14)
    complete = await blocking(send, intake, b"whole", source("/again.log", None))
    again, alone = await blocking(broken_off, "/again.log"), await blocking(broken_off, "/alone.log")
    lately = await blocking(broken_off, "/lately.log", now + timedelta(days=2))  # resumed, and broke off by a crash
    resumed, missing = await blocking(broken_off, "/resumed.log"), await blocking(broken_off, "/missing.log")
    (intake.spool.incoming / missing.id).unlink()
    going_on = await blocking(intake.resume, resumed, source("/resumed.log", None), 5)

    assert await expire(intake.store, intake.spool, now + timedelta(days=13), fortnight) == []
    gone = await expire(intake.store, intake.spool, later, fortnight)
    assert {version.id for version in gone} == {again.id, alone.id, missing.id}
    assert {path.name for path in intake.spool.incoming.iterdir()} == {lately.id, resumed.id}
    assert await shown(intake, "/again.log") == complete.version
    assert await shown(intake, "/alone.log") is None
    assert (await intake.version(again.id)).state is VersionState.DELETED
    async with intake.store.reading() as connection:
        assert await files.used(connection, ACME) == len(b"whole" + b"12345" * 2)
    assert await expire(intake.store, intake.spool, later, fortnight) == []

    await blocking(feed, going_on, b"678")
    assert (await blocking(going_on.complete, "close_notify")).version.size == 8


async def test_what_no_row_knows_and_nobody_holds_is_swept_at_the_start(intake: Intake) -> None:
    def leave() -> tuple[Version | None, str, str]:
        partial = intake.begin(source())
        feed(partial, b"kept")
        crashed = intake.begin(source("/crashed", None))
        feed(crashed, b"never acknowledged")
        crashed._incoming.fence()
        live = intake.begin(source("/live", None))
        feed(live, b"under way")
        return partial.keep("reset"), crashed.id, live.id

    partial, crashed, live = await blocking(leave)
    for name, _ in intake.spool.all_incoming():
        os.utime(intake.spool.incoming_path(name), (0, 0))
    assert [words.partition(":")[0] for words in await intake.recover()] == [crashed]
    assert {name for name, _ in intake.spool.all_incoming()} == {partial.id, live}
