"""What a look inside an uploaded file says to the customer who sent it ("zip: 14 members, intact")."""

from __future__ import annotations

from typing import Any

from gateway.domain.findings import Cause, Finding, Verdict

NOT_YET = "not yet inspected"
ADVICE = "not compressed: please use zip or gzip"
EMPTY = "empty file"
INTACT = "intact"

PHRASES = {
    Cause.TRUNCATED: "truncated, please send again",
    Cause.CHECKSUM: "damaged (wrong checksum), please send again",
    Cause.CORRUPT: "damaged, please send again",
    Cause.TRAILING: "damaged (more bytes follow its end), please send again",
    Cause.TAR_TRUNCATED: "the tar inside is truncated, please send again",
    Cause.ENCRYPTED: "encrypted, not checked",
    Cause.METHOD: "{what}, not checked",
    Cause.FOREIGN: "not checked; zip and gzip are",
    Cause.SPLIT: "one part of a split archive, not checked",
    Cause.BOMB: "unpacks to far more than its size, not checked",
    Cause.TOO_MANY: "too many members, not checked",
    Cause.TIME: "too large to check in time",
    Cause.MEMORY: "takes too much memory to check, not checked",
    Cause.FAILED: "could not be checked",
}


def words(finding: Finding) -> str:
    """One line, without the file's name or anything else that stands in the file."""
    if finding.verdict is Verdict.EMPTY:
        return EMPTY
    if finding.verdict is Verdict.NOT_COMPRESSED:
        said = ADVICE
    elif finding.cause is None:
        said = INTACT
    else:
        said = PHRASES[finding.cause].format(what=finding.what)
        if finding.concerned is not None and finding.concerned != finding.members:
            said = f"{finding.concerned:,} {said}"
    if finding.members is not None:
        said = f"{finding.members:,} {'member' if finding.members == 1 else 'members'}, {said}"
    return f"{finding.format}: {said}" if finding.format else said


def answer(finding: Finding) -> dict[str, Any]:
    """The finding as JSON, as it is kept with the file, with its words."""
    return {
        "format": finding.format,
        "verdict": finding.verdict.value,
        "cause": finding.cause and finding.cause.value,
        "members": finding.members,
        "words": words(finding),
        "unpacked": finding.unpacked,
        "detail": finding.detail,
    }
