"""Seeing what is there: folders, listings, sizes and times (RFC 959, RFC 3659)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.domain import names
from gateway.domain.replies import Refusal, ftp
from gateway.ftps import listing
from gateway.ftps.commands.moving import data_connection
from gateway.ftps.jobs import SendJob
from gateway.ftps.tree import Node

if TYPE_CHECKING:
    from gateway.ftps.session import Session


def pwd(session: Session, argument: bytes) -> None:
    session.reply(ftp.current_folder(names.as_text(session.said.folder)))


def cwd(session: Session, argument: bytes) -> None:
    path = session.files.place(session.said.folder, argument or b"/")
    session.files.folder(path)
    session.said.folder = path
    session.reply(ftp.changed_to(names.as_text(path)))


def cdup(session: Session, argument: bytes) -> None:
    cwd(session, b"..")


def _without_flags(argument: bytes) -> bytes:
    """``LIST -la name`` comes from clients that think of ls; the flags mean nothing here."""
    while argument.startswith(b"-"):
        argument = argument.partition(b" ")[2]
    return argument


def _found(session: Session, argument: bytes) -> list[Node]:
    """What a listing's argument means: a folder's content, one file, or what fits a pattern."""
    path = session.files.place(session.said.folder, argument)
    try:
        node = session.files.node(path)
    except Refusal:
        if path and listing.is_pattern(path[-1]):
            return listing.matching(session.files.listing(path[:-1]), path[-1])
        raise
    return session.files.listing(path) if node.is_folder else [node]


def list_(session: Session, argument: bytes) -> None:
    now = session.shared.clock.now()
    nodes = _found(session, _without_flags(argument))
    _send(session, (listing.ls_line(node, now) for node in nodes))


def nlst(session: Session, argument: bytes) -> None:
    argument = _without_flags(argument)
    nodes = _found(session, argument)
    folder = argument.rpartition(b"/") if listing.is_pattern(argument.decode("latin-1")) else (b"", b"", b"")
    _send(session, (folder[0] + folder[1] + names.to_wire(node.name) for node in nodes))


def mlsd(session: Session, argument: bytes) -> None:
    path = session.files.place(session.said.folder, argument)
    chosen = session.said.facts
    nodes = session.files.listing(path)
    _send(session, (listing.machine_line(node, chosen) for node in nodes))


def _send(session: Session, lines: Iterable[bytes]) -> None:
    data_connection(session)
    session.allowance.begin_transfer()
    blocks = listing.as_blocks(lines)
    session.reply(ftp.LISTING)
    session.move(SendJob(session, lambda: next(blocks, b""), lambda: None, ftp.LISTED))


def mlst(session: Session, argument: bytes) -> None:
    path = session.files.place(session.said.folder, argument)
    node = session.files.node(path)
    text = names.as_text(path)
    session.reply(ftp.facts(text, f"{listing.facts_of(node, session.said.facts)} {text}"))


def size(session: Session, argument: bytes) -> None:
    """RFC 3659 §4: the bytes that a transfer would carry, which is the same for every type here."""
    version = session.files.file(session.files.place(session.said.folder, argument))
    session.reply(ftp.size(session.files.size(version)))


def mdtm(session: Session, argument: bytes) -> None:
    """RFC 3659 §3; with a time before the name, as some clients have it, it sets the time (MFMT)."""
    first, _, rest = argument.partition(b" ")
    if rest and len(first) == 14 and first.isdigit():
        from gateway.ftps.commands.changing import mfmt

        mfmt(session, argument)
        return
    node = session.files.node(session.files.place(session.said.folder, argument))
    session.reply(ftp.modified(listing.stamp(node.modified)))


def stat(session: Session, argument: bytes) -> None:
    """RFC 959 §4.1.3: the session, or a listing over the control connection."""
    if argument and session.account is not None:
        path = session.files.place(session.said.folder, _without_flags(argument))
        now = session.shared.clock.now()
        lines = [listing.ls_line(node, now) for node in _found(session, names.on_wire(path))]
        session.reply(ftp.path_status(names.as_text(path), (_as_text(line) for line in lines)))
        return
    secured = session.stream is not None and session.stream.established
    lines_of_status = [
        f"TLS: {session.stream.version}" if secured and session.stream is not None else "TLS: not yet",
        f"Logged in as {session.account.login}" if session.account is not None else "Not logged in",
        f"TYPE: {session.said.type}, STRU: F, MODE: S",
    ]
    if session.job is not None:
        lines_of_status.append(session.job.status())
    session.reply(ftp.status(lines_of_status))


def _as_text(line: bytes) -> str:
    """A listing's line as a reply's: ``Session.reply`` makes the same bytes of it again."""
    return "".join(
        f"\\x{ord(odd) - 0xDC00:02x}" if "\udc80" <= odd <= "\udcff" else odd
        for odd in line.decode("utf-8", "surrogateescape")
    )
