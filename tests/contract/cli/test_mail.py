"""``gateway update publish|move`` and ``gateway quarantine``: what an analyst does about mail."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.domain.ids import new_id
from gateway.spool import Spool
from gateway.store import Store, Transaction, audit, holdings, mails, one_by_one, quarantine, requests, updates
from gateway.store.tables import events
from gateway.store.tables import requests as requests_table

from .conftest import Shell

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

_EXAMINED = one_by_one(updates.examined)


def in_store(shell: Shell, work: Callable[[Store], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        store = await Store.open(f"sqlite:///{shell.home}/state/gateway.db")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def receive(shell: Shell, outcome: str = "filed", *, answers: bool = False, large: bool = False) -> str:
    """Put a mail about SR 12345 into the store, as the mail door does; its id, and its update's."""

    async def work(store: Store) -> str:
        async with store.reading() as connection:
            request = await requests.by_number(connection, "12345")
        assert request is not None
        mail = new_id()
        sha256 = None
        if large:
            incoming = Spool(shell.home / "state").begin(mail)
            incoming.write(memoryview(b"raw"))
            sha256 = incoming.seal().sha256
        row = {
            "id": mail,
            "run": mail,
            "sequence": 1,
            "received_at": NOON,
            "peer": "192.0.2.1",
            "envelope_from": "ann@example.com",
            "recipients": ["support@example.com"],
            "sender": "ann@example.com",
            "subject": "SR# 12345 it",
            "message_id": None,
            "content_key": None,
            "size": 3,
            "sha256": sha256,
            "kept": "spool" if large else "row",
            "outcome": outcome,
            "code": 250,
            "reason": "suspect" if outcome == "quarantined" else "update",
            "sr": "12345",
            "marks": ["unverified"],
            "repeats": None,
        }
        update = updates.New(
            mail,
            mail,
            "12345",
            request.account_id,
            "ann@example.com",
            "SR# 12345 it",
            NOON,
            ("unverified",),
            answers,
            None,
        )

        async def file(tx: Transaction, item: None) -> None:
            await mails.record(tx, [row], {} if large else {mail: b"raw"})
            await updates.file(tx, [update] if outcome == "filed" else [])

        await store.write(one_by_one(file), None)
        return mail

    return str(in_store(shell, work))


def said(shell: Shell) -> list[tuple[str, str, dict[str, Any]]]:
    """The events, in order: type, ordering, payload."""

    async def work(store: Store) -> list[Any]:
        async with store.reading() as connection:
            found = await connection.execute(select(events).order_by(events.c.sequence))
            return [(row["type"], row["ordering"], row["payload"]) for row in found.mappings()]

    return list(in_store(shell, work))


def responded(shell: Shell, number: str) -> datetime | None:
    async def work(store: Store) -> Any:
        async with store.reading() as connection:
            query = select(requests_table.c.customer_responded_at).where(requests_table.c.number == number)
            return (await connection.execute(query)).scalar()

    found: datetime | None = in_store(shell, work)
    return found


def audited(shell: Shell) -> list[tuple[str, str, dict[str, Any]]]:
    async def work(store: Store) -> list[Any]:
        async with store.reading() as connection:
            return [(entry.action, entry.subject, entry.detail) for _, entry in await audit.entries(connection)]

    return list(in_store(shell, work))


def test_an_update_is_private_until_it_is_published(acme: Shell) -> None:
    update = receive(acme)
    assert acme.json("sr", "show", "12345", "--as-customer")["updates"] == []
    assert acme.json("update", "publish", update)["visibility"] == "public"
    [seen] = acme.json("sr", "show", "12345", "--as-customer")["updates"]
    assert seen["id"] == update
    assert said(acme)[-1][:2] == ("update.published", "sr 12345")
    assert audited(acme)[-1][:2] == ("update publish", update)
    assert "public already" in acme("update", "publish", update, code=1).err


