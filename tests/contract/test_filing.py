"""Filing messages in groups: the same rows, replies and repeats on every database."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import update

from gateway.domain.ids import new_id
from gateway.domain.policy import Authentication, Rules
from gateway.domain.records import Access, Account, AccountState, Contact, Grant, Request, Visibility
from gateway.domain.replies import Reply
from gateway.domain.replies import smtp as say
from gateway.domain.replies.smtp import Directions
from gateway.domain.sender import Mailbox
from gateway.domain.subject import SubjectGrammar
from gateway.smtp.envelope import Arrival, Peer
from gateway.smtp.filing import Filing
from gateway.smtp.letter import SMALL, Letter
from gateway.spool import Spool
from gateway.store import (
    Store,
    Transaction,
    accounts,
    contacts,
    holdings,
    mails,
    one_by_one,
    quarantine,
    requests,
    tables,
    updates,
)
from gateway.testing import NOON, FakeClock

ALIAS = "support@example.com"
SPOOL = new_id()
EUROPE = Directions("Europe", "https://support.example.com/", ("+44 1632 960001",))


@pytest.fixture
async def filing(store: Store) -> Filing:
    """Eva may write to SR 12345, which waits for its customer."""
    account = Account(
        new_id(), "acme", "Acme", "Acme", "Europe", AccountState.ACTIVE, None, "none", NOON, None, created_at=NOON
    )
    eva = Contact(new_id(), "eva@example.com", "Eva", NOON)

    async def furnish(tx: Transaction, item: None) -> None:
        await accounts.add(tx, account)
        await contacts.add(tx, eva)
        await contacts.grant(tx, Grant(eva.id, account.id, Access.READ_WRITE, None, None, NOON))
        await requests.add(
            tx,
            Request("12345", account.id, "Awaiting Information", "Info Required from Customer", None, None, NOON, NOON),
        )

    await store.write(one_by_one(furnish), None)
    return Filing(store, FakeClock(), SubjectGrammar(), Rules(), {ALIAS: (EUROPE,)}, say.DISK_FULL, SPOOL)


class Post:
    """Hands messages to *filing*, as sessions do."""

    def __init__(self, filing: Filing, folder: Path) -> None:
        self.filing, self.spool = filing, Spool(folder)
        self.disk = ThreadPoolExecutor(2)

    async def __call__(
        self, subject: str, body: bytes = b"text\r\n", *, id: str | None = None, kind: str = "text/plain"
    ) -> Reply:
        letter = Letter(self.spool, self.disk, 10 << 20)
        head = f"From: Eva@Example.com\r\nSubject: {subject}\r\nContent-Type: {kind}\r\n"
        head += f"Message-ID: <{id}@x>\r\n" if id else ""
        await letter.take(head.encode() + b"\r\n" + body)
        return await self.filing(Arrival(Peer("192.0.2.1", "x", None), "eva@example.com", (ALIAS,), letter))


@pytest.fixture
def post(filing: Filing, tmp_path: Path) -> Post:
    return Post(filing, tmp_path)


async def test_messages_that_end_together_share_their_transactions(post: Post, store: Store) -> None:
    before = store.groups[0]
    replies = await asyncio.gather(*(post(f"SR# 12345 mail {number}") for number in range(40)))
    assert {reply.code for reply in replies} == {250}
    assert store.groups[0] - before < 20
    async with store.reading() as connection:
        filed = await updates.of_request(connection, "12345")
        rows = await mails.ledger(connection)
        counted = await holdings.ledger(connection)
    assert len(filed) == 40
    assert {update.visibility for update in filed} == {Visibility.PRIVATE}
    assert {update.body for update in filed} == {"text\n"}
    assert [row["sequence"] for row in rows] == list(range(1, 41))
    assert counted.outcomes == {"filed": 40}
    assert (counted.gaps, counted.filed_without_update, counted.without_bytes) == (0, 0, 0)


async def test_two_copies_in_one_moment_are_one_update(post: Post, store: Store) -> None:
    replies = await asyncio.gather(*(post("SR# 12345 twice", id="same") for _ in range(5)))
    assert len(set(replies)) == 1
    assert replies[0].code == 250
    async with store.reading() as connection:
        assert len(await updates.of_request(connection, "12345")) == 1
        assert sorted(row["outcome"] for row in await mails.ledger(connection)) == ["filed"] + ["repeated"] * 4


async def test_the_repetition_of_a_discarded_mail_is_decided_about_anew(post: Post, store: Store) -> None:
    await post("SR# 12345 held", id="held")

    async def hold_and_discard(tx: Transaction, item: None) -> None:
        [row] = await mails.ledger(tx)
        await tx.execute(update(tables.mails).values(outcome="quarantined"))
        await tx.execute(tables.quarantine.insert().values(mail_id=row["id"], state=quarantine.HELD))
        assert len(await mails.known(tx, [(row["message_id"], row["content_key"])])) == 1
        await quarantine.decide(tx, row["id"], quarantine.DISCARDED, NOON, "operator")

    await store.write(one_by_one(hold_and_discard), None)
    await post("SR# 12345 held", id="held")
    async with store.reading() as connection:
        assert [row["outcome"] for row in await mails.ledger(connection)] == ["quarantined", "filed"]


async def test_a_large_message_lies_in_the_spool_and_a_repeat_or_refusal_leaves_nothing_there(
    post: Post, store: Store, tmp_path: Path
) -> None:
    large = b"0123456789abcde\r\n" * (2 * SMALL // 16)

    def sealed() -> int:
        return len([path for path in (tmp_path / "files").glob("*/*") if path.is_file()])

    assert (await post("SR# 12345 large", large, id="large")).code == 250
    assert sealed() == 1
    assert (await post("SR# 12345 large", large, id="large")).code == 250
    assert (await post("no number", large)).code == 550
    assert sealed() == 1
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_another_host_looks_into_small_mails_and_leaves_large_ones_to_who_has_them(
    post: Post, store: Store
) -> None:
    """Both are multipart, so that somebody has to look inside."""
    for subject, size in (("small", 1), ("large", 2 * SMALL // 16)):
        await post(f"SR# 12345 {subject}", b"0123456789abcde\r\n" * size, kind="multipart/mixed; boundary=x")

    async def waiting(spool: str) -> list[str]:
        async with store.reading() as connection:
            found = [await updates.by_id(connection, id) for id, _ in await updates.unexamined(connection, spool)]
            return [each.subject.removeprefix("SR# 12345 ") for each in found if each is not None]

    assert await waiting(SPOOL) == ["small", "large"]
    assert await waiting(new_id()) == ["small"]


async def test_group_mates_of_a_refusal_are_filed(post: Post, store: Store) -> None:
    replies = await asyncio.gather(post("SR# 12345 good"), post("SR# 99999 bad"), post("none"), post("SR# 12345 too"))
    assert [reply.code for reply in replies] == [250, 550, 550, 250]
    assert EUROPE.line in replies[1].lines


async def test_the_quarantine_is_read_and_decided_on_every_database(post: Post, store: Store) -> None:
    await post("SR# 12345 x")
    async with store.reading() as connection:
        [row] = await mails.ledger(connection)
        assert await quarantine.everything(connection) == []
        assert await quarantine.by_id(connection, row["id"]) is None
        assert await updates.unexamined(connection, SPOOL) == []


async def test_who_is_told_details_is_sent_to_the_accounts_own_region(post: Post, store: Store) -> None:
    """Two regions share the alias; everybody else is told of both."""
    india = Directions("India", "https://in.example.com/", ("000-800",))

    async def genuine(arrival: Arrival, sender: Mailbox) -> Authentication:
        return Authentication.PASS

    async def close(tx: Transaction, item: None) -> None:
        await requests.set_status(tx, "12345", "Closed", "Problem Resolved", NOON, closed=True)

    await store.write(one_by_one(close), None)
    post.filing.regions = {ALIAS: (india, EUROPE)}
    everybody = await post("SR# 12345 x")
    post.filing.judge = genuine
    told = await post("SR# 12345 x")
    assert {india.line, EUROPE.line} <= set(everybody.lines)
    assert "closed" in told.lines[0]
    assert EUROPE.line in told.lines
    assert india.line not in told.lines
