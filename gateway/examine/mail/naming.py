"""Names for what is attached to a mail: shown safely, never used as a path.

Rules: the display name is the last part of whatever path the mail names, without what cannot be seen or turns what
is seen around, without what a file system forbids (Windows' device names among them), and short; of two that differ
only in case one is numbered. A part without a name gets one from its kind and position. The original is kept beside
it, with control characters written as escapes. Files are written by position (``attachments``), under no name from
the mail.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 180
"""Bytes of a display name in UTF-8; file systems take 255, and a download adds to it."""
LONGEST_ORIGINAL = 1_000
"""Characters of an original that are kept."""

_EXTENSIONS = {
    "text/plain": ".txt", "text/html": ".html", "text/csv": ".csv", "text/calendar": ".ics", "text/rtf": ".rtf",
    "text/xml": ".xml", "text/x-vcard": ".vcf", "text/vcard": ".vcf", "text/rfc822-headers": ".txt",
    "message/rfc822": ".eml", "message/global": ".eml", "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "image/png": ".png", "image/jpeg": ".jpg", "image/jpg": ".jpg", "image/gif": ".gif", "image/bmp": ".bmp",
    "image/tiff": ".tif", "image/svg+xml": ".svg", "image/webp": ".webp",
    "application/pdf": ".pdf", "application/zip": ".zip", "application/x-zip-compressed": ".zip",
    "application/gzip": ".gz", "application/x-gzip": ".gz", "application/x-tar": ".tar", "application/json": ".json",
    "application/xml": ".xml", "application/rtf": ".rtf", "application/msword": ".doc", "application/ms-tnef": ".dat",
    "application/vnd.ms-excel": ".xls", "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/pkcs7-mime": ".p7m", "application/x-pkcs7-mime": ".p7m", "application/pkcs7-signature": ".p7s",
    "application/x-pkcs7-signature": ".p7s", "application/pgp-signature": ".asc", "application/pgp-encrypted": ".txt",
    "application/pgp-keys": ".asc", "audio/wav": ".wav", "audio/mpeg": ".mp3", "video/mp4": ".mp4",
}  # fmt: skip

_FORBIDDEN = re.compile(r'[<>:"|?*]')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|clock\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)", re.IGNORECASE)
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}(?:\.(?:gz|bz2|xz|zst))?$")
_SURROGATE = re.compile("[\ud800-\udfff]")


def extension(content_type: str) -> str:
    """What a made name ends in."""
    return _EXTENSIONS.get(content_type, ".txt" if content_type.startswith("text/") else ".bin")


def original(name: str) -> str:
    """The name as the mail gives it, in characters that every store takes."""
    name = name[:LONGEST_ORIGINAL]
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in ("Cc", "Cs")
        else character
        for character in name
    )


def displayed(name: str) -> str:
    """The name to show; empty where nothing of it can be shown."""
    name = _SURROGATE.sub("\ufffd", name[:LONGEST_ORIGINAL])
    last = next((part for part in reversed(re.split(r"[/\\]", name)) if part.strip(" .")), "")
    seen = "".join(character for character in unicodedata.normalize("NFC", last) if _visible(character))
    seen = _FORBIDDEN.sub("_", " ".join(seen.split())).strip(" .")
    if _DEVICE.match(seen):
        seen = "_" + seen
    return _shortened(seen)


def _visible(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _shortened(name: str) -> str:
    if len(name.encode()) <= LONGEST:
        return name
    found = _EXTENSION.search(name)
    tail = found[0] if found else ""
    stem = name.removesuffix(tail).encode()[: LONGEST - len(tail) - 3].decode("utf-8", "ignore")
    return f"{stem.rstrip()}…{tail}"


class Names:
    """The display names of one mail's attachments, no two alike."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def take(self, name: str | None, made: str) -> str:
        """A display name for a part that the mail calls *name*; *made* is the one it gets where that shows nothing."""
        wanted = chosen = displayed(name or "") or made
        while chosen.casefold() in self._taken:
            self._taken[wanted.casefold()] += 1
            found = _EXTENSION.search(wanted)
            tail = found[0] if found else ""
            chosen = f"{wanted.removesuffix(tail)} ({self._taken[wanted.casefold()]}){tail}"
        self._taken[chosen.casefold()] = 1
        return chosen
