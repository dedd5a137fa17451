"""Messages over which our own code failed: remembered, so that the second time they are held and not deferred again.

Rules: a message is known again by its peer and Message-ID, or by its content, as far as either can be read at all. The
memory is bounded, and the process's own: a restart gives a message one more try. Never raises.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from contextlib import suppress
from typing import Final

from gateway.domain.identity import message_id
from gateway.smtp.envelope import Arrival

MOST: Final = 1_000
"""Messages that are remembered; relays come again within minutes, and a defect is rare."""


class Failures:
    """What failed lately. One for a process."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    def again(self, arrival: Arrival) -> bool:
        """Whether this message failed before; it is remembered from now on."""
        keys = _keys(arrival)
        before = any(key in self._seen for key in keys)
        for key in keys:
            self._seen[key] = None
            self._seen.move_to_end(key)
        while len(self._seen) > 2 * MOST:
            self._seen.popitem(last=False)
        return before


def _keys(arrival: Arrival) -> list[str]:
    """Every sign by which the message can be known again. What fails here failed the message itself: one sign less."""
    keys = []
    letter = arrival.letter
    with suppress(Exception):
        if name := message_id(letter.headers):
            keys.append(f"{arrival.peer.address} {name}")
    with suppress(Exception):
        keys.append(letter.content_key)
    with suppress(Exception):
        if letter.raw is not None:  # relays add to the header only
            keys.append(hashlib.sha256(letter.raw.partition(b"\r\n\r\n")[2]).hexdigest())
    return keys
