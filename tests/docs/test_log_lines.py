"""Whoever is woken by the log finds its words in docs/operators.md: each warning and each error, and what to do."""

import ast
import re
from collections.abc import Iterator

from pages import ROOT

LOUD = {"warning", "error", "exception"}


def loud() -> Iterator[str]:
    """The words of every warning and error in the code; what differs from line to line is an ellipsis."""
    for path in (ROOT / "gateway").rglob("*.py"):
        if "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Attribute(ast.Name("log"), level), [ast.Constant(str(words)), *_]) if level in LOUD:
                    yield words.replace("%s", "…")
                case ast.Call(ast.Attribute(ast.Name("log"), level), [ast.JoinedStr(parts), *_]) if level in LOUD:
                    yield "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in parts)


def test_every_warning_and_error_of_the_log_stands_in_the_operators_page_and_no_other() -> None:
    page = (ROOT / "docs/operators.md").read_text()
    table = page.partition("| The log says |")[2].partition("\n\n")[0]
    explained = [words for row in table.splitlines()[2:] for words in re.findall("`([^`]+)`", row.split("|")[1])]
    said = set(loud())
    assert len(said) > 40
    assert sorted(said - set(explained)) == [], "not explained"
    assert sorted(set(explained) - said) == [], "not said any more"
    assert len(explained) == len(set(explained))
