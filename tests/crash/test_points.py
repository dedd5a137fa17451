"""The doors are killed between each two of bytes, fsync, name, folder, row and reply; and then disks fail there.

The order is the promise, so each place between two steps has its name in a table. The doors of one gateway go through
all of them, each place in a process of its own, the next of which the supervisor starts; then every upload and every
mail is sent again by its client, as clients do.
"""

from __future__ import annotations

import ftplib
import functools
import os
import random
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from crash.told import LOST, SENDER, SR, Kept, Told, connect, message, send, sha256, upload

from gateway.testing import Fault, Login, RunningGateway, running_gateway, until
from gateway.testing.faults import environment_of_lives

SMALL, LARGE = 10_000, 3 << 20
"""Bytes: an upload whose row is written at its end only, and one that is recorded while it arrives."""

LARGE_MAIL = 200_000
"""A mail that goes to the spool, not into its row."""

FLUSH = "gateway.spool.incoming:Incoming._sync"
"""An upload's own; ``os:fsync`` would also strike where the next process recovers it, and use up that life."""

UPLOADS = {
    "in the middle of the bytes": (Fault("gateway.spool.incoming:Incoming.write", "kill", nth=2), LARGE),
    "bytes written, not flushed": (Fault(FLUSH, "kill"), SMALL),
    "bytes written, not flushed, row there": (Fault(FLUSH, "kill"), LARGE),
    "bytes flushed, not named": (Fault(FLUSH, "kill-after"), LARGE),
    "named, folder not flushed": (Fault("os:rename", "kill-after", path="/files/"), SMALL),
    "named, folder not flushed, row there": (Fault("os:rename", "kill-after", path="/files/"), LARGE),
    "folder flushed, no row": (Fault("gateway.spool.incoming:sync_directory", "kill-after", path="/files/"), SMALL),
    "row written, not committed": (Fault("gateway.store.outbox:record", "kill"), LARGE),
    "row committed, not answered": (Fault("gateway.intake:Upload.complete", "kill-after"), SMALL),
    "row committed, not answered, large": (Fault("gateway.intake:Upload.complete", "kill-after"), LARGE),
    "answered": (Fault("gateway.ftps.session:Session.moved", "kill"), SMALL),
}

MAILS = {
    "mail decided, not written": (Fault("gateway.store.mails:record", "kill"), 2_000),
    "mail written, not committed": (Fault("gateway.store.updates:file", "kill"), 2_000),
    "mail committed, not answered": (Fault("gateway.domain.replies.smtp:filed", "kill", nth=2), 2_000),
    "large mail not flushed": (Fault("os:fsync", "kill", path="/incoming/"), LARGE_MAIL),
    "large mail named, folder not flushed": (Fault("os:rename", "kill-after", path="/files/"), LARGE_MAIL),
    "large mail in its folder, no row": (
        Fault("gateway.spool.incoming:sync_directory", "kill-after", path="/files/"),
        LARGE_MAIL,
    ),
    "large mail written, not committed": (Fault("gateway.store.updates:file", "kill"), LARGE_MAIL),
}

FAILING = {
    "the disk is full": (Fault("os:write", "ENOSPC", path="/incoming/"), LARGE),
    "the name can't be given": (Fault("os:rename", "ENOSPC", path="/files/"), SMALL),
    "the flush fails": (Fault("os:fsync", "EIO", nth=2, path="/incoming/"), SMALL),
    "the folder's flush fails": (Fault("os:fsync", "EIO", path="/files/"), SMALL),
}
"""Each strikes once, when something first comes to it, and so one after another in a single life of the door."""

FAILING_ROW = {"the row can't be written": (Fault("gateway.store.endings:settle", "EIO", times=2), LARGE)}
"""In a life of its own, for every end of an upload comes to it: the second time is the attempt to keep a partial."""

FAILING_MAILS = {
    "a mail's row can't be written": (Fault("gateway.store.updates:file", "EIO"), 2_000),
    "a large mail's flush fails": (Fault("os:fsync", "EIO", path="/incoming/"), LARGE_MAIL),
}


ALL_UPLOADS, ALL_MAILS = UPLOADS | FAILING | FAILING_ROW, MAILS | FAILING_MAILS


@dataclass
class Journey:
    """What clients were told at each place, first and when they sent again; and what the gateway has at the end."""

    first: dict[str, Told] = field(default_factory=dict)
    between: Kept = field(init=False)
    again: dict[str, Told] = field(default_factory=dict)
    end: Kept = field(init=False)


def file_name(place: str) -> str:
    return place.replace(" ", "-").replace(",", "").replace("'", "") + ".bin"


def bytes_for(place: str, size: int) -> bytes:
    return random.Random(place).randbytes(size)


