"""One thing that is not as it should be: how bad, what it is, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is; the values stand in the public contract."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """*what* is so, and what to *do*, each in a sentence for the operator."""

    level: Level
    what: str
    do: str

    def view(self) -> dict[str, str]:
        return {"level": self.level.value, "what": self.what, "do": self.do}


def error(what: str, do: str) -> Finding:
    """A broken promise, or something that keeps the gateway from serving."""
    return Finding(Level.ERROR, what, do)


def warning(what: str, do: str) -> Finding:
    """Something that somebody should act upon."""
    return Finding(Level.WARNING, what, do)


def info(what: str, do: str) -> Finding:
    """Something that is good to know."""
    return Finding(Level.INFO, what, do)
