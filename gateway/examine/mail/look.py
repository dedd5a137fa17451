"""The look itself: tree, words, attachments, marks, in that order."""

from __future__ import annotations

import re
import traceback
from typing import Any

from gateway.domain.plain_text import readable
from gateway.examine.mail import body, cms, structure, transfer, winmail, words
from gateway.examine.mail.attachments import Directory, content_id, is_winmail, kind_of, made_name
from gateway.examine.mail.html import to_text
from gateway.examine.mail.marks import Mark
from gateway.examine.mail.structure import Part

LONGEST_TEXT = 200_000
"""Characters of a mail's text that are shown and searched, some sixty pages; a longer one is an attachment as well."""

MOST_ENVELOPES = 3
"""Signed messages within signed messages that are opened."""

_NOTICE_MOST = 300
"""Characters of a plain alternative that may be no more than a notice that there is HTML."""
_NOTICE = re.compile(
    r"\b(?:support|display|view|read|capable|enable|show)\w*\b.{0,60}\bhtml\b"
    r"|\bhtml\b.{0,60}\b(?:support|display|view|capable|compatible|reader|client)",
    re.IGNORECASE | re.DOTALL,
)
_PGP_MESSAGE = re.compile(r"^-----BEGIN PGP MESSAGE-----", re.MULTILINE)
_PGP_SIGNED = re.compile(r"^-----BEGIN PGP SIGNED MESSAGE-----", re.MULTILINE)


def look(message: bytes, into: str, **bounds: int) -> dict[str, Any]:
    """Look inside *message*; see `gateway.examine.mail.inspect`. *bounds* are those of ``structure.read``."""
    found = _Look(Directory(into), bounds)
    try:
        found.read(message)
    except (OSError, MemoryError):
        raise
    except Exception:  # a defect of ours: the raw message is kept, and the mark tells that it is all there is
        found.marks.add(Mark.UNPARSEABLE)
        found.defect = traceback.format_exc()[-2000:]
    return found.answer()


class _Look:
    def __init__(self, directory: Directory, bounds: dict[str, int]) -> None:
        self._directory = directory
        self._bounds = bounds
        self._texts: list[str] = []
        self._length = 0
        self._readers: set[str] = set()
        self.marks: set[Mark] = set()
        self.defect: str | None = None

    def answer(self) -> dict[str, Any]:
        text = readable(self._texts[0] if len(self._texts) == 1 else "\n".join(map(_ended, self._texts)))
        if len(text) > LONGEST_TEXT:
            self.marks.add(Mark.TRUNCATED_BODY)
            text = text[:LONGEST_TEXT]
        if not text.strip():
            self.marks.add(Mark.NO_TEXT)
        return {
            "text": text if text.strip() else None,
            "reader": "+".join(sorted(self._readers)) or None,
            "marks": sorted(self.marks),
            "defect": self.defect,
            "attachments": [attachment.facts() for attachment in self._directory.attachments],
        }

    def read(self, message: bytes, position: str = "1") -> None:
        """Read a message, or what is signed within one."""
        root, marks = structure.read(message, position, **self._bounds)
        self.marks |= marks
        parents = {id(child): part for part in _all(root) for child in part.parts}
        self._mark_containers(root)
        found = body.sort(root)
        for alternatives in found.words:
            self._words(alternatives)
        for part in found.attached:
            self._attach(part, parents.get(id(part)))

    def _mark_containers(self, root: Part) -> None:
        for part in _all(root):
            if part.type.value == "multipart/encrypted":
                self.marks.add(Mark.ENCRYPTED)
            elif part.type.value == "multipart/signed":
                self.marks.add(Mark.SIGNED)

    def _content(self, part: Part) -> transfer.Content:
        content = transfer.decode(part.body, part.encoding)
        if content.damaged:
            self.marks.add(Mark.DAMAGED_ENCODING)
        return content

    def _words(self, alternatives: list[Part]) -> None:
        """Read the best of the alternatives that says something."""
        for last, part in ((part is alternatives[-1], part) for part in alternatives):
            found = self._content(part)
            content = found.data + found.behind
            subtype = part.type.value.partition("/")[2]
            read = words.read(content, subtype, part.type.parameters.get("charset"))
            text = to_text(read.text) if subtype == "html" else read.text
            if last or _says_something(text):
                break
        self._readers.add(read.reader)
        if read.repaired:
            self.marks.add(Mark.CHARSET_REPAIRED)
        if subtype == "html" and text.strip():
            self.marks.add(Mark.HTML_ONLY)
        self._length += len(text)
        if len(content) > words.LONGEST or self._length > LONGEST_TEXT:
            self.marks.add(Mark.TRUNCATED_BODY)
            self._directory.write(content, part.position, part.name, part.type.value, "text", made="text")
        self._texts.append(self._without_files(text, part))

    def _without_files(self, text: str, part: Part) -> str:
        if "-----BEGIN PGP" in text:  # ten times as fast as looking at the start of each line
            if _PGP_MESSAGE.search(text):
                self.marks.add(Mark.ENCRYPTED)
            if _PGP_SIGNED.search(text):
                self.marks.add(Mark.SIGNED)
        text, files = transfer.files_in(text)
        for number, (name, content) in enumerate(files, 1):
            self.marks.add(Mark.UUENCODE)
            self._directory.write(
                content.data, f"{part.position}/{number}", name, "application/octet-stream", "uuencode"
            )
        return text

    def _attach(self, part: Part, parent: Part | None) -> None:
        content = self._content(part)
        kind = kind_of(part, parent)
        self._directory.write(
            content.data,
            part.position,
            part.name or made_name(part, content.data),
            part.type.value,
            kind,
            made={"message": "message", "smime": "smime", "tnef": "winmail"}.get(kind, "attachment"),
            content_id=content_id(part),
            damaged=content.damaged,
        )
        if kind == "message":
            self.marks.add(Mark.ATTACHED_MESSAGE)
        elif kind == "smime":
            self._open_smime(content.data, part)
        if is_winmail(part):
            self._open_winmail(content.data, part)

    def _open_smime(self, data: bytes, part: Part) -> None:
        """RFC 8551 section 3.2: what is signed anybody can read; everything else is encrypted."""
        content = None if part.type.value.endswith("signature") else cms.signed_content(data)
        signed = content is not None or part.type.value.endswith("signature")
        self.marks.add(Mark.SIGNED if signed else Mark.ENCRYPTED)
        if content is not None and part.position.count("/") < MOST_ENVELOPES:
            self.read(content, f"{part.position}/1")

    def _open_winmail(self, data: bytes, part: Part) -> None:
        self.marks.add(Mark.WINMAIL)
        inside = winmail.opened(data)
        if inside is None:
            return
        for number, (name, file) in enumerate(inside.files, 1):
            self._directory.write(
                file, f"{part.position}/{number}", name or None, "application/octet-stream", "attachment"
            )
        if not any(text.strip() for text in self._texts):
            if inside.plain and inside.plain.strip():
                self._texts.append(inside.plain)
            elif inside.html:
                self.marks.add(Mark.HTML_ONLY)
                self._texts.append(to_text(inside.html))


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _all(part: Part) -> list[Part]:
    return [part, *(each for child in part.parts for each in _all(child))]


def _says_something(text: str) -> bool:
    """Whether a plain alternative is more than empty or "your reader cannot show HTML"."""
    stripped = text.strip()
    return bool(stripped) and not (len(stripped) < _NOTICE_MOST and _NOTICE.search(stripped))
