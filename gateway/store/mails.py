"""The ledger of received mail, the bytes of small ones, and what a decision about a mail needs to know.

Rules: one row a message whose end of data was reached, written once. The queries that a group of waiting mails needs
take all of them at once, so that twenty mails cost as many statements as one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.records import Access, AccountState, Outcome
from gateway.domain.status import AWAITING_INFORMATION, SOLUTION_PROPOSED
from gateway.store.here import prepared
from gateway.store.quarantine import DISCARDED, RELEASED
from gateway.store.tables import accounts, contacts, grants, mail_bytes, mails, quarantine, requests

KEPT_IN_ROW = "row"
KEPT_IN_SPOOL = "spool"
KEPT_NOWHERE = "none"


@dataclass(frozen=True, slots=True)
class SrStanding:
    """A Service Request with its ST/EU account, and the access that each of some senders has to it."""

    number: str
    status: str
    account_id: str
    login: str
    region: str | None
    account_active: bool
    agreement_ends: date | None
    access: Mapping[str, Access]

    @property
    def waits_for_customer(self) -> bool:
        """Whether the next word is the customer's."""
        return self.status in (AWAITING_INFORMATION, SOLUTION_PROPOSED)


# Every mail costs these statements, and making one anew takes as long as running it.
_STANDINGS = prepared(
    select(
        requests.c.number,
        requests.c.status,
        requests.c.account_id,
        accounts.c.login,
        accounts.c.region,
        accounts.c.state,
        accounts.c.agreement_ends,
    )
    .join(accounts, accounts.c.id == requests.c.account_id)
    .where(requests.c.number.in_(bindparam("numbers", expanding=True)))
)
_GRANTED = prepared(
    select(grants.c.account_id, contacts.c.email, grants.c.access)
    .join(contacts, contacts.c.id == grants.c.contact_id)
    .where(contacts.c.email.in_(bindparam("senders", expanding=True)), contacts.c.removed_at.is_(None))
)
_KNOWN = prepared(
    select(mails.c.message_id, mails.c.content_key, mails.c.outcome, mails.c.id, mails.c.sr, quarantine.c.state)
    .join(quarantine, quarantine.c.mail_id == mails.c.id, isouter=True)
    # The outcome is looked at afterwards: asked for here, SQLite would go through every mail that was ever filed.
    .where(mails.c.message_id.in_(bindparam("message_ids", expanding=True)))
)
_RECORD, _KEEP, _HOLD = mails.insert(), mail_bytes.insert(), quarantine.insert()


async def standings(
    connection: AsyncConnection, numbers: Collection[str], senders: Collection[str]
) -> dict[str, SrStanding]:
    """How the SRs with these *numbers* stand, by number, and what access *senders* (lower-case addresses) have."""
    rows = (await connection.execute(_STANDINGS, {"numbers": list(numbers)})).all()
    if not rows:
        return {}
    granted = await connection.execute(_GRANTED, {"senders": list(senders)})
    access: dict[str, dict[str, Access]] = {}
    for account_id, email, level in granted:
        access.setdefault(account_id, {})[email] = Access(level)
    return {
        number: SrStanding(
            number, status, account_id, login, region, state == AccountState.ACTIVE, ends, access.get(account_id, {})
        )
        for number, status, account_id, login, region, state, ends in rows
    }


@dataclass(frozen=True, slots=True)
class Known:
    """A mail that was received before, the SR that it names, and whether it is filed there (else it is held)."""

    id: str
    sr: str | None
    filed: bool = True


async def known(connection: AsyncConnection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Known]:
    """Those of the (Message-ID, content key) pairs that were filed before, or held and not discarded.

    Nobody will look at a discarded mail again, so its repetition is decided about anew.
    """
    if not keys:
        return {}
    found = await connection.execute(_KNOWN, {"message_ids": list({message_id for message_id, _ in keys})})
    return {
        (message_id, key): Known(id, sr, outcome == Outcome.FILED or state == RELEASED)
        for message_id, key, outcome, id, sr, state in found
        if (message_id, key) in keys and outcome in (Outcome.FILED, Outcome.QUARANTINED) and state != DISCARDED
    }


async def record(tx: AsyncConnection, rows: Sequence[Mapping[str, Any]], raws: Mapping[str, bytes]) -> None:
    """Write the ledger's *rows*, the bytes of small mails by mail id, and hold what is quarantined."""
    if not rows:
        return
    await tx.execute(_RECORD, list(rows))
    if raws:
        await tx.execute(_KEEP, [{"mail_id": mail, "raw": raw} for mail, raw in raws.items()])
    held = [{"mail_id": row["id"], "state": "held"} for row in rows if row["outcome"] == Outcome.QUARANTINED]
    if held:
        await tx.execute(_HOLD, held)


async def raw(connection: AsyncConnection, mail_id: str) -> bytes | None:
    """The bytes of a mail that is kept in its row."""
    return (await connection.execute(select(mail_bytes.c.raw).where(mail_bytes.c.mail_id == mail_id))).scalar()


async def by_id(connection: AsyncConnection, mail_id: str) -> dict[str, Any] | None:
    """One row of the ledger."""
    row = (await connection.execute(select(mails).where(mails.c.id == mail_id))).mappings().first()
    return None if row is None else dict(row)


async def ledger(connection: AsyncConnection, run: str | None = None) -> list[dict[str, Any]]:
    """The ledger's rows (of one run), in the order in which the messages ended."""
    query = select(mails).order_by(mails.c.run, mails.c.sequence)
    if run is not None:
        query = query.where(mails.c.run == run)
    return [dict(row) for row in (await connection.execute(query)).mappings()]
