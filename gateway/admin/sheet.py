"""A file from the CRM, read: CSV with a header, or JSON Lines; every mistake with file, line and column.

Rules: all mistakes are collected before anything is done. A column that is left out leaves the fact as it is; a cell
that is empty clears it. Unknown columns refuse: a misspelt one would be left out in silence. Never: a value of a cell
that is longer than a word or two in a message. Semicolons or tabs may stand for the commas, as spreadsheets have it.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MOST: Final = 50
"""Mistakes that are named; the rest is counted."""


LONGEST: Final = 500
"""Characters of a cell."""

_SAVE: Final = 'from a spreadsheet, save it as "CSV UTF-8"'

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Row:
    """One line's cells by column; an empty cell is None."""

    line: int
    cells: dict[str, str | None]


class Mistakes(Exception):
    """The file cannot be used; the text names every mistake, a line each."""

    def __init__(self, found: Iterable[str]) -> None:
        listed = list(found)
        more = [f"… and {len(listed) - MOST} more"] if len(listed) > MOST else []
        super().__init__("\n".join([*listed[:MOST], *more]))


class Sheet:
    """The rows of one file, and the place to say what is wrong with them."""

    def __init__(self, path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
        """Read *path*. Raises Mistakes where it cannot be read at all; what is wrong in rows waits for ``check``."""
        self.path = path
        self.allowed = required + optional
        self.mistakes: list[tuple[int, str]] = []
        text = _text_of(path)
        read = self._json_lines if text.lstrip()[:1] == "{" else self._csv
        self.required = required
        self.rows: list[Row] = []
        for row in read(text):
            self.rows.append(row)
            for column in required:
                if row.cells.get(column) is None:
                    self.wrong(row, column, "is missing or empty")
            for column, cell in row.cells.items():
                if cell is not None and (len(cell) > LONGEST or _CONTROL.search(cell)):
                    self.wrong(row, column, f"holds control characters, or more than {LONGEST} characters")

    def wrong(self, row: Row, column: str, what: str) -> None:
        """Note a mistake."""
        self._note(row.line, f"{column}: {what}")

    def check(self) -> None:
        """Raises Mistakes if there are any."""
        if self.mistakes:
            raise Mistakes(f"{self.path}:{line}: {what}" for line, what in sorted(self.mistakes))

    def _note(self, line: int, what: str) -> None:
        self.mistakes.append((line, what))

    def unique(self, row: Row, column: str, seen: dict[Any, int], key: object) -> bool:
        """Whether *key* is new in this file; a mistake is noted where it is not."""
        if key in seen:
            self.wrong(row, column, f"is there twice, first on line {seen[key]}")
            return False
        seen[key] = row.line
        return True

    def _csv(self, text: str) -> Iterator[Row]:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(text))
        try:
            header = [_column(name) for name in next(reader, [])]
            if not self._columns(1, header, complete=True):
                return
            begins = reader.line_num + 1
            for cells in reader:
                if cells and len(cells) != len(header):
                    self._note(begins, f"has {len(cells)} columns, the header has {len(header)}")
                elif cells:
                    named = zip(header, cells, strict=True)
                    yield Row(begins, {name: cell.strip() or None for name, cell in named})
                begins = reader.line_num + 1
        except csv.Error as error:
            self._note(reader.line_num, f"is not CSV: {error}")

    def _json_lines(self, text: str) -> Iterator[Row]:
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                self._note(number, f"column {error.colno}: is not JSON: {error.msg}")
                continue
            if not isinstance(record, dict) or not all(_is_cell(cell) for cell in record.values()):
                self._note(number, "is not an object of strings and whole numbers")
                continue
            if self._columns(number, list(record)):
                yield Row(number, {name: _text(cell) for name, cell in record.items()})

    def _columns(self, line: int, names: list[str], *, complete: bool = False) -> bool:
        missing = [name for name in self.required if complete and name not in names]
        unknown = [name for name in names if name not in self.allowed]
        twice = {name for name in names if names.count(name) > 1}
        for name in unknown:
            allowed = ", ".join(self.allowed)
            self._note(line, f"{name[:40] or 'a column without a name'}: unknown; allowed: {allowed}")
        for name in twice:
            self._note(line, f"{name}: is there twice")
        for name in missing:
            self._note(line, f"{name}: this column is missing")
        return not unknown and not twice and not missing


def _text_of(path: Path) -> str:
    """What is in the file. Raises Mistakes where that is no text in UTF-8, or no list of lines."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Mistakes([f"{path}: cannot be read: {error.strerror}"]) from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Mistakes([f"{path}: is UTF-16, not UTF-8; {_SAVE}"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        wrong = f"{path}:{line}: is not UTF-8 (byte {column} of the line is 0x{content[error.start]:02x}); {_SAVE}"
        raise Mistakes([wrong]) from None
    if text.lstrip()[:1] == "[":
        raise Mistakes([f"{path}:1: is a JSON array; JSON Lines has an object on each line, without brackets"])
    return text


def _delimiter(text: str) -> str:
    """What stands between the columns' names: where a comma is the decimal point, spreadsheets write semicolons."""
    header = text.partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in header), ",")


def _column(name: str) -> str:
    """A column's name: ``Sold To`` is sold_to."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _is_cell(value: object) -> bool:
    return isinstance(value, str | int | None) and not isinstance(value, bool)


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value).strip() or None
