"""What an analyst is told about a mail besides its text: the marks that a look inside may set."""

from __future__ import annotations

from enum import StrEnum


class Mark(StrEnum):
    """One thing that is not as in a plain mail. The values stand beside the update for everybody who reads it."""

    UNPARSEABLE = "unparseable"
    """The look inside failed: the raw message is all there is."""
    NO_TEXT = "no-text"
    HTML_ONLY = "html-only"
    """The text was made out of HTML."""
    CHARSET_REPAIRED = "charset-repaired"
    """The text was not in the charset it was declared in; it was read in the one it seems to be in."""
    TRUNCATED_BODY = "truncated-body"
    """The text is longer than what is shown; the whole is an attachment."""
    ENCRYPTED = "encrypted"
    SIGNED = "signed"
    """It carries a signature, which nobody has checked here."""
    ATTACHED_MESSAGE = "attached-message"
    WINMAIL = "winmail"
    """Outlook's own format was opened (or, where it could not be, kept)."""
    UUENCODE = "uuencode"
    """Files were taken out of the text."""
    DAMAGED_ENCODING = "damaged-encoding"
    """A part's base64, quoted-printable or uuencode is broken; what could be read is kept."""
    BROKEN_HEADER = "broken-header"
    BROKEN_STRUCTURE = "broken-structure"
    TOO_MANY_PARTS = "too-many-parts"
    TOO_DEEP = "too-deep"
