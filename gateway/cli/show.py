"""What commands print: a table for people, JSON for programs, both of the same plain data.

Rules: stdout is what was asked for and nothing else; under ``--json`` it is one JSON document. What a peer wrote is
shown without its control characters, so that no name or subject can move the terminal's cursor.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

View = Mapping[str, Any]

PIPE_WIDTH: Final = 200
"""Columns of a table that is not read on a terminal."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def as_json(data: object) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(data, ensure_ascii=not _utf8(), indent=2) + "\n")


def listing(views: Sequence[View], columns: Mapping[str, str], json_wanted: bool, none: str) -> None:
    """Many things: a table with *columns* (title: key), or *none* on stderr where there are none."""
    if json_wanted:
        as_json(views)
        return
    if not views:
        print(none, file=sys.stderr)
        return
    from rich import box
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for view in views:
        table.add_row(*(text(view[key]) for key in columns.values()))
    _print(table)


def details(view: View, json_wanted: bool) -> None:
    """One thing: a line a fact, lists of things below as tables."""
    if json_wanted:
        as_json(view)
        return
    from rich import box
    from rich.table import Table

    facts = Table.grid("", "", padding=(0, 2))
    tables: list[tuple[str, list[View]]] = []
    for key, value in view.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            tables.append((key, value))
        elif value not in (None, [], {}):
            facts.add_row(key.replace("_", " "), text(value))
    _print(facts)
    for key, rows in tables:
        columns = [name for name in rows[0] if any(row.get(name) not in (None, [], {}) for row in rows)]
        table = Table(
            *(name.replace("_", " ") for name in columns),
            title=key,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        for row in rows:
            table.add_row(*(text(row[name]) for name in columns))
        _print(table)


def text(value: object) -> str:
    """A value in a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], Mapping):
            return ", ".join(text(each.get("name") or each.get("account") or "") for each in value)
        return ", ".join(text(each) for each in value)
    return _CONTROL.sub("�", str(value))


def size(count: int) -> str:
    """Bytes for people: ``35.0 MiB``."""
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{count} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _print(table: Any) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, markup=False, highlight=False, emoji=False)
    console.print(table, overflow="fold")


def _utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