def test_an_update_that_moves_is_private_again_and_marked(acme: Shell) -> None:
    acme("sr", "add", "777", "--account", "acme")
    update = receive(acme)
    acme("update", "publish", update)
    moved = acme.json("update", "move", update, "--to", "777")
    assert (moved["sr"], moved["visibility"], moved["marks"]) == ("777", "private", ["unverified", "moved"])
    assert acme.json("update", "list", "--sr", "12345") == []
    assert acme.json("sr", "show", "777", "--as-customer")["updates"] == []
    type, ordering, payload = said(acme)[-1]
    assert (type, ordering, payload["moved_from"]) == ("update.moved", "sr 777", "12345")
    assert audited(acme)[-1] == ("update move", update, {"from": "12345", "to": "777"})


def test_quoted_history_is_folded_in_the_view_alone(acme: Shell) -> None:
    update = receive(acme)
    body = "My answer.\n\nOn Monday, Ann wrote:\n> one\n> two\n> three\n"
    in_store(acme, lambda store: store.write(_EXAMINED, updates.Inside(update, NOON, body, (), ())))
    shown = acme("update", "show", update).out
    assert "My answer." in shown
    assert "> two" not in shown
    assert "[4 lines of quoted history; --history shows them]" in shown
    assert "> two" in acme("update", "show", update, "--history").out
    assert acme.json("update", "show", update)["body"] == body


def test_moving_nowhere_is_refused(acme: Shell) -> None:
    update = receive(acme)
    assert "belongs to SR 12345 already" in acme("update", "move", update, "--to", "12345", code=1).err
    assert "no SR 999" in acme("update", "move", update, "--to", "999", code=1).err
    assert "no update" in acme("update", "move", new_id(), "--to", "12345", code=1).err
    assert acme.json("update", "show", update)["marks"] == ["unverified"]


def test_the_answer_moves_with_the_update(acme: Shell) -> None:
    """The SR that it was filed under by mistake waits for its customer again; the right one has its answer."""
    acme("sr", "add", "777", "--account", "acme", "--status", "Awaiting Information/Info Required from Customer")
    update = receive(acme, answers=True)
    assert responded(acme, "12345") == NOON
    acme("update", "move", update, "--to", "777")
    assert responded(acme, "12345") is None
    assert responded(acme, "777") == NOON
    assert [type for type, *_ in said(acme)] == [
        "update.filed",
        "customer_responded",
        "update.moved",
        "customer_responded",
    ]


def test_a_held_mail_is_listed_and_released_as_a_private_update(acme: Shell) -> None:
    mail = receive(acme, "quarantined")
    [held] = acme.json("quarantine", "list")
    assert (held["id"], held["state"], held["reason"]) == (mail, "held", "suspect")
    assert held["envelope_from"] == "ann@example.com"
    shown = acme("quarantine", "list").out
    assert all(word in shown for word in (mail, "ann@example.com", "SR# 12345 it", "suspect"))
    assert acme.json("update", "list", "--sr", "12345") == []
    assert acme.json("quarantine", "release", mail)["state"] == "released"
    [update] = acme.json("update", "list", "--sr", "12345")
    assert (update["visibility"], update["marks"]) == ("private", ["unverified", "released"])
    assert said(acme)[-1][0] == "update.filed"
    assert acme.json("quarantine", "list") == []
    assert [each["state"] for each in acme.json("quarantine", "list", "--all")] == ["released"]
    assert "was released already" in acme("quarantine", "discard", mail, code=1).err


def test_a_held_mail_may_be_released_into_another_sr(acme: Shell) -> None:
    acme("sr", "add", "777", "--account", "acme", "--status", "Closed/Problem Resolved")
    mail = receive(acme, "quarantined")
    acme("quarantine", "release", mail, "--sr", "777")
    [update] = acme.json("update", "list", "--sr", "777")
    assert update["marks"] == ["unverified", "released", "closed"]


