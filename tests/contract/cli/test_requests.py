"""``gateway sr``, ``update``, ``file`` and ``spool``, as the public contract has them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import show
from gateway.clock import SystemClock
from gateway.domain.ids import new_id
from gateway.intake import Intake, Source
from gateway.spool import Spool
from gateway.store import Store, Transaction, accounts, one_by_one, tables

from .conftest import Shell, execute

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def in_store(shell: Shell, work: Callable[[Store], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        store = await Store.open(f"sqlite:///{shell.home}/state/gateway.db")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def upload(shell: Shell, path: str, content: bytes, sr: str | None = None, *, cut: bool = False) -> str:
    """Put a file into the gateway as the FTPS door does; its id."""

    async def work(store: Store) -> str:
        async with store.reading() as connection:
            account = await accounts.by_login(connection, "acme")
        assert account is not None
        loop = asyncio.get_running_loop()
        intake = Intake(
            store,
            Spool(shell.home / "state"),
            SystemClock(),
            lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop),
        )

        def send() -> str:
            under_way = intake.begin(Source(account.id, account.login, path, sr))
            under_way.write(memoryview(content))
            version = under_way.keep("RST") if cut else under_way.complete("close_notify").version
            assert version is not None
            return version.id

        try:
            return await asyncio.to_thread(send)
        finally:
            intake.close()

    found: str = in_store(shell, work)
    return found


def mail(shell: Shell, sr: str, *, public: bool = False, attachment: bytes | None = None) -> str:
    """Put an update with an attachment into the store; its id."""

    async def rows(tx: Transaction, item: None) -> str:
        mail_id, update_id, part_id = new_id(), new_id(), new_id()
        await tx.execute(
            tables.mails.insert().values(
                id=mail_id, run=new_id(), sequence=1, received_at=NOW, envelope_from="ann@example.com", recipients=[],
                size=3, kept="row", outcome="filed", code=250, marks=[],
            )
        )  # fmt: skip
        await tx.execute(tables.mail_bytes.insert().values(mail_id=mail_id, raw=b"raw"))
        await tx.execute(
            tables.updates.insert().values(
                id=update_id, mail_id=mail_id, sr=sr, visibility="public" if public else "private",
                sender="ann@example.com", subject="SR# 12345 \x1b[2J answer", received_at=NOW, marks=["unverified"],
                examined_at=NOW,
            )
        )  # fmt: skip
        await tx.execute(tables.update_bodies.insert().values(update_id=update_id, body="Hello\n\x1b[31mworld"))
        if attachment is not None:
            incoming = Spool(shell.home / "state").begin(part_id)
            incoming.write(memoryview(attachment))
            sealed = incoming.seal()
            await tx.execute(
                tables.attachments.insert().values(
                    id=part_id, update_id=update_id, position=0, name="../../etc/log.txt", content_type="text/plain",
                    kind="attachment", size=sealed.size, sha256=sealed.sha256,
                    spool=Spool(shell.home / "state").id,
                )
            )  # fmt: skip
        return update_id

    found: str = in_store(shell, lambda store: store.write(one_by_one(rows), None))
    return found


# --- SRs -----------------------------------------------------------------------------------------------------------


def test_an_sr_is_logged_moved_and_listed(acme: Shell) -> None:
    shown = acme.json("sr", "show", "12345")
    assert {
        "number": "12345",
        "status": "Open/New",
        "account": "acme",
        "updates": [],
        "files": [],
    }.items() <= shown.items()
    assert acme.json("sr", "add", "7", "--account", "acme", "--status", "awaiting information")["status"] == (
        "Awaiting Information/Info Required from Customer"
    )
    assert acme.json("sr", "status", "12345", "Closed/Problem Resolved")["status"] == "Closed/Problem Resolved"
    assert [(each["number"], each["status"]) for each in acme.json("sr", "list", "--account", "acme")] == [
        ("12345", "Closed/Problem Resolved"),
        ("7", "Awaiting Information/Info Required from Customer"),
    ]
    assert acme.json("sr", "status", "12345", "Open/Tier 1")["closed"] is None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("add", "12345", "--account", "acme"), "SR 12345 exists already"),
        (("add", "1", "--account", "nobody"), "there is no account nobody"),
        (("add", "12x", "--account", "acme"), '"12x" is no SR number; the configuration allows [0-9]{1,12}'),
        (("add", "1234567890123", "--account", "acme"), "is no SR number"),
        (("add", "١٢٣", "--account", "acme"), "is no SR number"),
        (("add", "1", "--account", "acme", "--status", "Open/Old"), 'allowed for Open: "Open/New"'),
        (("status", "12345", "Finished"), '"Finished" is no status; allowed: Open, Awaiting Information'),
        (("status", "9", "Open/New"), "there is no SR 9"),
        (("show", "9"), "there is no SR 9"),
        (("list", "--account", "nobody"), "there is no account nobody"),
    ],
)
def test_what_is_wrong_with_an_sr_is_said(acme: Shell, words: tuple[str, ...], reason: str) -> None:
    said = acme("sr", *words, code=1)
    assert reason in said.err
    assert said.out == ""
    assert [each["number"] for each in acme.json("sr", "list")] == ["12345"]


def test_a_move_that_the_table_does_not_hold_changes_nothing(acme: Shell) -> None:
    acme("sr", "status", "12345", "Closed/No Response")
    said = acme("sr", "status", "12345", "Solution Proposed/Replied", code=1)
    assert "it may become: Closed, Open" in said.err
    assert acme.json("sr", "show", "12345")["status"] == "Closed/No Response"


def test_logs_sent_before_the_sr_was_logged_are_filed_when_it_is(acme: Shell) -> None:
    for name in ("/SR777_logs.zip", "/SR-777/core.gz", "/SR7777.zip", "/other.zip"):
        upload(acme, name, name.encode())
    assert len(acme.json("file", "list", "--unfiled")) == 4
    assert acme.json("sr", "add", "777", "--account", "acme")["files_matched"] == 2
    assert [each["path"] for each in acme.json("file", "list", "--sr", "777")] == ["/SR777_logs.zip", "/SR-777/core.gz"]
    assert [each["path"] for each in acme.json("file", "list", "--unfiled")] == ["/SR7777.zip", "/other.zip"]


def test_a_customer_s_view_holds_nothing_private(acme: Shell) -> None:
    private, public = mail(acme, "12345", attachment=b"secret log"), mail(acme, "12345", public=True)
    upload(acme, "/SR-12345/a.zip", b"zip", "12345")
    full, theirs = acme.json("sr", "show", "12345"), acme.json("sr", "show", "12345", "--as-customer")
    assert {each["id"] for each in full["updates"]} == {private, public}
    assert [(each["id"], each["marks"]) for each in theirs["updates"]] == [(public, [])]
    assert private not in acme("sr", "show", "12345", "--as-customer").out
    assert [each["path"] for each in theirs["files"]] == ["/SR-12345/a.zip"]


# --- updates -------------------------------------------------------------------------------------------------------


def test_updates_in_the_contract_s_shape(acme: Shell) -> None:
    update = mail(acme, "12345", attachment=b"log")
    (listed,) = acme.json("update", "list", "--sr", "12345")
    expected = {
        "id": update,
        "sr": "12345",
        "visibility": "private",
        "sender": "ann@example.com",
        "received": "2026-11-22T12:00:00Z",
        "marks": ["unverified"],
    }
    assert expected.items() <= listed.items()
    (part,) = listed["attachments"]
    assert (part["size"], part["sha256"]) == (3, hashlib.sha256(b"log").hexdigest())
    shown = acme.json("update", "show", update)
    assert expected.items() <= shown.items()
    assert shown["body"] == "Hello\n\x1b[31mworld"


def test_what_a_peer_wrote_cannot_move_the_terminal_s_cursor(acme: Shell) -> None:
    update = mail(acme, "12345")
    for words in (("update", "list", "--sr", "12345"), ("update", "show", update), ("sr", "show", "12345")):
        said = acme(*words)
        assert "\x1b" not in said.out
        assert "ann@example.com" in said.out


def test_unknown_updates(acme: Shell) -> None:
    assert "there is no update x" in acme("update", "show", "x", code=1).err
    assert "there is no SR 9" in acme("update", "list", "--sr", "9", code=1).err
    assert acme.json("update", "list", "--sr", "12345") == []


# --- files ---------------------------------------------------------------------------------------------------------


def test_files_in_the_contract_s_shape(acme: Shell) -> None:
    first = upload(acme, "/SR-12345/a.zip", b"one", "12345")
    second = upload(acme, "/SR-12345/a.zip", b"two!", "12345")
    third = upload(acme, "/b.zip", b"part", cut=True)
    listed = acme.json("file", "list")
    assert {
        "id": second,
        "account": "acme",
        "sr": "12345",
        "path": "/SR-12345/a.zip",
        "version": 2,
        "size": 4,
        "sha256": hashlib.sha256(b"two!").hexdigest(),
        "state": "complete",
    }.items() <= listed[1].items()
    assert [each["id"] for each in listed] == [first, second, third]
    assert [each["id"] for each in acme.json("file", "list", "--partial")] == [third]
    assert acme.json("file", "list", "--sr", "12345", "--account", "acme") == listed[:2]
    shown = acme.json("file", "show", first)
    assert shown["evidence"] == "close_notify"
    assert shown["state"] == "complete"


def test_a_file_on_its_way_is_listed_with_what_is_on_the_disk_for_certain(acme: Shell) -> None:
    part = upload(acme, "/b.zip", b"part", cut=True)
    execute(acme, f"UPDATE versions SET state = 'receiving', size = 0, durable_size = 4 WHERE id = '{part}'")
    [listed] = acme.json("file", "list", "--partial")
    assert (listed["state"], listed["size"]) == ("receiving", 4)


def test_an_exported_file_is_what_was_received(acme: Shell, tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192
    file = upload(acme, "/SR-12345/a b.zip", content, "12345")
    said = acme.json("file", "export", file, "--to", str(tmp_path))
    assert Path(said["path"]) == tmp_path / "a b.zip"
    assert (tmp_path / "a b.zip").read_bytes() == content
    assert said["sha256"] == hashlib.sha256(content).hexdigest()
    assert "is there already" in acme("file", "export", file, "--to", str(tmp_path), code=1).err
    acme("file", "export", file, "--to", str(tmp_path / "other"), "--replace")
    assert "No such file" in acme("file", "export", file, "--to", str(tmp_path / "no/such/x"), code=1).err


def test_an_export_puts_no_file_in_the_place_of_a_device_or_a_pipe(acme: Shell, tmp_path: Path) -> None:
    """As root, ``--to /dev/null`` would be the end of it."""
    file = upload(acme, "/SR-12345/a.zip", b"log", "12345")
    os.mkfifo(tmp_path / "pipe")
    for replace in ([], ["--replace"]):
        said = acme("file", "export", file, "--to", str(tmp_path / "pipe"), *replace, code=1).err
        assert "is no file; nothing was written" in said
    assert (tmp_path / "pipe").is_fifo()


def test_an_attachment_is_exported_under_a_harmless_name(acme: Shell, tmp_path: Path) -> None:
    mail(acme, "12345", attachment=b"log")
    (part,) = acme.json("update", "list", "--sr", "12345")[0]["attachments"]
    (tmp_path / "out").mkdir()
    acme("file", "export", part["id"], "--to", str(tmp_path / "out"))
    assert (tmp_path / "out/log.txt").read_bytes() == b"log"
    assert (tmp_path / "out/log.txt").stat().st_mode & 0o777 == 0o600, "its update is private"


def test_a_partial_can_be_exported_as_far_as_it_goes(acme: Shell, tmp_path: Path) -> None:
    file = upload(acme, "/b.zip", b"part", cut=True)
    acme("file", "export", file, "--to", str(tmp_path / "b"))
    assert (tmp_path / "b").read_bytes() == b"part"


def test_bytes_that_changed_are_not_exported_and_verify_names_them(acme: Shell, tmp_path: Path) -> None:
    good = upload(acme, "/a.zip", b"one")
    bad, gone, short = (upload(acme, f"/{name}.zip", b"12345") for name in "bcd")
    whole = {"ok": True, "checked": 4, "bytes": 18, "in_other_spools": 0, "problems": []}
    assert acme.json("spool", "verify") == whole
    where = {path.name.partition(".")[2]: path for path in (acme.home / "state/files").rglob("*") if path.is_file()}
    for file, content in ((bad, b"54321"), (short, b"1234")):
        where[file].chmod(0o600)
        where[file].write_bytes(content)
    where[gone].unlink()
    said = acme.json("spool", "verify", code=1)
    assert {each["id"]: each["what"].split(":")[0] for each in said["problems"]} == {
        bad: "holds other bytes",
        gone: "is missing",
        short: "is 4 bytes long, 5 were received",
    }
    assert "3 of 4 are not what was received" in acme("spool", "verify", code=1).err
    assert "is not what was received" in acme("file", "export", bad, "--to", str(tmp_path / "x"), code=1).err
    assert not list(tmp_path.glob("*x*"))
    acme("file", "export", good, "--to", str(tmp_path / "y"))


def test_an_unfiled_file_is_assigned(acme: Shell) -> None:
    file = upload(acme, "/logs.zip", b"one")
    acme("account", "add", "--sold-to", "Beta", "--end-user", "Beta")
    acme("sr", "add", "99", "--account", "beta")
    assert "belongs to another account" in acme("file", "assign", file, "--sr", "99", code=1).err
    assert acme.json("file", "list", "--unfiled")[0]["sr"] is None
    assert acme.json("file", "assign", file, "--sr", "12345")["sr"] == "12345"
    assert acme.json("file", "list", "--unfiled") == []
    assert acme.json("sr", "show", "12345")["files"][0]["id"] == file


def test_purge_removes_what_was_deleted_long_ago_only(acme: Shell) -> None:
    upload(acme, "/a.zip", b"one")
    assert acme.json("spool", "purge") == {"purged": 0, "partials": 0, "bytes": 0, "ids": []}
    assert acme.json("file", "list")[0]["state"] == "complete"


def test_purge_removes_partials_past_their_time(acme: Shell) -> None:
    upload(acme, "/a.zip", b"one")
    upload(acme, "/b.zip", b"half", cut=True)
    assert acme.json("spool", "purge")["partials"] == 0
    execute(acme, "UPDATE versions SET started_at = 0, ended_at = 0")
    for path in (acme.home / "state/incoming").iterdir():
        os.utime(path, (0, 0))
    purged = acme.json("spool", "purge")
    assert (purged["purged"], purged["partials"], purged["bytes"]) == (1, 1, 4)
    assert [file["state"] for file in acme.json("file", "list")] == ["complete", "deleted"]
    assert acme.json("doctor")["ok"]


def test_unknown_files(acme: Shell, tmp_path: Path) -> None:
    for words in (("show", "x"), ("export", "x", "--to", str(tmp_path)), ("assign", "x", "--sr", "12345")):
        assert "there is no file x" in acme("file", *words, code=1).err


def test_people_read_the_whole_sha256_wherever_they_read_it(acme: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(acme, "/SR-12345/a-rather-long-name-of-yesterdays-logs.tar.gz", b"one", "12345")
    digest = hashlib.sha256(b"one").hexdigest()
    assert digest in acme("sr", "show", "12345").out
    assert digest in acme("file", "list").out
    primary, secondary = os.openpty()
    monkeypatch.setenv("COLUMNS", "80")
    with os.fdopen(secondary, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        show.listing([{"path": "/" + "x" * 60, "sha256": digest}], {"path": "path", "sha256": "sha256"}, False, "none")
    raw = b""
    with suppress(OSError):  # a terminal that nobody writes to any more ends with EIO
        while block := os.read(primary, 65536):
            raw += block
    os.close(primary)
    read = raw.decode()
    assert "x" * 60 in read
    assert digest in read


def test_a_priority_is_one_of_the_four(acme: Shell) -> None:
    said = acme("sr", "add", "99", "--account", "acme", "--priority", "Urgent", code=1).err
    assert '"Urgent" is no priority; allowed: Critical, High, Medium, Low' in said
    assert acme.json("sr", "add", "99", "--account", "acme", "--priority", "Critical")["priority"] == "Critical"
