"""Who wrote a mail: the one mailbox of its one ``From`` field (RFC 5322 section 3.6.2), or why there is none.

Rules: readers of mail disagree about everything but the plain forms ``a@b`` and ``Name <a@b>``, and what they
disagree about is how one address is shown and another one checked (CVE-2023-27043 and its kin). So only the plain
forms are read, display names quoted, encoded, or bare words, comments without an ``@``; lists, groups, routes,
quoted local parts, domain literals, comments inside an address and a second ``From`` in any spelling are refused by
name. An address's normal form has its domain in lower case and A-labels (IDNA2008, by RFC 3492); its local part is
kept. A domain that changes under normalisation is another domain, not a spelling: refused. ``Sender`` and
``Reply-To`` never count. Linear in its input; a value past ``LONGEST`` is refused. Never raises.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from gateway.domain.headers import HeaderDefect, Headers

LONGEST = 4_096
"""Bytes of a From field that are read; 998 are a line's limit, and one mailbox needs no second line."""


class SenderDefect(StrEnum):
    """Why no sender can be read."""

    NO_FROM = "no-from"
    SEVERAL_FROM = "several-from"
    MISSPELT_FIELD = "misspelt-from-field"
    """``From :`` and the like: some readers see it, some do not."""
    BROKEN_HEADER = "broken-header"
    """A line that is no field, a NUL, a bare CR, lines past the limit: readers disagree about what stands behind."""
    TOO_LONG = "from-too-long"
    CONTROL_CHARACTER = "control-character-in-from"
    EMPTY = "empty-from"
    SEVERAL_MAILBOXES = "several-mailboxes"
    GROUP = "group-in-from"
    COMMENT = "doubtful-comment"
    DISPLAY_NAME = "doubtful-display-name"
    ENCODED_ADDRESS = "encoded-word-in-address"
    ADDRESS = "invalid-address"
    DOMAIN = "invalid-domain"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address in its normal form."""

    local: str
    domain: str

    @property
    def address(self) -> str:
        """``local@domain``."""
        return f"{self.local}@{self.domain}"


_BLINDING = {
    HeaderDefect.STARTS_WITH_CONTINUATION,
    HeaderDefect.LINE_WITHOUT_COLON,
    HeaderDefect.CONTROL_CHARACTER,
    HeaderDefect.TOO_MANY_LINES,
}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028\u2029]")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_COMMENT = re.compile(r"\(((?:[^()\\]|\\.)*+)\)")
_PHRASE = re.compile(r"[^\x00-\x20()<>@,;:\\\"]+")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a1-\U0010ffff]+"  # RFC 5322 section 3.2.3, RFC 6532 section 3.2
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*+")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SPACE = re.compile(r"[ \t]*")


def sender_of(headers: Headers) -> Mailbox | SenderDefect:
    """The author's mailbox (RFC 5322 section 3.6.2: ``From`` is the author; exactly one field)."""
    values = headers.all("from")
    if "from" in headers.misspelt:
        return SenderDefect.MISSPELT_FIELD
    if headers.defects & _BLINDING:
        return SenderDefect.BROKEN_HEADER
    if not values:
        return SenderDefect.NO_FROM
    if len(values) > 1:
        return SenderDefect.SEVERAL_FROM
    return read_mailbox(values[0])


@lru_cache(maxsize=512)  # the same people write again and again
def read_mailbox(value: bytes) -> Mailbox | SenderDefect:
    """Read the value of a field that holds exactly one mailbox."""
    if len(value) > LONGEST:
        return SenderDefect.TOO_LONG
    # Eight-bit display names come in any charset; only an address must be UTF-8 (RFC 6532).
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("ascii", "replace")
    if _CONTROL.search(text):
        return SenderDefect.CONTROL_CHARACTER
    text = text.strip(" \t")
    if not text:
        return SenderDefect.EMPTY
    return _bare(text) if "<" not in _QUOTED.sub("", text) else _with_angles(text)


