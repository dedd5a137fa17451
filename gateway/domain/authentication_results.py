"""What our own relay found out about a sender: its ``Authentication-Results`` field (RFC 8601), and no other's.

Rules: only fields that name our authserv-id count, and of those the first: what stands below may have come with the
mail. Further ones above the first Received (a relay's checks may each put one there) can only make it worse. Only
``pass`` for the very domain in From, or one above it, makes a sender genuine; where the relay says that DMARC failed,
nothing else can. A sender chooses much of what a relay writes there (an address with a quoted local part, a name): the
field is read token by token, quoted strings and comments are never syntax. What can't be read counts as nothing.
Whether the peer *is* our relay is the caller's to know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.domain.policy import Authentication

LONGEST = 8 * 1024
"""Bytes of a field that is read; of a longer one, cut somewhere in a quoted string, nothing would be certain."""

_TOKEN = re.compile(
    r'(?P<space>\s+)|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<mark>[;=(])|(?P<atom>[^\s;=("]+)|(?P<stray>.)', re.S
)
_COMMENT = re.compile(r"[^()\\]+|\\.?|[()]", re.S)
_POLICY = re.compile(r"\b(?:p|dis|policy(?:\.[\w-]+)?|action)=o?(reject|quarantine)\b", re.IGNORECASE)
_METHOD = re.compile(r"([a-z][a-z0-9-]*)(?:/[0-9]+)?", re.IGNORECASE)

_SPEAKS = {"dmarc": "header.from", "dkim": "header.d", "spf": "smtp.mailfrom"}
"""The property that names whom a method's result speaks for."""


@dataclass
class _Result:
    """One result of the field: ``method=outcome name=value …``, with its comments."""

    words: list[str] = field(default_factory=list)
    """Names and values in turn, an "=" between them: white space ends a word, quotes stand as they are."""
    comments: list[str] = field(default_factory=list)

    def pairs(self) -> Iterator[tuple[str, str]]:
        for at in range(1, len(self.words) - 1):
            if self.words[at] == "=" and "=" not in (self.words[at - 1], self.words[at + 1]):
                yield self.words[at - 1].lower(), self.words[at + 1]


def read(fields: Iterable[tuple[str, bytes]], authserv_id: str, author_domain: str) -> Authentication:
    """Read the relay's verdict about *author_domain* out of a message's header *fields*, by lower-case name."""
    found: Authentication | None = None
    for name, raw in fields:
        if name == "received" and found is not None:
            break
        if name != "authentication-results" or not _names(raw, authserv_id):
            continue
        verdict = _verdict(_whole(raw), author_domain)
        if found is None:
            found = verdict
        elif verdict in (Authentication.REJECT, Authentication.QUARANTINE) and found is not Authentication.REJECT:
            found = verdict  # of another check of our relay; or of a sender who speaks against himself
    return found or Authentication.UNVERIFIED


def _names(raw: bytes, authserv_id: str) -> bool:
    """Whether a field is of the server with this id."""
    try:
        words = next(_results(raw[:LONGEST].decode("utf-8", "replace"))).words
    except ValueError:
        return False
    return bool(words) and words[0].lower().rstrip(".") == authserv_id.lower()


def _whole(raw: bytes) -> list[_Result]:
    """All results of a field, or none: where a quoted string or a comment does not end, nobody knows what is said."""
    try:
        return list(_results(raw.decode("utf-8", "replace")))[1:] if len(raw) <= LONGEST else []
    except ValueError:
        return []


def _verdict(results: list[_Result], author: str) -> Authentication:
    genuine, failed = False, None
    for result in results:
        (first, outcome), *properties = [*result.pairs()] or [("", "")]
        method = _METHOD.fullmatch(first)
        if method is None:
            continue
        speaks_for = _speaks_for(method[1].lower(), properties, author)
        if method[1].lower() == "dmarc" and outcome.lower() == "fail":
            failed = failed or result
        genuine |= speaks_for and outcome.lower() == "pass"
    if failed is None:
        return Authentication.PASS if genuine else Authentication.UNVERIFIED
    said = " ".join([*failed.comments, *(f"{name}={value}" for name, value in failed.pairs())])
    asked = {word.lower() for word in _POLICY.findall(said)}
    if not asked:
        return Authentication.UNVERIFIED
    return Authentication.REJECT if "reject" in asked else Authentication.QUARANTINE


def _speaks_for(method: str, properties: list[tuple[str, str]], author: str) -> bool:
    """Whether a result is about the author's domain or one above it; what is said twice says nothing."""
    named = [_domain(value) for name, value in properties if name == _SPEAKS.get(method)]
    if len(named) != 1 or not named[0]:
        return False
    return named[0] == author or author.endswith("." + named[0])


def _domain(value: str) -> str:
    """The domain of an address or a domain (RFC 8601 §2.2, pvalue); "" where it can't be told."""
    if value.startswith('"') and value.endswith('"') and value.count('"') == 2 and "\\" not in value:
        value = value[1:-1]
    domain = value.rpartition("@")[2].lower()
    return "" if set(domain) & set('"\\ \t') else domain


def _results(text: str) -> Iterator[_Result]:
    """What stands between the field's semicolons: first the authserv-id, then one result after the other.

    Raises ValueError where a quoted string or a comment does not end.
    """
    result, at, joins = _Result(), 0, False
    while match := _TOKEN.match(text, at):
        at = match.end()
        kind, token = match.lastgroup, match[0]
        if kind == "stray":
            raise ValueError(at)
        if token == "(" and kind == "mark":
            comment, at = _comment(text, at)
            result.comments.append(comment)
            joins = False
        elif kind == "space":
            joins = False
        elif kind == "mark" and token == ";":
            yield result
            result, joins = _Result(), False
        elif token == "=" and not (joins and result.words[-2:-1] == ["="]):  # in a value it is a sign like others
            result.words.append(token)
            joins = False
        elif joins:
            result.words[-1] += token
        else:
            result.words.append(token)
            joins = True
    yield result


def _comment(text: str, at: int) -> tuple[str, int]:
    """The comment that begins before *at*, comments within it included (RFC 5322 §3.2.2), and where it ends."""
    begin, depth = at, 1
    while depth and (match := _COMMENT.match(text, at)):
        at = match.end()
        depth += {"(": 1, ")": -1}.get(match[0], 0)
    if depth:
        raise ValueError(at)
    return text[begin : at - 1], at
