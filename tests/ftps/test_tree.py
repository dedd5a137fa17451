"""An account's files as folders: what is seen, made, moved and removed, and whose SR it is."""

from __future__ import annotations

import os

from gateway.domain.records import VersionState
from gateway.testing.ftps import Customer, Door, hang_up
from gateway.testing.waiting import until

from .conftest import MakeDoor

BYTES = os.urandom(1000)


def test_the_folders_of_open_srs_are_there_and_no_others(door: Door, acme: Customer) -> None:
    foreign = door.customer("foreign")
    door.sr("777", foreign)
    door.sr("888", acme, closed=True)
    with door.client(acme) as client, door.talk(acme) as talk:
        assert client.names() == ["SR-12345"]
        talk.talk('C: CWD /SR-12345\nS: 250 *\nC: CWD /sr-12345\nS: 250 *\nC: PWD\nS: 257 "/SR-12345" *')
        for number in ("777", "888", "999"):
            told = talk.command(f"CWD /SR-{number}").replace(number, "N")
            assert told == "550 /SR-N: no such folder."


def test_folders_of_srs_are_not_for_the_customer_to_change_whether_or_not_they_exist(
    door: Door, acme: Customer
) -> None:
    with door.talk(acme) as talk:
        talk.talk("C: MKD mine\nS: 257 *")
        for number in ("12345", "99999"):
            refused = [talk.command(f"{verb} SR-{number}") for verb in ("MKD", "RMD", "RNFR")]
            talk.talk("C: RNFR mine\nS: 350 *")
            refused.append(talk.command(f"RNTO SR-{number}"))
            assert set(refused) == {"550 Folders named SR-… come and go with their Service Request."}


def test_whose_sr_a_file_is(door: Door, acme: Customer) -> None:
    foreign = door.customer("foreign")
    door.sr("777", foreign)
    with door.talk(acme) as talk:
        talk.talk("C: MKD any\nS: 257 *\nC: MKD SR-12345/deep\nS: 257 *")
        for path in (
            "SR-12345/a.zip",
            "SR-12345/deep/a.zip",
            "SR12345.zip",
            "any/SR#12345 b.zip",
            "12345_c.zip",
            "SR777.zip",
            "SR123456.zip",
            "d.zip",
        ):
            talk.put(path, BYTES)
    assert {version.path: version.sr for version in door.versions(acme)} == {
        "/SR-12345/a.zip": "12345",
        "/SR-12345/deep/a.zip": "12345",
        "/SR12345.zip": "12345",
        "/any/SR#12345 b.zip": "12345",
        "/12345_c.zip": "12345",
        "/SR777.zip": None,
        "/SR123456.zip": None,
        "/d.zip": None,
    }


