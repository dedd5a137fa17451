"""The verbs: one table, and one module for each kind of thing that a customer asks for.

A verb's function gets the session and the argument's bytes. It answers by ``session.reply``, or raises ``Refusal``.
What it may be asked, and when, stands in the table and is checked in one place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.domain.replies import Refusal, ftp
from gateway.ftps.commands import browsing, changing, moving, opening, proving
from gateway.ftps.commands.verb import Argument, Needs, Verb

if TYPE_CHECKING:
    from gateway.ftps.session import Session

NONE, OPTIONAL, REQUIRED = Argument.NONE, Argument.OPTIONAL, Argument.REQUIRED
NOTHING, TLS, LOGIN = Needs.NOTHING, Needs.TLS, Needs.LOGIN

VERBS: dict[str, Verb] = {
    # the session
    "AUTH": Verb(opening.auth, NOTHING, REQUIRED),
    "PBSZ": Verb(opening.pbsz, NOTHING, REQUIRED),
    "PROT": Verb(opening.prot, NOTHING, REQUIRED),
    "CCC": Verb(opening.ccc, NOTHING, NONE),
    "USER": Verb(opening.user, TLS, REQUIRED),
    "PASS": Verb(opening.password, TLS, OPTIONAL),
    "ACCT": Verb(opening.acct, TLS, OPTIONAL),
    "QUIT": Verb(opening.quit_, NOTHING, OPTIONAL),
    "REIN": Verb(opening.not_offered, NOTHING, OPTIONAL),
    "SMNT": Verb(opening.not_offered, NOTHING, OPTIONAL),
    "FEAT": Verb(opening.feat, NOTHING, OPTIONAL),
    "HELP": Verb(opening.help_, NOTHING, OPTIONAL),
    "OPTS": Verb(opening.opts, NOTHING, REQUIRED),
    "SYST": Verb(opening.syst, NOTHING, OPTIONAL),
    "CLNT": Verb(opening.clnt, NOTHING, OPTIONAL),
    "NOOP": Verb(opening.noop, NOTHING, OPTIONAL, during=True),
    "STAT": Verb(browsing.stat, NOTHING, OPTIONAL, during=True),
    "TYPE": Verb(opening.type_, LOGIN, REQUIRED),
    "STRU": Verb(opening.stru, LOGIN, REQUIRED),
    "MODE": Verb(opening.mode, LOGIN, REQUIRED),
    # seeing
    "PWD": Verb(browsing.pwd, LOGIN, OPTIONAL),
    "CWD": Verb(browsing.cwd, LOGIN, OPTIONAL),
    "CDUP": Verb(browsing.cdup, LOGIN, OPTIONAL),
    "LIST": Verb(browsing.list_, LOGIN, OPTIONAL),
    "NLST": Verb(browsing.nlst, LOGIN, OPTIONAL),
    "MLSD": Verb(browsing.mlsd, LOGIN, OPTIONAL),
    "MLST": Verb(browsing.mlst, LOGIN, OPTIONAL),
    "SIZE": Verb(browsing.size, LOGIN, REQUIRED),
    "MDTM": Verb(browsing.mdtm, LOGIN, REQUIRED),
    # changing
    "MKD": Verb(changing.mkd, LOGIN, REQUIRED),
    "RMD": Verb(changing.rmd, LOGIN, REQUIRED),
    "DELE": Verb(changing.dele, LOGIN, REQUIRED),
    "RNFR": Verb(changing.rnfr, LOGIN, REQUIRED),
    "RNTO": Verb(changing.rnto, LOGIN, REQUIRED),
    "MFMT": Verb(changing.mfmt, LOGIN, REQUIRED),
    # moving
    "PASV": Verb(moving.pasv, LOGIN, NONE),
    "EPSV": Verb(moving.epsv, LOGIN, OPTIONAL),
    "PORT": Verb(opening.passive_only, NOTHING, OPTIONAL),
    "EPRT": Verb(opening.passive_only, NOTHING, OPTIONAL),
    "LPRT": Verb(opening.passive_only, NOTHING, OPTIONAL),
    "LPSV": Verb(opening.passive_only, NOTHING, OPTIONAL),
    "REST": Verb(moving.rest, LOGIN, REQUIRED),
    "ALLO": Verb(moving.allo, LOGIN, REQUIRED),
    "STOR": Verb(moving.stor, LOGIN, REQUIRED),
    "APPE": Verb(moving.appe, LOGIN, REQUIRED),
    "STOU": Verb(opening.not_offered, LOGIN, OPTIONAL),
    "RETR": Verb(moving.retr, LOGIN, REQUIRED),
    "ABOR": Verb(moving.abor, LOGIN, OPTIONAL, during=True),
    # proving
    "HASH": Verb(proving.hash_, LOGIN, REQUIRED),
    "XCRC": Verb(proving.xcrc, LOGIN, REQUIRED),
    "XMD5": Verb(proving.xmd5, LOGIN, REQUIRED),
    "XSHA": Verb(proving.xsha1, LOGIN, REQUIRED),
    "XSHA1": Verb(proving.xsha1, LOGIN, REQUIRED),
    "XSHA256": Verb(proving.xsha256, LOGIN, REQUIRED),
    "XSHA512": Verb(proving.xsha512, LOGIN, REQUIRED),
    "SITE": Verb(proving.site, LOGIN, REQUIRED),
}
for old, new in {"XPWD": "PWD", "XCWD": "CWD", "XCUP": "CDUP", "XMKD": "MKD", "XRMD": "RMD"}.items():
    VERBS[old] = VERBS[new]  # RFC 1123 §4.1.3.1

_HTTP = ("GET", "POST", "HEAD", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PRI")
_SMTP = ("HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "VRFY", "EXPN", "STARTTLS")
_OTHERS = ("CAPABILITY", "LOGIN", "DESCRIBE", "INVITE", "REGISTER")
FOREIGN = frozenset((*_HTTP, *_SMTP, *_OTHERS))
"""Verbs of HTTP, SMTP, IMAP, RTSP and SIP: whoever says one talks to another server (ALPACA, CVE-2021-3618)."""


def at_once(line: bytes | None) -> bool:
    """Whether a command is answered while a transfer runs."""
    verb = VERBS.get(_name(line))
    return verb is not None and verb.during


def is_abort(line: bytes | None) -> bool:
    return _name(line) == "ABOR"


def _name(line: bytes | None) -> str:
    return (line or b"").partition(b" ")[0].decode("ascii", "replace").upper()


def check(session: Session, verb: Verb, argument: bytes) -> None:
    """Refuse what may not be asked now, or not so."""
    if verb.needs is not NOTHING and (session.stream is None or not session.stream.established):
        raise Refusal(ftp.TLS_FIRST)
    if verb.needs is LOGIN and session.account is None:
        raise Refusal(ftp.LOGIN_FIRST)
    if b"\0" in argument:
        raise Refusal(ftp.BAD_ARGUMENT)
    if verb.argument is REQUIRED and not argument:
        raise Refusal(ftp.NEEDS_ARGUMENT)
    if verb.argument is NONE and argument.strip():
        raise Refusal(ftp.TAKES_NO_ARGUMENT)
