"""What a simulated year has in it: accounts, people, moments and a relay; and the judges of what came of it."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.access import Issuer
from gateway.access.sealing import new_key, write_keys
from gateway.clock import Clock
from gateway.domain.calendar import STAGES, local_day
from gateway.domain.ids import new_id
from gateway.domain.passwords import ALPHABET
from gateway.domain.records import Access, Account, AccountState, Contact, Grant
from gateway.rotation import Plan
from gateway.store import Store, Transaction, accounts, audit, contacts, one_by_one, outbox, reminders
from gateway.testing.running import toml

NEW_YEAR = datetime(2026, 12, 20, tzinfo=UTC)
REGIONS = {"North": "America/Moncton", "Japan": "Asia/Tokyo"}


def configuration(folder: Path, regions: Mapping[str, str] = REGIONS, **more: Mapping[str, Any]) -> Path:
    """A configuration file in *folder*, with sealed passwords and these *regions* (their time zones by name)."""
    write_keys(folder / "sealing.key", [new_key()])
    region = {"alias": "support@example.com", "phone": "+1 555 0100", "web": "https://support.example.com/"}
    settings = {
        "gateway": {"state_dir": str(folder), "hostname": "gateway.example.com"},
        "regions": [{**region, "name": name, "timezone": zone} for name, zone in regions.items()],
        "rotation": {"sealed_passwords": True, "sealing_key": str(folder / "sealing.key")},
        **more,
    }
    (folder / "gateway.toml").write_text(toml(settings))
    return folder / "gateway.toml"


class Sink:
    """A relay that keeps what it takes."""

    def __init__(self) -> None:
        self.taken: dict[str, EmailMessage] = {}
        self.raw: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        from email import message_from_bytes
        from email.policy import default

        assert isinstance(envelope.content, bytes)
        self.raw.append(envelope.content)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.taken[mail["Message-ID"]] = mail
        return "250 OK"


@asynccontextmanager
async def relay(sink: Sink) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(sink, hostname="relay", loop=loop), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def populate(store: Store, plan: Plan, issuer: Issuer, chance: random.Random, count: int) -> dict[str, list[str]]:
    """Accounts in two regions, people with one account or many; whom each Designated Contact is told of."""
    made = []
    for n in range(count):
        region = chance.choice(list(REGIONS))
        account_id = new_id()
        credential = (await issuer.issue(account_id)).credential
        account = Account(
            id=account_id,
            login=f"account{n:04}",
            sold_to="Reseller",
            end_user=f"End User {n}",
            region=region,
            state=AccountState.ACTIVE,
            agreement_ends=None,
            password_hash=credential.password_hash,
            password_set_at=NEW_YEAR,
            next_reset=plan.first_reset(region, NEW_YEAR),
            sealed_password=credential.sealed_password,
            sealing_key=credential.sealing_key,
            created_at=NEW_YEAR,
        )
        made.append(account)
    people = []
    for n in range(count // 4):
        many = chance.randint(1, 3) if n else count // 2
        people.append((Contact(new_id(), f"person{n}@example.com", f"Person {n}", NEW_YEAR), chance.sample(made, many)))

    async def everything(tx: Transaction, _: None) -> None:
        for account in made:
            await accounts.add(tx, account)
        for person, known in people:
            await contacts.add(tx, person)
            for account in known:
                await contacts.grant(tx, Grant(person.id, account.id, Access.READ_WRITE, None, None, NEW_YEAR))

    await store.write(one_by_one(everything), None)
    return {person.email: [account.login for account in known] for person, known in people}


def moments(plan: Plan, chance: random.Random) -> list[datetime]:
    """When something may happen, and some moments when nothing should."""
    found = [NEW_YEAR + timedelta(days=chance.uniform(0, 366)) for _ in range(8)]
    for region in REGIONS:
        due = NEW_YEAR
        for _ in range(4):
            due = plan.first_reset(region, due)
            found += [due - timedelta(days=days) for days in STAGES]
            found += [due, due + timedelta(hours=1)]
    return sorted(found)


async def check_resets(store: Store, plan: Plan) -> list[Account]:
    """Each account was reset on the first Tuesday of each quarter, once; all is audited and nothing is left to tell."""
    async with store.reading() as connection:
        everything = await accounts.everything(connection)
        for account in everything:
            resets = await reminders.resets_of(connection, account.id)
            days = [local_day(each, plan.place_of(account)).isoformat() for each in resets]
            assert days == ["2027-01-05", "2027-04-06", "2027-07-06", "2027-10-05"], account.login
            assert account.session_epoch == 4
        assert await audit.verify(connection) is None
        assert await outbox.listed(connection) == [], "nothing waits and nothing was parked"
    return everything


async def due(store: Store, clock: Clock) -> bool:
    async with store.reading() as connection:
        return bool(await accounts.due(connection, clock.now(), limit=1))


async def unfinished(store: Store) -> bool:
    async with store.reading() as connection:
        return bool(await outbox.listed(connection, [outbox.PENDING], limit=1))


def check_mails(sink: Sink, known: dict[str, list[str]]) -> None:
    """Three reminders a contact and date, each listing every account of theirs; told of each reset afterwards."""
    reminded: Counter[tuple[str, str]] = Counter()
    told: Counter[tuple[str, str, str]] = Counter()
    for mail in sink.taken.values():
        to = mail["To"].addresses[0].addr_spec
        body = mail.get_body(("plain",))
        assert body is not None
        logins = re.findall(r"account\d{4}", body.get_content())
        day = mail["Subject"].rpartition(" on ")[2]
        if "were reset" in mail["Subject"]:
            told.update((to, day, login) for login in logins)
        else:
            assert sorted(logins) == sorted(known[to])
            reminded[to, day] += 1
    quarters = ("5 January 2027", "6 April 2027", "6 July 2027", "5 October 2027")
    assert reminded == Counter({(to, day): 3 for to in known for day in quarters})
    assert told == Counter(
        {(to, day, login): 1 for to, logins in known.items() for day in quarters for login in logins}
    )


def check_secrets(sink: Sink, logged: str, passwords: list[str]) -> None:
    """No password is in a mail or a log; looked for by its form, and each one by its text."""
    form = re.compile(rf"(?:[{ALPHABET}]{{4}}-){{6}}[{ALPHABET}]{{4}}")
    said = logged + "".join(raw.decode() for raw in sink.raw)
    assert form.search(passwords[0])
    assert form.search(said) is None
    assert not any(password in said for password in passwords)
