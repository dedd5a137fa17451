"""The files that are written from the code: run this (``make docs``) and they are right again; a test compares them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.config import reference

ROOT = Path(__file__).parents[2]
CLI_HEAD = """\
# Commands

Every command, as `--help` shows it (`make docs` writes this page). Exit code 0: done; 1: refused, the reason is on
stderr; 2: usage or configuration. With `--json` stdout is one JSON document and nothing else; words for people go to
stderr. Commands work while the gateway serves and while it does not.

Shell completion: `gateway --install-completion`.
"""


def commands(words: tuple[str, ...], command: Any) -> Iterator[tuple[str, ...]]:
    """The words of a command, and of all below it."""
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands((*words, name), inner)


def command_line() -> str:
    """``docs/cli.md``."""
    parts = [CLI_HEAD]
    for words in commands((), typer.main.get_command(app)):
        shown = CliRunner().invoke(
            app, [*words, "--help"], prog_name="gateway", env={"COLUMNS": "100"}, terminal_width=100
        )
        assert shown.exit_code == 0, shown.output
        title = " ".join(("gateway", *words))
        parts.append(f"\n## `{title}`\n\n```\n{shown.stdout.strip()}\n```\n")
    return "".join(parts)


PAGES: dict[str, Callable[[], str]] = {
    "examples/gateway.toml": reference.example,
    "docs/configuration.md": reference.page,
    "docs/cli.md": command_line,
}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (ROOT / name).write_text(write())