def _with_angles(text: str) -> Mailbox | SenderDefect:
    """``[display-name] "<" addr-spec ">" [comment]``."""
    position = 0
    while text[position] != "<":
        for form in (_SPACE, _QUOTED, _COMMENT, _PHRASE):
            word = form.match(text, position)
            if word is not None and word.end() > position:
                break
        else:
            return _culprit(text, position)
        if form is _COMMENT and _doubtful(word[1]):
            return SenderDefect.COMMENT
        position = word.end()
    end = text.find(">", position)
    if end < 0:
        return SenderDefect.ADDRESS
    rest = text[end + 1 :].strip(" \t")
    if rest and (defect := _behind(rest)) is not None:
        return defect
    return read_address(text[position + 1 : end])


def _bare(text: str) -> Mailbox | SenderDefect:
    """``addr-spec``, and perhaps a comment behind it: the form of the last century, still sent by scripts."""
    comment = text.find("(")
    if comment >= 0:
        if (defect := _behind(text[comment:])) is not None:
            return defect
        text = text[:comment].rstrip(" \t")
    return read_address(text)


def _behind(rest: str) -> SenderDefect | None:
    """What is wrong with what stands behind an address; None where it is one harmless comment."""
    comment = _COMMENT.fullmatch(rest)
    if comment is not None:
        return SenderDefect.COMMENT if _doubtful(comment[1]) else None
    return _culprit(rest, 0)


def _doubtful(comment: str) -> bool:
    return any(sign in comment for sign in "@<>,;:\\")


def _culprit(text: str, position: int) -> SenderDefect:
    if text[position] == ",":
        return SenderDefect.SEVERAL_MAILBOXES
    if text[position] in ":;":
        return SenderDefect.GROUP
    if text[position] in "()":
        return SenderDefect.COMMENT
    return SenderDefect.SEVERAL_MAILBOXES if text.count("@") > 1 and "," in text else SenderDefect.DISPLAY_NAME


def read_address(text: str) -> Mailbox | SenderDefect:
    """Read ``local@domain`` (RFC 5322 ``addr-spec`` without its obsolete and quoted forms) into its normal form."""
    if "=?" in text:
        return SenderDefect.ENCODED_ADDRESS
    if "," in text:
        return SenderDefect.SEVERAL_MAILBOXES
    if ":" in text or ";" in text:
        return SenderDefect.GROUP
    local, at, domain = text.partition("@")
    if (
        not at or "@" in domain or len(local.encode()) > 64 or not _DOT_ATOM.fullmatch(local)
    ):  # RFC 5321 section 4.5.3.1
        return SenderDefect.ADDRESS
    if not local.isascii() and not _visible(local):
        return SenderDefect.ADDRESS
    normal = normal_domain(domain)
    return Mailbox(unicodedata.normalize("NFC", local), normal) if normal else SenderDefect.DOMAIN


def normal_domain(domain: str) -> str | None:
    """A domain in lower case and A-labels, or None where it is none (RFC 5890; no dot at the end, no literal)."""
    if not domain or len(domain) > 253:
        return None
    labels = [_a_label(label) for label in domain.split(".")]
    normal = ".".join(label or "" for label in labels)
    return normal if all(labels) and len(normal) <= 253 else None


def _a_label(label: str) -> str | None:
    if label.isascii():
        label = label.lower()
        return label if _LABEL.fullmatch(label) else None
    label = unicodedata.normalize("NFC", label.lower())
    stable = unicodedata.normalize("NFKC", label) == label
    if not stable or len(label) > 59 or unicodedata.category(label[0])[0] == "M":
        return None
    if any(
        unicodedata.category(sign)[0] not in "LM" and unicodedata.category(sign) != "Nd" and sign != "-"
        for sign in label
    ):
        return None
    encoded = "xn--" + label.encode("punycode").decode("ascii")
    return encoded if len(encoded) <= 63 and _LABEL.fullmatch(encoded) else None


def _visible(local: str) -> bool:
    """No format characters, no spaces: what is shown is what is there, and NFKC finds no ``@`` hidden in it."""
    return "@" not in unicodedata.normalize("NFKC", local) and not any(
        unicodedata.category(sign)[0] in "CZ" for sign in local
    )
