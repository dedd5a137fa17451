"""What the gateway says to its operators: one line an event, ``words key=value …`` or a JSON object, on stderr.

Rules: a line is a line, whatever a peer puts into its words (control characters are escaped). Facts are named, so that
a line can be searched: ``log.info("upload complete", account="acme", size=5)``. A refusal is info, what somebody should
look at is a warning, our own bug is an error and keeps its stack, in one line too. Under systemd the priority goes
before the line and the time is left to the journal.

Never: a secret. Facts with a secret's name are blanked, passwords in URLs and after ``PASS`` as well, and what was
handed to ``concealing`` is blanked wherever it turns up, tracebacks included.
"""

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Literal, Self, TextIO

BLANK: Final = "[secret]"
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
LONGEST: Final = 4096
"""Characters of one value: a peer's megabyte is cut, and says so."""

_SECRET_NAME: Final = re.compile(r"passw|secret|token|credential|authorization|sealing_?key|private_?key", re.I)
_SECRET_TEXT: Final = (
    (re.compile(r"(?i)\b(PASS|ACCT)(\s+)[^\r\n]+"), rf"\1\2{BLANK}"),
    (re.compile(r"(?i)\b(AUTH\s+\S+)(\s+)\S+"), rf"\1\2{BLANK}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s@/]+@", re.I), rf"\1:{BLANK}@"),
    (re.compile(r"\$argon2[a-z]*\$\S+"), BLANK),
    (re.compile(r"\bwhsec_\S+"), BLANK),
)
_TELLTALE: Final = re.compile(r"\s|://|\$argon2|whsec_")
"""Each of the above holds one of these; most values hold none, and one look is enough for them."""
_PLAIN: Final = re.compile(r"[\w.:/@+,<>#%~*-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_JOURNAL: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

_concealed: ContextVar[tuple[str, ...]] = ContextVar("concealed", default=())

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Log:
    """A named voice, with facts that every line of it carries."""

    __slots__ = ("_facts", "_logger")

    def __init__(self, name: str, facts: Mapping[str, object] | None = None) -> None:
        self._logger = logging.getLogger(name)
        self._facts = dict(facts or {})

    def bind(self, **facts: object) -> Self:
        """The same voice with more facts: a session's id, an account."""
        return type(self)(self._logger.name, self._facts | facts)

    def debug(self, event: str, **facts: object) -> None:
        self._say(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: object) -> None:
        self._say(logging.INFO, event, facts)

    def warning(self, event: str, **facts: object) -> None:
        self._say(logging.WARNING, event, facts)

    def error(self, event: str, **facts: object) -> None:
        self._say(logging.ERROR, event, facts)

    def exception(self, event: str, **facts: object) -> None:
        """Our own bug: the exception being handled goes along, with its stack."""
        self._say(logging.ERROR, event, facts, trace=True)

    def _say(self, level: int, event: str, facts: Mapping[str, object], trace: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            error = sys.exc_info() if trace else None
            record = logging.LogRecord(self._logger.name, level, "", 0, event, None, error)  # nobody asks from where
            record.facts = {**self._facts, **facts}
            self._logger.handle(record)


def get(name: str) -> Log:
    """The voice of a module: ``log = log.get(__name__)``."""
    return Log(name)


@contextmanager
def concealing(*secrets: str | None) -> Iterator[None]:
    """While this runs, in this task or thread, the secrets are blanked in whatever is logged."""
    token = _concealed.set((*_concealed.get(), *(secret for secret in secrets if secret and len(secret) >= 4)))
    try:
        yield
    finally:
        _concealed.reset(token)


def configure(
    level: str = "info",
    style: Literal["text", "json"] = "text",
    process: str | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send everything that is logged in this process, by libraries too, to ``stream`` (stderr). Call it once, early."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    journal = _is_journal(stream)
    handler.setFormatter(JsonLine(process, journal) if style == "json" else TextLine(process, journal))
    handler.addFilter(_with_secrets)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    logging.captureWarnings(True)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # what no line shows
    logging.raiseExceptions = False  # a closed stderr must not end a session
    for chatty in ("aiosqlite", "alembic", "asyncio", "httpcore", "httpx", "mail.log", "pyftpdlib", "sqlalchemy"):
        logging.getLogger(chatty).setLevel(max(LEVELS[level], logging.WARNING))


class _Line(logging.Formatter):
    def __init__(self, process: str | None, journal: bool) -> None:
        super().__init__()
        self.process, self.journal = process, journal

    def format(self, record: logging.LogRecord) -> str:
        line = self.line(record, self.facts(record))
        return f"<{_JOURNAL.get(record.levelno, 6)}>{line}" if self.journal else line

    def line(self, record: logging.LogRecord, facts: dict[str, object]) -> str:
        raise NotImplementedError

    def facts(self, record: logging.LogRecord) -> dict[str, object]:
        secrets: tuple[str, ...] = getattr(record, "concealed", ())
        facts: dict[str, object] = {"event": _scrub(record.getMessage(), secrets) if secrets else _said(record)}
        if self.process:
            facts["process"] = self.process
        for name, value in getattr(record, "facts", {}).items():
            if value is not None:
                facts[name] = BLANK if _names_a_secret(name) else _value(value, secrets)
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, trace = record.exc_info
            facts["error"] = _scrub(f"{kind.__qualname__}: {error}", secrets)
            facts["stack"] = _stack(error, trace)
        return facts


class TextLine(_Line):
    """``2026-11-22T21:47:00.123Z info gateway.ftps upload complete account=acme size=5``"""

    def line(self, record: logging.LogRecord, facts: dict[str, object]) -> str:
        event = _CONTROL.sub(_escape, str(facts.pop("event")))
        words = [record.levelname.lower(), record.name, event]
        words += [f"{name}={_quoted(value)}" for name, value in facts.items()]
        return " ".join(words if self.journal else [_time(record), *words])


class JsonLine(_Line):
    """``{"time": …, "level": "info", "logger": "gateway.ftps", "event": "upload complete", …}``"""

    def line(self, record: logging.LogRecord, facts: dict[str, object]) -> str:
        head = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        return json.dumps(head | facts, default=str)


def _with_secrets(record: logging.LogRecord) -> bool:
    record.concealed = _concealed.get()
    return True


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _said(record: logging.LogRecord) -> str:
    """The event's words. Our own are constants and hold no secret that nobody conceals: one look at each is enough."""
    words = record.getMessage()
    return _scrub_once(words) if hasattr(record, "facts") else _scrub(words, ())


@lru_cache(maxsize=1000)
def _scrub_once(words: str) -> str:
    return _scrub(words, ())


@lru_cache(maxsize=1000)
def _names_a_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _value(value: object, secrets: tuple[str, ...]) -> object:
    return value if isinstance(value, bool | int | float) else _scrub(str(value), secrets)


def _scrub(text: str, secrets: tuple[str, ...]) -> str:
    length = len(text)
    text = text[: 2 * LONGEST]
    for secret in secrets:
        text = text.replace(secret, BLANK)
    if _TELLTALE.search(text):
        for pattern, blank in _SECRET_TEXT:
            text = pattern.sub(blank, text)
    return text if length <= LONGEST else f"{text[:LONGEST]}… ({length} characters)"


def _quoted(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    return _CONTROL.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1] if match[0] < "\x7f" else f"\\u{ord(match[0]):04x}"


def _stack(error: BaseException | None, trace: TracebackType | None) -> str:
    """Where it happened, innermost first, without the source lines or values that could hold a secret."""
    frames = [f"{os.path.basename(f.filename)}:{f.lineno}:{f.name}" for f in traceback.extract_tb(trace)]
    cause = (error.__cause__ or error.__context__) if error is not None else None
    after = f" after {type(cause).__qualname__}" if cause is not None else ""
    return " < ".join(reversed(frames)) + after


def _is_journal(stream: Any) -> bool:
    """Whether ``stream`` leads to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))
