"""``account import``, ``contact import`` and ``sr import``: from CSV or JSON Lines, all or nothing, twice is once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.admin import Desk, Refused, difference, imports, staging
from gateway.config import load
from gateway.domain.ids import new_id
from gateway.store import Store, accounts, one_by_one
from gateway.store import imports as staged

from .conftest import Shell
from .test_accounts import opens, stored, trail
from .test_requests import in_store, upload

ACCOUNTS = """\
login,sold_to,end_user,region,agreement_ends
,Beta,Beta,South,2099-12-31
acme,Acme,Globex,North,2099-06-30
gamma,"Gamma, Inc.",Zürich AG,,
"""


def write(shell: Shell, text: str, name: str = "crm.csv") -> str:
    path = shell.home / name
    path.write_text(text)
    return str(path)


def counts(view: dict[str, Any]) -> tuple[int, int, int]:
    return view["added"], view["changed"], view["unchanged"]


def test_accounts_are_added_changed_and_then_left_alone(acme: Shell) -> None:
    before = stored(acme, "acme")
    file = write(acme, ACCOUNTS)
    dry = acme.json("account", "import", file, "--dry-run")
    assert counts(dry) == (2, 1, 0)
    assert [each["key"] for each in dry["changes"]] == ["beta", "acme", "gamma"]
    assert dry["changes"][1]["fields"] == {"region": [None, "North"], "agreement_ends": [None, "2099-06-30"]}
    assert (
        "~ accounts acme region: nothing -> North; agreement_ends: nothing -> 2099"
        in acme("account", "import", file, "--dry-run").out
    )
    assert len(acme.json("account", "list")) == 1, "a dry run changes nothing"
    assert counts(acme.json("account", "import", file)) == (2, 1, 0)
    listed = {each["login"]: each for each in acme.json("account", "list")}
    assert listed.keys() == {"acme", "beta", "gamma"}
    assert (listed["beta"]["region"], listed["beta"]["agreement_ends"]) == ("South", "2099-12-31")
    assert (listed["gamma"]["sold_to"], listed["gamma"]["end_user"]) == ("Gamma, Inc.", "Zürich AG")
    after = stored(acme, "acme")
    assert (after.password_hash, after.session_epoch) == (before.password_hash, before.session_epoch)
    assert after.next_reset != before.next_reset, "another region, another hour"
    assert counts(acme.json("account", "import", file)) == (0, 0, 3)
    assert [entry.action for entry in trail(acme)].count("account import") == 1
    assert acme.json("doctor")["ok"]


def test_an_imported_account_has_no_password_until_it_is_given_one(acme: Shell) -> None:
    acme("account", "import", write(acme, ACCOUNTS))
    assert stored(acme, "beta").password_hash.startswith("$argon2id$"), "a login costs the same as any other"
    assert opens(acme, "beta", acme.json("account", "reset", "beta")["password"])


def test_an_agreement_that_ended_puts_sessions_out(acme: Shell) -> None:
    acme("account", "import", write(acme, "sold_to,end_user,agreement_ends\nAcme,Globex,2020-01-01\n"))
    assert stored(acme, "acme").session_epoch == 1
    acme("account", "import", write(acme, "sold_to,end_user,agreement_ends,state\nAcme,Globex,,disabled\n"))
    after = stored(acme, "acme")
    assert (after.session_epoch, after.state, after.agreement_ends) == (2, "disabled", None)


def test_contacts_and_grants_from_json_lines(acme: Shell) -> None:
    lines = [
        {"email": "bob@example.com", "name": "Bob", "account": "acme", "access": "read-only", "employer": "Globex"},
        {"email": "ANN@example.com", "account": "acme", "access": "read-write", "approved_by": "Joe"},
        {"email": "eve@example.com", "name": "Eve"},
    ]
    file = write(acme, "\n".join(json.dumps(line) for line in lines), "crm.jsonl")
    view = acme.json("contact", "import", file)
    assert counts(view) == (3, 1, 1)
    assert acme.json("contact", "show", "bob@example.com")["grants"][0]["access"] == "read-only"
    assert acme.json("contact", "show", "ann@example.com")["grants"][0]["approved_by"] == "Joe"
    assert acme.json("contact", "show", "eve@example.com")["grants"] == []
    assert counts(acme.json("contact", "import", file)) == (0, 0, 5)


def test_who_left_and_comes_back_starts_with_what_the_file_says(acme: Shell) -> None:
    acme("contact", "remove", "ann@example.com")
    file = write(acme, "email,name,account,access\nann@example.com,Ann,acme,read-only\n")
    acme("contact", "import", file)
    assert [each["access"] for each in acme.json("contact", "show", "ann@example.com")["grants"]] == ["read-only"]


def test_srs_are_imported_and_take_in_the_files_sent_before(acme: Shell) -> None:
    upload(acme, "/SR777_logs.zip", b"x")
    file = write(acme, "number,account,status,title\n777,acme,Open/Tier 1,Crash\n12345,acme,Closed/No Response,Old\n")
    view = acme.json("sr", "import", file)
    assert counts(view) == (1, 1, 0)
    assert view["files_matched"] == 1
    shown = acme.json("sr", "show", "777")
    assert (shown["status"], shown["title"], len(shown["files"])) == ("Open/Tier 1", "Crash", 1)
    assert acme.json("sr", "show", "12345")["closed"] is not None
    assert counts(acme.json("sr", "import", file)) == (0, 0, 2)
    assert acme("sr", "import", file).err == "0 added, 0 changed, 2 as they were\n"


def test_every_mistake_is_named_with_file_line_and_column_and_nothing_is_changed(acme: Shell) -> None:
    text = (
        "number,account,status\n1,acme,Open/New\n2,nobody,Open/New\n12x,acme,\n3,acme,Finished\n1,acme,\n,acme,\n4,acme\n"
        '"5\n6",acme,Open/New\n'
    )
    said = acme("sr", "import", write(acme, text), code=1)
    lines = [line.partition("crm.csv:")[2] for line in said.err.splitlines()]
    assert [line.split(": ")[:2] for line in lines if line] == [
        ["3", "account"],
        ["4", "number"],
        ["5", "status"],
        ["6", "number"],
        ["7", "number"],
        ["7", "number"],
        ["8", "has 2 columns, the header has 3"],
        ["9", "number"],
        ["9", "number"],
    ]
    assert said.err.endswith("nothing was changed\n")
    assert len(acme.json("sr", "list")) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sold_to,end_user,colour\nA,B,red\n", ":1: colour: unknown; allowed: sold_to, end_user, login"),
        ("sold_to,sold_to,end_user\nA,A,B\n", ":1: sold_to: is there twice"),
        ("sold_to\nA\n", ":1: end_user: this column is missing"),
        ("sold_to,end_user\nA,\n", ":2: end_user: is missing or empty"),
        ("Sold To,End-User\nA,B\x07\n", ":2: end_user: holds control characters"),
        ("sold_to,end_user\nA\u2028,B\nA,B,C\n", ":3: has 3 columns, the header has 2"),
        ("sold_to,end_user\nA,B\nA,B\n", ":3: sold_to: is there twice, first on line 2"),
        ("sold_to,end_user,region\nA,B,West\n", ':2: region: there is no region "West"'),
        ("sold_to,end_user,agreement_ends\nA,B,soon\n", ':2: agreement_ends: "soon" is no date'),
        ("sold_to,end_user,state\nA,B,asleep\n", ':2: state: "asleep" is no state; allowed: active, disabled'),
        ("sold_to,end_user,login\nAcme,Globex,other\n", ":2: login: the combination has the login acme already"),
        ('sold_to,end_user\nA,"B\n', "is not CSV"),
        ('{"sold_to": "A"\n', ":1: column 16: is not JSON"),
        ('{"sold_to": 1.5}\n', ":1: is not an object of strings and whole numbers"),
        ('{"sold_to": "A\u2028", "end_user": ""}\n', ":1: end_user: is missing or empty"),
    ],
)
def test_what_is_wrong_with_a_file(acme: Shell, text: str, said: str) -> None:
    assert said in acme("account", "import", write(acme, text), code=1).err
    assert len(acme.json("account", "list")) == 1


def test_a_file_that_cannot_be_read(acme: Shell) -> None:
    assert "No such file" in acme("sr", "import", "/no/such.csv", code=1).err
    (acme.home / "latin.csv").write_bytes(b"number,account\n1,caf\xe9\n")
    assert "is not UTF-8" in acme("sr", "import", str(acme.home / "latin.csv"), code=1).err


def test_two_who_add_the_same_meanwhile_get_all_or_nothing(acme: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another hand adds one of the SRs while they are being staged."""
    file = Path(write(acme, "number,account\n" + "".join(f"{number},acme\n" for number in range(100, 2100))))

    async def work(store: Store) -> list[str]:
        desk = Desk(load(acme.config), store, "test")
        other = asyncio.create_task(asyncio.to_thread(acme, "sr", "add", "1500", "--account", "acme"))

        def progress(done: int, total: int) -> None:
            if done == total:
                waited.set()

        waited = asyncio.Event()
        await other
        monkeypatch.setattr(imports.requests, "everything", nothing)
        with pytest.raises(Refused, match="somebody else changed the same"):
            await imports.import_requests(desk, file, dry_run=False, progress=progress)
        async with store.reading() as connection:
            return await staged.left_over(connection)

    async def nothing(connection: object) -> list[Any]:
        return []

    assert in_store(acme, work) == [], "nothing stays staged"
    monkeypatch.undo()
    assert len(acme.json("sr", "list")) == 2


