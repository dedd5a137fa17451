"""Every word the mail door says, with its enhanced code (RFC 5321 §4.2, RFC 3463).

Rules: a refusal says what to do next; a final refusal of a mail names the region's web form and telephone. What can't
be told to everybody (that an SR exists, is closed, is another company's) is in ``general``'s silence: one answer in
the same words for all of it. A line stays below 512 octets (§4.5.3.1.5) and in ASCII but for names that are configured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.domain.policy import Answer
from gateway.domain.replies import Reply

LINE_MOST = 480
"""Characters of text in a line: RFC 5321 §4.5.3.1.5 allows 512 octets with code and line end."""


@dataclass(frozen=True, slots=True)
class Directions:
    """Where a customer of one region turns to: its *name*, *web* form, *phones*, and the one for after hours."""

    name: str
    web: str
    phones: tuple[str, ...]
    after_hours_phone: str | None = None

    @property
    def line(self) -> str:
        after = f"; critical issues after hours: {self.after_hours_phone}" if self.after_hours_phone else ""
        return f"{self.name}: {self.web} or telephone {' or '.join(self.phones)}{after}"


@lru_cache(maxsize=512)  # most replies are the same all day
def render(reply: Reply) -> bytes:
    """The reply on the wire; every line of it carries the code and the enhanced code (RFC 2034 §4)."""
    enhanced = f"{reply.enhanced} " if reply.enhanced else ""
    last = len(reply.lines) - 1
    return "".join(
        f"{reply.code}{' ' if number == last else '-'}{enhanced}{line[:LINE_MOST]}\r\n"
        for number, line in enumerate(reply.lines)
    ).encode("utf-8", "replace")


def _one(code: int, enhanced: str | None, *lines: str) -> Reply:
    return Reply(code, lines, enhanced)


# --- the dialogue ----------------------------------------------------------------------------------------------------


def greeting(host: str) -> Reply:
    return _one(220, None, f"{host} ESMTP support mail; updates to existing Service Requests only")


def hello(host: str, extensions: Iterable[str] = ()) -> Reply:
    return _one(250, None, host, *extensions)


OK = _one(250, "2.0.0", "OK")
SENDER_OK = _one(250, "2.1.0", "Sender OK")
RECIPIENT_OK = _one(250, "2.1.5", "Recipient OK")
START_DATA = _one(354, None, "Send the message; end it with a line that holds one dot")
BYE = _one(221, "2.0.0", "Goodbye")
READY_FOR_TLS = _one(220, "2.0.0", "Ready to start TLS")
NOT_VERIFIED = _one(252, "2.1.5", "Addresses are not verified here; send the message")
HELP = _one(
    214,
    "2.0.0",
    "This host files mail under Service Requests.",
    "Put 'SR# <number>' at the start of the subject. Commands are those of RFC 5321.",
)

TLS_NOT_AVAILABLE = _one(454, "4.7.0", "TLS is not available at the moment")
TLS_ALREADY = _one(503, "5.5.1", "This connection is protected by TLS already")
TLS_FIRST = _one(530, "5.7.0", "Start TLS first (STARTTLS)")
UNKNOWN_COMMAND = _one(500, "5.5.1", "No such command here")
NOT_IMPLEMENTED = _one(502, "5.5.1", "Not offered here")
LINE_TOO_LONG = _one(500, "5.5.6", "The command line is too long")
BAD_COMMAND = _one(500, "5.5.2", "A command is ASCII text and ends with CR LF")
BAD_HELLO = _one(501, "5.5.4", "Say EHLO and the name of your host")
NO_ARGUMENT_EXPECTED = _one(501, "5.5.4", "This command takes no argument")
HELLO_FIRST = _one(503, "5.5.1", "Say EHLO first")
SENDER_FIRST = _one(503, "5.5.1", "Say MAIL FROM first")
RECIPIENT_FIRST = _one(503, "5.5.1", "Say RCPT TO first; no recipient was accepted so far")
SENDER_TWICE = _one(503, "5.5.1", "A sender was given already; RSET begins anew")
CHUNKS_BEGAN = _one(503, "5.5.1", "The message is being sent by BDAT; finish it with BDAT and LAST, or RSET")
MAIL_SYNTAX = _one(501, "5.5.4", "Say MAIL FROM:<address>")
RCPT_SYNTAX = _one(501, "5.5.4", "Say RCPT TO:<address>")
BDAT_SYNTAX = _one(501, "5.5.4", "Say BDAT <octets>, with LAST for the last chunk")
BAD_PARAMETER = _one(501, "5.5.4", "A parameter is malformed")
UNKNOWN_PARAMETER = _one(555, "5.5.4", "A parameter is not known here")
BAD_SENDER = _one(553, "5.1.7", "The sender's address is malformed")
BAD_RECIPIENT = _one(553, "5.1.3", "The recipient's address is malformed")
NEEDS_SMTPUTF8 = _one(553, "5.6.7", "An address beyond ASCII needs SMTPUTF8 (RFC 6531)")
NO_SUCH_RECIPIENT = _one(550, "5.1.1", "No such support address here; nothing is relayed")
TOO_MANY_RECIPIENTS = _one(452, "4.5.3", "Too many recipients; send the rest in another message")


def chunk_ok(octets: int) -> Reply:
    return _one(250, "2.0.0", f"{octets} octets received")


# --- limits ----------------------------------------------------------------------------------------------------------

TOO_MANY_ERRORS = _one(421, "4.7.0", "Too many errors; this connection ends")
TOO_MANY_COMMANDS = _one(421, "4.7.0", "Too many commands without a message; this connection ends")
TOO_MANY_MESSAGES = _one(421, "4.7.0", "Enough messages for one connection; please connect again")
TOO_MANY_SESSIONS = _one(421, "4.3.2", "Too many connections at the moment; please try again later")
TOO_MANY_FROM_YOU = _one(421, "4.7.0", "Too many connections from your address; please try again later")
SPOKE_TOO_EARLY = _one(421, "4.7.0", "You spoke before you were greeted; this connection ends")
TIMED_OUT = _one(421, "4.4.2", "Nothing came for too long; this connection ends")
SHUTTING_DOWN = _one(421, "4.3.2", "This service is being restarted; please try again in a minute")


# --- the end of a message --------------------------------------------------------------------------------------------


def filed(sr: str, receipt: str) -> Reply:
    return _one(250, "2.6.0", f"Filed under SR {sr}; receipt {receipt}")


def kept(receipt: str) -> Reply:
    """For what is quarantined: it was received, and a person will look at it."""
    return _one(250, "2.6.0", f"Received; a person will look at it; receipt {receipt}")


def incident(number: str) -> Reply:
    """For an exception of ours: the number is in the log, its text is nobody's business."""
    return _one(451, "4.3.0", f"Something went wrong here and nothing was filed; please try again later ({number})")


