"""A look inside a mail, in a killable worker: its words for people, its attachments byte for byte, and marks.

The task is ``gateway.examine.mail:inspect``. It is asked for one mail and answers with facts; the caller keeps the
raw message whatever the answer is, so that nothing can be lost here.

    structure   the tree of parts, as offsets       words   one part's text: mail-parser, standard library, charsets
    body        which parts are words               html    HTML as text
    transfer    base64, quoted-printable, uuencode  winmail Outlook's own format
    naming      names that are safe to show         cms     what is signed in an S/MIME envelope
    attachments files on disk, by number            budget  processor time for a library

Rules: bounded in parts, depth and text (the modules say how), linear in the message. What cannot be read is a mark,
never an exception; only a full disk or a missing file raises. Never fetches anything, never runs anything, never
unpacks archives.
"""

from __future__ import annotations

from typing import Any

ANSWER_MOST = 4 << 20
"""Bytes of the answer as JSON at most: the limit to give the worker."""


def inspect(path: str, into: str, **bounds: int) -> dict[str, Any]:
    """Look inside the mail in the file *path* and write its attachments into the directory *into*, which is empty;
    *bounds* are ``deepest`` (levels of parts) and ``most_parts``.

    The answer: ``text`` (str, or None where there is none), ``reader`` (who read it), ``marks`` (sorted list of str),
    ``defect`` (a traceback for the operator's log, where a mark says unparseable), and ``attachments``: objects as
    `attachments.Attachment` describes them, in the order of the message.
    Raises OSError.
    """
    from gateway.examine.mail.look import look  # mail-parser is imported by the worker alone

    with open(path, "rb") as file:
        message = file.read()
    return look(message, into, **bounds)
