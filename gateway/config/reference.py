"""The settings in words: ``examples/gateway.toml`` and ``docs/configuration.md``, written from the models.

Rules: the words are the docstrings below the settings, so that there is one place to keep right; the example sets
every key that has a default to it, and shows the others as comments; it is a configuration that can be used as it is.
A test compares both files with what is written here (``make docs`` writes them again).
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config.model import Config
from gateway.config.problems import allowed_words, model_in
from gateway.config.types import duration_text, size_text, type_size

WIDTH: Final = 112

EXAMPLE_HEAD: Final = """\
# The gateway's configuration: every key, with its default. Made by `gateway config example`.
#
# Durations are seconds or "30s", "5 min", "72h", "2 days"; sizes are bytes or "64 KiB", "35MiB", "20 GB". A relative
# path is one beside this file. A key that stands in a comment has no default: take the # away to set it.
# `gateway config check` says everything that is wrong, with its line.
"""

DOCS_HEAD: Final = """\
# Configuration

One TOML file: the first of `--config FILE`, `$GATEWAY_CONFIG`, `./gateway.toml`, `/etc/gateway/gateway.toml`.
`gateway config example` prints one with every key; `gateway config check` says all that is wrong with yours, with key
and line, and what is allowed. Unknown keys are refused, and a mistake ends `gateway serve` with exit code 2 before a
port is opened. Durations are seconds or strings such as "30s", "5 min", "72h", "2 days"; sizes are bytes or strings
such as "64 KiB", "35MiB", "20 GB"; a relative path is one beside the file.

This page is written from the settings themselves (`make docs`).
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: where it stands, what it means, what it may be, what it is when nobody says."""

    key: str
    meaning: str
    allowed: str
    value: str
    has_default: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file, ``[ftps]`` or ``[[regions]]``, with the keys that are values."""

    name: str
    meaning: str
    repeated: bool
    optional: bool
    settings: tuple[Setting, ...]

    @property
    def header(self) -> str:
        return f"[[{self.name}]]" if self.repeated else f"[{self.name}]"


def tables() -> tuple[Table, ...]:
    """Every table of the configuration, in the order of the file."""
    return tuple(_tables("", Config))


def example() -> str:
    """A documented configuration file with every key."""
    parts = [EXAMPLE_HEAD]
    for table in tables():
        mark = "# " if table.optional else ""
        title = textwrap.fill(table.meaning, WIDTH, initial_indent="# ", subsequent_indent="# ")
        parts.append(f"\n# {'=' * WIDTH}\n{title}\n{mark}{table.header}\n")
        for setting in table.settings:
            words = textwrap.wrap(setting.meaning, WIDTH, break_long_words=False, break_on_hyphens=False)
            off = "" if setting.has_default and not table.optional else "# "
            parts.append("\n".join([*(f"# {line}" for line in words), f"{off}{setting.key} = {setting.value}\n"]))
    return "\n".join(parts)


def page() -> str:
    """``docs/configuration.md``."""
    parts = [DOCS_HEAD]
    for table in tables():
        parts.append(f"\n## `{table.header}`\n\n{table.meaning}\n")
        for setting in table.settings:
            default = f"Default: `{setting.value}`." if setting.has_default else f"For example `{setting.value}`."
            parts.append(f"### `{table.name}.{setting.key}`\n\n{setting.meaning}\n\n*{setting.allowed}.* {default}\n")
    return "\n".join(parts)


def _tables(name: str, model: type[BaseModel], repeated: bool = False, optional: bool = False) -> Iterator[Table]:
    words = _docstrings(model)
    inner = {key: found for key, field in model.model_fields.items() if (found := model_in(field.annotation))}
    if name:
        settings = tuple(
            _setting(key, words.get(key, ""), field) for key, field in model.model_fields.items() if key not in inner
        )
        meaning = inspect.cleandoc(model.__doc__ or "").replace("\n", " ")
        yield Table(name, meaning, repeated, optional, settings)
    for key, each in inner.items():
        many = get_origin(model.model_fields[key].annotation) is tuple
        absent = many and not model.model_fields[key].default
        yield from _tables(f"{name}.{key}".lstrip("."), each, many, optional or absent)


def _setting(key: str, words: str, field: FieldInfo) -> Setting:
    has_default = not field.is_required() and field.default_factory is None and field.default is not None
    shown = field.default if has_default else (field.examples or [None])[0]
    if field.is_required() or (has_default and field.default == () and field.examples):
        shown = (field.examples or [None])[0]
        return Setting(key, words, allowed_words(field), _toml(shown, field), field.is_required())
    return Setting(key, words, allowed_words(field), _toml(shown, field), has_default)


def _toml(value: Any, field: FieldInfo) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return f'"{duration_text(value)}"'
    if isinstance(value, int):
        is_size = type_size in field.metadata or any(type_size in _marks(each) for each in get_args(field.annotation))
        return f'"{size_text(value)}"' if is_size else str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(each, field) for each in value)}]"
    return json.dumps(str(value), ensure_ascii=False)


def _marks(annotation: Any) -> tuple[Any, ...]:
    return tuple(getattr(annotation, "__metadata__", ()))


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string below each setting of a section."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[statement.target.id] = " ".join(str(following.value.value).split())
    return found