STORE_BUSY = _one(451, "4.3.0", "The message could not be filed at the moment; please try again later")
DISK_FULL = _one(452, "4.3.1", "There is no room for the message at the moment; please try again later")
AUTHENTICATION_UNKNOWN = _one(
    451, "4.7.24", "The sender's domain could not be checked at the moment (DNS); please try again later"
)
POSTMASTER_FULL = _one(452, "4.2.2", "The postmaster has too much mail to read already; please try again later")
BARE_LINE_END = _one(
    550, "5.5.2", "The message holds a CR or LF that stands alone; lines end with CR LF (RFC 5321 section 2.3.8)"
)


def too_large(limit: int, ftps_host: str) -> Reply:
    return _one(
        552,
        "5.3.4",
        f"The message is larger than the {limit // 2**20} MiB ({limit} octets) that are taken by mail.",
        f"Please upload large files by FTPS (explicit TLS) to {ftps_host}, and name them in a short mail or in the SR.",
    )


HEADER_TOO_LARGE = _one(552, "5.3.4", "The message's header is larger than any mail program makes it")


def _refused(enhanced: str, lines: Sequence[str], directions: Sequence[Directions], lead: str) -> Reply:
    return _one(550, enhanced, *lines, lead, *(each.line for each in directions))


_NEW_SR = "New Service Requests are opened on the web or by telephone only, never by mail."


def no_sr_in_subject(directions: Sequence[Directions]) -> Reply:
    lines = (
        "Only mail about an existing Service Request is taken here.",
        "To update one, begin the subject with its number, in this form: SR# 12345",
        _NEW_SR,
    )
    return _refused("5.7.1", lines, directions, "Open one here:")


def sr_not_at_start(directions: Sequence[Directions]) -> Reply:
    lines = (
        "The Service Request's number must stand at the start of the subject, in this form: SR# 12345 your words",
        "Please send the mail again with the number in front.",
        _NEW_SR,
    )
    return _refused("5.7.1", lines, directions, "For a new one, or for help:")


