"""Telling Designated Contacts of a reset: 14, 7 and 1 days before, and afterwards where to look.

Rules
- One mail per contact, stage and date, listing all the accounts of theirs that are reset on that date; each once.
- Contacts with read-only access, contacts who left, disabled accounts and ended agreements hear nothing.
- What is mailed are logins, companies and dates. Never a password, never a link that opens one.
- Mails go into the outbox in the transaction that marks the stage done: a crash sends all of them later or none twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from gateway.clock import Clock
from gateway.domain import calendar
from gateway.domain.events import Event, EventType, about_account, timestamp
from gateway.domain.records import Account, Contact
from gateway.rotation.plan import Plan
from gateway.store import Store, accounts, contacts, one_by_one, outbox, reminders
from gateway.store.outbox import Mail
from gateway.store.reminders import Noticing, Reminding, Stage

BATCH = 100
_ABROAD = timedelta(days=2)
"""Instants of one date lie so far apart at most, over all time zones."""

_remind = one_by_one(reminders.remind)
_notice = one_by_one(reminders.notice)


class Reminders:
    """The rounds in which contacts are told, as one process carries them out."""

    def __init__(self, store: Store, clock: Clock, plan: Plan, *, batch: int = BATCH) -> None:
        self._store = store
        self._clock = clock
        self._plan = plan
        self._batch = batch

    async def round(self) -> bool:
        """Remind of what is due, and tell of a batch of resets; True if more is waiting. Housekeeping's job."""
        await self.remind()
        return await self.notice()

    async def remind(self) -> None:
        """Remind of everything that is due for it, batch by batch, each durable by itself."""
        now = self._clock.now()
        async with self._store.reading() as connection:
            horizon = now + timedelta(days=max(calendar.STAGES)) + _ABROAD
            coming = [each for each in await accounts.due_between(connection, now, horizon) if self._current(each, now)]
            done = await reminders.done(connection, now)
        stages = [stage for account in coming if (stage := self._stage(account, done, now)) is not None]
        by_id = {account.id: account for account in coming}
        for start in range(0, len(stages), self._batch):
            await self._remind_of(stages[start : start + self._batch], by_id, now)

    async def _remind_of(self, batch: Sequence[Stage], coming: Mapping[str, Account], now: datetime) -> None:
        async with self._store.reading() as connection:
            digests = await self._digests(connection, batch, coming)
            overtaken = await self._overtaken(connection, digests)
        mails = tuple(
            self._mail("reminder", contact, listed, f"reminder {contact.id} {day} {days}", now, days=days, day=day)
            for (contact, day, days), listed in digests.items()
            if (contact.id, day, days) not in overtaken
        )
        events = tuple(self._event(coming[stage.account_id], stage, now) for stage in batch)
        await self._store.write(_remind, Reminding(now, tuple(batch), mails, events))

    async def notice(self) -> bool:
        """Tell the contacts of a batch of resets that they are done; True if more is waiting."""
        now = self._clock.now()
        async with self._store.reading() as connection:
            waiting = await reminders.unnoticed(connection, self._batch + 1)
            batch = waiting[: self._batch]
            if not batch:
                return False
            told = {contact.id: contact for contact, _ in await contacts.designated(connection, {a for a, _ in batch})}
            theirs = await contacts.designated_for(connection, told)
            known = await accounts.by_ids(connection, {each for some in theirs.values() for each in some})
            due_dates = {due_at for _, due_at in batch}
            reset = set(await reminders.reset_on(connection, known, due_dates))
        mails = []
        for contact in told.values():
            for due_at in sorted(due_dates):
                listed = [known[each] for each in theirs[contact.id] if (each, due_at) in reset]
                listed = [account for account in listed if self._current(account, now)]
                if listed:
                    key = f"notice {contact.id} {timestamp(due_at)}.{due_at.microsecond}"
                    mails.append(self._mail("reset", contact, listed, key, now, day=self._plan.day_of(listed[0], now)))
        await self._store.write(_notice, Noticing(now, tuple(batch), tuple(mails)))
        return len(waiting) > len(batch)

    def _current(self, account: Account, now: datetime) -> bool:
        active = account.state.value == "active"
        return active and account.current_on(self._plan.day_of(account, now))

    def _stage(
        self, account: Account, done: Mapping[tuple[str, datetime], Collection[int]], now: datetime
    ) -> Stage | None:
        due = account.next_reset
        assert due is not None
        sent = done.get((account.id, due), ())
        days = calendar.stage_due(due, now, self._plan.place_of(account), sent)
        return None if days is None else Stage(account.id, due, days)

    async def _digests(
        self, connection: Any, batch: Sequence[Stage], coming: Mapping[str, Account]
    ) -> dict[tuple[Contact, date, int], list[Account]]:
        """Who is to be told of which date at which stage, and of which accounts: all that are reset on that date."""
        stage_of = {stage.account_id: stage for stage in batch}
        wanted: dict[tuple[Contact, date, int], list[Account]] = {}
        for contact, account_id in await contacts.designated(connection, stage_of):
            stage = stage_of[account_id]
            wanted.setdefault((contact, self._plan.day_of(coming[account_id], stage.due_at), stage.days), [])
        theirs = await contacts.designated_for(connection, {contact.id for contact, _, _ in wanted})
        for (contact, day, _), listed in wanted.items():
            mine = (coming[each] for each in theirs[contact.id] if each in coming)
            listed += [each for each in mine if each.next_reset and self._plan.day_of(each, each.next_reset) == day]
        return wanted

    async def _overtaken(
        self, connection: Any, digests: Iterable[tuple[Contact, date, int]]
    ) -> set[tuple[str, date, int]]:
        """Digests of a stage for which the same contact was sent a later one of the same date already."""
        later = {
            f"reminder {contact.id} {day} {each}": (contact.id, day, days)
            for contact, day, days in digests
            for each in calendar.STAGES
            if each < days
        }
        return {later[key] for key in await outbox.posted(connection, later)}

    def _mail(
        self, template: str, contact: Contact, listed: Iterable[Account], key: str, now: datetime, **facts: Any
    ) -> Mail:
        ordered = sorted(listed, key=lambda account: account.login)
        message = {
            "template": template,
            "language": self._plan.place_of(ordered[0]).language,
            "contact": contact.name,
            "telephones": list(dict.fromkeys(t for each in ordered for t in self._plan.place_of(each).telephones)),
            "accounts": [self._listed(account) for account in ordered],
            **{name: value.isoformat() if isinstance(value, date) else value for name, value in facts.items()},
        }
        return Mail(contact.email, contact.id, message, key, now)

    def _listed(self, account: Account) -> dict[str, str | None]:
        place = self._plan.place_of(account)

        def local(moment: datetime | None) -> str | None:
            return None if moment is None else moment.astimezone(place.zone).isoformat(timespec="minutes")

        return {
            "login": account.login,
            "sold_to": account.sold_to,
            "end_user": account.end_user,
            "region": account.region,
            "next_reset": local(account.next_reset),
            "former_valid_until": local(account.former_valid_until),
            "zone": str(place.zone),
        }

    def _event(self, account: Account, stage: Stage, now: datetime) -> Event:
        return about_account(
            EventType.PASSWORD_RESET_DUE,
            account.id,
            now,
            account=account.login,
            sold_to=account.sold_to,
            end_user=account.end_user,
            region=account.region,
            due=timestamp(stage.due_at),
            days=stage.days,
        )
