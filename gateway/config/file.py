"""Finding and reading the configuration file, and saying everything that is wrong with it at once.

Rules: the first of ``--config``, ``$GATEWAY_CONFIG``, ``./gateway.toml``, ``/etc/gateway/gateway.toml``; one that was
asked for and is not there is a mistake, not a reason to look on. Each problem names file, line, key and what is
allowed. Never: a value in a message that may be a secret; any write.
"""

import itertools
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gateway.config.lines import line_of, lines_of
from gateway.config.model import Config
from gateway.config.problems import ConfigError, Problem, is_key, mistakes
from gateway.config.section import DISAGREEMENT
from gateway.config.types import reading_from

ENVIRONMENT: Final = "GATEWAY_CONFIG"
USUAL_PLACES: Final = (Path("gateway.toml"), Path("/etc/gateway/gateway.toml"))


def find(asked: Path | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """The configuration file to read. Raises ConfigError where there is none."""
    if asked is not None:
        return asked
    if environment.get(ENVIRONMENT):
        return Path(environment[ENVIRONMENT])
    for place in USUAL_PLACES:
        if place.exists():
            return place
    places = ", ".join(str(place) for place in USUAL_PLACES)
    raise ConfigError(Problem(f"no configuration: name one with --config or ${ENVIRONMENT}, or put it at {places}"))


def load(file: Path) -> Config:
    """Read ``file``. Raises ConfigError with every mistake in it."""
    try:
        text = file.read_bytes().decode()
        data = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(Problem(f"cannot be read: {error.strerror}", file=file)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(f"is not UTF-8 (byte {error.start})", file=file)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax(error, text, file)) from None
    lines = lines_of(text)
    token = reading_from.set(file.absolute())
    try:
        config = Config()
    except ValidationError as error:
        found = [mistake for each in error.errors() for mistake in mistakes(each, Config)]
        found += [mistake for mistake in _hidden(data, error) if mistake not in found]
        problems = [Problem(what, key, file, line_of(key, lines)) for key, what in found]
        raise ConfigError(*sorted(problems, key=lambda problem: problem.line or 0)) from None
    finally:
        reading_from.reset(token)
    config._source, config._lines = file.absolute(), lines
    return config


def problem(config: Config, key: str, what: str) -> Problem:
    """A mistake that shows itself only on this machine, at the line of its key."""
    return Problem(what, key, config._source, line_of(key, config._lines))


def _syntax(error: tomllib.TOMLDecodeError, text: str, file: Path) -> Problem:
    words, _, place = str(error).partition(" (at ")
    line = text.count("\n") + 1 if "end of document" in place else None
    if place.startswith("line "):
        line = int(place.removeprefix("line ").partition(",")[0])
    return Problem(f"is not TOML: {words}", file=file, line=line)


def _hidden(data: dict[str, Any], error: ValidationError) -> Iterator[tuple[str, str]]:
    """The disagreements that were not looked for because other settings of their section are wrong by themselves."""
    wrong: set[str] = set()
    for each in error.errors():
        table: Any = data
        keys = list(itertools.takewhile(lambda part: isinstance(part, str) and is_key(part), each["loc"]))
        for key in keys[:-1]:
            table = table.get(key, {}) if isinstance(table, dict) else {}
        if keys and each["type"] != DISAGREEMENT and isinstance(table, dict):
            table.pop(keys[-1], None)
            wrong.add(str(keys[-1]))
    token = reading_from.set(None)
    try:
        Config(**data)
    except ValidationError as remaining:
        for each in remaining.errors():
            if each["type"] == DISAGREEMENT:
                yield from (
                    found
                    for found in mistakes(each, Config)
                    if wrong.isdisjoint(re.findall(r"[\w-]+", " ".join(found)))
                )
    finally:
        reading_from.reset(token)