ROWS = int(os.environ.get("GATEWAY_IMPORT_ROWS", "15000"))
"""Lines of the file; 100,000 take half a minute here."""

LONGEST = 3.0
"""Seconds that another writer waited at most: 0.1 to 0.2 on two quiet cores. A removal that was quadratic took 150."""


def test_the_doors_go_on_committing_while_many_rows_come_in(acme: Shell) -> None:
    header = "email,name,account,access\n"
    logins = ("acme", "b")
    rows = "".join(f"p{number // 2}@example.com,P,{logins[number % 2]},read-only\n" for number in range(ROWS))
    acme("account", "add", "--sold-to", "B", "--end-user", "B", "--login", "b")
    file = write(acme, header + rows)
    commits: list[float] = []

    async def touch(tx: Any, item: str) -> None:
        await accounts.end_sessions(tx, item)

    async def work(store: Store) -> None:
        account_id = (await asyncio.to_thread(stored, acme, "acme")).id
        command = [sys.executable, "-m", "gateway", "--config", str(acme.config), "contact", "import", file, "--json"]
        importing = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        ended = asyncio.create_task(importing.communicate())
        while not ended.done():
            begun = time.monotonic()
            await store.write(one_by_one(touch), account_id)
            commits.append(time.monotonic() - begun)
        assert importing.returncode == 0
        assert json.loads((await ended)[0])["added"] == ROWS + ROWS // 2

    in_store(acme, work)
    assert max(commits) < LONGEST, max(commits)
    assert len(commits) > ROWS // staging.BATCH, "commits came in between the batches"
    parts = [entry.detail["part"] for entry in trail(acme) if entry.action == "contact import"]
    assert len(parts) >= (ROWS + ROWS // 2) / difference.SLICE


def test_what_belongs_together_comes_in_one_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference, "SLICE", 4)
    wanted = difference.Difference()
    for grant in range(3):
        for person in ("ann", "bob", "cid"):
            if grant == 0:
                wanted.add("contacts", person, {"id": person})
            wanted.add("grants", f"{person} {grant}", {"contact_id": person}, of=person)
    assert [
        (len(part["contacts", staged.Step.ADD]), {row["contact_id"] for row in part["grants", staged.Step.ADD]})
        for part in wanted.slices()
    ] == [(1, {"ann"}), (1, {"bob"}), (1, {"cid"})]


