"""Uploads that stop, go on, are taken over, stall, are aborted; and the limits, each with its reply."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.domain.records import Version, VersionState
from gateway.domain.throttle import address_subject
from gateway.examine import looks
from gateway.ftps import awaiting, jobs, looking, settings
from gateway.intake import Intake
from gateway.spool import Hold, Incoming, Spool
from gateway.store import Store, accounts, bans, one_by_one
from gateway.testing.faults import Fault, Faults
from gateway.testing.ftps import Customer, Door, Talk, hang_up
from gateway.testing.waiting import PATIENCE, until

from .conftest import MakeDoor

BYTES = os.urandom(2_000_000)
SHA256 = hashlib.sha256(BYTES).hexdigest()
LARGE = os.urandom(9 << 20)
"""So much that its end is done aside."""
GZIP = gzip.compress(b"a log\n" * 100)


def states(door: Door) -> dict[str, VersionState]:
    return {version.path: version.state for version in door.versions()}


def test_a_partial_is_resumed_after_a_restart_of_the_gateway(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        told = talk.cut("logs.bin", BYTES[:1_500_000])
    kept = re.search(r"REST (\d+)", told)
    assert kept is not None, told
    door.stop()
    door.start()
    with door.talk(acme) as talk:
        assert talk.command("SIZE logs.bin") == f"213 {kept[1]}"
        talk.talk(f"C: REST {kept[1]}\nS: 350 *")
        told = talk.put("logs.bin", BYTES[int(kept[1]) :])
        assert SHA256 in told
    assert states(door) == {"/logs.bin": VersionState.COMPLETE}


def test_a_stop_lets_a_transfer_finish_and_then_says_goodbye(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk, door.talk(acme) as idle:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES[:1_000_000])
        door.loop.call_soon_threadsafe(door.doorway.stop, 30.0)
        idle.talk("S: 421 *")
        data.sendall(BYTES[1_000_000:])
        data.unwrap().close()
        assert SHA256 in "\n".join(talk.reply())
        talk.talk("S: 421 *")
        assert talk.is_closed()
    door.stop()
    assert states(door) == {"/logs.bin": VersionState.COMPLETE}


def test_who_resets_while_a_stop_waits_for_its_upload_keeps_no_thread_busy(door: Door, acme: Customer) -> None:
    """The session listens no more, but an error is heard, and ends it."""
    with door.talk(acme) as talk, door.talk(acme) as idle:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES)
        until(lambda: f"{len(BYTES)} bytes" in talk.command("STAT"), "it has arrived")
        door.loop.call_soon_threadsafe(door.doorway.stop, 30.0)
        idle.talk("S: 421 *")
        hang_up(talk.socket, "rst")
        until(lambda: states(door) == {"/logs.bin": VersionState.PARTIAL}, "the session has ended")
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.25
        data.close()


def test_a_stop_keeps_what_is_not_finished_in_time_as_a_partial(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES[:1_200_000])
        until(lambda: "1200000 bytes" in talk.command("STAT"), "it has arrived")
        door.stop(within=0.1)
        told = talk.reply()[-1]
        assert told.startswith("426 "), told
        assert "REST 1200000" in told
        talk.talk("S: 421 *")
        data.close()
    assert states(door) == {"/logs.bin": VersionState.PARTIAL}


def test_abort_ends_a_transfer_at_any_time(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES[:100_000])
        until(lambda: "100000 bytes" in talk.command("STAT"), "it has arrived")
        talk.send_raw(b"\xff\xf4\xff\xf2ABOR\r\n")
        talk.talk("S: 426 *100000 bytes are kept*\nS: 226 *\nC: NOOP\nS: 200 *")
        data.close()
        talk.port()
        talk.talk("C: STOR other.bin\nS: 150 *\nC: ABOR\nS: 426 *\nS: 226 *")
        talk.talk("C: ABOR\nS: 225 *")
        talk.put("logs.bin", BYTES[100_000:], verb="APPE")
        data = talk.begin("RETR logs.bin")
        talk.talk("C: ABOR")
        while talk.line()[:3] != "226":
            pass
        data.close()
    assert states(door) == {"/logs.bin": VersionState.COMPLETE}


def test_a_stalled_upload_ends_as_a_partial(make_door: MakeDoor) -> None:
    door = make_door(ftps={"stall_timeout": "0.3 s"})
    acme = door.customer()
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES[:50_000])
        told = talk.reply()[-1]
        assert told.startswith("426 Nothing came any more. 50000 bytes are kept"), told
        data.close()


def test_who_resumes_takes_the_upload_from_the_session_that_held_it(door: Door, acme: Customer) -> None:
    with door.talk(acme) as old, door.talk(acme) as new:
        lingering = old.begin("STOR logs.bin")
        lingering.sendall(BYTES[:1_500_000])
        size = until(lambda: re.search(r"^213 (1\d{6})", new.command("SIZE logs.bin")), "it is listed")
        new.talk(f"C: REST {size[1]}\nS: 350 *")
        data = new.begin("STOR logs.bin")
        try:
            lingering.sendall(os.urandom(500_000))
            lingering.unwrap()
        except OSError:
            pass
        lingering.close()
        assert old.reply()[-1].startswith("426 Another session")
        data.sendall(BYTES[int(size[1]) :])
        data.unwrap().close()
        assert SHA256 in "\n".join(new.reply())
    (version,) = door.versions(acme)
    assert door.content(version) == BYTES


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_lost_control_connection_leaves_a_partial_with_all_that_came(door: Door, acme: Customer, how: str) -> None:
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        data.sendall(BYTES)
        until(lambda: f"{len(BYTES)} bytes" in talk.command("STAT"), "it has arrived")
        hang_up(talk.socket, how)
        version = until(lambda: door.versions(acme), "it is recorded")[0]
        until(lambda: door.versions(acme)[0].state is VersionState.PARTIAL, "it is a partial")
        data.close()
    assert door.content(version) == BYTES


def test_allo_is_evidence(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.talk("C: ALLO 1000\nS: 200 *")
        assert talk.cut("whole.bin", b"x" * 1000).startswith("226-")
        talk.talk("C: ALLO 1000\nS: 200 *")
        assert talk.put("short.bin", b"x" * 900).startswith("426 Less came than was announced. 900 bytes are kept")
        assert talk.put("next.bin", b"x" * 900).startswith("226-"), "what was announced holds for one upload"
        talk.talk("C: ALLO x\nS: 501 *")


def test_another_size_than_was_announced_is_no_proof(door: Door, acme: Customer) -> None:
    """A file that grew while it was sent ends with close_notify; without one not even a whole archive is believed."""
    announced = len(GZIP) - 10
    with door.talk(acme) as talk:
        talk.talk(f"C: ALLO {announced}\nS: 200 *")
        told = talk.cut("cut.gz", GZIP)
        assert told.startswith("426 More came than was announced")
        assert f"{len(GZIP)} bytes are kept" in told
        talk.talk(f"C: ALLO {announced}\nS: 200 *")
        assert talk.put("grown.gz", GZIP).startswith("226-")
    assert {version.path: (version.state, version.evidence) for version in door.versions()} == {
        "/cut.gz": (VersionState.PARTIAL, "longer than announced, and no close_notify"),
        "/grown.gz": (VersionState.COMPLETE, "close_notify, longer than announced"),
    }


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Proofs that do not end before it is set."""
    opened = threading.Event()

    async def slow(*words: Any, **named: Any) -> dict[str, Any]:
        for _ in range(int(PATIENCE * 100)):
            if opened.is_set():
                break
            await asyncio.sleep(0.01)
        return await looks.prove(*words, **named)

    monkeypatch.setattr(looking, "prove", slow)
    return opened


