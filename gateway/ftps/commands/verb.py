"""What the table of verbs knows of each."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.ftps.session import Session


class Needs(enum.Enum):
    NOTHING = "nothing"
    TLS = "tls"
    LOGIN = "login"


class Argument(enum.Enum):
    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: what it does, what has to come before it, whether it takes an argument."""

    do: Callable[[Session, bytes], None]
    needs: Needs
    argument: Argument
    during: bool = False
    """Answered while a transfer runs; all others wait for its end."""
