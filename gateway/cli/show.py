"""What commands print: a table for people, JSON for programs, both of the same plain data.

Rules: stdout is what was asked for and nothing else; under ``--json`` it is one JSON document. What a peer wrote is
shown without its control characters, so that no name or subject can move the terminal's cursor. JSON has times in UTC;
people read them in the zone of the region that the thing has, or in that of ``[gateway] timezone``, always named.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

from gateway.domain.calendar import Places
from gateway.domain.moment import Moment

View = Mapping[str, Any]

PIPE_WIDTH: Final = 100_000
"""Columns of a table that is not read on a terminal: as wide as it needs to be."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


_places = Places()
"""Where people are: a process is one command with one configuration."""


def where(places: Places) -> None:
    """From now on, times are told in the zones of these *places*."""
    global _places
    _places = places


def as_json(data: object) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(data, ensure_ascii=not _utf8(), indent=2) + "\n")


def listing(views: Sequence[View], columns: Mapping[str, str], json_wanted: bool, none: str) -> None:
    """Many things: a table with *columns* (title: key), or *none* on stderr where there are none."""
    if json_wanted:
        as_json(views)
    elif not views:
        print(none, file=sys.stderr)
    else:
        _table(views, columns)


def details(view: View, json_wanted: bool) -> None:
    """One thing: a line a fact, lists of things below as tables."""
    if json_wanted:
        as_json(view)
        return
    zone = _zone(view)
    _block(view, zone)
    for key, rows in view.items():
        if _is_list_of_things(rows):
            columns = [name for name in rows[0] if any(row.get(name) not in (None, [], {}) for row in rows)]
            print(f"\n{key.replace('_', ' ')}")
            _table(rows, {name.replace("_", " "): name for name in columns}, zone)


def fact(view: View, key: str) -> str:
    """One fact of a thing, for a sentence."""
    return text(view[key], _zone(view))


def _zone(view: View, otherwise: tzinfo | None = None) -> tzinfo:
    """In which zone people read a thing's times: its region's, else that of what it belongs to, else ours."""
    if "region" in view:
        return _places.of(view["region"]).zone
    return otherwise or _places.elsewhere.zone


def _table(views: Sequence[View], columns: Mapping[str, str], zone: tzinfo | None = None) -> None:
    """A table; where it is wider than the terminal, a block for each thing, so that nothing is cut short."""
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in columns:
        table.add_column(title, no_wrap=True)
    for view in views:
        table.add_row(*(text(view[key], _zone(view, zone)) for key in columns.values()))
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else PIPE_WIDTH, markup=False, highlight=False, emoji=False)
    needed = Measurement.get(console, console.options.update(width=PIPE_WIDTH), table).maximum
    if needed <= console.width:
        console.print(table)
        return
    for view in views:
        _block({title: view[key] for title, key in columns.items()}, _zone(view, zone))
        print()


def _block(view: View, zone: tzinfo) -> None:
    """A line for each fact that is known; whole, for a terminal folds it and a pipe needs no folding."""
    facts = {key: value for key, value in view.items() if value not in (None, [], {}) and not _is_list_of_things(value)}
    width = max((len(key) for key in facts), default=0)
    for key, value in facts.items():
        print(f"{key.replace('_', ' '):{width}}  {text(value, zone)}")


def _is_list_of_things(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def text(value: object, zone: tzinfo | None = None) -> str:
    """A value in a cell, a time in *zone*."""
    if value is None:
        return ""
    if isinstance(value, Moment):
        return value.in_zone(zone or _places.elsewhere.zone)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(each, zone)}" for key, each in value.items() if each not in (None, [], {}))
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], Mapping):
            return ", ".join(text(each.get("name") or each.get("account") or dict(each), zone) for each in value)
        return ", ".join(text(each, zone) for each in value)
    return _CONTROL.sub("�", str(value))


def size(count: int) -> str:
    """Bytes for people: ``35.0 MiB``."""
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{count} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