def under_proof(talk: Talk, name: str) -> None:
    """Send a whole archive without close_notify, and wait until its proof is under way."""
    data = talk.begin(f"STOR {name}")
    data.sendall(GZIP)
    hang_up(data, "fin")
    until(lambda: "a look inside is under way" in talk.command("STAT"), "the proof is under way")


def test_a_session_is_not_deaf_while_the_content_is_asked_for_proof(
    door: Door, acme: Customer, gate: threading.Event
) -> None:
    with door.talk(acme) as talk:
        under_proof(talk, "whole.gz")
        assert talk.command("NOOP").startswith("200")
        talk.send("MKD later")
        gate.set()
        assert "".join(talk.reply()).startswith("226-"), "the commands that came meanwhile are done after it"
        assert talk.reply()[0].startswith("257")
        gate.clear()
        under_proof(talk, "aborted.gz")
        talk.send("ABOR")
        assert talk.reply()[0].startswith(f"426 Transfer aborted. {len(GZIP)} bytes are kept")
        assert talk.reply()[0].startswith("226")
        assert talk.put("next.txt", b"x").startswith("226-")
    assert states(door) == {
        "/whole.gz": VersionState.COMPLETE,
        "/aborted.gz": VersionState.PARTIAL,
        "/next.txt": VersionState.COMPLETE,
    }


