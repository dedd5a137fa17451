"""Opening a session: TLS, login, what is offered here, and how bytes are meant (RFC 959, 2228, 2389, 4217)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.domain.replies import Refusal, ftp
from gateway.ftps.commands.digests import ALGORITHMS
from gateway.ftps.listing import FACTS

if TYPE_CHECKING:
    from gateway.ftps.session import Session


def auth(session: Session, argument: bytes) -> None:
    """RFC 4217 §4. "SSL" and its like are old names for the same; TLS finds its version by itself."""
    if session.stream is not None:
        raise Refusal(ftp.AUTH_TWICE)
    if argument.strip().upper() not in (b"TLS", b"TLS-C", b"TLS-P", b"SSL"):
        raise Refusal(ftp.AUTH_UNKNOWN)
    session.reply(ftp.AUTH_ACCEPTED)
    session.begin_tls()


def pbsz(session: Session, argument: bytes) -> None:
    """RFC 4217 §8: always 0 with TLS, whatever was asked for."""
    if session.stream is None:
        raise Refusal(ftp.NO_TLS_YET)
    if not argument.isdigit():
        raise Refusal(ftp.BAD_ARGUMENT)
    session.buffer_size_said = True
    session.reply(ftp.PBSZ)


def prot(session: Session, argument: bytes) -> None:
    """RFC 4217 §9: private, and nothing else. A refused level leaves what was set before."""
    if session.stream is None:
        raise Refusal(ftp.NO_TLS_YET)
    if not session.buffer_size_said:
        raise Refusal(ftp.PBSZ_FIRST)
    match argument.strip().upper():
        case b"P":
            session.protected = True
            session.reply(ftp.PROT_PRIVATE)
        case b"C":
            raise Refusal(ftp.PROT_CLEAR)
        case b"S" | b"E":
            raise Refusal(ftp.PROT_UNKNOWN)
        case _:
            raise Refusal(ftp.BAD_ARGUMENT)


def ccc(session: Session, argument: bytes) -> None:
    raise Refusal(ftp.CLEAR_CONTROL)


def user(session: Session, argument: bytes) -> None:
    """RFC 959 §4.1.1. The answer is the same whoever it is (RFC 2577 §6)."""
    if session.account is not None:
        raise Refusal(ftp.LOGGED_IN_ALREADY)
    session.login = argument.decode("utf-8", "replace")
    session.reply(ftp.PASSWORD_PLEASE)


def password(session: Session, argument: bytes) -> None:
    if session.account is not None:
        raise Refusal(ftp.LOGGED_IN_ALREADY)
    if session.login is None:
        raise Refusal(ftp.USER_FIRST)
    login, session.login = session.login, None
    session.enter(login, argument.decode("utf-8", "replace"))


def acct(session: Session, argument: bytes) -> None:
    session.reply(ftp.ACCOUNT_NOT_NEEDED)


def quit_(session: Session, argument: bytes) -> None:
    session.finish(ftp.GOODBYE)


def noop(session: Session, argument: bytes) -> None:
    session.reply(ftp.OKAY)


def not_offered(session: Session, argument: bytes) -> None:
    raise Refusal(ftp.NOT_OFFERED)


def passive_only(session: Session, argument: bytes) -> None:
    """PORT and EPRT make a server connect where a stranger says (RFC 2577 §2, the FTP bounce): never here."""
    raise Refusal(ftp.PASSIVE_ONLY)


def syst(session: Session, argument: bytes) -> None:
    session.reply(ftp.SYSTEM)


def clnt(session: Session, argument: bytes) -> None:
    """What the client calls itself; support sees it."""
    session.note_client(ftp.plain(argument.decode("utf-8", "replace"))[:100])
    session.reply(ftp.CLIENT_NOTED)


def feat(session: Session, argument: bytes) -> None:
    """RFC 2389 §3."""
    facts = "".join(f"{fact}{'*' if fact in session.said.facts else ''};" for fact in FACTS)
    hashes = ";".join(f"{name}{'*' if name == session.said.hash else ''}" for name in ALGORITHMS)
    session.reply(
        ftp.features(
            [
                "AUTH TLS",
                "CLNT",
                "EPSV",
                f"HASH {hashes}",
                "MDTM",
                "MFMT",
                f"MLST {facts}",
                "PBSZ",
                "PROT",
                "REST STREAM",
                "SIZE",
                "TVFS",
                "UTF8",
                "XCRC",
                "XMD5",
                "XSHA1",
                "XSHA256",
                "XSHA512",
            ]
        )
    )


def help_(session: Session, argument: bytes) -> None:
    from gateway.ftps.commands import VERBS

    session.reply(ftp.help_text(sorted(VERBS)))


def opts(session: Session, argument: bytes) -> None:
    """RFC 2389 §4: UTF8 (always on), MLST's facts (RFC 3659 §7.9), HASH's algorithm (draft-ietf-ftpext2-hash §3.2)."""
    name, _, option = argument.decode("ascii", "replace").strip().partition(" ")
    match name.upper():
        case "UTF8" | "UTF-8":
            session.reply(ftp.UTF8_ALWAYS)
        case "MLST":
            asked = [fact.strip().lower() for fact in option.split(";")]
            session.said.facts = tuple(fact for fact in FACTS if fact in asked)
            session.reply(ftp.facts_chosen("".join(f"{fact};" for fact in session.said.facts)))
        case "HASH":
            if option and option.upper() not in ALGORITHMS:
                raise Refusal(ftp.OPTION_UNKNOWN)
            session.said.hash = option.upper() or session.said.hash
            session.reply(ftp.hash_chosen(session.said.hash))
        case _:
            raise Refusal(ftp.OPTION_UNKNOWN)


def type_(session: Session, argument: bytes) -> None:
    """RFC 959 §3.1.1. ASCII is granted and changes nothing: archives are sent here, whatever a client thinks."""
    match argument.upper().split():
        case [b"A"] | [b"A", b"N"]:
            session.said.type = "A"
            session.reply(ftp.TYPE_ASCII)
        case [b"I"] | [b"L", b"8"]:
            session.said.type = "I"
            session.reply(ftp.TYPE_IMAGE)
        case _:
            raise Refusal(ftp.TYPE_UNKNOWN)


def stru(session: Session, argument: bytes) -> None:
    if argument.strip().upper() != b"F":
        raise Refusal(ftp.STRUCTURE_UNKNOWN)
    session.reply(ftp.STRUCTURE_FILE)


def mode(session: Session, argument: bytes) -> None:
    if argument.strip().upper() != b"S":
        raise Refusal(ftp.MODE_UNKNOWN)
    session.reply(ftp.MODE_STREAM)
