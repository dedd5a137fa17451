"""What the rows say of themselves: the mail ledger balances, the audit chain holds, nothing waits that should not."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

from gateway.config import Config
from gateway.doctor.finding import Finding, error, info, warning
from gateway.store import Store, accounts, audit, contacts, holdings

OVERDUE: Final = timedelta(hours=6)
"""How late a password reset may be before somebody should look why."""

LATE: Final = timedelta(hours=1)
"""How long a mail or an event may wait for its receiver before somebody should look why."""

SETTLED: Final = timedelta(days=1)
"""How long a file may have a provisional name (``….part``) before nobody will rename it any more."""


async def findings(store: Store, config: Config, now: datetime, serving: bool) -> AsyncIterator[Finding]:
    """Everything in which the rows do not agree with one another."""
    async with store.reading() as connection:
        damage = await holdings.damage(connection)
        ledger = await holdings.ledger(connection)
        broken = await audit.verify(connection)
        overdue = await accounts.due(connection, now - OVERDUE)
        waiting = await holdings.waiting(connection, now - LATE)
        unrenamed = await holdings.never_renamed(connection, now - SETTLED)
        unattended = await contacts.without_designated(connection, now.date())
    if damage:
        yield error(f"the database is damaged: {damage}", "stop the gateway and restore the database from a backup")
    for count, what in (
        (ledger.filed_without_update, "mails are filed but have no update"),
        (ledger.quarantined_without_trace, "mails are quarantined but not in the quarantine"),
        (ledger.without_bytes, "mails were acknowledged but their bytes are not kept"),
        (ledger.updates_without_mail, "updates were made from mails that are not filed"),
    ):
        if count:
            yield error(f"{count} {what}: received is not filed + refused + quarantined", "restore from a backup")
    if ledger.gaps and not serving:
        yield info(
            f"{ledger.gaps} mails were under way when the mail door was killed; none of them was answered",
            "nothing: their senders still hold them and try again",
        )
    if broken is not None:
        yield error(
            f"the audit trail is broken at entry {broken}: somebody changed or removed it, or one before it",
            "compare with a backup: gateway audit list",
        )
    if overdue and config.rotation.enabled:
        logins = ", ".join(account.login for account in overdue[:5])
        yield warning(
            f"{len(overdue)} passwords should have been reset by now: {logins}{' …' if len(overdue) > 5 else ''}",
            "see that the gateway serves (housekeeping resets them), or run gateway account rotate --due",
        )
    if waiting.parked:
        yield warning(
            f"{waiting.parked} deliveries are parked after too many failures",
            "gateway outbox list says why; gateway outbox retry ID tries again",
        )
    if waiting.late:
        yield warning(
            f"{waiting.late} mails and events wait since more than an hour ago for a receiver that does not take them",
            "gateway outbox list says why"
            + ("" if config.outbox.relay else "; mail goes nowhere before [outbox] relay is set"),
        )
    if unattended and config.rotation.enabled:
        logins = ", ".join(unattended[:5]) + (" …" if len(unattended) > 5 else "")
        yield info(
            f"{len(unattended)} accounts have no Designated Contact, whom a reset would be announced to: {logins}",
            "gateway contact grant EMAIL LOGIN --access read-write, or gateway account disable LOGIN",
        )
    if waiting.quarantined:
        yield info(f"{waiting.quarantined} mails wait in the quarantine", "gateway quarantine list")
    if waiting.unfiled:
        yield info(f"{waiting.unfiled} files belong to no SR yet", "gateway file list --unfiled; gateway file assign")
    if unrenamed:
        logins = ", ".join(f"{login} {count}" for login, count in unrenamed.most_common(5))
        yield info(
            f"{unrenamed.total()} files came whole but were never given their final name, and nobody was told of them: "
            f"{logins}{' …' if len(unrenamed) > 5 else ''}",
            "ask the customer to rename them or to send them again; gateway file list --account LOGIN, "
            "gateway file export ID",
        )