def test_who_goes_away_during_the_proof_has_a_complete_file_all_the_same(
    door: Door, acme: Customer, gate: threading.Event
) -> None:
    with door.talk(acme) as talk:
        under_proof(talk, "whole.gz")
    gate.set()
    until(lambda: states(door) == {"/whole.gz": VersionState.COMPLETE}, "it is complete")


def test_a_stop_waits_for_no_proof(door: Door, acme: Customer, gate: threading.Event) -> None:
    with door.talk(acme) as talk, door.talk(acme) as gone:
        under_proof(talk, "there.gz")
        under_proof(gone, "gone.gz")
        gone.close()
        door.stop()
        assert "bytes are kept" in talk.reply()[0]
    assert states(door) == {"/there.gz": VersionState.PARTIAL, "/gone.gz": VersionState.PARTIAL}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A disk that takes no upload's end before it is set."""
    ready = threading.Event()

    def held(call: Callable[[int], None]) -> Callable[[int], None]:
        def slow(fd: int) -> None:
            if "/incoming/" in os.readlink(f"/proc/self/fd/{fd}"):
                assert ready.wait(PATIENCE)
            call(fd)

        return slow

    monkeypatch.setattr(os, "fsync", held(os.fsync))
    monkeypatch.setattr(os, "fdatasync", held(os.fdatasync))
    return ready


def brought(talk: Talk) -> None:
    until(lambda: f"{len(LARGE)} bytes are here and are being" in talk.command("STAT"), "the disk is at work")


def sent(talk: Talk, name: str) -> None:
    """Send a large file, and wait until the disk is asked for it."""
    data = talk.begin(f"STOR {name}")
    data.sendall(LARGE)
    data.unwrap().close()
    brought(talk)


def test_a_session_is_not_deaf_while_the_disk_takes_a_large_upload(
    door: Door, acme: Customer, disk: threading.Event
) -> None:
    with door.talk(acme) as talk:
        sent(talk, "one.bin")
        assert talk.command("NOOP").startswith("200")
        talk.send("MKD later")
        disk.set()
        assert "".join(talk.reply()).startswith("226-"), "the commands that came meanwhile are done after it"
        assert talk.reply()[0].startswith("257")
        disk.clear()
        sent(talk, "two.bin")
        talk.send("ABOR")
        disk.set()
        assert "".join(talk.reply()).startswith("226-"), "too late: it was all here"
        assert talk.reply()[0].startswith("226 ")
        disk.clear()
        data = talk.begin("STOR cut.bin")
        data.sendall(LARGE)
        hang_up(data, "fin")
        brought(talk)
        assert talk.command("NOOP").startswith("200")
        disk.set()
        assert talk.reply()[0].startswith(f"426 The data connection was cut before the end of the file. {len(LARGE)} ")
    complete = {"/one.bin": VersionState.COMPLETE, "/two.bin": VersionState.COMPLETE}
    assert states(door) == complete | {"/cut.bin": VersionState.PARTIAL}


