"""What a peer is told: a reply has a code, perhaps an enhanced code, and text. Every word stands in this package.

"Try again later" is never stored beside a reply: it is derived from the code (RFC 5321 §4.2.1, RFC 959 §4.2).
A ``Refusal`` carries two texts for two readers: the reply for the peer, the reason for the operator's log.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of a dialogue: *code* (three digits), *lines* of text, *enhanced* code (RFC 3463, mail only)."""

    code: int
    lines: tuple[str, ...]
    enhanced: str | None = None

    def __post_init__(self) -> None:
        if not self.lines or any("\r" in line or "\n" in line for line in self.lines):
            raise ValueError("a reply has at least one line, and no line holds a line break")

    @property
    def retryable(self) -> bool:
        """Whether the peer may try the same again later (a 4yz code)."""
        return 400 <= self.code < 500

    @property
    def positive(self) -> bool:
        """Whether the peer got what it asked for (1yz to 3yz)."""
        return self.code < 400

    @property
    def text(self) -> str:
        """The lines as one sentence, for logs and for the operator."""
        return " ".join(self.lines)


class Refusal(Exception):
    """Expected: the peer can't have this. Logged at info; anything else that is raised is our own defect."""

    def __init__(self, reply: Reply, reason: str | None = None) -> None:
        super().__init__(reason or reply.text)
        self.reply = reply
        self.reason = reason or reply.text
