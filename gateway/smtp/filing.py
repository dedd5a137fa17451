"""The end of a message: gather the facts, decide, commit, and only then answer.

Facts, decision, ledger row, update, bytes and event are one group of the store's: twenty messages that end together
share one transaction and a handful of statements, and each decision rests on rows that nobody can change under it.
A large message is sealed in the spool first (bytes, then row), after a look whether the policy would have it at all.

Rules: every message gets exactly one row in the ledger, and its number in the run is given here, when it arrives.
A message that can't be recorded is answered 451 and its row is written with the next one's: nothing disappears. One
over which our own code fails is deferred once, and held for a person when it comes again: a defect of ours must not
make a relay bounce a customer's mail after days.
Never: a reply before the commit; a byte of a message that was refused kept.

A crash leaves a sealed file without a row (never acknowledged; ``gateway doctor`` names it), or a committed update
whose sender comes again and is told 250 for the same one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gateway import log as voices
from gateway.clock import Clock
from gateway.domain.calendar import Places
from gateway.domain.ids import new_id
from gateway.domain.policy import (
    TOLD,
    Answer,
    Authentication,
    Decision,
    Facts,
    Filed,
    Mark,
    Naming,
    Quarantined,
    Refused,
    Repeated,
    Rules,
    TryAgain,
    Verdict,
    decide,
)
from gateway.domain.records import Outcome
from gateway.domain.replies import Reply
from gateway.domain.replies import smtp as say
from gateway.domain.replies.smtp import Directions
from gateway.domain.sender import Mailbox
from gateway.domain.subject import SubjectGrammar
from gateway.smtp.envelope import POSTMASTER, Arrival
from gateway.smtp.facts import NOT_RECORDED, Item, Judge, complete, look, unread
from gateway.smtp.failures import Failures
from gateway.store import Store, Transaction, mails, quarantine, unavailable, updates

log = voices.get(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of a message."""

    verdict: Verdict
    receipt: str
    standing: mails.SrStanding | None
    before: mails.Known | None

    @property
    def outcome(self) -> Outcome:
        return _OUTCOMES[type(self.verdict.decision)]

    @property
    def keeps(self) -> bool:
        """Whether the message's bytes are kept."""
        return isinstance(self.verdict.decision, Filed | Quarantined)


_OUTCOMES: dict[type[Decision], Outcome] = {
    Filed: Outcome.FILED,
    Repeated: Outcome.REPEATED,
    Refused: Outcome.REFUSED,
    TryAgain: Outcome.DEFERRED,
    Quarantined: Outcome.QUARANTINED,
}


async def _nobody_asks(arrival: Arrival, sender: Mailbox) -> Authentication:
    return Authentication.OFF


