"""HTML as text, for people who read an update in a terminal or a list.

Rules: what is seen is kept: words, line breaks, list items, table cells, links with their address, pictures by their
description, quotations behind ``> ``. What is not seen (scripts, styles, comments, the head) is left out. It is read
in one pass that never goes back, because the standard library's HTMLParser takes quadratic time on hostile markup
(CVE-2025-6069); nesting is counted, not recursed. Never raises. The HTML itself stays in the raw message.
"""

from __future__ import annotations

import re
from html import unescape

_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "html",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    ]
)
_SPACED = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "ul", "ol", "table", "blockquote"])
_UNSEEN = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "title", "template")}
_CELLS = frozenset({"td", "th"})

_TAG_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9]{0,30}")
_QUOTED_VALUES = re.compile(r"""[^<>"']*+(?:"[^"<]{0,4000}"[^<>"']*+|'[^'<]{0,4000}'[^<>"']*+)*+>""")
"""The rest of a tag with its quotes closed; a ``>`` may stand within them. No further than the next ``<``: linear."""
_ATTRIBUTE = re.compile(
    r"""\b(href|alt|src)\s*=\s*(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^\s"'>]{1,2000}))""", re.IGNORECASE
)
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_DEEPEST_QUOTE = 10


def to_text(html: str) -> str:
    """The text that a reader of the HTML would see."""
    return _Page().read(html)


class _Page:
    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._blank = True
        """Nothing is on the page yet, or an empty line stands last."""
        self._quotes = 0
        self._preformatted = 0
        self._link_open: tuple[str, int] | None = None
        self._absent: set[str] = set()
        """What was sought once and stands nowhere behind: never sought again, so that one pass stays one pass."""

    def read(self, html: str) -> str:
        position = 0
        while (opening := html.find("<", position)) >= 0:
            self._words(html[position:opening])
            position = self._markup(html, opening)
        self._words(html[position:])
        self._end_line()
        return "\n".join(self._lines).strip("\n") + "\n" if self._lines else ""

    def _markup(self, html: str, opening: int) -> int:
        """Read the markup at *opening*; where to go on."""
        if html.startswith("<!--", opening) and (end := self._behind(html, "-->", opening + 4)) is not None:
            return end
        if html.startswith(("<!", "<?"), opening):
            return self._end_of_tag(html, opening + 2)
        name_match = _TAG_NAME.match(html, opening + 1)
        if name_match is None:
            self._put("<")
            return opening + 1
        name = name_match[0].lower()
        whole = _QUOTED_VALUES.match(html, name_match.end())
        end = whole.end() if whole else self._end_of_tag(html, name_match.end())
        if name in _UNSEEN and name not in self._absent:
            if closing := _UNSEEN[name].search(html, end):
                return self._end_of_tag(html, closing.end())
            self._absent.add(name)
        self._tag(name, html[name_match.end() : end])
        return end

    def _end_of_tag(self, html: str, start: int) -> int:
        end = self._behind(html, ">", start)
        return len(html) if end is None else end

    def _behind(self, html: str, sign: str, start: int) -> int | None:
        """Where *sign* is over, or None where it stands nowhere behind *start*."""
        if sign in self._absent:
            return None
        found = html.find(sign, start)
        if found < 0:
            self._absent.add(sign)
            return None
        return found + len(sign)

    def _tag(self, name: str, attributes: str) -> None:
        closes = name.startswith("/")
        name = name.removeprefix("/")
        if name == "br":
            self._break()
        elif name == "hr":
            self._end_line()
            self._put("-" * 20)
            self._end_line()
        elif name in _CELLS:
            if not closes and self._line:
                self._line.append("\t")
        elif name == "a":
            self._link(closes, attributes)
        elif name == "img":
            if alt := _attribute(attributes, "alt").strip():
                self._put(f"[{alt}]")
        elif name in _BLOCKS:
            self._block(name, closes)

    def _block(self, name: str, closes: bool) -> None:
        self._end_line()
        if name in _SPACED:
            self._empty_line()
        if name == "blockquote":
            self._quotes = max(0, min(_DEEPEST_QUOTE, self._quotes + (-1 if closes else 1)))
        elif name == "pre":
            self._preformatted = max(0, self._preformatted + (-1 if closes else 1))
        elif name == "li" and not closes:
            self._put("- ")

    def _link(self, closes: bool, attributes: str) -> None:
        if not closes:
            self._link_open = (_attribute(attributes, "href").strip(), len(self._line))
        elif self._link_open is not None:
            address, begun = self._link_open
            self._link_open = None
            shown = "".join(self._line[begun:]).strip()
            bare = address.removeprefix("mailto:")
            if address.startswith(("http://", "https://", "mailto:")) and bare.rstrip("/") != shown.rstrip("/"):
                self._put(f" <{bare}>")

    def _words(self, text: str) -> None:
        if not text:
            return
        text = unescape(text)
        if self._preformatted:
            first, *rest = text.replace("\r\n", "\n").split("\n")
            self._put(first)
            for line in rest:
                self._break()
                self._put(line)
            return
        text = _SPACE.sub(" ", text)
        if text.startswith(" ") and (not self._line or self._line[-1].endswith((" ", "\t"))):
            text = text[1:]
        self._put(text)

    def _put(self, text: str) -> None:
        if text:
            self._line.append(text)

    def _break(self) -> None:
        """End the line, be it empty."""
        line = "".join(self._line).rstrip()
        self._line.clear()
        self._blank = not line
        self._lines.append(("> " * self._quotes + line).rstrip())

    def _end_line(self) -> None:
        """End the line if there is one."""
        if "".join(self._line).strip():
            self._break()
        else:
            self._line.clear()

    def _empty_line(self) -> None:
        if not self._blank:
            self._break()


def _attribute(attributes: str, name: str) -> str:
    for found in _ATTRIBUTE.finditer(attributes[:8_000]):
        if found[1].lower() == name:
            return unescape(found[2] or found[3] or found[4] or "")
    return ""
