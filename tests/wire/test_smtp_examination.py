"""After the 250: words and attachments are added by workers; a mail that kills one costs a mark and no other mail."""

from __future__ import annotations

import hashlib
import os
import smtplib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.records import Update
from gateway.examine.worker import Crew, Reason, WorkerDied
from gateway.smtp import examination
from gateway.smtp.filing import Filing
from gateway.spool import Spool
from gateway.testing import until
from gateway.testing.mail_door import MailDoor, mail_door

Furnished = Callable[[], AbstractContextManager[MailDoor]]


@pytest.fixture
def furnished(state: Path) -> Furnished:
    """Open the door as often as the test likes; Eva may write to SR 12345 from the first time on."""
    first = True

    @contextmanager
    def opened() -> Iterator[MailDoor]:
        nonlocal first
        with mail_door(state) as door:
            if first:
                first = False
                acme = door.add_account()
                door.add_contact("eva@example.com", acme)
                door.add_sr("12345", acme)
            yield door

    return opened


def with_attachments(subject: str = "SR# 12345 logs", *files: tuple[str, bytes]) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "eva@example.com", "support@example.com", subject
    message.set_content("Siehe Anhänge.\n")
    for name, data in files:
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message


def send(door: MailDoor, *messages: EmailMessage) -> None:
    with smtplib.SMTP(*door.address, timeout=30) as client:
        for message in messages:
            client.send_message(message)


def examined(door: MailDoor, count: int = 1) -> list[Update]:
    def done() -> list[Update]:
        found = [each for each in door.updates() if each.examined_at is not None]
        return found if len(found) == count else []

    return until(done, f"{count} updates are examined")


def test_words_and_attachments_are_added_byte_for_byte(furnished: Furnished, state: Path) -> None:
    files = [("zugriff.log", bytes(range(256)) * 700), ("../../etc/passwd", b"x"), ("größe.bin", b"")]
    with furnished() as door:
        send(door, with_attachments("SR# 12345 logs", *files))
        [update] = examined(door)
        assert update.body == "Siehe Anhänge.\n"
        assert [each.name for each in update.attachments] == ["zugriff.log", "passwd", "größe.bin"]
        for each, (_, data) in zip(update.attachments, files, strict=True):
            assert (each.size, each.sha256) == (len(data), hashlib.sha256(data).hexdigest())
            assert Spool(state).path(each.sha256, each.id).read_bytes() == data
        assert not list((state / "examine").iterdir())


def test_a_simple_mail_has_its_words_at_once_and_needs_no_worker(
    furnished: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: Crew, task: str, /, **arguments: Any) -> Any:
        raise AssertionError("a worker was asked")

    monkeypatch.setattr(Crew, "run", never)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "eva@example.com", "support@example.com", "SR# 12345"
    message.set_content("Still down.\n")
    with furnished() as door:
        send(door, message)
        [update] = door.updates()
        assert update.body == "Still down.\n"
        assert update.examined_at is not None


def test_a_mail_that_kills_its_worker_costs_one_mark_and_no_other_mail(
    furnished: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Crew.run

    async def dies_of_poison(self: Crew, task: str, /, **arguments: Any) -> Any:
        if b"poison" in Path(arguments["path"]).read_bytes():
            raise WorkerDied(Reason.MEMORY, "quotes the stranger's bytes")
        return await run(self, task, **arguments)

    monkeypatch.setattr(Crew, "run", dies_of_poison)
    poison, good = with_attachments("SR# 12345 poison", ("a", b"1")), with_attachments("SR# 12345 good", ("b", b"2"))
    with furnished() as door:
        send(door, poison, good)
        dead, alive = examined(door, 2)
        assert "unparseable" in dead.marks
        assert [(each.name, each.kind) for each in dead.attachments] == [("message.eml", "raw")]
        raw = door.raw(dead.mail_id)
        assert dead.attachments[0].sha256 == hashlib.sha256(raw).hexdigest(), "the raw mail, byte for byte"
        assert [each.name for each in alive.attachments] == ["b"]
        assert "unparseable" not in alive.marks


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"text": 5, "marks": [], "attachments": []},
        {"text": "", "marks": ["<b>"], "attachments": []},
        {"text": "", "marks": [], "attachments": [{"file": "../../store.db"}]},
        {"text": "", "marks": [], "attachments": [{"file": "0001", "name": "x"}]},
    ],
)
def test_a_workers_answer_is_not_believed(
    furnished: Furnished, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    async def lies(self: Crew, task: str, /, **arguments: Any) -> Any:
        return answer

    monkeypatch.setattr(Crew, "run", lies)
    with furnished() as door:
        send(door, with_attachments("SR# 12345", ("a", b"1")))
        [update] = examined(door)
        assert "unparseable" in update.marks
        assert [each.name for each in update.attachments] == ["message.eml"]


@pytest.mark.parametrize("second", ["the same", "a second name", "a link", "a pipe", "a folder"])
def test_a_worker_gives_away_only_files_of_its_own(
    furnished: Furnished, state: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    """They are moved into the spool: nobody else may have a name for them there."""
    secret = state / "secret"
    secret.write_bytes(b"not yours")

    async def lies(self: Crew, task: str, /, into: str, **arguments: Any) -> Any:
        one, two = Path(into) / "0001", Path(into) / "0002"
        one.write_bytes(b"1")
        match second:
            case "a second name":
                two.hardlink_to(secret)
            case "a link":
                two.symlink_to(secret)
            case "a pipe":
                os.mkfifo(two)
            case "a folder":
                two.mkdir()
        facts = {"name": "x", "original": None, "content_type": "text/plain", "kind": "attachment"}
        files = ["0001", "0001" if second == "the same" else "0002"]
        return {"text": "", "marks": [], "attachments": [{"file": file, **facts} for file in files]}

    monkeypatch.setattr(Crew, "run", lies)
    with furnished() as door:
        send(door, with_attachments("SR# 12345", ("a", b"1")))
        [update] = examined(door)
        assert "unparseable" in update.marks
        assert [each.name for each in update.attachments] == ["message.eml"]
    assert secret.read_bytes() == b"not yours"


def test_what_a_crash_left_unexamined_is_examined_at_the_next_start(
    furnished: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(Filing, "filed", property(lambda self: lambda: None, lambda self, value: None))
        crashing.setattr(examination, "POLL", 3600.0)
        with furnished() as door:
            until(lambda: door.folder, "it is there")
            send(door, with_attachments("SR# 12345", ("a", b"1")))
            assert door.updates()[0].examined_at is None
    with furnished() as door:
        [update] = examined(door)
        assert [each.name for each in update.attachments] == ["a"]


def test_a_disk_that_fails_while_attachments_are_kept_leaves_the_update_for_later(
    furnished: Furnished, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "RETRY", 0.0)
    adopt, failures = Spool.adopt, [OSError(28, "No space left on device")]

    def fails_once(self: Spool, path: Path, version: str) -> Any:
        if failures and path.name == "0002":
            raise failures.pop()
        return adopt(self, path, version)

    monkeypatch.setattr(Spool, "adopt", fails_once)
    monkeypatch.setattr(examination, "POLL", 0.05)
    with furnished() as door:
        send(door, with_attachments("SR# 12345", ("a", b"1"), ("b", b"2")))
        [update] = examined(door)
        assert not failures
        assert [each.name for each in update.attachments] == ["a", "b"]
        assert "unparseable" not in update.marks
        assert len(list(Spool(state).all_files())) == 2, "what was kept before it failed is gone"
