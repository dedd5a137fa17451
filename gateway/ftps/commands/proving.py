"""Proving what is here: hashes in every dialect (draft-ietf-ftpext2-hash, X-commands), and receipts once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.domain import names
from gateway.domain.records import VersionState
from gateway.domain.replies import Refusal, ftp
from gateway.ftps.commands import digests

if TYPE_CHECKING:
    from gateway.ftps.session import Session

SITE_HELP = ("HELP", "RECEIPT <path>  shows the receipt of a file again")


def _digest(
    session: Session, argument: bytes, algorithm: str, first: int = 0, last: int | None = None
) -> tuple[str, int, str]:
    """The digest of a file's bytes from *first* up to *last* (its end when None), that end, and the file's path."""
    path = session.files.place(session.said.folder, argument)
    version = session.files.file(path)
    size = session.files.size(version)
    end = size if last is None else last
    if not 0 <= first <= end <= size:
        raise Refusal(ftp.BAD_RANGE)
    if algorithm == "SHA-256" and (first, end) == (0, version.size) and version.sha256 is not None:
        return version.sha256, end, names.as_text(path)
    with session.files.open(version) as file:
        try:
            return digests.of(file, algorithm, first, end - first), end, names.as_text(path)
        except ValueError:
            raise Refusal(ftp.BAD_RANGE) from None


def hash_(session: Session, argument: bytes) -> None:
    algorithm = session.said.hash
    value, end, path = _digest(session, argument, algorithm)
    session.reply(ftp.hash_is(algorithm, 0, end, value, path))


def _x(session: Session, argument: bytes, algorithm: str) -> None:
    """``XCRC name``, ``XCRC "name" start end``: the name may be quoted, the range may be there."""
    first, last = 0, None
    if argument.startswith(b'"') and b'"' in argument[1:]:
        name, _, rest = argument[1:].rpartition(b'"')
        numbers = rest.split()
    else:
        words = argument.rsplit(b" ", 2)
        if len(words) == 3 and words[1].isdigit() and words[2].isdigit():
            name, numbers = words[0], words[1:]
        else:
            name, numbers = argument, []
    if numbers:
        if len(numbers) > 2 or not all(number.isdigit() and len(number) < 20 for number in numbers):
            raise Refusal(ftp.BAD_ARGUMENT)
        first = int(numbers[0])
        last = int(numbers[1]) if len(numbers) == 2 else None
    value, _, _ = _digest(session, name, algorithm, first, last)
    session.reply(ftp.digest(value.upper()))


def xcrc(session: Session, argument: bytes) -> None:
    _x(session, argument, "CRC32")


def xmd5(session: Session, argument: bytes) -> None:
    _x(session, argument, "MD5")


def xsha1(session: Session, argument: bytes) -> None:
    _x(session, argument, "SHA-1")


def xsha256(session: Session, argument: bytes) -> None:
    _x(session, argument, "SHA-256")


def xsha512(session: Session, argument: bytes) -> None:
    _x(session, argument, "SHA-512")


def site(session: Session, argument: bytes) -> None:
    word, _, rest = argument.partition(b" ")
    match word.upper():
        case b"HELP":
            session.reply(ftp.site_help(SITE_HELP))
        case b"RECEIPT":
            if not rest:
                raise Refusal(ftp.NEEDS_ARGUMENT)
            version = session.files.file(session.files.place(session.said.folder, rest))
            if version.state not in (VersionState.COMPLETE, VersionState.DAMAGED):
                raise Refusal(ftp.NO_RECEIPT)
            session.reply(ftp.receipt_again(version))
        case b"CHMOD" | b"UMASK" | b"IDLE" | b"CHGRP" | b"CHOWN":
            session.reply(ftp.SUPERFLUOUS)
        case _:
            raise Refusal(ftp.NOT_OFFERED)