def test_slices_are_audited_and_somebody_elses_change_stops_only_what_is_left(
    acme: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(difference, "SLICE", 10)
    file = write(acme, "number,account\n" + "".join(f"{number},acme\n" for number in range(100, 135)))
    honest = imports.requests.everything
    other: list[str] = []

    async def unaware(connection: Any) -> Any:
        """By the time the third slice comes, somebody has added one of its SRs."""
        return [each for each in await honest(connection) if each.number not in other]

    acme("sr", "add", "125", "--account", "acme")
    other.append("125")
    monkeypatch.setattr(imports.requests, "everything", unaware)
    assert "20 of 35 changes are in place, import again" in acme("sr", "import", file, code=1).err
    monkeypatch.undo()
    assert len(acme.json("sr", "list")) == 22
    assert counts(acme.json("sr", "import", file)) == (14, 0, 21)
    parts = [entry.detail.get("part") for entry in trail(acme) if entry.action == "sr import"]
    assert parts == ["1 of 4", "2 of 4", None]
    assert acme.json("doctor")["ok"]


def test_a_complete_file_of_accounts_disables_those_that_it_lacks(acme: Shell) -> None:
    for name in ("Beta", "Gamma"):
        acme("account", "add", "--sold-to", name, "--end-user", name)
    acme("account", "disable", "gamma")
    before = stored(acme, "acme").session_epoch
    file = write(acme, "sold_to,end_user\nBeta,Beta\n")
    assert counts(acme.json("account", "import", file)) == (0, 0, 1), "what a file lacks stays"
    dry = acme.json("account", "import", file, "--complete", "--dry-run")
    assert [(each["key"], each["fields"]) for each in dry["changes"]] == [("acme", {"state": ["active", "disabled"]})]
    refused = acme("account", "import", file, "--complete", code=1).err
    assert "1 of 2 active accounts (50 %) are not in" in refused
    assert "more than the 10 % that may; nothing was changed" in refused
    assert {each["login"]: each["state"] for each in acme.json("account", "list")}["acme"] == "active"
    assert counts(acme.json("account", "import", file, "--complete", "--most-gone", "50")) == (0, 1, 1)
    states = {each["login"]: each["state"] for each in acme.json("account", "list")}
    assert states == {"acme": "disabled", "beta": "active", "gamma": "disabled"}
    assert stored(acme, "acme").session_epoch == before + 1, "whoever is logged in is put out"
    assert counts(acme.json("account", "import", file, "--complete")) == (0, 0, 1)


def test_a_complete_file_of_contacts_takes_what_it_lacks(acme: Shell) -> None:
    for name in ("Beta", "Gamma"):
        acme("account", "add", "--sold-to", name, "--end-user", name)
    for email, login, access in (
        ("ann@example.com", "beta", "read-write"), ("bob@example.com", "gamma", "read-only"),
        ("bob@example.com", "acme", "read-write"), ("cid@example.com", "gamma", "read-write"),
    ):  # fmt: skip
        if email not in {each["email"] for each in acme.json("contact", "list")}:
            acme("contact", "add", email, "--name", "X")
        acme("contact", "grant", email, login, "--access", access)
    file = write(acme, "email,account,access\nann@example.com,acme,read-write\ncid@example.com,gamma,read-write\n")
    assert "3 of 5 grants (60 %), 1 of 3 contacts (33 %)" in acme("contact", "import", file, "--complete", code=1).err
    said = acme("contact", "import", file, "--complete", "--most-gone", "60", "--dry-run")
    assert said.out.splitlines() == [
        "- grants ann@example.com beta", "- grants bob@example.com acme", "- grants bob@example.com gamma",
        said.out.splitlines()[-1],
    ]  # fmt: skip
    assert said.out.splitlines()[-1].startswith("~ contacts bob@example.com removed_at: nothing -> ")
    assert "0 would be added, 1 would be changed, 3 would be removed" in said.err
    done = acme.json("contact", "import", file, "--complete", "--most-gone", "60")
    assert (counts(done), done["removed"], done["reset"]) == ((0, 1, 4), 3, ["acme", "beta"])
    left = {each["email"]: [grant["account"] for grant in each["grants"]] for each in acme.json("contact", "list")}
    assert left == {"ann@example.com": ["acme"], "cid@example.com": ["gamma"]}
    entry = [entry for entry in trail(acme) if entry.action == "contact import"][-1]
    assert (entry.detail["complete"], entry.detail["removed"]) == (True, 3)
    again = acme.json("contact", "import", file, "--complete")
    assert (counts(again), again["removed"]) == ((0, 0, 4), 0)
    assert acme.json("doctor")["ok"]


def test_what_a_crashed_import_left_is_removed_by_a_later_one(acme: Shell) -> None:
    async def crash(store: Store) -> None:
        for import_id in (new_id(time.time() - 2 * 86400), new_id()):
            rows = [{"number": str(number), "account_id": "x"} for number in range(3)]
            await store.write(one_by_one(staged.stage), staged.Batch(import_id, "requests", 0, staged.Step.ADD, rows))

    async def left(store: Store) -> int:
        async with store.reading() as connection:
            return len(await staged.left_over(connection))

    in_store(acme, crash)
    acme("sr", "import", write(acme, "number,account\n77,acme\n"))
    assert in_store(acme, left) == 1, "one that began a moment ago may still be running"
    assert [each["number"] for each in acme.json("sr", "list")] == ["12345", "77"]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_what_a_european_spreadsheet_saves_is_read(acme: Shell, mark: str) -> None:
    rows = [("Sold To", "End User", "Login"), ("Beta", "Zürich, Genève", "beta"), ("Gamma", '"a; ""b"""', "")]
    (acme.home / "crm.csv").write_bytes("\r\n".join(mark.join(row) for row in rows).encode("utf-8-sig"))
    assert counts(acme.json("account", "import", str(acme.home / "crm.csv"))) == (2, 0, 0)
    assert [each["end_user"] for each in acme.json("account", "list")] == ["Globex", "Zürich, Genève", 'a; "b"']


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sold_to,end_user\nA,B\nCafé,B\n".encode("cp1252"), ":3: is not UTF-8 (byte 4 of the line is 0xe9); from a"),
        (
            "sold_to\tend_user\nCafé\tB\n".encode("utf-16"),
            ': is UTF-16, not UTF-8; from a spreadsheet, save it as "CSV',
        ),
        (b'[{"sold_to": "A", "end_user": "B"}]', ":1: is a JSON array; JSON Lines has an object on each line"),
        (f"sold_to,end_user,{'x' * 100}\n".encode(), f":1: {'x' * 40}: unknown"),
        (b"", ":1: sold_to: this column is missing"),
    ],
)
def test_a_file_that_is_of_no_use_says_where_and_what_to_do(acme: Shell, content: bytes, said: str) -> None:
    (acme.home / "crm.csv").write_bytes(content)
    assert f"crm.csv{said}" in acme("account", "import", str(acme.home / "crm.csv"), code=1).err


