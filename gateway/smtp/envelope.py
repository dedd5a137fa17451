"""What is known of a message without looking inside: who brought it, from whom and for whom it says it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.smtp.letter import Letter

POSTMASTER: Final = "postmaster"
"""The one recipient besides the aliases, however its domain was written (RFC 5321 §4.5.1)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of the connection: its *address*, how it introduced itself, the TLS version if there is TLS."""

    address: str
    hello: str
    tls: str | None
    trusted: bool = False
    """Whether it is a relay of ours."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message whose end was reached: it is owed exactly one reply and one row in the ledger."""

    peer: Peer
    sender: str
    """The envelope's sender; empty for ``MAIL FROM:<>``."""
    recipients: tuple[str, ...]
    """The aliases it was addressed to, and ``POSTMASTER``, each once."""
    letter: Letter