@pytest.mark.parametrize("large", [False, True])
def test_a_held_mail_is_read_before_it_is_decided_about(acme: Shell, tmp_path: Path, large: bool) -> None:
    mail = receive(acme, "quarantined", large=large)
    said = acme.json("quarantine", "export", mail, "--to", str(tmp_path))
    written = Path(said["path"])
    assert written == tmp_path / f"{mail}.eml"
    assert written.read_bytes() == b"raw"
    assert written.stat().st_mode & 0o777 == 0o600
    assert "is there already" in acme("quarantine", "export", mail, "--to", str(written), code=1).err
    assert "No such file" in acme("quarantine", "export", mail, "--to", str(tmp_path / "no/x"), code=1).err
    assert "there is no mail" in acme("quarantine", "export", "x", "--to", str(tmp_path), code=1).err
    acme("quarantine", "discard", mail)
    assert "not kept any more" in acme("quarantine", "export", mail, "--to", str(tmp_path / "y"), code=1).err


@pytest.mark.parametrize("large", [False, True])
def test_the_mail_of_an_update_is_exported_as_it_was_received(acme: Shell, tmp_path: Path, large: bool) -> None:
    update = receive(acme, large=large)
    said = acme.json("update", "export", update, "--to", str(tmp_path))
    written = Path(said["path"])
    assert written == tmp_path / f"{update}.eml"
    assert written.read_bytes() == b"raw"
    assert (said["size"], said["sha256"]) == (3, hashlib.sha256(b"raw").hexdigest())
    assert written.stat().st_mode & 0o777 == 0o600
    assert "is there already" in acme("update", "export", update, "--to", str(written), code=1).err
    assert "there is no update" in acme("update", "export", "x", "--to", str(tmp_path), code=1).err


def test_the_mail_of_an_update_that_is_not_kept_or_lies_elsewhere_or_rotted_is_refused(
    acme: Shell, tmp_path: Path
) -> None:
    update, target = receive(acme, large=True), str(tmp_path / "x")
    [kept] = [path for path in (acme.home / "state").glob("files/*/*") if path.is_file()]
    kept.chmod(0o600)
    kept.write_bytes(b"rot")
    assert "its SHA-256 differs" in acme("update", "export", update, "--to", target, code=1).err
    kept.unlink()
    assert "not in this host's spool" in acme("update", "export", update, "--to", target, code=1).err

    async def forget(store: Store) -> None:
        await store.write(one_by_one(quarantine.forget_bytes), update)

    in_store(acme, forget)
    assert "not kept any more" in acme("update", "export", update, "--to", target, code=1).err
    assert list(tmp_path.glob("*x*")) == []


def test_a_held_mail_that_rotted_is_not_handed_out_as_if_it_were_whole(acme: Shell, tmp_path: Path) -> None:
    mail = receive(acme, "quarantined", large=True)
    [kept] = [path for path in (acme.home / "state").glob("files/*/*") if path.is_file()]
    kept.chmod(0o600)
    kept.write_bytes(b"rot")
    assert "its SHA-256 differs" in acme("quarantine", "export", mail, "--to", str(tmp_path / "x"), code=1).err
    assert list(tmp_path.glob("*x*")) == []


@pytest.mark.parametrize("large", [False, True])
def test_a_discarded_mail_loses_its_bytes_and_keeps_its_row(acme: Shell, large: bool) -> None:
    mail = receive(acme, "quarantined", large=large)
    assert acme.json("quarantine", "discard", mail)["state"] == "discarded"
    assert not [path for path in (acme.home / "state").glob("files/*/*") if path.is_file()]

    async def work(store: Store) -> tuple[Any, Any, holdings.Ledger]:
        async with store.reading() as connection:
            return (
                await mails.raw(connection, mail),
                await mails.by_id(connection, mail),
                await holdings.ledger(connection),
            )

    raw, row, ledger = in_store(acme, work)
    assert raw is None
    assert row["outcome"] == "quarantined"
    assert ledger.without_bytes == 0
    assert "was discarded already" in acme("quarantine", "release", mail, code=1).err
    assert audited(acme)[-1][:2] == ("quarantine discard", mail)