def text_for(place: str, size: int) -> bytes:
    return (place.encode() * (60 // len(place) + 1) + b"\n") * (size // 60)


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """Through every place, a life of its door each; whoever connects between two lives waits for the next."""
    made = Journey()
    lives = {
        "ftps": [
            *([fault] for fault, _ in UPLOADS.values()),
            [fault for fault, _ in FAILING.values()],
            [fault for fault, _ in FAILING_ROW.values()],
        ],
        "smtp": [*([fault] for fault, _ in MAILS.values()), [fault for fault, _ in FAILING_MAILS.values()]],
    }
    faults = environment_of_lives(tmp_path_factory.mktemp("lives"), lives)
    with running_gateway({"ftps": {"inspect_wait": "0s"}}, environment=faults) as gateway:
        account = gateway.add_account("Acme")
        gateway.add_contact(SENDER, account.login)
        gateway.add_sr(SR, account.login)
        with ThreadPoolExecutor(1) as meanwhile:
            mails = meanwhile.submit(send_mails, gateway, made, ALL_MAILS)
            send_files(gateway, account, made, UPLOADS)
            send_files(gateway, account, made, FAILING)
            os.kill(gateway.pid("ftps"), signal.SIGKILL)
            send_files(gateway, account, made, FAILING_ROW)
            mails.result()
        gateway.kill()
        gateway.environment = {**os.environ}
        gateway.start()
        made.between = Kept(gateway, account)
        made.between.audit()
        go_on(gateway, account, made)
        made.end = Kept(gateway, account)
        made.end.audit()
        yield made


def send_files(gateway: RunningGateway, account: Login, made: Journey, places: Iterable[str]) -> None:
    """Every client sends for the first time, each over a connection of its own."""
    for place in places:
        client = until(lambda: connected(gateway, account), "the door is there again")
        recorded = functools.partial(has_row, gateway, account, place) if place.endswith("row there") else lambda: None
        content = bytes_for(place, ALL_UPLOADS[place][1])
        made.first[place] = upload(client, file_name(place), content, before_end=recorded)
        client.close()


def has_row(gateway: RunningGateway, account: Login, place: str) -> None:
    """Wait for it: that of a large upload is written beside its bytes."""
    until(lambda: Kept(gateway, account).versions(file_name(place)), "the upload's row")


def send_mails(gateway: RunningGateway, made: Journey, places: Iterable[str]) -> None:
    for place in places:
        made.first[place] = send(gateway, message(place, text_for(place, ALL_MAILS[place][1])))


def connected(gateway: RunningGateway, account: Login) -> ftplib.FTP_TLS | None:
    """A client that has logged in; None where the last life, killed just now, took the connection with it."""
    try:
        return connect(gateway, account)
    except LOST:
        return None


def go_on(gateway: RunningGateway, account: Login, made: Journey) -> None:
    """Every client sends again: an upload that is there in part is resumed, a mail is the same mail."""
    client = connect(gateway, account)
    for place, (_, size) in ALL_UPLOADS.items():
        there = made.between.versions(file_name(place))
        rest = there[0]["size"] if there and there[0]["state"] == "partial" else None
        made.again[place] = upload(client, file_name(place), bytes_for(place, size), rest)
    client.quit()
    for place, (_, size) in ALL_MAILS.items():
        made.again[place] = send(gateway, message(place, text_for(place, size)))


@pytest.mark.parametrize("place", UPLOADS)
def test_a_door_killed_there_loses_no_upload_it_acknowledged_and_shows_none_twice(journey: Journey, place: str) -> None:
    content = bytes_for(place, UPLOADS[place][1])
    told = journey.first[place]
    journey.between.judge_upload(file_name(place), content, told)
    assert told.nothing or place == "answered", f"it did not die where it was to: {told}"
    if place.startswith("row committed"):
        assert journey.between.versions(file_name(place)), "committed and gone"


@pytest.mark.parametrize("place", FAILING | FAILING_ROW)
def test_a_disk_that_fails_there_never_gives_a_226(journey: Journey, place: str) -> None:
    told = journey.first[place]
    assert 400 <= told.code < 600, told
    journey.between.judge_upload(file_name(place), bytes_for(place, ALL_UPLOADS[place][1]), told)


@pytest.mark.parametrize("place", ALL_UPLOADS)
def test_whoever_goes_on_or_sends_again_has_the_file_whole_and_once(journey: Journey, place: str) -> None:
    content = bytes_for(place, ALL_UPLOADS[place][1])
    assert journey.again[place].code == 226, journey.again[place]
    whole = [file for file in journey.end.versions(file_name(place)) if file["state"] == "complete"]
    assert [(file["size"], file["sha256"]) for file in whole] == [(len(content), sha256(content))]
    assert whole[0]["id"] == journey.again[place].receipt


@pytest.mark.parametrize("place", MAILS)
def test_a_door_killed_there_loses_no_mail_it_acknowledged_and_files_none_twice(journey: Journey, place: str) -> None:
    assert journey.first[place].nothing, f"it did not die where it was to: {journey.first[place]}"
    journey.between.judge_mail(place, journey.first[place])


@pytest.mark.parametrize("place", FAILING_MAILS)
def test_a_disk_that_fails_there_never_gives_a_250(journey: Journey, place: str) -> None:
    assert 400 <= journey.first[place].code < 500, journey.first[place]
    journey.between.judge_mail(place, journey.first[place])


@pytest.mark.parametrize("place", ALL_MAILS)
def test_a_mail_that_is_sent_again_is_one_update(journey: Journey, place: str) -> None:
    assert journey.again[place].code == 250, journey.again[place]
    journey.end.judge_mail(place, journey.again[place])
