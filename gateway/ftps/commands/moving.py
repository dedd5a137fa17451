"""Moving bytes: the data port, uploads, resuming, downloads, aborting (RFC 959, RFC 2428, RFC 3659 §5)."""

from __future__ import annotations

import ipaddress
import socket
from functools import partial
from typing import TYPE_CHECKING

from gateway.domain import names
from gateway.domain.binding import Binding
from gateway.domain.evidence import Ending
from gateway.domain.records import Version, VersionState
from gateway.domain.replies import Refusal, ftp
from gateway.ftps.jobs import SendJob, UploadJob
from gateway.ftps.passive import Passive, moment_for
from gateway.ftps.ports import Lease
from gateway.ftps.tls import CHUNK
from gateway.intake import RESUMABLE, Source, Upload
from gateway.spool import Fenced

if TYPE_CHECKING:
    from gateway.ftps.session import Session

GREATEST = (1 << 63) - 1
"""Largest offset or size that is understood; more is no file."""


# -- the data port -----------------------------------------------------------------------------------------------------


def _ipv4(address: str) -> str | None:
    """The IPv4 address behind *address*, mapped or not (RFC 4291 §2.5.5.2); None for an IPv6 one."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        return None if parsed.ipv4_mapped is None else str(parsed.ipv4_mapped)
    return str(parsed)


def _listen(session: Session) -> Lease:
    if not session.protected:
        raise Refusal(ftp.PROT_FIRST)
    assert session.account is not None
    session.drop_data()
    shared = session.shared
    lease = shared.ports.take(session.local[0], session.sock.family, session.account.id, shared.settings.passive_wait)
    if lease is None:
        raise Refusal(ftp.NO_FREE_PORT, f"all {len(shared.ports.ports)} passive ports are in use")
    session.passive = Passive(
        session.loop,
        session,
        shared.ports,
        lease,
        session.realm,
        Binding(session.account.data_binding or shared.settings.data_binding),
        session.address,
        shared.settings.data_timeout,
        partial(moment_for, session.sock),
    )
    return lease


def pasv(session: Session, argument: bytes) -> None:
    if session.said.epsv_only:
        raise Refusal(ftp.EPSV_ONLY)
    address = session.shared.masquerade.address() or _ipv4(session.local[0])
    if address is None:
        raise Refusal(ftp.IPV4_ONLY_PASV)
    session.reply(ftp.passive(address, _listen(session).port))


def epsv(session: Session, argument: bytes) -> None:
    """RFC 2428 §3. The data connection has the control connection's protocol: there is no other address to offer."""
    ours = 2 if session.sock.family == socket.AF_INET6 and _ipv4(session.local[0]) is None else 1
    match argument.strip().upper():
        case b"ALL":
            session.said.epsv_only = True
            session.reply(ftp.EPSV_ALL)
            return
        case b"" | b"1" | b"2" as asked:
            if asked and int(asked) != ours:
                raise Refusal(ftp.wrong_protocol(ours))
        case _:
            raise Refusal(ftp.wrong_protocol(ours))
    session.reply(ftp.extended_passive(_listen(session).port))


def data_connection(session: Session) -> None:
    """Refuse a transfer that has no data port to come through."""
    if not session.protected:
        raise Refusal(ftp.PROT_FIRST)
    if session.passive is None and session.data is None:
        raise Refusal(ftp.PASSIVE_FIRST)


# -- uploads -----------------------------------------------------------------------------------------------------------


def _number(argument: bytes) -> int | None:
    """A count of bytes; None when it is none."""
    if not argument.isdigit() or len(argument) > 19 or int(argument) > GREATEST:
        return None
    return int(argument)


def rest(session: Session, argument: bytes) -> None:
    """RFC 3659 §5. Understood in every type: bytes are bytes here."""
    offset = _number(argument.strip())
    if offset is None:
        raise Refusal(ftp.BAD_REST)
    session.said.restart = offset
    session.reply(ftp.rest(offset))


def allo(session: Session, argument: bytes) -> None:
    """RFC 959 §4.1.3: how large the next upload will be. What has no room is refused before the disk is touched."""
    size = _number(argument.strip().partition(b" ")[0])
    if size is None:
        raise Refusal(ftp.BAD_ARGUMENT)
    session.allowance.bounds(size, partials=False)  # it may go on with one of them
    session.said.announced = size
    session.reply(ftp.ALLOCATED)


