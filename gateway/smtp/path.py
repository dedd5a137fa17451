"""The arguments of MAIL and RCPT: a path and its parameters (RFC 5321 §4.1.2, RFC 6531 §3.3), read by one expression.

Rules: a path is taken apart, never repaired: what doesn't parse is refused. Source routes are read and dropped
(§4.1.1.3, appendix C); spaces after the colon and missing angle brackets are forgiven, for some senders write them.
The domain comes out in lower case and as A-labels, so that comparing addresses is comparing strings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LOCAL_MOST = 64
"""Octets of a local part (RFC 5321 §4.5.3.1.1)."""
DOMAIN_MOST = 255
"""Octets of a domain (§4.5.3.1.2)."""

_ATOM = r"[^\s\x00-\x20\x7f<>()\[\]\\,;:@\".]+"
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"'
_LABELS = r"[^\s\x00-\x2c\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+"  # letters, digits, "-", "." and what is beyond ASCII
_LITERAL = r"\[[0-9A-Za-z:.\-]{1,60}\]"
_ROUTE = rf"(?:@{_LABELS}(?:,@{_LABELS})*:)?"
_MAILBOX = rf"(?P<local>{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?P<domain>{_LABELS}|{_LITERAL})"
_PATH = re.compile(
    rf"[ ]*(?:<{_ROUTE}{_MAILBOX}>|(?P<null><>)|<(?P<alone>[Pp]ostmaster)>"
    rf"|{_MAILBOX.replace('local', 'bare_local').replace('domain', 'bare_domain')})(?P<parameters>(?: .*)?)",
    re.ASCII,
)
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*", re.ASCII)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\x00-\x20=\x7f]+))?", re.ASCII)


class BadPath(ValueError):
    """The argument is no path; *parameters* tells whether the path was fine and what follows it was not."""

    def __init__(self, text: str, *, parameters: bool = False) -> None:
        super().__init__(text)
        self.parameters = parameters


@dataclass(frozen=True, slots=True)
class Path:
    """A mailbox of the envelope; *local* and *domain* are empty for the null path ``<>``."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local

    @property
    def null(self) -> bool:
        return not self.local

    @property
    def international(self) -> bool:
        """Whether it needs SMTPUTF8 (RFC 6531): a local part beyond ASCII."""
        return not self.local.isascii()


def parse(argument: str) -> tuple[Path, Mapping[str, str | None]]:
    """Take what follows ``FROM:`` or ``TO:`` apart. Raises BadPath."""
    match = _PATH.fullmatch(argument)
    if match is None:
        raise BadPath("no path")
    parameters = _parameters(match["parameters"])
    if match["null"]:
        return Path("", ""), parameters
    if match["alone"]:
        return Path("postmaster", ""), parameters
    local, domain = match["local"] or match["bare_local"], match["domain"] or match["bare_domain"]
    if len(local.encode("utf-8", "surrogatepass")) > LOCAL_MOST:
        raise BadPath("the local part is longer than 64 octets")
    return Path(_plain(local), _domain(domain)), parameters


def _plain(local: str) -> str:
    """A local part without the quotes that it does not need: both name the same mailbox (RFC 5321 §4.1.2)."""
    if not local.startswith('"'):
        return local
    inner = re.sub(r"\\(.)", r"\1", local[1:-1])
    return inner if _DOT_ATOM.fullmatch(inner) else local


def _parameters(text: str) -> dict[str, str | None]:
    parameters: dict[str, str | None] = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in parameters:
            raise BadPath(f"no parameter: {word!r}", parameters=True)
        parameters[match[1].upper()] = match[2]
    return parameters


def _domain(text: str) -> str:
    """Lower case and A-labels; a literal stays. Raises BadPath for what is no host name."""
    if not text.startswith("["):
        labels = text.removesuffix(".").split(".")
        if not all(labels) or any(label.startswith("-") or label.endswith("-") for label in labels):
            raise BadPath("no domain")
        if not text.isascii():
            try:
                text = text.encode("idna").decode("ascii")
            except UnicodeError:
                raise BadPath("no domain") from None
    text = text.lower().removesuffix(".")
    if len(text) > DOMAIN_MOST:
        raise BadPath("the domain is longer than 255 octets")
    return text