def test_who_goes_away_while_the_disk_is_at_work_has_a_complete_file_all_the_same(
    door: Door, acme: Customer, disk: threading.Event
) -> None:
    with door.talk(acme) as talk:
        sent(talk, "logs.bin")
    disk.set()
    until(lambda: states(door) == {"/logs.bin": VersionState.COMPLETE}, "it is complete")


def test_a_stop_waits_for_the_disk(door: Door, acme: Customer, disk: threading.Event) -> None:
    with door.talk(acme) as talk, door.talk(acme) as idle:
        sent(talk, "logs.bin")
        door.loop.call_soon_threadsafe(door.doorway.stop, 30.0)
        idle.talk("S: 421 *")
        disk.set()
        assert "".join(talk.reply()).startswith("226-")
        talk.talk("S: 421 *")
    door.stop()
    assert states(door) == {"/logs.bin": VersionState.COMPLETE}


def test_out_of_descriptors_a_large_upload_is_acknowledged_all_the_same(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end runs aside already: to say that it failed, and to keep a partial meanwhile, would be wrong."""

    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with door.talk(acme) as talk:
        monkeypatch.setattr(awaiting, "Alarm", none_left)
        assert talk.put("logs.bin", LARGE).startswith("226-")
    assert states(door) == {"/logs.bin": VersionState.COMPLETE}


def test_a_disk_that_fails_in_the_end_is_told_of(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk, Faults(Fault("os:fsync", "EIO", path="/incoming/")):
        assert talk.put("logs.bin", LARGE).startswith("451 ")
        assert talk.command("NOOP").startswith("200")
    assert states(door) == {"/logs.bin": VersionState.PARTIAL}


def test_a_session_is_not_deaf_while_the_beginning_of_a_resumed_upload_is_hashed(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = threading.Event()
    advance = Incoming._advance

    def slow(self: Incoming, fd: int, end: int) -> None:
        assert ready.wait(PATIENCE)
        advance(self, fd, end)

    with door.talk(acme) as talk:
        size = len(LARGE) - 1000
        assert talk.cut("logs.bin", LARGE[:size]).startswith("426 ")
        monkeypatch.setattr(Incoming, "_advance", slow)
        talk.talk(f"C: REST {size}\nS: 350 *")
        data = talk.begin("STOR logs.bin")
        data.sendall(LARGE[size:])
        data.unwrap().close()
        brought(talk)
        assert talk.command("NOOP").startswith("200")
        ready.set()
        assert hashlib.sha256(LARGE).hexdigest() in "".join(talk.reply())


def test_the_end_of_a_small_upload_costs_no_thread(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        assert talk.put("small.bin", BYTES).startswith("226-")
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("end_")] == []
        assert talk.put("large.bin", LARGE).startswith("226-")
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("end_")] == ["end_0"]


def test_two_passive_commands_leave_one_port(make_door: MakeDoor) -> None:
    door = make_door(ports=1)
    acme = door.customer()
    with door.talk(acme) as talk:
        assert talk.port() == talk.port() == door.low
        assert talk.command("PASV").startswith("227 Entering Passive Mode (127,0,0,1,")
        assert talk.put("logs.bin", BYTES).startswith("226-")


def test_nobody_reached_the_data_port_and_support_can_see_why(make_door: MakeDoor) -> None:
    door = make_door(ftps={"data_timeout": "0.3 s"})
    acme = door.customer()
    with door.talk(acme) as talk:
        talk.port()
        talk.talk("C: STOR logs.bin\nS: 150 *\nS: 425 No data connection came: your firewall*")
        talk.talk("C: NOOP\nS: 200 *")
    seen = until(lambda: door.activity(acme).get("last_failure"), "the failure is noted")
    assert "control connection fine, data port never reached" in seen
    assert states(door) == {}


def test_a_data_connection_that_never_shakes_hands_is_no_firewalls_doing(make_door: MakeDoor) -> None:
    door = make_door(ftps={"data_timeout": "0.5 s"})
    acme = door.customer()
    with door.talk(acme) as talk, talk.connect_data() as data:
        talk.talk("C: STOR logs.bin\nS: 150 *")
        data.sendall(b"\x16\x03\x01\x02\x00\x01")
        talk.talk("S: 426 The data connection failed: its TLS handshake was not finished*\nC: NOOP\nS: 200 *")
    until(lambda: "not finished" in str(door.activity(acme).get("last_failure")), "support can see it")


def test_ipv6(make_door: MakeDoor) -> None:
    door = make_door(family=socket.AF_INET6)
    acme = door.customer()
    with door.talk(acme) as talk:
        talk.talk("C: PASV\nS: 425 *\nC: EPSV 1\nS: 522 *(2)\nC: EPSV 2\nS: 229 *")
        assert talk.put("logs.bin", BYTES).startswith("226-")
        talk.talk("C: EPSV ALL\nS: 200 *\nC: PASV\nS: 501 *")
        assert talk.put("logs2.bin", BYTES).startswith("226-")


def test_masquerade_address(make_door: MakeDoor) -> None:
    for name, written in (("192.0.2.7", "192,0,2,7"), ("localhost", "127,0,0,1")):
        door = make_door(ftps={"masquerade_address": name})
        acme = door.customer()
        with door.talk(acme) as talk:
            assert f"({written}," in talk.command("PASV")


def test_the_name_of_masquerade_address_is_looked_up_again(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A dynamic address changes; a resolver that fails changes nothing, and is heard of."""
    answers: list[str | OSError] = ["192.0.2.1", "192.0.2.2", socket.gaierror("no answer"), "192.0.2.3"]
    known = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        if host != "nat.example.com":
            return known(host, *more, **named)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (answer, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(settings, "LOOK_UP_EVERY", 0.0)
    door = make_door(ftps={"masquerade_address": "nat.example.com"})
    with door.talk(door.customer()) as talk:
        named = [re.findall(r"\((\d+,\d+,\d+,\d+),", talk.command("PASV")) for _ in range(4)]
    assert named == [["192,0,2,1"], ["192,0,2,2"], ["192,0,2,2"], ["192,0,2,3"]]
    assert "masquerade_address can't be looked up" in caplog.text


def test_more_uploads_at_once_than_there_are_ports(make_door: MakeDoor) -> None:
    door = make_door(ports=2)
    acme = door.customer()
    talks = [door.talk(acme) for _ in range(6)]
    streams = [talk.begin(f"STOR {number}.bin") for number, talk in enumerate(talks)]
    for stream in streams:
        stream.sendall(BYTES)
    for stream, talk in zip(streams, talks, strict=True):
        stream.unwrap().close()
        assert talk.reply()[-1].startswith("226 ")
        talk.close()


# -- limits


def test_largest_file(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"largest_file": 1_000_000}})
    acme = door.customer()
    with door.talk(acme) as talk:
        talk.talk("C: ALLO 1000001\nS: 552 The file is larger than the 1000000 bytes*")
        assert talk.put("fits.bin", BYTES[:1_000_000]).startswith("226-")
        data = talk.begin("STOR large.bin")
        with pytest.raises(OSError):
            data.sendall(os.urandom(64 << 20))
        data.close()
        assert talk.reply()[-1].startswith("552 ")


