"""The tables: every fact the gateway keeps, in SQLAlchemy Core, the same for SQLite and PostgreSQL.

Rules: a row about something that was acknowledged is never updated in place to mean something else; what must be
unique is a constraint here, not a habit elsewhere; names of constraints are part of the interface (queries turn
them into domain errors). Times are aware UTC datetimes, kept as integer microseconds. The bytes of small mails
have a table of their own, so that scans of the facts never read them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime as integer microseconds since 1970-01-01 UTC; naive datetimes are refused."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_id = String(26)
_sequence = BigInteger().with_variant(Integer, "sqlite")  # counts by itself; only INTEGER does in SQLite

# --- who -----------------------------------------------------------------------------------------------------------

accounts = Table(
    "accounts",
    metadata,
    Column("id", _id, primary_key=True),
    Column("login", String(64), nullable=False, unique=True),
    Column("sold_to", Text, nullable=False),
    Column("end_user", Text, nullable=False),
    Column("region", Text),
    Column("state", String(16), nullable=False),
    Column("agreement_ends", Date),
    Column("password_hash", Text, nullable=False),
    Column("password_set_at", UtcTime, nullable=False),
    Column("next_reset", UtcTime),
    Column("former_hash", Text),
    Column("former_ended_at", UtcTime),
    Column("former_valid_until", UtcTime),
    Column("sealed_password", LargeBinary),
    Column("sealing_key", Text),
    Column("rotation_rule", Text),
    Column("data_binding", String(32)),
    Column("limits", JSON, nullable=False),
    Column("session_epoch", Integer, nullable=False, server_default=text("0")),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("sold_to", "end_user"),
    Index(None, "next_reset"),
)

# Written at every login, so kept away from the accounts' own rows.
account_activity = Table(
    "account_activity",
    metadata,
    Column("account_id", _id, ForeignKey("accounts.id"), primary_key=True),
    Column("last_login_at", UtcTime),
    Column("last_login_from", Text),
    Column("client", Text),
    Column("tls", Text),
    Column("last_failure_at", UtcTime),
    Column("last_failure_from", Text),
    Column("last_failure", Text),
)

contacts = Table(
    "contacts",
    metadata,
    Column("id", _id, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("removed_at", UtcTime),
)

grants = Table(
    "grants",
    metadata,
    Column("contact_id", _id, ForeignKey("contacts.id"), primary_key=True),
    Column("account_id", _id, ForeignKey("accounts.id"), primary_key=True),
    Column("access", String(16), nullable=False),
    Column("employer", Text),
    Column("approved_by", Text),
    Column("granted_at", UtcTime, nullable=False),
    Index(None, "account_id"),
)

# Failed logins and what they led to: a score that fades (domain/throttle.py), and a ban once it was too high.
bans = Table(
    "bans",
    metadata,
    Column("subject", Text, primary_key=True),  # "address 192.0.2.1" or "login acme"
    Column("score", Float, nullable=False),
    Column("struck_at", UtcTime, nullable=False),
    Column("reason", Text),
    Column("since", UtcTime),
    Column("until", UtcTime),
)

reveal_links = Table(
    "reveal_links",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("account_id", _id, ForeignKey("accounts.id"), nullable=False),
    Column("contact_id", _id, ForeignKey("contacts.id")),
    Column("sealed", LargeBinary),  # the password, under a key that only the token gives; emptied once it was shown
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
)

# --- what for ------------------------------------------------------------------------------------------------------

requests = Table(
    "requests",
    metadata,
    Column("number", Text, primary_key=True),
    Column("account_id", _id, ForeignKey("accounts.id"), nullable=False),
    Column("status", Text, nullable=False),
    Column("substatus", Text),
    Column("priority", Text),
    Column("title", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("status_changed_at", UtcTime, nullable=False),
    Column("closed_at", UtcTime),
    Column("customer_responded_at", UtcTime),
    Column("follow_up_off_until", UtcTime),
    Index(None, "account_id"),
)

# --- mail: the ledger, the bytes, the updates ----------------------------------------------------------------------

mails = Table(
    "mails",
    metadata,
    Column("id", _id, primary_key=True),
    Column("run", _id, nullable=False),  # one life of the mail door …
    Column("sequence", Integer, nullable=False),  # … counts its messages without a gap
    Column("received_at", UtcTime, nullable=False),
    Column("peer", Text),
    Column("envelope_from", Text, nullable=False),
    Column("recipients", JSON, nullable=False),
    Column("sender", Text),
    Column("subject", Text),
    Column("message_id", Text),
    Column("content_key", String(64)),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64)),
    Column("kept", String(8), nullable=False),  # "row" (mail_bytes), "spool" (files/), "none" (refused)
    Column("spool", _id),  # whose spool, where it is kept in one: hosts may share one store
    Column("outcome", String(16), nullable=False),
    Column("code", Integer, nullable=False),
    Column("reason", Text),
    Column("sr", Text),
    Column("marks", JSON, nullable=False),
    Column("repeats", _id),  # the mail that this one repeats
    UniqueConstraint("run", "sequence"),
    Index(None, "message_id"),
    Index(None, "outcome", "received_at"),
)

mail_bytes = Table(
    "mail_bytes",
    metadata,
    Column("mail_id", _id, ForeignKey("mails.id"), primary_key=True),
    Column("raw", LargeBinary, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("mail_id", _id, ForeignKey("mails.id"), primary_key=True),
    Column("state", String(16), nullable=False),  # held, released, discarded
    Column("decided_at", UtcTime),
    Column("decided_by", Text),
)

updates = Table(
    "updates",
    metadata,
    Column("id", _id, primary_key=True),
    Column("mail_id", _id, ForeignKey("mails.id"), nullable=False, unique=True),
    Column("sr", Text, ForeignKey("requests.number"), nullable=False),
    Column("visibility", String(8), nullable=False),
    Column("sender", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("marks", JSON, nullable=False),
    Column("examined_at", UtcTime),  # None: the workers have still to look inside
    Index(None, "sr"),
    Index(
        "ix_updates_unexamined",
        "id",
        sqlite_where=text("examined_at IS NULL"),
        postgresql_where=text("examined_at IS NULL"),
    ),
)

update_bodies = Table(
    "update_bodies",
    metadata,
    Column("update_id", _id, ForeignKey("updates.id"), primary_key=True),
    Column("body", Text, nullable=False),
)

attachments = Table(
    "attachments",
    metadata,
    Column("id", _id, primary_key=True),  # the version id of its bytes in the spool
    Column("update_id", _id, ForeignKey("updates.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("original", Text),
    Column("content_type", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("spool", _id, nullable=False),  # which host's spool holds the bytes
    UniqueConstraint("update_id", "position"),
)

# --- files: an account's tree ---------------------------------------------------------------------------------------

folders = Table(
    "folders",
    metadata,
    Column("id", _id, primary_key=True),
    Column("account_id", _id, ForeignKey("accounts.id"), nullable=False),
    Column("path", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("account_id", "path"),
)

# A name in the tree. A rename moves the name with its versions; a removal keeps the row with removed_at set and the
# path free for another, so uniqueness holds among the names that are still there.
names = Table(
    "names",
    metadata,
    Column("id", _id, primary_key=True),
    Column("account_id", _id, ForeignKey("accounts.id"), nullable=False),
    Column("path", Text, nullable=False),
    Column("parent", Text, nullable=False),
    Column("sr", Text, ForeignKey("requests.number")),
    Column("assigned", Integer, nullable=False, server_default=text("0")),  # 1: an analyst chose the SR
    Column("created_at", UtcTime, nullable=False),
    Column("removed_at", UtcTime),
    Index(
        "uq_names_account_id_path",
        "account_id",
        "path",
        unique=True,
        sqlite_where=text("removed_at IS NULL"),
        postgresql_where=text("removed_at IS NULL"),
    ),
    Index("ix_names_parent", "account_id", "parent"),
    Index(None, "sr"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", _id, primary_key=True),  # the upload's id and the receipt's
    Column("name_id", _id, ForeignKey("names.id"), nullable=False),
    Column("account_id", _id, ForeignKey("accounts.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64)),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("modified_at", UtcTime),
    Column("evidence", Text),
    Column("inspection", JSON),
    Column("inspected_at", UtcTime),
    Column("purged_at", UtcTime),  # its bytes are gone; the row tells what they were
    Column("client", Text),
    Column("peer", Text),
    Column("tls", Text),
    # How a partial is fenced and recovered (docs/design.md, "Partial uploads"):
    Column("epoch", Integer, nullable=False, server_default=text("1")),
    Column("durable_size", BigInteger, nullable=False, server_default=text("0")),
    Column("boot_id", String(36)),
    Column("spool", _id, nullable=False),  # which host's spool holds the bytes: two may share one store
    UniqueConstraint("name_id", "number"),
    Index(None, "account_id", "state"),
    Index(
        "ix_versions_open",
        "state",
        sqlite_where=text("state = 'receiving'"),
        postgresql_where=text("state = 'receiving'"),
    ),
    Index(
        "ix_versions_unseen",
        "ended_at",
        sqlite_where=text("state = 'complete' AND inspected_at IS NULL"),
        postgresql_where=text("state = 'complete' AND inspected_at IS NULL"),
    ),
)

# --- what the world is told -----------------------------------------------------------------------------------------

events = Table(
    "events",
    metadata,
    Column("sequence", _sequence, primary_key=True),  # the order in which they became true
    Column("id", _id, nullable=False, unique=True),  # also the idempotency key
    Column("type", Text, nullable=False),
    Column("ordering", Text, nullable=False),  # "sr 12345" or "account …": delivered in order within it
    Column("payload", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("routed_at", UtcTime),  # None: not yet turned into deliveries
    Index(
        "ix_events_unrouted",
        "sequence",
        sqlite_where=text("routed_at IS NULL"),
        postgresql_where=text("routed_at IS NULL"),
    ),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("sequence", _sequence, primary_key=True),
    Column("id", _id, nullable=False, unique=True),
    Column("event_id", _id, ForeignKey("events.id")),
    Column("kind", String(16), nullable=False),  # "webhook" or "mail"
    Column("target", Text, nullable=False),
    Column("ordering", Text, nullable=False),
    Column("message", JSON),  # what a mail needs to be rendered
    Column("unique_key", Text, unique=True),  # e.g. one digest per contact, stage and date
    Column("state", String(16), nullable=False),  # pending, delivered, parked
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", UtcTime, nullable=False),
    Column("claimed_until", UtcTime),
    Column("last_error", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("delivered_at", UtcTime),
    Index(None, "state", "next_attempt_at"),
    Index(None, "target", "ordering"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", UtcTime, nullable=False),
)

resets = Table(
    "resets",
    metadata,
    Column("account_id", _id, ForeignKey("accounts.id"), primary_key=True),
    Column("due_at", UtcTime, primary_key=True),  # never twice for the same due date
    Column("reset_at", UtcTime, nullable=False),
    Column("noticed_at", UtcTime),  # None: its contacts have still to hear of it
    Index(
        "ix_resets_unnoticed",
        "due_at",
        sqlite_where=text("noticed_at IS NULL"),
        postgresql_where=text("noticed_at IS NULL"),
    ),
)

reminders = Table(
    "reminders",
    metadata,
    Column("account_id", _id, ForeignKey("accounts.id"), primary_key=True),
    Column("due_at", UtcTime, primary_key=True),
    Column("stage", Integer, primary_key=True),  # days before; each stage once
    Column("reminded_at", UtcTime, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("origin", Text),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)

# --- what an import prepares ----------------------------------------------------------------------------------------


def _staged(table: Table) -> Table:
    """A table for rows that an import is about to add or change all at once: the same columns, and no constraint."""
    columns = [Column(column.name, column.type, nullable=True) for column in table.columns]
    return Table(
        f"staged_{table.name}",
        metadata,
        Column("import_id", _id, primary_key=True),
        Column("position", Integer, primary_key=True),
        Column("step", Integer, nullable=False),  # what happens to the row (imports.Step)
        *columns,
    )


staged_accounts = _staged(accounts)
staged_contacts = _staged(contacts)
staged_requests = _staged(requests)
staged_grants = _staged(grants)
