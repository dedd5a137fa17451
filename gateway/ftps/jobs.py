"""What a transfer is for: an upload that becomes a version, or bytes that go out; each says its own last reply.

An upload's end is judged by evidence (domain/evidence.py). Complete: sealed, committed, and only then 226 with a
receipt. Anything else: what came is kept as a partial, and 426 says how many bytes and how to go on.

A crash leaves what intake leaves: nothing that was acknowledged is lost, and nothing else was acknowledged.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.domain import evidence, names
from gateway.domain.evidence import Announced, Ending, Grounds, Judgement
from gateway.domain.ids import new_id
from gateway.domain.replies import Refusal, Reply, ftp
from gateway.ftps.allowance import Bounds
from gateway.ftps.awaiting import Awaiting, block
from gateway.ftps.looking import PROOF_WAIT, Finding, Look
from gateway.ftps.tls import TlsStream
from gateway.ftps.transfer import Receiving, Sending, Transfer
from gateway.intake import Receipt, Upload
from gateway.log import get
from gateway.spool import Fenced
from gateway.store.endings import Superseded

if TYPE_CHECKING:
    from gateway.ftps.session import Session

log = get(__name__)

Result = TypeVar("Result")

LOOK_AT_DISK = 64 << 20
"""Bytes of an upload between two looks at the room that is left on the disk."""
DISK_WAIT = 3600.0
"""Seconds that the session looks after its client while the disk takes an upload's end; then it only waits."""


AT_ONCE = 0.0005
"""Seconds in which a client that ends its upload may say that it gives up. A program that does (curl's --max-time, a
script that ends) ends the data connection as if all had come, and leaves at once, or says ABOR: curl before the other
end arrives, PHP 0.2 ms after it. It never waits for the reply, and whoever does is heard saying nothing."""
HEAR_OUT = 0.02
"""Seconds in which the session reads what such a client said."""


