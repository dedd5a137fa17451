"""The spool's promises: final names are hashes and durable, partials resume, fenced sessions never write again."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from gateway.domain.ids import new_id
from gateway.spool import Fenced, Incoming, Spool
from gateway.testing.faults import Fault, Faults
from gateway.testing.waiting import PATIENCE

BYTES = os.urandom(3 << 20)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def resumed(spool: Spool, upload: str, offset: int, *, hashing: bool = True) -> Incoming:
    """Whoever resumes fences who in this process has it, and holds it then."""
    spool.fence(upload)
    hold = spool.hold(upload)
    assert hold is not None
    try:
        return spool.resume(hold, offset, hashing=hashing)
    except BaseException:
        hold.release()
        raise


def recovered(spool: Spool, upload: str, durable: int, *, same_boot: bool) -> int | None:
    """What the next start makes of an upload, wherever it lies."""
    hold = spool.hold(upload, search=True)
    if hold is None:
        return None
    with hold:
        return hold.recover(durable, same_boot=same_boot)


def test_a_version_lies_under_its_hash_read_only(spool: Spool) -> None:
    upload = new_id()
    incoming = spool.begin(upload)
    for start in range(0, len(BYTES), 100_000):
        incoming.write(memoryview(BYTES)[start : start + 100_000])
    sealed = incoming.seal()
    assert sealed.sha256 == hashlib.sha256(BYTES).hexdigest()
    assert sealed.path == spool.root / "files" / sealed.sha256[:2] / f"{sealed.sha256}.{upload}"
    assert sealed.path.read_bytes() == BYTES
    assert sealed.path.stat().st_mode & 0o777 == 0o400
    assert list(spool.all_incoming()) == []
    assert list(spool.all_files()) == [(sealed.sha256, upload, len(BYTES))]
    assert spool.digest(sealed.sha256, upload) == sealed.sha256


@pytest.mark.parametrize("hashing", [True, False])
@pytest.mark.parametrize("offset", [0, 1, 1_000_000, 2 << 20])
def test_a_resumed_upload_has_the_hash_of_the_whole(spool: Spool, offset: int, hashing: bool) -> None:
    upload = new_id()
    incoming = spool.begin(upload, hashing=hashing)
    incoming.write(memoryview(BYTES)[: 2 << 20])
    assert incoming.keep() == 2 << 20
    again = resumed(spool, upload, offset, hashing=hashing)
    for start in range(offset, len(BYTES), 65536):
        again.write(memoryview(BYTES)[start : start + 65536])
    assert again.seal().sha256 == hashlib.sha256(BYTES).hexdigest()


def test_nothing_is_cut_before_the_first_new_byte_is_there(spool: Spool) -> None:
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(BYTES))
    incoming.keep()
    resumed(spool, upload, 10).keep()
    assert spool.size_of_incoming(upload) == len(BYTES)


def test_a_partial_resumed_at_a_lower_offset_and_sealed_ends_there(spool: Spool) -> None:
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(BYTES))
    incoming.keep()
    sealed = resumed(spool, upload, 10).seal()
    assert sealed.size == 10
    assert sealed.sha256 == hashlib.sha256(BYTES[:10]).hexdigest()


def test_whoever_resumes_fences_the_session_before(spool: Spool) -> None:
    upload = new_id()
    old = spool.begin(upload)
    old.write(memoryview(b"first"))
    new = resumed(spool, upload, 5)
    with pytest.raises(Fenced):
        old.write(memoryview(b"late"))
    with pytest.raises(Fenced):
        old.seal()
    new.write(memoryview(b" second"))
    sealed = new.seal()
    assert sealed.path.read_bytes() == b"first second"


def test_another_process_that_holds_an_upload_is_not_overruled(spool: Spool) -> None:
    upload = new_id()
    held = spool.begin(upload)
    held.write(memoryview(b"x"))
    with pytest.raises(Fenced):
        resumed(Spool(spool.root), upload, 1)
    held.write(memoryview(b"y"))


def test_beyond_its_end_a_partial_cannot_be_resumed(spool: Spool) -> None:
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(b"12345"))
    incoming.keep()
    with pytest.raises(ValueError, match="5 bytes, not 6"):
        resumed(spool, upload, 6)
    assert resumed(spool, upload, 5).keep() == 5


def interrupted(spool: Spool) -> str:
    """An upload of 2,000 bytes, 1,000 of them flushed, whose process was killed."""
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(BYTES)[:1000])
    assert incoming.flush() == 1000
    incoming.write(memoryview(BYTES)[1000:2000])
    incoming.fence()
    return upload


def test_after_a_reboot_a_partial_is_cut_back_to_what_was_flushed(spool: Spool) -> None:
    upload = interrupted(spool)
    assert recovered(spool, upload, 1000, same_boot=True) == 2000
    assert recovered(spool, upload, 1000, same_boot=False) == 1000
    assert spool.size_of_incoming(upload) == 1000


def test_what_a_crash_interrupted_is_durable_before_it_is_called_a_partial(spool: Spool) -> None:
    """Its row will say so, and no later start looks at it again."""
    upload = interrupted(spool)
    with Faults(Fault("os:fsync", what="EIO")), pytest.raises(OSError, match="a test's fault"):
        recovered(spool, upload, 1000, same_boot=True)
    with Faults(Fault("os:fdatasync", what="EIO")):
        assert recovered(spool, upload, 1000, same_boot=True) == 1000, "what the disk did not take is none of it"
    assert spool.size_of_incoming(upload) == 1000


def test_what_was_sealed_before_its_row_comes_back_as_a_partial(spool: Spool) -> None:
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(BYTES))
    incoming.seal()
    assert recovered(spool, upload, 0, same_boot=False) == len(BYTES)
    sealed = resumed(spool, upload, len(BYTES)).seal()
    assert sealed.path.read_bytes() == BYTES


def test_a_path_is_never_made_of_anything_but_an_id(spool: Spool) -> None:
    with pytest.raises(ValueError, match="not an id"):
        spool.begin("../../etc/passwd")


def test_a_discarded_upload_leaves_nothing(spool: Spool) -> None:
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(b"x"))
    incoming.discard()
    incoming.discard()
    assert spool.size_of_incoming(upload) is None
    assert recovered(spool, upload, 0, same_boot=True) is None


def test_what_a_flush_under_way_learns_of_lost_bytes_is_known_before_a_version_is_made(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says it to one of two flushes of a file, and the other returns as if all were well."""
    incoming = spool.begin(new_id())
    incoming.write(memoryview(BYTES))
    begun, lost = threading.Event(), threading.Event()

    def fails(fd: int) -> None:
        begun.set()
        assert lost.wait(PATIENCE)
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "fdatasync", fails)
    with ThreadPoolExecutor() as pool:
        flushing = pool.submit(incoming.flush)
        assert begun.wait(PATIENCE)
        sealing = pool.submit(incoming.seal)
        wait([sealing], 0.1)
        lost.set()
        for each in (flushing, sealing):
            with pytest.raises(OSError, match=r"lost|failed before"):
                each.result(PATIENCE)
    assert list(spool.all_files()) == []
    assert incoming.keep() == 0, "nothing was ever durable"


