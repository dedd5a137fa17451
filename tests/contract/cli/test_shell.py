"""The program itself: exit codes, help, the configuration's mistakes, a store that is newer, completion."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Shell

GATEWAY = Path(sys.executable).with_name("gateway")


def gateway(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GATEWAY, *words], cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def test_the_program_finds_its_configuration_and_prints_pure_json(tmp_path: Path) -> None:
    none = gateway("account", "list", cwd=tmp_path)
    assert (none.returncode, none.stdout) == (2, "")
    assert "no configuration: name one with --config or $GATEWAY_CONFIG" in none.stderr
    (tmp_path / "gateway.toml").write_text('[gateway]\nstate_dir = "here"\n')
    added = gateway("account", "add", "--sold-to", "A", "--end-user", "B", "--json", cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    assert json.loads(added.stdout)["login"] == "a-b"
    elsewhere = gateway("account", "list", "--json", cwd=tmp_path.parent, GATEWAY_CONFIG=str(tmp_path / "gateway.toml"))
    assert [each["login"] for each in json.loads(elsewhere.stdout)] == ["a-b"]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from gateway.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'sqlalchemy', 'pydantic', 'rich', 'asyncio', 'argon2', 'cryptography'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "account" in done.stdout


def test_a_bad_configuration_ends_every_command_with_code_2_and_every_mistake(shell: Shell) -> None:
    shell.config.write_text('[ftps]\nport = "x"\nnonsense = 1\n')
    for words in (("account", "list"), ("serve",), ("config", "check")):
        said = shell(*words, code=2)
        assert said.out == ""
        assert "gateway.toml:2: ftps.port: 'x' is not allowed; allowed: a port" in said.err
        assert "gateway.toml:3: ftps.nonsense: unknown key" in said.err
    assert not (shell.home / "state").exists()


def test_config_check(shell: Shell) -> None:
    said = shell("config", "check")
    assert said.out == f"{shell.config}: no mistakes\n"
    assert "ftps.certificate: is missing" in said.err, "advice, not a mistake"
    assert shell.json("config", "check") == {"ok": True, "problems": []}
    (shell.home / "x.pem").write_text("no")
    with shell.config.open("a") as file:
        file.write('[ftps]\ncertificate = "x.pem"\nprivate_key = "none.key"\n')
    problems = shell.json("config", "check", code=2)["problems"]
    assert [(each["key"], each["line"]) for each in problems] == [("ftps.certificate", 17), ("ftps.private_key", 18)]


def test_config_example_is_a_good_configuration(shell: Shell) -> None:
    shell.config.write_text(shell("config", "example").out)
    assert "no mistakes" in shell("config", "check").out
    assert shell.json("config", "example")["toml"].startswith("# The gateway's configuration")


def test_a_store_newer_than_the_program_is_left_alone(acme: Shell) -> None:
    with sqlite3.connect(acme.home / "state/gateway.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    said = acme("account", "list", code=2)
    assert "newer than this program" in said.err
    assert len(said.err.splitlines()) == 1


def test_a_state_folder_that_cannot_be_used_is_one_clear_line(shell: Shell) -> None:
    (shell.home / "state").write_text("a file")
    said = shell("account", "list", code=2)
    assert "state_dir" in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("nonsense",), ("account",), ("account", "add"), ("sr", "show"), ("file", "list", "--what")]
)
def test_usage_is_code_2_and_on_stderr(shell: Shell, words: tuple[str, ...]) -> None:
    said = shell(*words, code=2)
    assert "Usage:" in said.out + said.err


def test_commands_in_one_store_at_the_same_time(tmp_path: Path) -> None:
    """The first of them makes the store; none fails because of the others."""
    (tmp_path / "gateway.toml").write_text("[gateway]\nstate_dir = 'state'\n")
    running = [
        subprocess.Popen(
            [GATEWAY, "account", "add", "--sold-to", f"Company {number}", "--end-user", "E"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in running:
        _, err = process.communicate()
        assert process.returncode == 0, err
    listed = gateway("account", "list", "--json", cwd=tmp_path)
    assert len(json.loads(listed.stdout)) == 4


def test_shell_completion_is_offered(tmp_path: Path) -> None:
    done = gateway("--show-completion", cwd=tmp_path, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode in {0, 2}
    offered = gateway(cwd=tmp_path, _GATEWAY_COMPLETE="complete_bash", COMP_WORDS="gateway acc", COMP_CWORD="1")
    assert "account" in offered.stdout