def test_quota_is_told_before_the_disk_is_touched(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"quota": 1_000_000}})
    acme = door.customer()
    with door.talk(acme) as talk:
        talk.put("logs.bin", BYTES[:600_000])
        talk.talk("C: ALLO 500000\nS: 552 The quota leaves room for 400000 bytes more*")
        data = talk.begin("STOR other.bin")
        data.sendall(BYTES[:500_000])
        hang_up(data, "fin")
        assert talk.reply()[-1].startswith("552 ")
    (first, *_) = door.versions(acme)
    assert (first.size, first.state) == (600_000, VersionState.COMPLETE)


def test_uploads_beside_each_other_share_the_quota(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"quota": 3_000_000}})
    acme = door.customer()
    talks = [door.talk(acme) for _ in range(4)]
    streams = [talk.begin(f"STOR {number}.bin") for number, talk in enumerate(talks)]
    for stream in streams:
        stream.sendall(BYTES)
    for stream in streams:
        stream.unwrap().close()
    assert sorted(talk.reply()[-1][:4] for talk in talks) == ["226 ", "552 ", "552 ", "552 "]
    for talk in talks:
        talk.close()


def test_allo_of_a_whole_file_that_is_resumed_needs_room_for_the_rest_only(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with door.talk(acme) as talk:
        talk.cut("logs.bin", BYTES[:1_500_000])
        monkeypatch.setattr(Spool, "free", lambda self: 1_000_000)
        talk.talk(f"C: ALLO {len(BYTES)}\nS: 200 *\nC: REST 1500000\nS: 350 *")
        assert talk.put("logs.bin", BYTES[1_500_000:]).startswith("226-")
        talk.talk("C: ALLO 3000000\nS: 452 *")


def test_free_disk_reserve(make_door: MakeDoor) -> None:
    door = make_door(spool={"free_disk_reserve": "1000000 GiB"})
    acme = door.customer()
    with door.talk(acme) as talk:
        talk.port()
        talk.talk("C: STOR logs.bin\nS: 452 *")


def test_a_disk_that_becomes_full_during_an_upload_keeps_its_reserve(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOOK_AT_DISK", 1 << 20)
    door = make_door(spool={"free_disk_reserve": "1 MiB"})
    acme = door.customer()
    with door.talk(acme) as talk:
        data = talk.begin("STOR logs.bin")
        data.sendall(LARGE[: 3 << 20])
        until(lambda: f"{3 << 20} bytes" in talk.command("STAT"), "it has arrived")
        monkeypatch.setattr(Spool, "free", lambda self: 1000)
        with pytest.raises(OSError):
            data.sendall(LARGE * 10)
        data.close()
        assert talk.reply()[-1].startswith("452 ")
    (version,) = door.versions(acme)
    assert version.state is VersionState.PARTIAL
    assert 3 << 20 <= version.size <= 4 << 20


def test_an_account_may_have_limits_of_its_own(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"quota": 1}})
    acme = door.customer(limits={"quota": 10_000_000})
    with door.talk(acme) as talk:
        assert talk.put("logs.bin", BYTES).startswith("226-")


