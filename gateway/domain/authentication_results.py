"""What our own relay found out about a sender: its ``Authentication-Results`` field (RFC 8601), and no other's.

Rules: only fields that name our authserv-id count, and of those the first (a relay puts its own on top; what stands
below came with the mail). Only ``pass`` for the very domain in From, or one above it, makes a sender genuine. What
can't be read counts as nothing. Linear in its input. Whether the peer *is* our relay is the caller's to know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.domain.policy import Authentication

LONGEST = 8 * 1024
"""Bytes of a field that are read."""

_COMMENT = re.compile(r"\((?:[^()\\]|\\.)*+\)")
_RESULT = re.compile(r"\s*([a-z][a-z0-9-]*)(?:/[0-9]+)?\s*=\s*([a-z]+)\b", re.IGNORECASE)
_PROPERTY = re.compile(r"([a-z]+\.[a-z0-9-]+)\s*=\s*(\"[^\"]*\"|[^\s;]+)", re.IGNORECASE)
_POLICY = re.compile(r"\bp=(reject|quarantine)\b", re.IGNORECASE)


def read(fields: Iterable[bytes], authserv_id: str, author_domain: str) -> Authentication:
    """Read the relay's verdict about *author_domain* out of a message's ``Authentication-Results`` fields."""
    for raw in fields:
        text = raw[:LONGEST].decode("utf-8", "replace")
        plain = _COMMENT.sub(" ", text)
        name, _, rest = plain.partition(";")
        words = name.split()
        if words and words[0].lower().rstrip(".") == authserv_id.lower():
            return _verdict(rest, text, author_domain)
    return Authentication.UNVERIFIED


def _verdict(rest: str, whole: str, author: str) -> Authentication:
    failed = False
    for result in rest.split(";"):
        match = _RESULT.match(result)
        if match is None:
            continue
        method, outcome = match[1].lower(), match[2].lower()
        properties = {name.lower(): value.strip('"').lower() for name, value in _PROPERTY.findall(result)}
        if outcome == "pass" and any(_speaks_for(domain, author) for domain in _domains(method, properties)):
            return Authentication.PASS
        failed |= method == "dmarc" and outcome == "fail"
    asked = _POLICY.search(whole) if failed else None
    if asked is None:
        return Authentication.UNVERIFIED
    return Authentication.REJECT if asked[1].lower() == "reject" else Authentication.QUARANTINE


def _domains(method: str, properties: dict[str, str]) -> list[str]:
    """Whom a result speaks for, by its method."""
    names = {"dmarc": ("header.from",), "dkim": ("header.d",), "spf": ("smtp.mailfrom",)}.get(method, ())
    return [properties[name].rpartition("@")[2] for name in names if name in properties]


def _speaks_for(domain: str, author: str) -> bool:
    return domain == author or author.endswith("." + domain)
