"""Changing the tree: folders, names, times. Nothing is ever overwritten (RFC 959; MFMT: draft-somers-ftp-mfxx)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.domain import names
from gateway.domain.replies import Refusal, ftp
from gateway.ftps import listing

if TYPE_CHECKING:
    from gateway.ftps.session import Session


def mkd(session: Session, argument: bytes) -> None:
    path = session.files.place(session.said.folder, argument)
    session.files.make_folder(path)
    session.reply(ftp.folder_made(names.as_text(path)))


def rmd(session: Session, argument: bytes) -> None:
    session.files.remove_folder(session.files.place(session.said.folder, argument))
    session.reply(ftp.FOLDER_REMOVED)


def dele(session: Session, argument: bytes) -> None:
    session.files.remove(session.files.place(session.said.folder, argument))
    session.reply(ftp.DELETED)


def rnfr(session: Session, argument: bytes) -> None:
    path = session.files.place(session.said.folder, argument)
    session.files.movable(path)
    session.said.rename_from = path
    session.reply(ftp.RENAME_TO)


def rnto(session: Session, argument: bytes) -> None:
    source, session.said.rename_from = session.said.rename_from, None
    if source is None:
        raise Refusal(ftp.RENAME_FIRST)
    released = session.files.rename(source, session.files.place(session.said.folder, argument))
    session.reply(ftp.released(released[-1]) if released else ftp.RENAMED)


def mfmt(session: Session, argument: bytes) -> None:
    time, _, name = argument.partition(b" ")
    try:
        at = listing.moment(time.decode("ascii", "replace"))
    except ValueError:
        raise Refusal(ftp.BAD_TIME) from None
    if not name:
        raise Refusal(ftp.NEEDS_ARGUMENT)
    path = session.files.place(session.said.folder, name)
    session.files.set_modified(path, at)
    session.reply(ftp.modification_set(listing.stamp(at), names.as_text(path)))