@dataclass
class Filing:
    """Files messages for the mail door. One for a process: *run* is its life's name in the ledger."""

    store: Store
    clock: Clock
    grammar: SubjectGrammar
    rules: Rules
    regions: Mapping[str, Sequence[Directions]]
    """By alias: every region that shares it."""
    too_large: Reply
    spool: str
    """The id of the spool that large messages are sealed in."""
    next_business_moment: Callable[[str | None, datetime], datetime | None] = lambda region, at: None
    """When somebody reads the mail of a region that arrived at some moment."""
    judge: Judge = _nobody_asks
    """Whether a sender is genuine; asked about mail that may be filed."""
    filed: Callable[[], None] = lambda: None
    """Called after the commit of a new update: somebody is to look inside."""
    places: Places = field(default_factory=Places)
    """Where accounts are at home: an agreement ends with the day there."""
    postmaster_most: int = 100
    """Mails to the postmaster that are held at once."""
    failures: Failures = field(default_factory=Failures)
    """What failed before, in any process of the door."""
    run: str = field(default_factory=new_id)
    sequence: int = 0
    _owed: list[Item] = field(default_factory=list)
    _paying: asyncio.Task[None] | None = None

    async def __call__(self, arrival: Arrival) -> Reply:
        """Settle one message and return the reply to it. Never raises but for a defect of ours."""
        self.sequence += 1
        number = self.sequence
        letter = arrival.letter
        await letter.settle()
        try:
            item = await look(arrival, number, self.clock.now(), self.grammar, self.judge)
        except Exception as defect:  # of ours; the sender keeps the message, the ledger gets its row
            if (held := await self._hold(arrival, number, defect)) is not None:
                return held
            self._owed.append(unread(arrival, number, self.clock.now()))
            raise
        try:
            settled = await self._settle(item)
        except Exception as failure:
            log.exception("a message could not be recorded", id=letter.id)
            if not unavailable(failure) and (held := await self._hold(arrival, number, failure)) is not None:
                return held
            self._owed.append(replace(item, forced=NOT_RECORDED, raw=None))
            if not unavailable(failure):  # else it may have been committed all the same
                await letter.remove()
            return say.STORE_BUSY
        if self._owed and self._paying is None:
            self._paying = asyncio.create_task(self._pay())
        reply = self._reply(item, settled)
        log.info(
            "message settled",
            id=letter.id,
            outcome=settled.outcome.value,
            row=settled.verdict.row,
            sr=item.sr,
            sender=item.facts.sender,
            peer=arrival.peer.address,
            size=letter.size,
            code=reply.code,
        )
        if settled.outcome is Outcome.FILED and item.body is None:
            self.filed()
        return reply

    async def close(self) -> None:
        """Write the rows that are still owed."""
        if self._paying is not None:
            await self._paying
        await self._pay()

    async def _hold(self, arrival: Arrival, sequence: int, defect: Exception) -> Reply | None:
        """Hold a message over which we failed before, for a person; None: it is the first time, or can't be done."""
        if not self.failures.again(arrival):
            return None
        letter = arrival.letter
        facts = Facts(naming=Naming.ABSENT, sender=None, fault=letter.fault, defect=True)
        item = replace(
            unread(arrival, sequence, self.clock.now()), facts=facts, forced=decide(facts, self.rules), raw=letter.raw
        )
        try:
            if item.raw is not None:
                item = replace(item, sha256=hashlib.sha256(item.raw).hexdigest())
            elif letter.large:
                item = replace(item, sha256=(letter.sealed or await letter.seal()).sha256)
            settled = await self.store.write(self.settle, item)
        except Exception:
            log.exception("a message that failed twice can't be held and is deferred", id=letter.id)
            return None
        log.error("a message failed twice and is held", id=letter.id, peer=arrival.peer.address, defect=repr(defect))
        return self._reply(item, settled)

    # --- decision and commit -----------------------------------------------------------------------------------------

    async def _settle(self, item: Item) -> Settled:
        letter = item.arrival.letter
        if not letter.large:
            return await self.store.write(self.settle, item)
        async with self.store.glance() as connection:  # what counts is decided again in the transaction
            [settled] = await self._decide(connection, [item])
        if not settled.keeps:
            await letter.discard()
            return await self.store.write(self.settle, replace(item, forced=settled.verdict))
        sealed = await letter.seal()
        settled = await self.store.write(self.settle, replace(item, sha256=sealed.sha256))
        if not settled.keeps:
            await letter.remove()
        return settled

    async def settle(self, tx: Transaction, items: Sequence[Item]) -> list[Settled | Exception]:
        """The store's verb: decide about all the messages that wait, and write every row they need."""
        decided = await self._decide(tx, items)
        pairs = list(zip(items, decided, strict=True))
        await mails.record(
            tx,
            [self._ledger_row(item, settled) for item, settled in pairs],
            {item.id: item.raw for item, settled in pairs if settled.keeps and item.raw is not None},
        )
        await updates.file(tx, [self._update(*pair) for pair in pairs if pair[1].outcome is Outcome.FILED])
        return [*decided]

    async def _decide(self, connection: Transaction, items: Sequence[Item]) -> list[Settled]:
        """The verdicts about several messages, from one look at the store for all of them."""
        pairs = {item.identity for item in items if item.identity is not None}
        known = await mails.known(connection, pairs)
        numbers = {item.sr for item in items if item.sr is not None}
        senders = {item.facts.sender for item in items if item.facts.sender is not None}
        standings = await mails.standings(connection, numbers, senders) if numbers else {}
        held = await quarantine.count(connection, POSTMASTER) if any(item.facts.postmaster for item in items) else 0
        decided = []
        for item in items:
            standing = standings.get(item.sr or "")
            before = known.get(item.identity) if item.identity is not None else None
            full = item.facts.postmaster and held >= self.postmaster_most
            verdict = item.forced or decide(complete(item, standing, before, full, self.places), self.rules)
            held += verdict.row == POSTMASTER
            settled = Settled(verdict, item.id, standing, before)
            if settled.keeps and item.identity is not None:
                # It may wait twice in this very group.
                known[item.identity] = mails.Known(item.id, item.sr, settled.outcome is Outcome.FILED)
            decided.append(settled)
        return decided

    def _ledger_row(self, item: Item, settled: Settled) -> dict[str, Any]:
        letter = item.arrival.letter
        kept = mails.KEPT_NOWHERE
        if settled.keeps:
            kept = mails.KEPT_IN_ROW if item.raw is not None else mails.KEPT_IN_SPOOL
        return {
            "id": item.id,
            "run": self.run,
            "sequence": item.sequence,
            "received_at": item.at,
            "peer": item.arrival.peer.address,
            "envelope_from": item.arrival.sender,
            "recipients": list(item.arrival.recipients),
            "sender": item.facts.sender,
            "subject": item.subject,
            "message_id": item.message_id,
            "content_key": item.content_key,
            "size": letter.size,
            "sha256": item.sha256,
            "kept": kept,
            "spool": self.spool if kept == mails.KEPT_IN_SPOOL else None,
            "outcome": settled.outcome.value,
            "code": self._reply(item, settled).code,
            "reason": settled.verdict.row,
            "sr": item.sr,
            "marks": list(settled.verdict.marks),
            "repeats": settled.before.id if settled.before and settled.outcome is Outcome.REPEATED else None,
        }

    def _update(self, item: Item, settled: Settled) -> updates.New:
        standing = settled.standing
        assert standing is not None
        assert item.facts.sender is not None
        return updates.New(
            id=item.id,
            mail_id=item.id,
            sr=standing.number,
            account_id=standing.account_id,
            sender=item.facts.sender,
            subject=item.subject,
            received_at=item.at,
            marks=settled.verdict.marks,
            answers=standing.waits_for_customer and Mark.AUTOMATIC not in settled.verdict.marks,
            next_business_moment=self.next_business_moment(standing.region, item.at),
            body=item.body,
            login=standing.login,
        )

    def _reply(self, item: Item, settled: Settled) -> Reply:
        decision = settled.verdict.decision
        if isinstance(decision, Filed):
            return say.filed(item.sr or "", item.id)
        if isinstance(decision, Quarantined):
            return say.kept(item.id)
        if isinstance(decision, Repeated):
            before = settled.before
            if before is None:
                return say.kept(item.id)
            return say.filed(before.sr, before.id) if before.sr and before.filed else say.kept(before.id)
        if decision.answer is Answer.TOO_LARGE:
            return self.too_large
        directions = self._directions(item, settled if decision.answer in TOLD else None)
        return say.answer(decision.answer, directions, sr=item.sr or "", sender=item.facts.sender or "")

    def _directions(self, item: Item, told: Settled | None) -> tuple[Directions, ...]:
        """Where the sender may turn to: the account's region for who is told details, or else all of the aliases'."""
        if told is not None and told.standing is not None and told.standing.region is not None:
            own = told.standing.region.casefold()
            for each in (each for shared in self.regions.values() for each in shared):
                if each.name.casefold() == own:
                    return (each,)
        of_aliases = {each.name: each for alias in item.arrival.recipients for each in self.regions.get(alias, ())}
        return tuple(of_aliases.values())

    async def _pay(self) -> None:
        """Record the messages that could not be recorded when they were deferred."""
        owed, self._owed = self._owed, []
        try:
            while owed:
                await self.store.write(self.settle, owed[0])
                owed.pop(0)
        except Exception:
            log.exception("deferred messages still can't be recorded", count=len(owed))
        finally:
            self._owed += owed
            self._paying = None