def sr_number_malformed(directions: Sequence[Directions]) -> Reply:
    lines = (
        "What follows 'SR#' in the subject is no Service Request's number.",
        "Please send the mail again with the subject in this form: SR# 12345 your words",
        _NEW_SR,
    )
    return _refused("5.7.1", lines, directions, "For a new one, or for help:")


def general(directions: Sequence[Directions]) -> Reply:
    """The one answer to everything that not everybody may know about an SR."""
    lines = (
        "This mail can't be filed under a Service Request.",
        "A Designated Contact may update an open Service Request of the own company, from the address that is"
        " registered for them, with 'SR# <number>' at the start of the subject.",
        "Closed Service Requests are not re-opened by mail: please telephone.",
        _NEW_SR,
    )
    return _refused("5.7.1", lines, directions, "For a new one, or for help:")


def closed(sr: str, directions: Sequence[Directions]) -> Reply:
    lines = (f"SR {sr} is closed and is not re-opened by mail.",)
    return _refused("5.7.1", lines, directions, "Please telephone your Regional Support Center:")


def read_only(sr: str, directions: Sequence[Directions]) -> Reply:
    lines = (
        f"You may look at SR {sr}, but only a Designated Contact may update it.",
        "Please ask a Designated Contact of your company to send the update, or to have you made one.",
    )
    return _refused("5.7.1", lines, directions, "For help:")


def agreement_ended(sr: str, directions: Sequence[Directions]) -> Reply:
    lines = (f"SR {sr} belongs to a maintenance agreement that is not current.",)
    return _refused("5.7.1", lines, directions, "Please ask about its renewal:")


def sender_unclear(directions: Sequence[Directions]) -> Reply:
    lines = (
        "The message must have exactly one From field with exactly one address (RFC 5322 section 3.6.2).",
        "Please send it again from an ordinary mail program.",
    )
    return _refused("5.6.0", lines, directions, "For help:")


def subject_unclear(directions: Sequence[Directions]) -> Reply:
    lines = (
        "The message must have one Subject field (RFC 5322 section 3.6); it has several that differ.",
        "Please send it again from an ordinary mail program.",
    )
    return _refused("5.6.0", lines, directions, "For help:")


def sender_not_genuine(domain: str, directions: Sequence[Directions]) -> Reply:
    lines = (
        f"The mail does not come from {domain} as that domain's own rules (DMARC) demand.",
        "Please send it through your company's mail server.",
    )
    return _refused("5.7.26", lines, directions, "For help:")


def automatic(directions: Sequence[Directions]) -> Reply:
    return _refused("5.7.1", ("Automatic mail is not taken here.",), directions, "For help:")


LOOPS = _one(554, "5.4.6", "The message has passed through too many hosts; it seems to go round in circles")


def answer(answer: Answer, directions: Sequence[Directions], *, sr: str, sender: str) -> Reply:
    """The words of the policy's *answer*, for the regions of the aliases that were written to."""
    match answer:
        case Answer.BARE_LINE_END:
            return BARE_LINE_END
        case Answer.HEADER_TOO_LARGE:
            return HEADER_TOO_LARGE
        case Answer.DISK_FULL:
            return DISK_FULL
        case Answer.LOOPS:
            return LOOPS
        case Answer.AUTHENTICATION_UNKNOWN:
            return AUTHENTICATION_UNKNOWN
        case Answer.POSTMASTER_FULL:
            return POSTMASTER_FULL
        case Answer.SUBJECT_UNCLEAR:
            return subject_unclear(directions)
        case Answer.SENDER_UNCLEAR:
            return sender_unclear(directions)
        case Answer.NOT_GENUINE:
            return sender_not_genuine(sender.rpartition("@")[2], directions)
        case Answer.AUTOMATIC:
            return automatic(directions)
        case Answer.NO_SR:
            return no_sr_in_subject(directions)
        case Answer.SR_MALFORMED:
            return sr_number_malformed(directions)
        case Answer.SR_NOT_AT_START:
            return sr_not_at_start(directions)
        case Answer.GENERAL:
            return general(directions)
        case Answer.READ_ONLY:
            return read_only(sr, directions)
        case Answer.AGREEMENT_ENDED:
            return agreement_ended(sr, directions)
        case Answer.CLOSED:
            return closed(sr, directions)
        case Answer.STORE_BUSY | Answer.TOO_LARGE:
            return STORE_BUSY
