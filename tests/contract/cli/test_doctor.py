"""``gateway doctor``: finds what does not agree, changes nothing, and is quiet about what is well."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import selfsigned
from gateway.config import load
from gateway.doctor import machine
from gateway.domain.ids import new_id
from gateway.spool import Spool

from .conftest import Shell, execute
from .test_requests import mail, upload


@pytest.fixture
def whole(acme: Shell) -> Shell:
    """A gateway with one of everything, none of it wrong."""
    selfsigned.make(acme.home / "a.pem", acme.home / "a.key", ["localhost"])
    with acme.config.open("a") as config:
        config.write('[ftps]\nport = 0\ncertificate = "a.pem"\nprivate_key = "a.key"\n[smtp]\nport = 0\n')
        config.write("[spool]\nfree_disk_reserve = 0\n")
    upload(acme, "/SR-12345/a.zip", b"zip", "12345")
    upload(acme, "/SR-12345/b.zip", b"part", "12345", cut=True)
    mail(acme, "12345", attachment=b"log")
    return acme


def found(shell: Shell, code: int = 0) -> list[tuple[str, str]]:
    """(level, what) of the findings but those about the machine that runs the tests."""
    said = shell.json("doctor", code=code)
    assert said.keys() == {"ok", "findings"}
    assert said["ok"] is (code == 0)
    assert all(each.keys() == {"level", "what", "do"} and all(each.values()) for each in said["findings"])
    ours = [
        each for each in said["findings"] if "ephemeral" not in each["what"] and "no gateway serves" not in each["what"]
    ]
    bare = [each for each in ours if re.search("sealed_passwords is off|relay is not set", each["what"])]
    assert [each["level"] for each in bare] == ["info", "info"]
    return [(each["level"], each["what"]) for each in ours if each not in bare]


def files(shell: Shell) -> dict[str, Path]:
    """The spool's files by the first letters of what is in them."""
    return {path.read_text(): path for path in (shell.home / "state").rglob("*/*/*.*") if path.is_file()}


@contextmanager
def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + seconds)
        yield


