"""What is attached to a mail, out of its encoding and onto the disk, byte for byte.

Rules: a file is written under its number in a directory that the caller made for this one mail, never under a name
from the mail, and never over another. Messages, signatures, encrypted parts and Outlook's ``winmail.dat`` are kept
whole, whatever is taken out of them besides. Nothing is unpacked: an archive is bytes here. Nothing is durable here
either: the caller seals what it wants to keep. A crash leaves files in the caller's directory, which the caller
removes.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.domain import encoded_words
from gateway.examine.mail import naming
from gateway.examine.mail.structure import Part, is_message

_SMIME = frozenset(
    [
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
        "application/pkcs7-signature",
        "application/x-pkcs7-signature",
    ]
)
_PGP = frozenset(["application/pgp-encrypted", "application/pgp-signature", "application/pgp-keys"])


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file of a mail."""

    file: str
    """Its name in the directory."""
    position: str
    """The part it came from, as ``structure`` counts; with ``/n`` behind it, the n-th file inside that part."""
    name: str
    original: str | None
    content_type: str
    kind: str
    """attachment, inline, message, tnef, smime, pgp, uuencode, or text (a body too long to show)."""
    content_id: str | None
    size: int
    damaged: bool

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Directory:
    """Where one mail's attachments are written, and what was written."""

    def __init__(self, path: str) -> None:
        self.attachments: list[Attachment] = []
        self._path = Path(path)
        self._names = naming.Names()

    def write(
        self,
        data: bytes,
        position: str,
        name: str | None,
        content_type: str,
        kind: str,
        *,
        made: str = "attachment",
        content_id: str | None = None,
        damaged: bool = False,
    ) -> None:
        """Write one attachment. *made* is the name, without extension, of a part that has none. Raises OSError."""
        number = len(self.attachments) + 1
        file = f"{number:04d}"
        descriptor = os.open(self._path / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        shown = self._names.take(name, f"{made}-{number}{naming.extension(content_type)}")
        self.attachments.append(
            Attachment(
                file=file,
                position=position,
                name=shown,
                original=naming.original(name) if name else None,
                content_type=content_type,
                kind=kind,
                content_id=naming.original(content_id) if content_id else None,
                size=len(data),
                damaged=damaged,
            )
        )


def kind_of(part: Part, parent: Part | None) -> str:
    """What sort of attachment a leaf is."""
    kind = part.type.value
    if is_message(part):
        return "message"
    if is_winmail(part):
        return "tnef"
    if kind in _SMIME:
        return "smime"
    if kind in _PGP or (parent is not None and parent.type.value == "multipart/encrypted"):
        return "pgp"
    if part.disposition.value == "inline" or (part.disposition.value != "attachment" and content_id(part)):
        return "inline"
    return "attachment"


def is_winmail(part: Part) -> bool:
    """Whether a part is in Outlook's own format."""
    return part.type.value in ("application/ms-tnef", "application/vnd.ms-tnef") or (
        part.main_type == "application" and (part.name or "").lower() == "winmail.dat"
    )


def content_id(part: Part) -> str | None:
    """A part's Content-ID, by which HTML refers to it."""
    value = part.headers.first("content-id")
    return value.decode("latin-1").strip("<> ")[:200] or None if value else None


def made_name(part: Part, content: bytes) -> str | None:
    """The name of a part that has none but says in another way what it is called: a message, by its subject."""
    if not is_message(part):
        return None
    from gateway.domain.headers import split

    subject = split(content[: 64 * 1024]).first("subject")
    words = naming.displayed(encoded_words.decode(subject).replace("/", "-").replace("\\", "-")) if subject else ""
    return f"{words[:80]}.eml" if words else None