def test_a_flush_that_failed_once_is_not_forgotten(spool: Spool) -> None:
    """The kernel tells of a lost page once; the next fsync of the same file would succeed."""
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(b"first"))
    assert incoming.flush() == 5
    incoming.write(memoryview(b" second"))
    with Faults(Fault("os:fdatasync", what="EIO")), pytest.raises(OSError, match="a test's fault"):
        incoming.flush()
    with pytest.raises(OSError, match="failed before"):
        incoming.seal()
    with pytest.raises(OSError, match="failed before"):
        incoming.write(memoryview(b" third"))
    assert incoming.keep() == 5
    assert (spool.incoming / upload).read_bytes() == b"first"


@pytest.mark.parametrize("where", ["os:rename", "gateway.spool.incoming:sync_directory"])
def test_a_seal_that_fails_leaves_a_partial_that_can_be_resumed(spool: Spool, where: str) -> None:
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(b"first"))
    with Faults(Fault(where, what="ENOSPC")), pytest.raises(OSError, match="No space"):
        incoming.seal()
    assert incoming.keep() == 5
    assert [*spool.all_files()] == []
    assert (spool.incoming / upload).stat().st_mode & 0o777 == 0o600
    again = resumed(spool, upload, 5)
    again.write(memoryview(b" second"))
    assert again.seal().size == 12


@pytest.mark.parametrize("size", [0, 1, 1 << 18, len(BYTES)])
def test_a_file_that_somebody_else_wrote_becomes_a_version_as_it_is(spool: Spool, size: int) -> None:
    made, version = spool.root / "made", new_id()
    made.write_bytes(BYTES[:size])
    inode = made.stat().st_ino
    sealed = spool.adopt(made, version)
    assert (sealed.sha256, sealed.size) == (hashlib.sha256(BYTES[:size]).hexdigest(), size)
    assert sealed.path == spool.path(sealed.sha256, version)
    assert sealed.path.read_bytes() == BYTES[:size]
    assert sealed.path.stat().st_mode & 0o777 == 0o400
    assert sealed.path.stat().st_ino == inode, "it was copied"
    assert not made.exists()


@pytest.mark.parametrize("where", ["os:fsync", "os:rename", "gateway.spool.adopting:sync_directory"])
def test_an_adoption_that_fails_leaves_the_file_where_it_was(spool: Spool, where: str) -> None:
    made = spool.root / "made"
    made.write_bytes(b"first")
    with Faults(Fault(where, what="ENOSPC")), pytest.raises(OSError, match="No space"):
        spool.adopt(made, new_id())
    assert made.read_bytes() == b"first"
    assert [*spool.all_files()] == []
    assert spool.adopt(made, new_id()).size == 5


def test_what_has_another_name_or_is_no_file_is_not_adopted(spool: Spool) -> None:
    secret, made = spool.root / "secret", spool.root / "made"
    secret.write_bytes(b"somebody's")
    made.hardlink_to(secret)
    with pytest.raises(ValueError, match="no file of its own"):
        spool.adopt(made, new_id())
    made.unlink()
    made.symlink_to(secret)
    with pytest.raises(OSError, match="symbolic link"):
        spool.adopt(made, new_id())
    made.unlink()
    os.mkfifo(made)
    with pytest.raises(ValueError, match="no file of its own"):
        spool.adopt(made, new_id())
    assert secret.stat().st_mode & 0o200
    assert [*spool.all_files()] == []


def test_a_resumption_that_brought_nothing_costs_nothing(spool: Spool) -> None:
    upload = new_id()
    incoming = spool.begin(upload)
    incoming.write(memoryview(b"first second"))
    incoming.keep()
    assert resumed(spool, upload, 5).keep() == 12
