"""The contract tests run on every database: SQLite in a file, and a PostgreSQL of the tests' own on a socket."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.domain.records import Account, AccountState, Request
from gateway.intake import Intake, Source
from gateway.spool import Spool
from gateway.store import Store, accounts, one_by_one, requests, schema
from gateway.store.tables import metadata

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ACME = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def _programs() -> Path | None:
    """Where Debian keeps PostgreSQL's programs, the newest first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return found[0].parent if found else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The socket directory of a running PostgreSQL; it does not start as root, so root lends it another user."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    home = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))  # pytest's own folders are closed to other users
    who: list[str] = []
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(home, owner.pw_uid, owner.pw_gid)
        who = ["runuser", "-u", "postgres", "--"]
    data = home / "data"

    def run(*command: str) -> None:
        subprocess.run([*who, *command], check=True, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    run(
        str(programs / "initdb"),
        "-D",
        str(data),
        "-U",
        "gateway",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
        "--locale=C",
    )
    options = f"-k {home} -c listen_addresses= -c fsync=off -c max_connections=50"
    run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-s", "-l", str(home / "log"), "-o", options, "start")
    try:
        yield str(home)
    finally:
        run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-s", "-m", "immediate", "stop")
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def _emptied(postgres: str) -> Callable[[], str]:
    """One database of that PostgreSQL for all tests, emptied for each: making one takes longer than most of them."""
    psql = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", postgres, "-U", "gateway"]
    subprocess.run([*psql, "-d", "postgres", "-c", "CREATE DATABASE gateway"], check=True, stdin=subprocess.DEVNULL)
    url = f"postgresql://gateway@/gateway?host={postgres}"

    async def migrate() -> None:
        await (await Store.open(url)).close()

    asyncio.run(migrate())
    delete = [f"DELETE FROM {table};" for table in metadata.tables]
    versions = f"DELETE FROM alembic_version; INSERT INTO alembic_version VALUES ('{schema.HEAD}');"
    script = " ".join(["SET session_replication_role = replica;", *delete, versions])  # in any order

    def empty() -> str:
        subprocess.run([*psql, "-d", "gateway", "-c", script], check=True, stdin=subprocess.DEVNULL)
        return url

    return empty


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without rows."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    empty: Callable[[], str] = request.getfixturevalue("_emptied")
    return empty()


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    opened = await Store.open(database)
    yield opened
    await opened.close()


@pytest.fixture
async def intake(tmp_path: Path, store: Store) -> AsyncIterator[Intake]:
    loop = asyncio.get_running_loop()
    made = Intake(store, Spool(tmp_path), SystemClock(), lambda work: asyncio.run_coroutine_threadsafe(work, loop))
    account = Account(
        id=ACME,
        login="acme",
        sold_to="Acme",
        end_user="Acme",
        region=None,
        state=AccountState.ACTIVE,
        agreement_ends=None,
        password_hash="x",
        password_set_at=NOON,
        next_reset=None,
        created_at=NOON,
    )
    await store.write(one_by_one(accounts.add), account)
    sr = Request("12345", ACME, "Awaiting Information", None, None, None, NOON, NOON)
    await store.write(one_by_one(requests.add), sr)
    yield made
    made.close()


def source(path: str = "/SR-12345/logs.zip", sr: str | None = "12345") -> Source:
    return Source(ACME, "acme", path, sr)
