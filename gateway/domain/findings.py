"""What a look inside an uploaded file found. A finding states facts; `replies.findings` puts them into words.

Rule: *intact* means that every byte was decoded and every checksum agreed, and nothing less.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    INTACT = "intact"
    DAMAGED = "damaged"
    UNCHECKED = "unchecked"
    """It may be intact, but we did not or could not see to it; the cause says why."""
    NOT_COMPRESSED = "not-compressed"
    EMPTY = "empty"


class Cause(StrEnum):
    """Why a file is not simply intact."""

    TRUNCATED = "truncated"
    CHECKSUM = "checksum"
    CORRUPT = "corrupt"
    TRAILING = "trailing"
    """Whole, but something follows its end."""
    TAR_TRUNCATED = "tar-truncated"
    """The compressed stream is whole; the tar in it ends early."""
    ENCRYPTED = "encrypted"
    METHOD = "method"
    """A compression method that we cannot decode; `Finding.what` names it."""
    FOREIGN = "foreign"
    """An archive format that we cannot read."""
    SPLIT = "split"
    """One part of an archive in several files."""
    BOMB = "bomb"
    TOO_MANY = "too-many"
    TIME = "time"
    MEMORY = "memory"
    FAILED = "failed"
    """The look itself broke off: our fault or the file's, nobody knows yet."""

    @property
    def verdict(self) -> Verdict:
        return Verdict.DAMAGED if self in DAMAGE else Verdict.UNCHECKED


DAMAGE = frozenset({Cause.TRUNCATED, Cause.CHECKSUM, Cause.CORRUPT, Cause.TRAILING, Cause.TAR_TRUNCATED})


@dataclass(frozen=True, slots=True)
class Finding:
    """`format` is a name people know (zip, 7z, gzip, tar.gz …); None where there is none."""

    format: str | None
    verdict: Verdict
    cause: Cause | None = None
    members: int | None = None
    """Files and folders in the archive, or streams in a compressed file of several; None where it is one or unknown."""
    concerned: int | None = None
    """How many of the members the cause is about; None = all, or the file as a whole."""
    what: str | None = None
    unpacked: int | None = None
    """Bytes seen when decoded."""
    detail: str | None = None
    """For the operator alone."""
