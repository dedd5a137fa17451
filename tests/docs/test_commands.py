"""Every command that a page, a message or a docstring names is one that there is."""

import re
from pathlib import Path

import typer
from pages import ROOT, app, commands
from typer.testing import CliRunner

KNOWN = set(commands((), typer.main.get_command(app)))
NAMED = re.compile(r"`gateway ([a-z]+)(?: ([a-z]+))?")


def named(text: str) -> set[tuple[str, ...]]:
    """The commands in *text*, as ``(noun, verb)`` or ``(verb,)``."""
    found = set()
    for noun, verb in NAMED.findall(text):
        is_noun = any(len(words) > 1 and words[0] == noun for words in KNOWN)
        found.add((noun, verb) if is_noun and verb else (noun,))
    return found


def test_every_command_that_is_named_exists() -> None:
    files = [path for pattern in ("*.md", "docs/**/*.md", "gateway/**/*.py") for path in ROOT.glob(pattern)]
    found: dict[tuple[str, ...], Path] = {words: path for path in files for words in named(path.read_text())}
    assert len(found) > 10
    missing = {" ".join(words): str(path.relative_to(ROOT)) for words, path in found.items() if words not in KNOWN}
    assert not missing


def test_the_contract_s_commands_exist() -> None:
    contract = """serve; config check; config example; doctor; account add; account list; account show; account reset;
        account disable; account enable; account rotate; account import; contact add; contact grant; contact revoke;
        contact list; contact show; sr add; sr status; sr list; sr show; sr import; update list; update show;
        update publish; update move; file list; file show; file export; file assign; outbox list; outbox retry;
        spool verify; spool purge"""
    missing = {words for words in contract.split(";") if tuple(words.split()) not in KNOWN}
    assert not missing


def test_every_command_speaks_json_to_programs() -> None:
    groups = {words[:-1] for words in KNOWN if words}
    silent = {words for words in KNOWN - groups if "--json" not in CliRunner().invoke(app, [*words, "--help"]).stdout}
    assert silent == {("serve",)}