class Job:
    """A transfer that was asked for, from its 150 on. It says its own last reply and then calls ``Session.moved``."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.transfer: Transfer | None = None

    def start(self, stream: TlsStream) -> None:
        """The data connection is there: move the bytes."""
        raise NotImplementedError

    def abandon(self, reply: Reply, reason: str) -> None:
        """No data connection comes: say *reply*; *reason* is for the operator."""
        raise NotImplementedError

    def cut(self, ending: Ending) -> None:
        """End now, whatever state it is in."""
        raise NotImplementedError

    def _end(self, reply: Reply) -> None:
        self.session.reply(reply)
        self.session.moved()

    def status(self) -> str:
        """How far it is, for STAT."""
        return ftp.WAITING_FOR_DATA if self.transfer is None else ftp.under_way(self.transfer.progress)


class UploadJob(Job):
    """One STOR or APPE, from its 150 to its 226 or 426."""

    def __init__(
        self,
        session: Session,
        upload: Upload,
        path: names.Path,
        offset: int,
        announced: int | None,
        bounds: Bounds,
    ) -> None:
        super().__init__(session)
        self.upload = upload
        self.path = path
        self.offset = offset
        self.announced = announced
        self.bounds = bounds
        self._looked_at_disk = upload.size
        self._resumed = False
        self.found: Finding | None = None
        """What a look inside found, if the proof needed one."""
        self._awaiting: Awaiting | None = None
        """What the end hangs on when all bytes are here: the proof, the look inside, or the disk."""
        self._awaited: Callable[[int], str] = ftp.being_looked_at
        """The same for STAT."""
        self._is_cut = False
        """Whether somebody waits here and now for the end."""
        self._cut_as: Ending | None = None
        """How it was cut while it hung on that."""

    def start(self, stream: TlsStream) -> None:
        session, settings = self.session, self.session.shared.settings
        self._resumed = stream.resumed
        self.transfer = receiving = Receiving(
            session.loop, stream, self._take, self._ended, settings.stall_timeout, session.allowance.throttles
        )
        receiving.start()

    def abandon(self, reply: Reply, reason: str) -> None:
        self._keep_what_can_be()
        self.session.note_failure(reason)
        self._end(reply)

    def status(self) -> str:
        return super().status() if self._awaiting is None else self._awaited(self.upload.size)

    def cut(self, ending: Ending) -> None:
        self._is_cut = True
        if self._awaiting is not None:
            self._cut_as = ending
            if ending is Ending.CONTROL_LOST:
                self._awaiting.hold(self.session.is_hurried)
            else:
                self._awaiting.go_on()
        elif isinstance(self.transfer, Receiving):
            if ending is Ending.CONTROL_LOST:
                self.transfer.take_what_is_there()
            self.transfer.end(ending)
        else:
            self._ended(ending, None)

    def _take(self, block: memoryview) -> None:
        size = self.upload.size + len(block)
        if self.bounds.largest is not None and size > self.bounds.largest:
            raise Refusal(ftp.too_large(self.bounds.largest))
        if self.bounds.quota_left is not None and size > self.bounds.quota_left:
            raise Refusal(ftp.over_quota(self.bounds.quota_left))
        if size - self._looked_at_disk >= LOOK_AT_DISK:
            self._looked_at_disk = size
            shared = self.session.shared
            if shared.spool.free() < shared.settings.free_disk_reserve:
                raise Refusal(ftp.DISK_FULL, "the disk's reserve is reached")
            if self.bounds.quota_left is not None:
                with self.session.allowance.fits(self.upload.id, size):
                    pass
        self.upload.write(block)

    def _ended(self, ending: Ending, error: Exception | None) -> None:
        self._go(lambda: self._failed(error) if error is not None else self._judge(ending))

    def _go(self, step: Callable[[], Reply | None]) -> None:
        """Do *step*: its reply is the end; None: a further one follows, when what it awaits is there."""
        self._awaiting = None
        try:
            reply = step()
        except Exception as defect:
            reply = self._failed(defect)
        if reply is not None:
            self._end(reply)

    def _then(
        self,
        running: Future[Any],
        seconds: float,
        step: Callable[[], Reply | None],
        awaited: Callable[[int], str] = ftp.being_looked_at,
    ) -> Reply | None:
        """Do *step* when *running* is done or the time is up; the session looks after its client meanwhile."""
        session = self.session
        if running.done() or seconds <= 0:
            return step()
        if session.is_closing:
            block(running, seconds, session.is_hurried)
            return step()
        self._awaited = awaited
        try:
            self._awaiting = Awaiting(session.loop, running, seconds, lambda: self._go(step))
        except OSError:  # no descriptor is left for the alarm; *running* goes on, and nothing may be done beside it
            block(running, seconds, session.is_hurried)
            return step()
        return None

    def _durably(self, work: Callable[[], Result], step: Callable[[Result], Reply]) -> Reply | None:
        """Do *work*, which waits for the disk, and then *step*; a large file's aside, for that may take long."""
        if self._is_cut or self.session.is_closing or not self.upload.ends_slowly:
            return step(work())
        running = self.session.shared.intake.ends.submit(work)
        return self._then(running, DISK_WAIT, lambda: step(running.result()), ftp.being_made_durable)

    def _judge(self, ending: Ending) -> Reply | None:
        announced = evidence.compare(self.announced, self.upload.size, self.offset)
        if ending is not Ending.CLOSE_NOTIFY or announced is Announced.MATCHES or self._is_cut:
            return self._weigh(ending, announced)
        if not self.session.says_something(AT_ONCE):
            return self._weigh(ending, announced)
        return self._then(Future(), HEAR_OUT, lambda: self._weigh(self._cut_as or ending, announced))

    def _weigh(self, ending: Ending, announced: Announced) -> Reply | None:
        self._cut_as = None
        size = self.upload.size
        if not evidence.asks_for_proof(ending, announced):
            return self._judged(evidence.judge(ending, announced, False))
        proof = self.session.shared.looking.prove(self._bytes, size)

        def proved() -> Reply | None:
            proves, self.found = proof.ended()
            return self._judged(evidence.judge(self._cut_as or ending, announced, proves))

        return self._then(proof.running, PROOF_WAIT * 2, proved)

    def _judged(self, judgement: Judgement) -> Reply | None:
        grounds = judgement.grounds
        if not judgement.complete:
            why = ftp.why_partial(grounds)
            return self._durably(lambda: self._keep(grounds), lambda size: ftp.kept_partial(size, why))
        shared = self.session.shared
        begun = shared.looking.begin(self._bytes) if self.found is None else Look(None, self.found)
        if begun.running is None:
            return self._complete(grounds, begun)
        return self._then(begun.running, shared.settings.inspect_wait, lambda: self._complete(grounds, begun))

    def _complete(self, grounds: Grounds, begun: Look) -> Reply | None:
        found = begun.so_far()
        damaged = found is not None and found["verdict"] == "damaged"

        def received(receipt: Receipt) -> Reply:
            if found is None and not receipt.repeats:
                self.session.shared.looking.later(receipt.version, begun)
            return self._received(receipt, grounds)

        def complete() -> Receipt:
            with self.session.allowance.fits(self.upload.id, self.upload.size):
                return self.upload.complete(grounds.value, damaged=damaged, inspection=found)

        return self._durably(complete, received)

    def _received(self, receipt: Receipt, grounds: Grounds) -> Reply:
        log.info(
            "upload complete",
            account=self.session.account and self.session.account.login,
            path=receipt.version.path,
            size=receipt.version.size,
            evidence=grounds.value,
            receipt=receipt.version.id,
            repeats=receipt.repeats or None,
            address=self.session.address,
            tls_resumed=self._resumed,
        )
        return ftp.receipt(receipt.version, repeats=receipt.repeats)

    @property
    def _bytes(self) -> Path:
        """Where the bytes lie until they are sealed."""
        return self.session.shared.spool.incoming_path(self.upload.id)

    def _keep(self, grounds: Grounds) -> int:
        """Keep what came as a partial, and how many bytes that is."""
        kept = self.upload.keep(grounds.value)
        size = 0 if kept is None else kept.size
        log.info(
            "upload incomplete",
            account=self.session.account and self.session.account.login,
            path=names.as_text(self.path),
            size=size,
            evidence=grounds.value,
            address=self.session.address,
            tls_resumed=self._resumed,
        )
        return size

    def _keep_what_can_be(self) -> int:
        """The same after a failure, which may not let even that be done: the customer is answered all the same."""
        try:
            return self._keep(Grounds.FAILED)
        except Exception as error:
            log.error("what came can't be kept", path=names.as_text(self.path), reason=repr(error))
            return 0

    def _failed(self, error: Exception) -> Reply:
        if isinstance(error, (Fenced, Superseded)):
            return ftp.TAKEN_OVER
        kept, path = self._keep_what_can_be(), names.as_text(self.path)
        if isinstance(error, Refusal):
            log.info("upload refused", address=self.session.address, path=path, reason=error.reason)
            return error.reply
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            log.error("the disk is full: upload kept as a partial", path=path, size=kept)
            return ftp.DISK_FULL
        identifier = new_id()
        log.error("an upload failed", path=path, told_as=identifier, reason=repr(error))
        return ftp.failure(identifier)


class SendJob(Job):
    """One RETR, LIST, NLST or MLSD."""

    def __init__(self, session: Session, source: Callable[[], bytes], close: Callable[[], object], done: Reply) -> None:
        super().__init__(session)
        self.source = source
        self.close = close
        self.done = done

    def start(self, stream: TlsStream) -> None:
        session = self.session
        stall_timeout, throttles = session.shared.settings.stall_timeout, session.allowance.throttles
        self.transfer = sending = Sending(session.loop, stream, self.source, self._ended, stall_timeout, throttles)
        sending.start()

    def abandon(self, reply: Reply, reason: str) -> None:
        self.close()
        self.session.note_failure(reason)
        self._end(reply)

    def cut(self, ending: Ending) -> None:
        if self.transfer is not None:
            self.transfer.end(ending)
        else:
            self._ended(ending, None)

    def _ended(self, ending: Ending, error: Exception | None) -> None:
        self.close()
        if ending is Ending.CLOSE_NOTIFY:
            self._end(self.done)
            return
        if error is not None and not isinstance(error, ConnectionError):
            identifier = new_id()
            log.error("a download failed", told_as=identifier, reason=repr(error))
            self._end(ftp.failure(identifier))
            return
        self._end(ftp.TRANSFER_ABORTED)
