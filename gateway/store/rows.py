"""From rows to records: the one place where a table's row becomes one of domain's frozen values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from gateway.domain.records import (
    Access,
    Account,
    AccountState,
    Attachment,
    Contact,
    Grant,
    Request,
    Update,
    Version,
    VersionState,
    Visibility,
)

Row = RowMapping | dict[str, Any]


def account(row: Row) -> Account:
    return Account(**{**dict(row), "state": AccountState(row["state"])})


def contact(row: Row) -> Contact:
    return Contact(**dict(row))


def grant(row: Row) -> Grant:
    return Grant(**{**dict(row), "access": Access(row["access"])})


def request(row: Row) -> Request:
    return Request(**{name: row[name] for name in _REQUEST})


def attachment(row: Row) -> Attachment:
    return Attachment(**{name: row[name] for name in _ATTACHMENT})


def update(row: Row, body: str | None, attachments: tuple[Attachment, ...]) -> Update:
    return Update(
        **{
            **dict(row),
            "visibility": Visibility(row["visibility"]),
            "marks": tuple(row["marks"]),
            "body": body,
            "attachments": attachments,
        }
    )


def version(row: Row) -> Version:
    """A row of versions joined with its name's *path* and *sr*."""
    return Version(**{**{name: row[name] for name in _VERSION}, "state": VersionState(row["state"])})


_REQUEST = tuple(Request.__dataclass_fields__)
_ATTACHMENT = tuple(Attachment.__dataclass_fields__)
_VERSION = tuple(Version.__dataclass_fields__)