def stor(session: Session, argument: bytes) -> None:
    _receive(session, argument, append=False)


def appe(session: Session, argument: bytes) -> None:
    """RFC 959 §4.1.3: adds to what is there, which is how some clients resume."""
    _receive(session, argument, append=True)


def _receive(session: Session, argument: bytes, *, append: bool) -> None:
    restart, session.said.restart = session.said.restart, 0
    announced, session.said.announced = session.said.announced, None
    data_connection(session)
    path = session.files.place(session.said.folder, argument)
    there = session.files.for_upload(path)
    offset = _offset(session, there, restart, append=append)
    bounds = session.allowance.bounds(announced or 0, there if offset is not None else None)
    assert session.account is not None
    source = Source(
        session.account.id,
        session.account.login,
        names.as_text(path),
        session.files.sr_of(path),
        peer=session.address,
        client=session.client,
        tls=None if session.stream is None else session.stream.version,
    )
    session.allowance.begin_transfer()
    try:
        upload = _upload(session, there, source, offset)
    except BaseException:
        session.allowance.end_transfer()
        raise
    session.reply(ftp.ready_to_receive(names.as_text(path), offset or 0))
    session.move(UploadJob(session, upload, path, offset or 0, announced, bounds))


def _upload(session: Session, there: Version | None, source: Source, offset: int | None) -> Upload:
    """A new upload, or the partial that is *there* from *offset* on."""
    intake, hashing = session.shared.intake, session.shared.settings.hash_uploads
    if offset is None:
        return intake.begin(source, hashing=hashing)
    assert there is not None
    try:
        return intake.resume(there, source, offset, hashing=hashing)
    except LookupError:
        raise Refusal(ftp.COMPLETE_ALREADY) from None
    except ValueError:
        raise Refusal(ftp.rest_beyond(offset, session.files.size(there))) from None
    except Fenced:
        raise Refusal(ftp.STILL_OPEN) from None


def _offset(session: Session, there: Version | None, restart: int, *, append: bool) -> int | None:
    """Where in which upload the bytes belong: None for a new one, else the offset in the partial that is there."""
    if not append and not restart:
        return None
    if there is None:
        if append and not restart:
            return None
        raise Refusal(ftp.NO_PARTIAL)
    if there.state not in RESUMABLE:
        raise Refusal(ftp.COMPLETE_ALREADY)
    if there.state is VersionState.RECEIVING and session.shared.spool.size_of_incoming(there.id) is None:
        if restart:  # another process has sealed it just now; who resumes it waits for its row
            return restart
        raise Refusal(ftp.STILL_OPEN)
    size = session.files.size(there)
    if append and not restart:
        return size
    if restart > size:
        raise Refusal(ftp.rest_beyond(restart, size))
    return restart


# -- downloads ---------------------------------------------------------------------------------------------------------


def retr(session: Session, argument: bytes) -> None:
    restart, session.said.restart = session.said.restart, 0
    data_connection(session)
    path = session.files.place(session.said.folder, argument)
    version = session.files.file(path)
    size = session.files.size(version)
    if restart > size:
        raise Refusal(ftp.rest_beyond(restart, size))
    session.allowance.begin_transfer()
    try:
        file = session.files.open(version)
    except BaseException:
        session.allowance.end_transfer()
        raise
    file.seek(restart)
    session.reply(ftp.ready_to_send(names.as_text(path), size - restart))
    session.move(SendJob(session, lambda: file.read(CHUNK), file.close, ftp.SENT))


# -- aborting ----------------------------------------------------------------------------------------------------------


def abor(session: Session, argument: bytes) -> None:
    """RFC 959 §4.1.3: 426 for the transfer, then 226 for the ABOR; 225 when there is none."""
    if session.job is not None:
        session.job.cut(Ending.ABORTED)
        session.drop_data()
        session.reply(ftp.ABORTED)
    elif session.passive is not None or session.data is not None:
        session.drop_data()
        session.reply(ftp.DATA_CLOSED)
    else:
        session.reply(ftp.NOTHING_TO_ABORT)