def test_a_file_without_rows_says_so(acme: Shell) -> None:
    assert "has no rows" in acme("account", "import", write(acme, "sold_to,end_user\n")).err
    assert "has no rows" not in acme("account", "import", write(acme, "sold_to,end_user\nAcme,Globex\n")).err


@pytest.mark.parametrize(
    ("noun", "text", "said"),
    [
        (
            "sr",
            "number,account,priority\n1,acme,High\n2,acme,Urgent\n",
            ':3: priority: "Urgent" is no priority; allowed: C',
        ),
        ("contact", "email,name\nb@example.com,Bob\nB@example.com,Rob\n", ":3: name: is another one than on the"),
        ("contact", "email,name\nann@example.com,\nann@example.com,Anne\n", ":3: name: is another one than on the"),
    ],
)
def test_what_would_be_left_out_in_silence_is_a_mistake(acme: Shell, noun: str, text: str, said: str) -> None:
    assert said in acme(noun, "import", write(acme, text), code=1).err


def test_a_contact_may_be_named_the_same_on_every_line_or_on_the_first(acme: Shell) -> None:
    acme.json("account", "add", "--sold-to", "B", "--end-user", "B", "--login", "beta")
    rows = "bob@example.com,Bob,acme,read-write\nbob@example.com,Bob,beta,read-write\nann@example.com,,beta,read-only\n"
    assert counts(acme.json("contact", "import", write(acme, f"email,name,account,access\n{rows}"))) == (4, 0, 1)