def test_sessions_and_transfers_of_an_account(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"sessions_per_account": 2, "transfers_per_account": 1}})
    acme = door.customer()
    with door.talk(acme) as one, door.talk(acme) as two, door.talk() as three:
        three.secure()
        three.talk(f"C: USER acme\nS: 331 *\nC: PASS {acme.password}\nS: 421 Too many connections for this login*")
        data = one.begin("STOR one.bin")
        two.port()
        two.talk("C: STOR two.bin\nS: 450 Too many transfers*")
        data.unwrap().close()
        one.reply()
        assert two.put("two.bin", BYTES).startswith("226-")


def test_sessions_and_binding_of_an_account_of_its_own(make_door: MakeDoor) -> None:
    door = make_door(ftps={"data_binding": "any"})
    acme = door.customer(limits={"sessions_per_account": 1}, data_binding="session")
    other = door.customer("other")
    with door.talk(acme) as one, door.talk() as two, door.talk(other) as third:
        two.secure()
        two.talk(f"C: USER acme\nS: 331 *\nC: PASS {acme.password}\nS: 421 Too many connections for this login*")
        for talk, told in ((one, "425 "), (third, "226 ")):
            data = talk.connect_data()
            talk.talk("C: STOR logs.bin\nS: 150 *")
            with data, contextlib.suppress(OSError), talk.secure_data(data, resume=False) as stream:
                stream.unwrap().close()
            assert talk.reply()[-1].startswith(told)


def test_who_goes_with_transfers_still_in_its_queue_leaves_none_behind(make_door: MakeDoor) -> None:
    """What was not begun is not begun any more, and nothing of it counts to the account's limits."""
    door = make_door(ports=2, ftps={"limits": {"transfers_per_account": 1}})
    acme = door.customer()
    with door.talk(acme) as talk:
        data = talk.begin("STOR first.bin")
        talk.send_raw(b"EPSV\r\nSTOR second.bin\r\n")
        hang_up(talk.socket, "fin")
        data.close()
    until(lambda: not any(one.name.startswith("ftps ") for one in threading.enumerate()), "the session has ended")
    with door.talk(acme) as talk:
        assert talk.put("logs.bin", b"a few bytes").splitlines()[-1].startswith("226 ")


