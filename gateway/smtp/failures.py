"""Messages over which our own code failed: remembered, so that the second time they are held and not deferred again.

Rules: a message is known again by its peer and Message-ID, or by its content, as far as either can be read at all. The
memory is bounded, and that of the door's processes, who tell each other: a restart gives a message one more try.
Never raises.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.domain.identity import message_id
from gateway.smtp.envelope import Arrival

MOST: Final = 1_000
"""Messages that are remembered; relays come again within minutes, and a defect is rare."""


class Failures:
    """What failed lately. One for a process; *tell* passes each sign on to the others, for their ``remember``."""

    def __init__(self, tell: Callable[[str], None] = lambda sign: None) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._tell = tell

    def again(self, arrival: Arrival) -> bool:
        """Whether this message failed before; it is remembered from now on."""
        signs = _signs(arrival)
        before = any(sign in self._seen for sign in signs)
        for sign in signs:
            self.remember(sign)
            self._tell(sign)
        return before

    def remember(self, sign: str) -> None:
        """A message that is known again by *sign* failed, here or in another process of the door."""
        self._seen[sign] = None
        self._seen.move_to_end(sign)
        while len(self._seen) > 2 * MOST:
            self._seen.popitem(last=False)


def _signs(arrival: Arrival) -> list[str]:
    """Every sign by which the message can be known again. What fails here failed the message itself: one sign less."""
    signs = []
    letter = arrival.letter
    with suppress(Exception):
        if name := message_id(letter.headers):
            signs.append(_digest(f"{arrival.peer.address} {name}".encode("utf-8", "replace")))
    with suppress(Exception):
        signs.append(letter.content_key)
    with suppress(Exception):
        if letter.raw is not None:  # relays add to the header only
            signs.append(_digest(letter.raw.partition(b"\r\n\r\n")[2]))
    return signs


def _digest(sign: bytes) -> str:
    return hashlib.sha256(sign).hexdigest()
