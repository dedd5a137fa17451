"""What is signed inside a signed S/MIME message: the content of CMS signed-data (RFC 5652 section 5, RFC 8551 section
3.5.2).

Rules: only the content is taken out, for people to read; the signature is not checked, and a mark says so. Mailers
write DER and, when they stream, BER with indefinite lengths and strings in pieces: both are read. What is not
signed-data, and what breaks off, is None. Never raises; bounded by a budget of processor time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.examine.mail.budget import BudgetSpent, budget

SECONDS = 1.0
DEEPEST = 12

_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")  # 1.2.840.113549.1.7.2
_OBJECT_IDENTIFIER, _OCTETS, _SEQUENCE = 0x06, 0x04, 0x30
_CONSTRUCTED = 0x20
_EXPLICIT = 0xA0
_INDEFINITE = 0x80


def signed_content(data: bytes) -> bytes | None:
    """The content that is signed, or None where the data is no signed-data or carries none."""
    try:
        with budget(SECONDS):
            return _content(data)
    except (ValueError, IndexError, StopIteration, BudgetSpent):
        return None


@dataclass(frozen=True, slots=True)
class _Element:
    """One element: its tag, and its content as ``data[start:end]``."""

    tag: int
    start: int
    end: int


def _content(data: bytes) -> bytes | None:
    info = _only(data, _SEQUENCE, _Element(_SEQUENCE, 0, len(data)))
    kind, *explicit = _children(data, info)
    if kind.tag != _OBJECT_IDENTIFIER or data[kind.start : kind.end] != _SIGNED_DATA or not explicit:
        return None
    _version, _digests, encapsulated, *_ = _children(data, _only(data, _SEQUENCE, explicit[0]))
    _kind, *content = _children(data, encapsulated)
    if not content or content[0].tag != _EXPLICIT:
        return None  # a detached signature: what is signed stands beside it
    return b"".join(_octets(data, next(_children(data, content[0])), DEEPEST))


def _only(data: bytes, tag: int, outer: _Element) -> _Element:
    first = next(_children(data, outer))
    if first.tag != tag:
        raise ValueError(f"tag {first.tag:#x} where {tag:#x} should be")
    return first


def _octets(data: bytes, element: _Element, depth: int) -> Iterator[bytes]:
    """The bytes of an octet string, in one piece or in several (X.690 section 8.7)."""
    if element.tag == _OCTETS:
        yield data[element.start : element.end]
    elif element.tag == _OCTETS | _CONSTRUCTED and depth:
        for piece in _children(data, element):
            yield from _octets(data, piece, depth - 1)
    else:
        raise ValueError(f"tag {element.tag:#x} in an octet string")


def _children(data: bytes, outer: _Element) -> Iterator[_Element]:
    position = outer.start
    while position < outer.end:
        element, position = _element(data, position, outer.end, DEEPEST)
        yield element


def _element(data: bytes, position: int, end: int, depth: int) -> tuple[_Element, int]:
    """The element at *position*, and where the next one begins (X.690 section 8.1)."""
    tag, length = data[position], data[position + 1]
    start = position + 2
    if length == _INDEFINITE:
        if not depth:
            raise ValueError("nested too deeply")
        inner = start
        while data[inner : inner + 2] != b"\0\0":
            _, inner = _element(data, inner, end, depth - 1)
        return _Element(tag, start, inner), inner + 2
    if length > _INDEFINITE:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > end:
        raise ValueError("longer than what it is in")
    return _Element(tag, start, start + length), start + length
