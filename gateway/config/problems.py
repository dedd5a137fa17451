"""What is wrong with a configuration, in words: where, which key, and what is allowed.

Rules: every mistake is answered with what would have been right; the words of a type are its ``Allowed``. Never: a
value in a message that may be a secret.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config.section import DISAGREEMENT
from gateway.config.types import Allowed


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is and what would be right."""

    what: str
    key: str = ""
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return ": ".join(part for part in (place, self.key, self.what) if part)

    def view(self) -> dict[str, object]:
        """For programs."""
        file = None if self.file is None else str(self.file)
        return {"file": file, "line": self.line, "key": self.key, "what": self.what}


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` says everything that is wrong with it."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def mistakes(error: ErrorDetails, root: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The (key, what) pairs of one of pydantic's errors."""
    location = [part for part in error["loc"] if isinstance(part, int) or is_key(part)]
    key = ".".join(str(part) for part in location)
    if error["type"] == DISAGREEMENT:
        for inner, what in error["ctx"]["found"]:
            yield f"{key}.{inner}".lstrip("."), what
        return
    model, field = _field_at(location, root)
    if error["type"] == "extra_forbidden":
        yield key, _unknown(str(location[-1]), model)
    elif error["type"] == "missing":
        yield key, f"is missing; {_allowed(field)}"
    else:
        reason = str(error["ctx"]["error"]) if error["type"] == "value_error" else _reason(error)
        yield key, reason if "allowed:" in reason else f"{reason}; {_allowed(field)}"


def is_key(part: str) -> bool:
    """Pydantic puts the names of validators into a location; those are no keys."""
    return not part.startswith("function-")


def _reason(error: ErrorDetails) -> str:
    """What is wrong with a value; the value itself only where it is short and plain, as a number or a word."""
    value = error["input"]
    plain = isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 40 and "://" not in value)
    return f"{value!r} is not allowed" if plain else "is not allowed"


def _unknown(key: str, model: type[BaseModel]) -> str:
    known = list(model.model_fields)
    near = difflib.get_close_matches(key, known, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown key{meant}; allowed: {', '.join(known)}"


def _field_at(location: list[str | int], root: type[BaseModel]) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model and the field that a location ends in."""
    model = root
    field: FieldInfo | None = None
    for part in location:
        if isinstance(part, int):
            continue
        if field is not None and (inner := model_in(field.annotation)) is not None:
            model = inner
        field = model.model_fields.get(part)
    return model, field


def model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := model_in(each)) is not None), None)


def _allowed(field: FieldInfo | None) -> str:
    return f"allowed: {allowed_words(field) if field is not None else 'see gateway config example'}"


def allowed_words(field: FieldInfo) -> str:
    """What a setting may be, in words: those of its type, or of what its type is made of."""
    for mark in field.metadata:
        if isinstance(mark, Allowed):
            return mark.words
    return _words(field.annotation)


def _words(annotation: Any) -> str:
    for mark in getattr(annotation, "__metadata__", ()):
        if isinstance(mark, Allowed):
            return mark.words
    parts = [part for part in get_args(annotation) if part is not type(None) and part is not Ellipsis]
    if get_origin(annotation) is not None and str(get_origin(annotation)) == "typing.Literal":
        return ", ".join(f'"{part}"' for part in parts)
    if get_origin(annotation) is tuple:
        return f"a list, each {_words(parts[0])}"
    if parts:
        return _words(parts[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a table with {', '.join(annotation.model_fields)}"
    return {bool: "true or false", int: "a whole number", str: "a string"}.get(annotation, "a network: 192.0.2.0/24")