def test_transfers_of_an_address(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"transfers_per_address": 1}})
    acme, other = door.customer(), door.customer("other")
    with door.talk(acme) as one, door.talk(other) as two:
        data = one.begin("STOR one.bin")
        for _ in range(2):  # the refused one is not counted
            two.port()
            two.talk("C: STOR two.bin\nS: 450 Too many transfers at once from your address*")
        data.unwrap().close()
        one.reply()
        assert two.put("two.bin", BYTES).startswith("226-")
        assert one.put("three.bin", BYTES).startswith("226-")


def test_sessions_of_everybody(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"sessions": 1}})
    acme = door.customer()
    with door.talk(acme) as one, door.talk() as two:
        two.talk("S: 421 Too many connections; try again in a minute.")
        one.talk("C: QUIT\nS: 221 *")

        def welcome() -> bool:
            with door.talk() as again:
                return again.line().startswith("220")

        until(welcome, "there is room again")


def test_sessions_of_an_address(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"sessions_per_address": 2}})
    with door.talk() as one, door.talk() as two, door.talk() as three:
        one.talk("S: 220 *")
        two.talk("S: 220 *")
        three.talk("S: 421 Too many connections from your address*")
        one.close()

        def welcome() -> bool:
            with door.talk() as again:
                return again.line().startswith("220")

        until(welcome, "there is room again")


def test_who_says_the_next_thing_early_has_not_given_up(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        data = talk.begin("STOR next.bin")
        data.sendall(BYTES)
        talk.send("NOOP")
        data.unwrap().close()
        talk.send("NOOP")
        said = "".join("".join(talk.reply()) for _ in range(3))
        assert "226-" in said
        assert said.count("200") >= 2
    assert states(door)["/next.bin"] is VersionState.COMPLETE


def test_who_is_silent_after_the_login_has_the_time_of_the_idle(make_door: MakeDoor) -> None:
    door = make_door(ftps={"login_timeout": "1 s"})
    with door.talk() as talk, door.talk() as silent:
        talk.secure()
        talk.talk(f"C: USER acme\nS: 331 *\nC: PASS {door.customer().password}\nS: 230*")
        assert silent.line().startswith("220")
        assert silent.line().startswith("421 "), "nobody said a word there"
        time.sleep(0.5)
        talk.talk("C: NOOP\nS: 200 *")


def test_who_does_not_log_in_in_time_is_told_and_goes(make_door: MakeDoor) -> None:
    """Whatever is said meanwhile."""
    door = make_door(ftps={"login_timeout": "0.7 s"})
    with door.talk() as talk:
        begun = time.monotonic()
        talk.secure()
        while time.monotonic() - begun < 0.5:
            talk.talk("C: NOOP\nS: 200 *")
            time.sleep(0.05)
        assert talk.line().startswith("421 ")
        assert talk.is_closed()
        assert time.monotonic() - begun > 0.6


def test_logins_a_minute_and_how_long_a_ban_lasts(make_door: MakeDoor) -> None:
    limits = {"logins_per_minute": 3, "failures_before_ban": 5, "ban_time": "2 s"}
    door = make_door(ftps={"limits": limits})
    acme = door.customer()
    with door.talk(acme) as talk:
        talk.talk("C: NOOP\nS: 200 *")
    for name in "ab":
        with door.talk() as talk:
            talk.secure()
            talk.talk(f"C: USER {name}\nS: 331 *\nC: PASS wrong\nS: 530 *")
    with door.talk() as talk:
        talk.secure()
        talk.talk("C: USER c\nS: 331 *\nC: PASS wrong\nS: 421 Too many logins from your address*")
    with door.talk(acme) as talk:  # who was let in minutes ago needs no check
        talk.talk("C: NOOP\nS: 200 *")


def test_a_ban_ends_by_itself(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"failures_before_ban": 1, "ban_time": "2 s"}})
    acme = door.customer()
    with door.talk() as talk:
        talk.secure()
        talk.talk("C: USER a\nS: 331 *\nC: PASS wrong\nS: 530 *\nC: USER a\nS: 331 *\nC: PASS wrong\nS: 421 *")
    with door.talk() as talk:
        assert talk.line().startswith("421 Too many failed logins")

    def welcome() -> bool:
        with door.talk() as talk:
            return talk.line().startswith("220")

    until(welcome, "the ban is over")
    with door.talk(acme) as talk:
        talk.talk("C: NOOP\nS: 200 *")


