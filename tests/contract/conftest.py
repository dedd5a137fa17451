"""The contract tests run on every database: SQLite in a file, and a PostgreSQL of the tests' own on a socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.domain.ids import new_id
from gateway.store import Store


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


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    socket = request.getfixturevalue("postgres")
    name = f"t{new_id()}"
    create = ["psql", "-q", "-h", socket, "-U", "gateway", "-d", "postgres", "-c", f"CREATE DATABASE {name}"]
    subprocess.run(create, check=True, stdin=subprocess.DEVNULL)
    return f"postgresql://gateway@/{name}?host={socket}"


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    opened = await Store.open(database)
    yield opened
    await opened.close()
