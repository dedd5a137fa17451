"""Which parts of a mail are its words, and which are attached (RFC 2046 section 5.1, RFC 2183, RFC 2387).

Rules: of alternatives the plain text is read, unless it is empty or only says that there is HTML; what is in no
other alternative and is no text, an invitation say, is attached. Of related parts the first (or the one named
``start``) is the text. A part with a file name is attached even if it is text, unless the mail has no other words;
so is text of a kind that nobody knows (RFC 2046 section 4.1.4). Two plain texts that differ are no alternatives,
whatever the mailer calls them: both are read.
Nothing is left out: every part is either words, or attached, or another form of words that were read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.examine.mail.structure import Part, is_message

_TEXTS = ("text/plain", "text/html")
_DATA = ("calendar", "vcard", "x-vcard", "directory", "rfc822-headers", "csv", "xml", "css")
"""Kinds of text that are for programs."""
_NO_WORDS = len(_TEXTS) + 1
_NOTHING = re.compile(rb"(?:\s|=20|=\r?\n)*+")
"""A plain text in which nothing stands, encoded or not."""


@dataclass(slots=True)
class Sorted:
    """The leaves of a mail by what they are, each in the order of the message."""

    words: list[list[Part]] = field(default_factory=list)
    """What is read in turn; each with its alternatives, the best first."""
    attached: list[Part] = field(default_factory=list)


def sort(root: Part) -> Sorted:
    """Sort the leaves of *root*."""
    found = Sorted()
    _sort(root, found)
    if not found.words:
        likely = [part for part in found.attached if _rank(part) < _NO_WORDS]
        if likely:
            found.words.append([min(likely, key=_rank)])
    found.attached.sort(key=_order)
    return found


def _sort(part: Part, found: Sorted) -> None:
    kind = part.type.value
    if not part.parts:
        if _is_words(part):
            found.words.append([part])
        else:
            found.attached.append(part)
    elif kind == "multipart/alternative":
        _sort_alternatives(part, found)
    elif kind == "multipart/related":
        root = _root(part)
        _sort(root, found)
        for other in part.parts:
            if other is not root:
                found.attached.extend(other.leaves())
    else:
        for child in part.parts:
            _sort(child, found)


def _sort_alternatives(part: Part, found: Sorted) -> None:
    """Take the words of every alternative as forms of one thing, plain text first; what is attached in any is kept."""
    forms: list[tuple[bool, list[list[Part]]]] = []
    for child in part.parts:
        inside = Sorted()
        _sort(child, inside)
        found.attached.extend(inside.attached)
        if inside.words:
            forms.append((any(each[0].type.value != "text/plain" for each in inside.words), inside.words))
    forms.sort(key=lambda form: form[0])
    if not forms:
        return
    first = forms[0][1]
    others = [words for marked_up, words in forms[1:] if not marked_up and not _same(words, first)]
    apart = {id(words) for words in others}
    if all(len(words) == 1 for _, words in forms):
        found.words.append([form for _, words in forms if id(words) not in apart for form in words[0]])
    else:
        chosen = next((words for _, words in forms if not _blank(words)), first)
        found.words.extend(chosen)
        apart.discard(id(chosen))
    for words in others:
        if id(words) in apart:
            found.words.extend(words)


def _same(one: list[list[Part]], other: list[list[Part]]) -> bool:
    return [each[0].body.strip() for each in one] == [each[0].body.strip() for each in other]


def _blank(words: list[list[Part]]) -> bool:
    return all(_NOTHING.fullmatch(part.body) for alternatives in words for part in alternatives)


def _rank(part: Part) -> int:
    """How likely an attached part is the words of a mail that has no others: the lowest is."""
    if _is_file(part):
        return _NO_WORDS
    if part.type.value in _TEXTS:
        return _TEXTS.index(part.type.value)
    unknown = part.main_type == "text" and part.name is None and part.type.value.partition("/")[2] not in _DATA
    return len(_TEXTS) if unknown else _NO_WORDS


def _is_words(part: Part) -> bool:
    return part.type.value in _TEXTS and not _is_file(part) and part.name is None


def _is_file(part: Part) -> bool:
    return part.disposition.value == "attachment" or is_message(part)


def _root(part: Part) -> Part:
    start = part.type.parameters.get("start", "").strip("<> ")
    for child in part.parts:
        content_id = (child.headers.first("content-id") or b"").decode("latin-1").strip("<> ")
        if start and content_id == start:
            return child
    return part.parts[0]


def _order(part: Part) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall("[0-9]+", part.position))