def everything(folder: Path) -> dict[str, Any]:
    """Names, sizes, modes and times of all that is there, SQLite's own bookkeeping of readers left out."""
    return {
        str(path): (path.stat().st_mode, *((path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else ()))
        for path in folder.rglob("*")
        if not path.name.endswith(("-shm", "-wal", ".lock"))
    }


def test_where_all_is_well_nothing_is_found_and_nothing_changed(whole: Shell) -> None:
    before = everything(whole.home)
    assert found(whole) == []
    assert everything(whole.home) == before


def test_before_the_first_start_there_is_nothing_to_compare_and_nothing_is_made(shell: Shell) -> None:
    assert ("info", "there is no store yet") in found(shell)
    assert not (shell.home / "state").exists()


def test_a_store_that_is_gone_is_an_error_where_files_were_received(whole: Shell) -> None:
    for file in (whole.home / "state").glob("gateway.db*"):
        file.rename(whole.home / file.name)
    ((level, what),) = found(whole, code=1)
    assert level == "error"
    assert "is gone: nothing can be taken" in what


@pytest.mark.parametrize("content", ["zip", "log"])
def test_a_lost_file_is_an_error(whole: Shell, content: str) -> None:
    files(whole)[content].unlink()
    ((level, what),) = found(whole, code=1)
    assert level == "error"
    assert what.startswith("1 acknowledged files are missing from the spool")


def test_a_file_of_another_size_is_an_error(whole: Shell) -> None:
    path = files(whole)["zip"]
    path.chmod(0o600)
    path.write_text("zi")
    assert [level for level, _ in found(whole, code=1)] == ["error"]


@pytest.fixture
def other(whole: Shell, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A second gateway with a spool of its own on the first one's store, which has received nothing yet."""
    home = tmp_path_factory.mktemp("other")
    config = whole.config.read_text().replace('"a.', f'"{whole.home}/a.')
    (home / "gateway.toml").write_text(f'{config}[store]\nurl = "sqlite:///{whole.home}/state/gateway.db"\n')
    (home / "state").mkdir(0o700)
    assert Spool(home / "state").id
    return Shell(home)


def test_what_lies_in_another_hosts_spool_is_not_missed(whole: Shell, other: Shell) -> None:
    ((level, what),) = found(other)
    assert (level, what[:45]) == ("warning", "3 files lie in the spools of other hosts that")
    verified = other.json("spool", "verify")
    assert (verified["ok"], verified["checked"], verified["in_other_spools"]) == (True, 0, 3)
    assert found(whole) == [], "the first has all of it"
    assert whole.json("spool", "verify")["checked"] == 2
    files(whole)["zip"].unlink()
    assert [level for level, _ in found(other)] == ["warning"], "not its to find out"
    assert found(whole, code=1)[0][0] == "error"


def test_a_spool_whose_name_was_lost_is_no_reason_to_miss_anything(whole: Shell) -> None:
    (whole.home / "state/spool.id").unlink()
    files(whole)["zip"].unlink()
    assert [level for level, _ in found(whole, code=1)] == ["error"]


def test_bytes_without_a_row_are_no_broken_promise(whole: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files(whole)["zip"]
    stray = path.with_name(f"{path.name[:-1]}{'0' if path.name[-1] != '0' else '1'}")
    shutil.copy(path, stray)
    (whole.home / "state/incoming" / ("0" * 26)).write_text("x")
    (path.parent / "README").write_text("x")
    assert [what[:30] for _, what in found(whole)] == ["1 files in the spool are not t"], "young ones may be under way"
    with later(monkeypatch, 600):
        assert {(level, what.partition(":")[0]) for level, what in found(whole)} == {
            ("warning", "1 files in the spool belong to nothing"),
            ("warning", "1 files in the spool are not the gateway's"),
            ("info", "1 unfinished uploads belong to nothing"),
        }


def test_a_partial_without_bytes_and_an_interrupted_upload(whole: Shell) -> None:
    next((whole.home / "state/incoming").iterdir()).unlink()
    execute(whole, "UPDATE versions SET state = 'receiving' WHERE state = 'partial'")
    assert [level for level, _ in found(whole)] == ["warning", "info"]


def test_the_bytes_of_a_deleted_partial_stay_until_the_purge_and_are_no_finding(
    whole: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(whole, "UPDATE versions SET state = 'deleted' WHERE state = 'partial'")
    with later(monkeypatch, 600):
        assert found(whole) == []
        execute(whole, "UPDATE versions SET purged_at = '2027-01-05T14:00:00Z' WHERE state = 'deleted'")
        assert [what.partition(":")[0] for _, what in found(whole)] == ["1 unfinished uploads belong to nothing"]


def test_a_deleted_file_may_be_purged_already(whole: Shell) -> None:
    execute(whole, "UPDATE versions SET state = 'deleted' WHERE state = 'complete'")
    files(whole)["zip"].unlink()
    assert found(whole) == []


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM updates", "have no update"),
        ("UPDATE mails SET outcome = 'quarantined'", "not in the quarantine"),
        ("UPDATE mails SET outcome = 'refused'", "from mails that are not filed"),
        ("DELETE FROM mail_bytes", "their bytes are not kept"),
        ("UPDATE audit SET subject = 'other' WHERE sequence = 2", "broken at entry 2"),
        ("DELETE FROM audit WHERE sequence = 1", "broken at entry 1"),
    ],
)  # fmt: skip
def test_the_ledger_and_the_audit_trail_must_hold(whole: Shell, statement: str, what: str) -> None:
    execute(whole, statement)
    assert any(level == "error" and what in said for level, said in found(whole, code=1))


def test_what_waits_for_a_person_is_said(whole: Shell) -> None:
    upload(whole, "/unfiled.zip", b"x")
    execute(whole, "UPDATE accounts SET next_reset = 1", "UPDATE mails SET sequence = 5")
    assert {(level, what[:20]) for level, what in found(whole)} == {
        ("info", "1 files belong to no"),
        ("info", "4 mails were under w"),
        ("warning", "1 passwords should h"),
    }


def test_files_that_were_never_given_their_final_name_are_counted_by_account(whole: Shell) -> None:
    for name in ("c.zip.part", "D.ZIP.FilePart", "counterpart"):
        upload(whole, f"/SR-12345/{name}", name.encode(), "12345")
    upload(whole, "/SR-12345/e.part", b"half", "12345", cut=True)
    upload(whole, "/SR-12345/removed.part", b"gone", "12345")
    execute(whole, "UPDATE names SET removed_at = 1 WHERE path LIKE '%removed%'")
    assert found(whole) == []
    long_ago = int((time.time() - 25 * 3600) * 1_000_000)
    execute(whole, f"UPDATE versions SET ended_at = {long_ago}")
    said = "2 files came whole but were never given their final name, and nobody was told of them: acme 2"
    assert found(whole) == [("info", said)]


def test_accounts_that_nobody_would_be_reminded_of_are_named(whole: Shell) -> None:
    whole("account", "add", "--sold-to", "Old", "--end-user", "Old", "--agreement-ends", "2099-01-01")
    whole("contact", "grant", "ann@example.com", "old", "--access", "read-only")
    whole("account", "add", "--sold-to", "Shut", "--end-user", "Shut")
    whole("account", "disable", "shut")
    said = "accounts have no Designated Contact, whom a reset would be announced to:"
    assert found(whole) == [("info", f"1 {said} old")]
    whole("contact", "remove", "ann@example.com")
    assert found(whole) == [("info", f"2 {said} acme, old")]
    whole("account", "change", "old", "--agreement-ends", "2020-01-01")
    assert found(whole) == [("info", f"1 {said} acme")]


def test_mail_that_nobody_takes_is_said_before_it_is_parked(whole: Shell) -> None:
    def waiting(hours: float) -> str:
        created = int((time.time() - hours * 3600) * 1_000_000)
        return (
            "INSERT INTO deliveries (id, kind, target, ordering, state, attempts, next_attempt_at, created_at) "
            f"VALUES ('{new_id()}', 'mail', 'ann@example.com', 'x', 'pending', 3, {created}, {created})"
        )

    execute(whole, waiting(0.5))
    assert found(whole) == []
    execute(whole, waiting(2), waiting(3))
    ((level, what),) = found(whole)
    assert (level, what[:23]) == ("warning", "2 mails and events wait")
    advice = [each["do"] for each in whole.json("doctor")["findings"] if each["what"] == what]
    assert advice == ["gateway outbox list says why; mail goes nowhere before [outbox] relay is set"]


def test_a_damaged_database_is_an_error(whole: Shell) -> None:
    execute(whole, "PRAGMA wal_checkpoint(TRUNCATE)")
    path = whole.home / "state/gateway.db"
    content = bytearray(path.read_bytes())
    for page in range(5, len(content) // 4096, 2):
        content[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(content)
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    said = whole("doctor", "--json", code=1)
    assert "database" in said.out


def test_a_certificate_that_does_not_fit_or_ends(whole: Shell) -> None:
    selfsigned.make(whole.home / "b.pem", whole.home / "a.key", ["localhost"])
    assert any("does not belong to the key" in what for _, what in found(whole, code=1))
    selfsigned.make(whole.home / "a.pem", whole.home / "a.key", ["localhost"])
    config = load(whole.config)
    now = datetime.now(UTC)
    for days, words in ((1, []), (360, ["warning"]), (400, ["error"]), (-9, ["error"])):
        assert [f.level.value for f in machine.certificate_ends(config, now + timedelta(days=days))] == words


def test_too_little_room_on_the_disk(whole: Shell) -> None:
    text = whole.config.read_text()
    whole.config.write_text(text.replace("free_disk_reserve = 0", 'free_disk_reserve = "900 TB"'))
    assert any("free_disk_reserve" in what for _, what in found(whole, code=1))


def test_a_folder_that_everybody_may_read(whole: Shell) -> None:
    (whole.home / "state").chmod(0o755)
    ((level, what),) = found(whole)
    assert (level, "mode 755" in what) == ("warning", True)


def test_passive_ports_in_the_ephemeral_range_must_be_reserved(whole: Shell, tmp_path: Path) -> None:
    config = load(whole.config)

    def said(reserved: str, ephemeral: str = "32768\t60999") -> list[str]:
        (tmp_path / "ip_local_port_range").write_text(f"{ephemeral}\n")
        (tmp_path / "ip_local_reserved_ports").write_text(f"{reserved}\n")
        return [finding.what for finding in machine.passive_ports(config, tmp_path)]

    assert said("")[0].startswith("101 of the passive ports 60000-60100 lie in the kernel's ephemeral range")
    assert said("8080,60000-60099")[0].startswith("1 of")
    assert said("8080,60000-60100") == []
    assert said("", "1024 50000") == []


def test_a_serving_gateway_is_known_by_its_lock(whole: Shell) -> None:
    config = load(whole.config)
    assert not machine.is_serving(config)
    lock = os.open(whole.home / "state/gateway.lock", os.O_RDWR | os.O_CREAT)
    try:
        assert not machine.is_serving(config)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert machine.is_serving(config)
    finally:
        os.close(lock)


def test_a_store_newer_than_the_program(whole: Shell) -> None:
    execute(whole, "UPDATE alembic_version SET version_num = '9999'")
    said = whole("doctor", code=2)
    assert "newer than this program" in said.err


def test_for_people(whole: Shell) -> None:
    files(whole)["zip"].unlink()
    said = whole("doctor", code=1)
    assert "acknowledged files are missing" in said.out
