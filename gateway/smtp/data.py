"""What DATA means on the wire (RFC 5321 §4.5.2): its end, the dots to take off, line ends that are wrong.

Rules: a message ends at CR LF . CR LF and at nothing else, so that two servers never disagree about where the next one
begins (SMTP smuggling, CVE-2023-51764, CVE-2024-27305); a CR or LF that stands alone is noticed, wherever blocks are
cut. It works on whole blocks at the speed of C and keeps at most four bytes between them. It never raises on content.
"""

from __future__ import annotations

from io import IncrementalNewlineDecoder

_END = b"\r\n.\r\n"
_STUFFED = b"\r\n."
_TAILS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
"""What may be the beginning of the end and so waits for the next block."""


EVEN_LEAST = 4096
"""Bytes of a block from which on it is worth to look first whether its lines are of one length …"""
LINE_LEAST = 32
"""… and with its CR LF the shortest: the slices grow with the number of lines."""


def is_even(block: bytes | bytearray) -> bool:
    """Whether all whole lines of *block* are of one length and end with CR LF, and no other CR or LF is in it.

    So is base64, which large mails consist of. Slices with a step see that six times faster than a look at each byte.
    """
    first = block.find(b"\r\n")
    length = block.find(b"\r\n", first + 2) - first
    if first < 0 or length < LINE_LEAST:
        return False
    returns, feeds = block[first::length], block[first + 1 :: length]
    count = len(returns)
    if returns != b"\r" * count or feeds != b"\n" * count:
        return False
    rest = bytearray(block)
    rest[first::length] = rest[first + 1 :: length] = b"-" * count
    return b"\r" not in rest and b"\n" not in rest


class LineEnds:
    """Notices a CR without its LF and an LF without its CR, over any cut into blocks."""

    def __init__(self) -> None:
        self._cut = False  # whether a CR waits for the next block
        # The standard library's own newline detector, translating nothing, is one pass in C that sees all three kinds.
        self._seen = IncrementalNewlineDecoder(None, translate=False)

    def look(self, block: bytes | bytearray, final: bool = False) -> None:
        """Look at the next block; after the *final* one a CR that waits for its LF is a bare one."""
        if len(block) >= EVEN_LEAST and not self._cut and is_even(block):
            return
        self._seen.decode(block.decode("latin-1"), final)
        self._cut = block.endswith(b"\r") if block else self._cut

    @property
    def bare(self) -> bool:
        """Whether any line end so far was not CR LF."""
        return self._seen.newlines not in (None, "\r\n")


class DataReader:
    """One message's DATA: feed it blocks, take content out, until it has ended."""

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the CR LF of the DATA line itself: a message may begin with a dot …
        self._skip = 2  # … but this CR LF is none of its content
        self.line_ends = LineEnds()
        self.ended = False
        self.rest = b""
        """What the peer sent after the end: its next commands."""

    def feed(self, block: bytes | bytearray) -> bytes | bytearray:
        """Return the content that is certain now; set ``ended`` and ``rest`` when the message is over."""
        if self._tail:
            block = self._tail + block
            self._tail = b""
        # A search for one byte runs at memory speed, and most blocks of most large mails (base64) hold no dot at all.
        first = block.find(_STUFFED) if b"." in block else -1
        end = block.find(_END, first) if first >= 0 else -1
        if end >= 0:
            self.ended = True
            self.rest = bytes(block[end + len(_END) :])
            block = block[: end + 2]
        else:
            for tail in _TAILS:
                if block.endswith(tail):
                    self._tail = tail
                    block = block[: -len(tail)]
                    break
        if 0 <= first <= len(block) - len(_STUFFED):
            block = block.replace(_STUFFED, b"\r\n")
        if self._skip:
            skipped = min(self._skip, len(block))
            block = block[skipped:]
            self._skip -= skipped
        self.line_ends.look(block, self.ended)
        return block
