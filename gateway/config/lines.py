"""On which line of a TOML file a key stands, which ``tomllib`` does not say.

Rules: the text has been parsed by ``tomllib`` already, so that here it is known to be right; this only follows the
headers, the keys and where values end. A key is named as in the configuration: ``ftps.port``, ``regions.1.alias``.
Keys inside an inline table stand on the line of the key that holds it. Never raises on right TOML.
"""

import re
from typing import Final

_HEADER: Final = re.compile(r"\[\[?(.*?)\]\]?\s*(?:#.*)?$", re.ASCII)
_KEY_PART: Final = re.compile(r"\s*(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.?)", re.ASCII)
_STRING: Final = re.compile(
    r"\"\"\"(?:[^\\]|\\.)*?\"{3,5}|'''.*?'{3,5}|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|#[^\n]*|[\[\]{}]|\n", re.DOTALL
)


def lines_of(text: str) -> dict[str, int]:
    """The line, counted from 1, of every table and key in ``text``."""
    lines: dict[str, int] = {}
    tables: dict[str, int] = {}
    table, position, line = "", 0, 1
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        row = text[position:end].strip()
        if not row or row.startswith("#"):
            position, line = end + 1, line + 1
        elif row.startswith("["):
            header = _HEADER.match(row)
            table = _within(_dotted(header[1] if header else ""), tables)
            if row.startswith("[["):
                tables[table] = tables.get(table, -1) + 1
                lines.setdefault(table, line)
                table = f"{table}.{tables[table]}"
            lines.setdefault(table, line)
            position, line = end + 1, line + 1
        else:
            key = ".".join(_dotted(row))
            _note(f"{table}.{key}".lstrip("."), line, lines)
            position, crossed = _after_value(text, position)
            line += crossed
    return lines


def line_of(key: str, lines: dict[str, int]) -> int | None:
    """The line of ``key``, or else of the nearest table or key around it; None where the file says nothing of it."""
    while key:
        if key in lines:
            return lines[key]
        key = key.rpartition(".")[0]
    return None


def _note(key: str, line: int, lines: dict[str, int]) -> None:
    parts = key.split(".")
    for length in range(1, len(parts) + 1):
        lines.setdefault(".".join(parts[:length]), line)


def _within(parts: list[str], tables: dict[str, int]) -> str:
    """The name of a header's table, with the number of each array element it is inside of."""
    name = ""
    for number, part in enumerate(parts):
        name = f"{name}.{part}".lstrip(".")
        if name in tables and number < len(parts) - 1:
            name = f"{name}.{tables[name]}"
    return name


def _dotted(text: str) -> list[str]:
    parts, position = [], 0
    while match := _KEY_PART.match(text, position):
        parts.append(next(group for group in match.groups()[:3] if group is not None))
        position = match.end()
        if not match[4]:
            break
    return parts


def _after_value(text: str, position: int) -> tuple[int, int]:
    """Where the statement that starts at ``position`` ends, and how many lines it took."""
    depth, crossed = 0, 0
    for match in _STRING.finditer(text, position):
        token = match[0]
        crossed += token.count("\n")
        if token in "[{":
            depth += 1
        elif token in "]}":
            depth -= 1
        elif token == "\n" and depth <= 0:
            return match.end(), crossed
    return len(text), crossed
