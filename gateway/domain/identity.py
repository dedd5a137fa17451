"""What makes two messages the same one: Message-ID and content (RFC 5322 section 3.6.4).

Rules: a Message-ID alone is no identity, because senders reuse them; content alone is none either, because "still
broken" may be sent twice. Both the same is a retry. The content key leaves trace fields out, which every relay adds
anew, and reads the other fields relaxed (RFC 6376 section 3.4.2: lower-case names, white space as one space,
unfolded), because relays fold anew. The body counts byte for byte.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

from gateway.domain.headers import Headers

TRACE_FIELDS = frozenset(
    {
        "received", "return-path", "delivered-to", "x-received", "x-original-to", "x-delivered-to", "envelope-to",
        "delivery-date", "x-envelope-from", "x-envelope-to", "received-spf", "authentication-results",
        "x-authentication-results", "dkim-signature", "x-google-dkim-signature", "domainkey-signature", "dkim-filter",
        "x-virus-scanned", "x-virus-status", "x-scanned-by", "x-gm-message-state", "x-google-smtp-source", "x-uidl",
        "status", "x-status", "x-loop", "x-forwarded-to", "x-forwarded-for", "x-originating-ip", "x-sender-ip",
        "x-forefront-antispam-report", "x-microsoft-antispam", "x-microsoft-antispam-message-info", "lines",
        "x-proofpoint-virus-version", "x-proofpoint-spam-details", "x-rspamd-queue-id", "x-rspamd-server",
        "x-rspamd-action", "x-bogosity", "x-barracuda-connect", "x-barracuda-start-time",
    }
)  # fmt: skip
"""Fields that say how a message travelled, not what it is."""

TRACE_PREFIXES = (
    "arc-",
    "x-spam-",
    "x-ms-exchange-",
    "x-mimecast-",
    "x-ironport-",
    "x-amavis-",
    "x-pmx-",
    "x-barracuda-",
)
"""Beginnings of the names of further ones."""

_MESSAGE_ID = re.compile(rb"<([^<>\x00-\x20\x7f]{1,900})>")
_BARE_ID = re.compile(rb"[^<>\x00-\x20\x7f]{1,900}")


class ContentKey:
    """The content key of one message: made with its header section, fed with its body as it comes."""

    def __init__(self, headers: Headers) -> None:
        kept: list[bytes] = []
        for name, value in headers.fields:
            if not _is_trace(name):
                kept += (name.encode("ascii"), b":", b" ".join(value.split()), b"\n")
        self._sha256 = hashlib.sha256(b"".join((*kept, b"\n")))

    def update(self, block: bytes | bytearray | memoryview) -> None:
        """Feed the next block of the body."""
        self._sha256.update(block)

    def hexdigest(self) -> str:
        """The key of all that was fed."""
        return self._sha256.hexdigest()


@lru_cache(maxsize=1024)
def _is_trace(name: str) -> bool:
    return name in TRACE_FIELDS or name.startswith(TRACE_PREFIXES)


def content_key(headers: Headers, body: Iterable[bytes | memoryview]) -> str:
    """The content key of a whole message."""
    key = ContentKey(headers)
    for block in body:
        key.update(block)
    return key.hexdigest()


def message_id(headers: Headers) -> str | None:
    """The message's own id with its angle brackets, or None where there is none or more than one."""
    values = headers.all("message-id")
    if len(values) != 1:
        return None
    value = values[0].strip()
    if found := _MESSAGE_ID.fullmatch(value):
        return f"<{found[1].decode('utf-8', 'backslashreplace')}>"
    return f"<{value.decode('utf-8', 'backslashreplace')}>" if _BARE_ID.fullmatch(value) else None