def test_a_client_that_says_its_name_after_the_login_is_noted(door: Door, acme: Customer) -> None:
    """FileZilla does."""
    with door.talk(acme) as talk:
        talk.talk("C: CLNT FileZilla 3.63\nS: 200 *")

    async def seen(store: Store) -> Any:
        async with store.reading() as connection:
            return (await accounts.activity(connection, acme.account.id)).get("client")

    until(lambda: door.ask(seen) == "FileZilla 3.63", "it is noted")


def test_a_banned_address_is_turned_away_at_connect_until_the_ban_is_lifted(make_door: MakeDoor) -> None:
    door = make_door(ftps={"limits": {"failures_before_ban": 2}})
    acme = door.customer()
    with door.talk() as talk:
        talk.secure()
        for name in "abc":
            talk.talk(f"C: USER {name}\nS: 331 *\nC: PASS wrong\nS: 530 *")
        talk.talk("C: USER acme\nS: 331 *\nC: PASS wrong\nS: 421 Too many failed logins from your address*")
        assert talk.is_closed()
    for again in (False, True):
        if again:  # it is known to the next process, too
            door.stop()
            door.start()
        with door.talk() as talk:
            talk.talk("S: 421 Too many failed logins from your address*")
            assert talk.is_closed()
    door.ask(lambda store: store.write(one_by_one(bans.forgive), address_subject(door.host)))
    with door.talk(acme) as talk:
        talk.talk("C: NOOP\nS: 200 *")


@pytest.mark.parametrize("whose", ["account", "address", "session"])
def test_bandwidth_holds_under_tls(make_door: MakeDoor, whose: str) -> None:
    door = make_door(ftps={"limits": {f"bandwidth_per_{whose}": 2_000_000}})
    acme = door.customer()
    with door.talk(acme) as talk:
        begun = os.times().elapsed
        assert talk.put("logs.bin", BYTES * 2).startswith("226-")
        assert os.times().elapsed - begun > 0.7  # 4 MB at 2 MB/s, one second's worth at once
        begun, got = os.times().elapsed, bytearray()
        data = talk.begin("RETR logs.bin")
        while block := data.recv(1 << 16):
            got += block
        data.close()
        assert talk.reply()[-1].startswith("226 ")
        assert got == BYTES * 2
        assert os.times().elapsed - begun > 0.7


def test_what_another_process_has_just_sealed_is_neither_cut_nor_called_empty(
    door: Door, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes have their final name, and its row says *receiving* for a moment yet."""

    def came(self: Intake, version: Version) -> Hold:
        raise LookupError(version.id)

    with door.talk(acme) as talk, door.talk(acme) as other:
        running = other.begin("STOR logs.bin")
        running.sendall(LARGE[: 2 << 20])
        until(lambda: states(door) == {"/logs.bin": VersionState.RECEIVING}, "it is recorded")
        monkeypatch.setattr(Spool, "size_of_incoming", lambda self, upload: None)
        talk.port()
        talk.talk("C: APPE logs.bin\nS: 450 Another process holds this upload*")
        monkeypatch.setattr(Intake, "_freed", came)
        talk.talk("C: REST 1000\nS: 350 *\nC: STOR logs.bin\nS: 553 *")
        monkeypatch.undo()
        running.sendall(LARGE[2 << 20 :])
        running.unwrap().close()
        assert other.reply()[-1].startswith("226 ")
