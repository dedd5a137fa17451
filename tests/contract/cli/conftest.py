"""The command line in this process, with a store of its own: quick, and the same code as in a shell."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app

REGIONS = """
[[regions]]
name = "North"
alias = "support@example.com"
phone = "+1 555 0100"
web = "https://support.example.com/"
timezone = "America/Moncton"

[[regions]]
name = "South"
alias = "south@example.com"
phone = "+1 555 0200"
web = "https://support.example.com/"
"""


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """Types commands: ``shell("account", "list")``."""

    home: Path

    @property
    def config(self) -> Path:
        return self.home / "gateway.toml"

    def __call__(self, *words: str, code: int = 0) -> Said:
        result = CliRunner().invoke(app, ["--config", str(self.config), *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        said = Said(result.exit_code, result.stdout, result.stderr)
        assert said.code == code, said
        return said

    def json(self, *words: str, code: int = 0) -> Any:
        return self(*words, "--json", code=code).json


@pytest.fixture
def shell(tmp_path: Path, _quiet: None) -> Shell:
    """A configuration, and nothing else yet."""
    (tmp_path / "gateway.toml").write_text('[gateway]\nstate_dir = "state"\n' + REGIONS)
    return Shell(tmp_path)


def execute(shell: Shell, *statements: str) -> None:
    """Change the rows behind the gateway's back."""
    with sqlite3.connect(shell.home / "state/gateway.db") as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def _quiet() -> Iterator[None]:
    """A command sets up the log of its process, which here is that of the tests."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def _acme_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, for every test to have a copy of."""
    home = tmp_path_factory.mktemp("acme")
    (home / "gateway.toml").write_text('[gateway]\nstate_dir = "state"\n' + REGIONS)
    shell = Shell(home)
    shell("account", "add", "--sold-to", "Acme", "--end-user", "Globex", "--login", "acme")
    shell("contact", "add", "ann@example.com", "--name", "Ann")
    shell("contact", "grant", "ann@example.com", "acme", "--access", "read-write")
    shell("sr", "add", "12345", "--account", "acme")
    return home


@pytest.fixture
def acme(_acme_once: Path, shell: Shell) -> Shell:
    """A store with an account, a Designated Contact and an SR."""
    shutil.copytree(_acme_once, shell.home, dirs_exist_ok=True)
    return shell
