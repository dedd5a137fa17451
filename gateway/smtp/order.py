"""In which order commands may come (RFC 5321 §4.1.4, RFC 3030 §2, RFC 3207 §4): a table of verbs and stages.

A cell is None where the command is allowed, or else the reply to it. Nothing is decided anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from gateway.domain.replies import Reply
from gateway.domain.replies import smtp as say


class Stage(IntEnum):
    """How far the dialogue has come."""

    CONNECTED = 0
    """Nobody has introduced himself, or TLS has just begun."""
    READY = 1
    """EHLO or HELO was said; a mail may begin."""
    SENDER = 2
    """MAIL FROM was accepted."""
    RECIPIENTS = 3
    """At least one RCPT TO was accepted."""
    CHUNKS = 4
    """The message is on its way by BDAT."""


ORDER: Final[Mapping[str, tuple[Reply | None, ...]]] = MappingProxyType(
    {
        # verb        CONNECTED         READY             SENDER               RECIPIENTS        CHUNKS
        "EHLO": (None, None, None, None, None),
        "HELO": (None, None, None, None, None),
        "NOOP": (None, None, None, None, None),
        "RSET": (None, None, None, None, None),
        "QUIT": (None, None, None, None, None),
        "HELP": (None, None, None, None, None),
        "VRFY": (None, None, None, None, None),
        "STARTTLS": (say.HELLO_FIRST, None, None, None, say.CHUNKS_BEGAN),
        "MAIL": (say.HELLO_FIRST, None, say.SENDER_TWICE, say.SENDER_TWICE, say.CHUNKS_BEGAN),
        "RCPT": (say.HELLO_FIRST, say.SENDER_FIRST, None, None, say.CHUNKS_BEGAN),
        "DATA": (say.HELLO_FIRST, say.SENDER_FIRST, say.RECIPIENT_FIRST, None, say.CHUNKS_BEGAN),
        "BDAT": (say.HELLO_FIRST, say.SENDER_FIRST, say.RECIPIENT_FIRST, None, None),
    }
)

BEFORE_TLS: Final = frozenset({"EHLO", "NOOP", "QUIT", "STARTTLS"})
"""What may be said on a connection that must be protected first (RFC 3207 §4)."""

NOT_OFFERED: Final = frozenset({"AUTH", "EXPN", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML"})
"""Known, and not for a door that takes mail from strangers."""

FOREIGN: Final = frozenset(
    {"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI", "USER", "PASS", "HOST:"}
)
"""Another protocol's words: somebody's browser or server was sent here to talk to us (CVE-2021-3618, ALPACA)."""