def test_an_unfiled_upload_says_how_to_file_it(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        assert "SR: none yet; put the file into the folder of its SR" in talk.put("d.zip", BYTES)


def test_a_folder_made_under_the_name_of_an_upload_under_way_takes_the_file(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk, door.talk(acme) as other:
        data = talk.begin("STOR x.zip")
        data.sendall(BYTES)
        other.talk("C: MKD x.zip\nS: 257 *")
        data.unwrap().close()
        assert "File: /x.zip/x.zip" in "\n".join(talk.reply())
    with door.client(acme) as client:
        assert client.names("/x.zip") == ["x.zip"]
        assert client.get("/x.zip/x.zip") == BYTES


def test_folders_are_made_moved_and_removed(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.talk(
            """
            C: MKD a
            S: 257 "/a" created.
            C: MKD a
            S: 550 *
            C: MKD no/b
            S: 550 *
            C: MKD a/b
            S: 257 *
            """
        )
        talk.put("a/b/x.zip", BYTES)
        talk.talk(
            """
            C: RMD a/b
            S: 550 /a/b is not empty.
            C: RNFR a
            S: 350 *
            C: RNTO a/b/c
            S: 553 *
            C: RNFR a
            S: 350 *
            C: RNTO z
            S: 250 *
            C: RNTO z
            S: 503 *
            C: RNFR a
            S: 550 *
            C: DELE z/b
            S: 550 *
            C: DELE z/b/x.zip
            S: 250 *
            C: RMD z/b
            S: 250 *
            C: RMD z
            S: 250 *
            C: RMD z
            S: 550 *
            C: RMD /
            S: 550 *
            """
        )
    (version,) = door.versions(acme)
    assert version.state is VersionState.DELETED, "what a customer deletes stays for a while"


def test_a_folder_that_goes_while_something_is_sent_to_it_comes_back(door: Door, acme: Customer) -> None:
    """One session removes or renames the folder that another one uploads to: the file is in sight at the end."""
    with door.talk(acme) as talk, door.client(acme) as other:
        for number, content in enumerate((b"a few bytes", BYTES)):
            other.mkd(f"logs{number}")
            other.mkd(f"logs{number}/deep")
            data = talk.begin(f"STOR logs{number}/deep/file")
            if number:
                other.rename("logs1", "moved")
            else:
                other.rmd("logs0/deep")
                other.rmd("logs0")
            data.sendall(content)
            data.unwrap().close()
            assert talk.reply()[-1].startswith("226 ")
            assert f"logs{number}" in other.names()
            assert other.names(f"logs{number}/deep") == ["file"]


def test_a_rename_onto_a_file_overwrites_nothing(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.put("a.zip", b"a")
        talk.put("b.zip", b"b")
        talk.talk("C: RNFR b.zip\nS: 350 *\nC: RNTO a.zip\nS: 250 *\nC: SIZE b.zip\nS: 550 *")
    assert sorted(door.content(version) for version in door.versions(acme)) == [b"a", b"b"]
    assert {version.path for version in door.versions(acme)} == {"/a.zip"}


def test_times_are_kept(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.put("a.zip", BYTES)
        talk.talk(
            """
            C: MFMT 20260102030405 a.zip
            S: 213 Modify=20260102030405; /a.zip
            C: MDTM a.zip
            S: 213 20260102030405
            C: MDTM 20270102030405 a.zip
            S: 213 *
            C: MDTM a.zip
            S: 213 20270102030405
            C: MFMT 09991231235959 a.zip
            S: 213 Modify=09991231235959; *
            C: MDTM a.zip
            S: 213 09991231235959
            C: MFMT 20270102030405 a.zip
            S: 213 *
            C: MFMT 20261302030405 a.zip
            S: 501 *
            C: MFMT yesterday a.zip
            S: 501 *
            C: MDTM SR-12345
            S: 213 *
            """
        )
        facts = talk.command("MLST a.zip")
        assert "Type=file;Size=1000;Modify=20270102030405;Perm=dfrw;Unique=" in facts
        assert " /a.zip" in facts


def test_facts_can_be_chosen(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk:
        talk.put("a.zip", BYTES)
        talk.talk("C: OPTS MLST size;type;unknown;\nS: 200 MLST OPTS type;size;\nC: MLST a.zip\nS: 250-*")
        assert talk.line() == " Type=file;Size=1000; /a.zip"


def test_names_that_differ_in_case_are_two_files(door: Door, acme: Customer) -> None:
    with door.client(acme) as client:
        client.put("Logs.zip", b"1")
        client.put("logs.zip", b"2")
        assert (client.get("Logs.zip"), client.get("logs.zip")) == (b"1", b"2")


def test_long_names_and_deep_paths(door: Door, acme: Customer) -> None:
    with door.client(acme) as client:
        long = "ü" * 127 + "x"
        client.put(long, BYTES)
        assert client.get(long) == BYTES
        for depth in range(1, 31):
            client.mkd("/".join(["d" * 60] * depth))
        deep = "/".join(["d" * 60] * 30) + "/x.zip"
        client.put(deep, BYTES)
        assert client.get(deep) == BYTES


def test_listings_for_old_clients(door: Door, acme: Customer) -> None:
    with door.client(acme) as client:
        client.put("a.zip", BYTES)
        client.put("b.txt", BYTES)
        lines: list[str] = []
        client.retrlines("LIST -la", lines.append)
        assert [line.split()[-1] for line in lines] == ["SR-12345", "a.zip", "b.txt"]
        assert lines[0].startswith("drwx")
        assert lines[1].split()[4] == "1000"
        assert client.nlst("*.zip") == ["a.zip"]
        assert client.nlst("/") == ["SR-12345", "a.zip", "b.txt"]
        told = client.sendcmd("STAT /")
        assert "a.zip" in told
        assert told.startswith("213-")


def test_a_partial_is_listed_with_what_is_there(door: Door, acme: Customer) -> None:
    with door.talk(acme) as talk, door.client(acme) as client:
        talk.cut("cut.zip", b"x" * 70_000)
        ((name, facts),) = [entry for entry in client.mlsd() if entry[0] == "cut.zip"]
        assert (name, facts["size"]) == ("cut.zip", "70000")
        assert client.get("cut.zip") == b"x" * 70_000


def test_a_rename_files_nothing_under_an_sr_of_another_account(door: Door, acme: Customer) -> None:
    """Not even found out about: it is answered like an SR that does not exist, and like one that does."""
    door.sr("777", door.customer("other"))
    with door.talk(acme) as talk:
        for number in ("777", "888", "12345"):
            talk.put(f"{number}.tmp", number.encode())
            told = talk.command(f"RNFR {number}.tmp"), talk.command(f"RNTO SR{number}_logs.zip")
            assert [each[:3] for each in told] == ["350", "250"], told
    srs = {version.path: version.sr for version in door.versions(acme)}
    assert srs == {"/SR777_logs.zip": None, "/SR888_logs.zip": None, "/SR12345_logs.zip": "12345"}


def test_the_folder_of_a_closed_sr_stays_while_it_holds_partials(make_door: MakeDoor) -> None:
    door = make_door(sr={"closed_folder_grace": "1 h"})
    acme = door.customer()
    door.sr("12345", acme)
    with door.talk(acme) as talk:
        talk.cut("SR-12345/logs.bin", BYTES)
        door.close_sr("12345")
        talk.talk("C: CWD /SR-12345\nS: 250 *\nC: CWD /\nS: 250 *")
        assert talk.put("SR-12345/logs.bin", BYTES, verb="APPE").startswith("226-")
        talk.talk("C: CWD /SR-12345\nS: 550 /SR-12345: no such folder.")
    with door.client(acme) as client:
        assert client.names() == []


def test_an_upload_that_runs_while_its_sr_closes_can_be_resumed_within_the_grace(make_door: MakeDoor) -> None:
    door = make_door(sr={"closed_folder_grace": "1 h"})
    acme = door.customer()
    door.sr("12345", acme)
    content = os.urandom(2_000_000)
    with door.talk(acme) as talk, door.client(acme) as other:
        data = talk.begin("STOR SR-12345/logs.bin")
        data.sendall(content[:1_500_000])
        until(lambda: other.names("SR-12345") == ["logs.bin"], "it is recorded")
        door.close_sr("12345")
        assert other.names() == ["SR-12345"], "its folder stays while it runs"
        hang_up(data, "fin")
        assert talk.reply()[-1].startswith("426 ")
        talk.talk("C: REST 1500000\nS: 350 *")
        assert talk.put("SR-12345/logs.bin", content[1_500_000:]).startswith("226-")
        assert other.names() == []
    (version,) = door.versions(acme)
    assert (version.sr, door.content(version)) == ("12345", content)
