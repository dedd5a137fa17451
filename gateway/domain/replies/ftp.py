"""Every word the FTPS door says, with its code (RFC 959 §4.2, RFC 2228 §5, RFC 2428, RFC 3659, RFC 4217).

A reply tells the customer what to do next where there is something to do. What varies comes in as arguments and is
made safe for a line of text here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.domain.evidence import Grounds
from gateway.domain.names import CONTROL, is_provisional
from gateway.domain.records import Version
from gateway.domain.replies import Reply
from gateway.domain.replies.findings import NOT_YET


def _reply(code: int, *lines: str) -> Reply:
    return Reply(code, tuple(plain(line) for line in lines))


def plain(text: str) -> str:
    """One line of text: a control character becomes a question mark."""
    return CONTROL.sub("?", text)


def quoted(path: str) -> str:
    """A path in quotes, its own quotes doubled (RFC 959, appendix II)."""
    return '"' + path.replace('"', '""') + '"'


# -- the session -------------------------------------------------------------------------------------------------------

GOODBYE = _reply(221, "Goodbye.")
IDLE = _reply(421, "Nothing was said for too long; goodbye. Connect again when you need us.")
NO_LOGIN = _reply(421, "Nobody logged in for too long; goodbye.")
CLOSING = _reply(421, "The gateway is being restarted; connect again in a minute. What you sent so far is kept.")
TOO_MANY = _reply(421, "Too many connections; try again in a minute.")
TOO_MANY_FROM_YOU = _reply(421, "Too many connections from your address; close some, or try again in a minute.")
TOO_MANY_OF_ACCOUNT = _reply(421, "Too many connections for this login; close some, or try again in a minute.")
FOREIGN = _reply(421, "This is an FTPS server. It speaks nothing else; goodbye.")
TOO_MANY_ERRORS = _reply(421, "Too many commands that are not understood; goodbye.")
UNKNOWN = _reply(500, "Command not understood.")
TOO_LONG = _reply(500, "Command line too long.")
TOO_MANY_QUEUED = _reply(421, "Too many commands at once; goodbye.")
NEEDS_ARGUMENT = _reply(501, "This command needs an argument.")
TAKES_NO_ARGUMENT = _reply(501, "This command takes no argument.")
BAD_ARGUMENT = _reply(501, "The argument is not understood.")
NOT_OFFERED = _reply(502, "Not offered here.")
OKAY = _reply(200, "Okay.")
SYSTEM = _reply(215, "UNIX Type: L8")
SUPERFLUOUS = _reply(202, "Not needed here; nothing was done.")


def greeting(hostname: str) -> Reply:
    return _reply(220, f"{hostname} FTPS ready. Explicit TLS only: say AUTH TLS first.")


def failure(identifier: str) -> Reply:
    """Our own defect: one reply for all of them, and an id that the log knows."""
    return _reply(451, f"Something failed on our side; nothing is lost. Try again, and quote {identifier} if it stays.")


def features(lines: Iterable[str]) -> Reply:
    return _reply(211, "Features:", *(f" {line}" for line in lines), "End")


def help_text(verbs: Sequence[str]) -> Reply:
    rows = [" " + " ".join(f"{verb:<7}" for verb in verbs[at : at + 8]).rstrip() for at in range(0, len(verbs), 8)]
    return _reply(214, "These commands are understood:", *rows, "End")


def site_help(lines: Iterable[str]) -> Reply:
    return _reply(214, "These SITE commands are understood:", *(f" {line}" for line in lines), "End")


def status(lines: Iterable[str]) -> Reply:
    return _reply(211, "Status:", *(f" {line}" for line in lines), "End")


# -- TLS ---------------------------------------------------------------------------------------------------------------

AUTH_ACCEPTED = _reply(234, "Go on with the TLS handshake.")
AUTH_UNKNOWN = _reply(504, "Only AUTH TLS is offered.")
AUTH_TWICE = _reply(503, "TLS is there already.")
TLS_FIRST = _reply(530, "TLS is required before you log in: say AUTH TLS (explicit FTP over TLS).")
NO_TLS_YET = _reply(503, "Say AUTH TLS first.")
PBSZ_FIRST = _reply(503, "Say PBSZ 0 first.")
PBSZ = _reply(200, "PBSZ=0")
PROT_PRIVATE = _reply(200, "Data connections are protected.")
PROT_CLEAR = _reply(534, "Data connections are always protected here: say PROT P.")
PROT_UNKNOWN = _reply(536, "Only PROT P is offered with TLS.")
PROT_FIRST = _reply(521, "Data connections are always protected here: say PBSZ 0 and PROT P first.")
CLEAR_CONTROL = _reply(534, "The control connection stays protected.")

# -- login -------------------------------------------------------------------------------------------------------------

PASSWORD_PLEASE = _reply(331, "Password, please.")
LOGIN_FIRST = _reply(530, "Log in first.")
USER_FIRST = _reply(503, "Say USER first.")
LOGGED_IN_ALREADY = _reply(530, "You are logged in already; quit first to log in as somebody else.")
ACCOUNT_NOT_NEEDED = _reply(202, "No account information is needed.")

# -- data connections --------------------------------------------------------------------------------------------------

PASSIVE_ONLY = _reply(502, "Only passive transfers are offered: use PASV or EPSV.")
PASSIVE_FIRST = _reply(425, "Say PASV or EPSV first.")
EPSV_ONLY = _reply(501, "You said EPSV ALL: only EPSV from now on.")
EPSV_ALL = _reply(200, "Only EPSV from now on.")
IPV4_ONLY_PASV = _reply(425, "PASV knows IPv4 addresses only: use EPSV.")
NO_FREE_PORT = _reply(425, "All data ports are in use; try again in a minute.")
MUST_RESUME = _reply(
    425, "A data connection has to resume the control connection's TLS session; your client did not (or ask support)."
)
FOREIGN_ADDRESS = _reply(
    425, "The data connection came from another address and did not resume the control connection's TLS session."
)
NOTHING_TO_ABORT = _reply(225, "There is no transfer to abort.")
DATA_CLOSED = _reply(225, "The data connection is closed.")
ABORTED = _reply(226, "The transfer was aborted.")
TRANSFER_ABORTED = _reply(426, "Transfer aborted.")


def passive(address: str, port: int) -> Reply:
    numbers = ",".join([*address.split("."), str(port >> 8), str(port & 255)])
    return _reply(227, f"Entering Passive Mode ({numbers}).")


def extended_passive(port: int) -> Reply:
    return _reply(229, f"Entering Extended Passive Mode (|||{port}|)")


def wrong_protocol(use: int) -> Reply:
    return _reply(522, f"Network protocol not supported here, use ({use})")


def never_connected(first: int, last: int) -> Reply:
    return _reply(425, f"No data connection came: your firewall has to let TCP ports {first} to {last} through to us.")


def data_connection_failed(why: str) -> Reply:
    return _reply(426, f"The data connection failed: {why}. Transfer aborted.")


# -- transfers ---------------------------------------------------------------------------------------------------------


def ready_to_receive(name: str, offset: int) -> Reply:
    return _reply(150, f"Ready to receive {name}" + (f" from byte {offset} on." if offset else "."))


def ready_to_send(name: str, size: int) -> Reply:
    return _reply(150, f"Sending {name} ({size} bytes).")


WAITING_FOR_DATA = "Waiting for the data connection."


def under_way(moved: int) -> str:
    return f"Transfer under way: {moved} bytes so far."


def being_looked_at(size: int) -> str:
    return f"All {size} bytes are here; a look inside is under way."


def being_made_durable(size: int) -> str:
    return f"{size} bytes are here and are being brought to the disk."


LISTING = _reply(150, "Here comes the listing.")
LISTED = _reply(226, "Listing sent.")
SENT = _reply(226, "File sent.")


def receipt_lines(version: Version) -> list[str]:
    """What a receipt says of a version that is durable."""
    lines = [
        f"File: {version.path}" + (f" (version {version.number})" if version.number > 1 else ""),
        f"SR: {version.sr}"
        if version.sr is not None
        else "SR: none yet; put the file into the folder of its SR, or begin its name with the number (SR-12345_…)",
        f"Size: {version.size}",
        f"SHA-256: {version.sha256}",
        f"Inside: {version.inspection['words'] if version.inspection else NOT_YET}",
        f"Receipt: {version.id}",
    ]
    return lines


def receipt(version: Version, *, repeats: bool) -> Reply:
    """226 is a receipt: said only after the durable commit."""
    last = "Received whole; thank you."
    if repeats:
        last = "These very bytes were here already; this is their receipt."
    elif is_provisional(version.path):
        last = "Received whole. Its name is provisional: support is told of it when you rename it."
    return _reply(226, *receipt_lines(version), last)


_WHY_PARTIAL = {
    Grounds.CUT: "The data connection was cut before the end of the file.",
    Grounds.SHORT: "Less came than was announced.",
    Grounds.LONG: "More came than was announced, and no word (close_notify) that this was all.",
    Grounds.ABORTED: "Transfer aborted.",
    Grounds.STALLED: "Nothing came any more.",
    Grounds.CONTROL_LOST: "The control connection was lost.",
    Grounds.STOPPED: "The gateway had to end the transfer.",
    Grounds.FAILED: "The transfer failed.",
}


def why_partial(grounds: Grounds) -> str:
    return _WHY_PARTIAL[grounds]


def kept_partial(size: int, why: str) -> Reply:
    """426: what is kept, and how to go on."""
    if not size:
        return _reply(426, f"{why} Nothing was kept; send the file again.")
    return _reply(426, f"{why} {size} bytes are kept; resume with REST {size} and STOR, or with APPE.")


def rest(offset: int) -> Reply:
    return _reply(350, f"Next transfer starts at byte {offset}.")


BAD_REST = _reply(501, "REST needs a number of bytes, 0 or more.")


def rest_beyond(offset: int, size: int) -> Reply:
    return _reply(554, f"There are {size} bytes, so the transfer can't start at byte {offset}.")


TOO_MANY_TRANSFERS = _reply(450, "Too many transfers at once for this login; try again when one has ended.")
TOO_MANY_TRANSFERS_FROM_YOU = _reply(450, "Too many transfers at once from your address; try again when one has ended.")
COMPLETE_ALREADY = _reply(
    553, "This file is complete, so nothing can be added; send it whole to make a new version (STOR without REST)."
)
NO_PARTIAL = _reply(554, "There is no partial upload of this name to go on with; send the file from its beginning.")
TAKEN_OVER = _reply(426, "Another session resumed this upload, or removed the file; this one takes no more of it.")
STILL_OPEN = _reply(450, "Another process holds this upload; try again in a minute.")
ALLOCATED = _reply(200, "Noted.")


def too_large(limit: int) -> Reply:
    return _reply(552, f"The file is larger than the {limit} bytes a file may have.")


def over_quota(left: int) -> Reply:
    return _reply(552, f"The quota leaves room for {left} bytes more; delete something, or ask support.")


DISK_FULL = _reply(452, "There is not enough room for now; try again later. Support knows.")

# -- names and folders -------------------------------------------------------------------------------------------------


def bad_name(why: str) -> Reply:
    return _reply(553, why[:1].upper() + why[1:] + ".")


def no_such(path: str) -> Reply:
    return _reply(550, f"{path}: no such file or folder.")


def no_such_folder(path: str) -> Reply:
    return _reply(550, f"{path}: no such folder.")


def is_folder(path: str) -> Reply:
    return _reply(550, f"{path} is a folder.")


def not_a_folder(path: str) -> Reply:
    return _reply(550, f"{path} is not a folder.")


def exists(path: str) -> Reply:
    return _reply(550, f"{path} exists already.")


def not_empty(path: str) -> Reply:
    return _reply(550, f"{path} is not empty.")


ROOT_STAYS = _reply(550, "The root folder stays as it is.")
RESERVED = _reply(550, "Folders named SR-… come and go with their Service Request.")
INTO_ITSELF = _reply(553, "A folder can't be moved into itself.")
RENAME_FIRST = _reply(503, "Say RNFR first.")
RENAME_TO = _reply(350, "And the new name?")
RENAMED = _reply(250, "Renamed.")


def released(version: Version) -> Reply:
    """The rename of a whole ``….part`` is its completion."""
    return _reply(250, f"Renamed; support is told of it now. Receipt: {version.id}")


DELETED = _reply(250, "Deleted.")
FOLDER_REMOVED = _reply(250, "Folder removed.")
BAD_TIME = _reply(501, "A time is written YYYYMMDDHHMMSS, in UTC.")


def current_folder(path: str) -> Reply:
    return _reply(257, f"{quoted(path)} is the current folder.")


def changed_to(path: str) -> Reply:
    return _reply(250, f"{quoted(path)} is the current folder.")


def folder_made(path: str) -> Reply:
    return _reply(257, f"{quoted(path)} created.")


def size(number: int) -> Reply:
    return _reply(213, str(number))


def modified(stamp: str) -> Reply:
    return _reply(213, stamp)


def modification_set(stamp: str, path: str) -> Reply:
    return _reply(213, f"Modify={stamp}; {path}")


def facts(path: str, line: str) -> Reply:
    return _reply(250, f"Listing {path}", f" {line}", "End")


def path_status(path: str, lines: Iterable[str]) -> Reply:
    return _reply(213, f"Status of {path}:", *(f" {line}" for line in lines), "End")


# -- types and options -------------------------------------------------------------------------------------------------

TYPE_ASCII = _reply(200, "Type is ASCII; bytes go through unchanged all the same.")
TYPE_IMAGE = _reply(200, "Type is Image.")
TYPE_UNKNOWN = _reply(504, "Only TYPE A and TYPE I are offered.")
STRUCTURE_FILE = _reply(200, "Structure is File.")
STRUCTURE_UNKNOWN = _reply(504, "Only STRU F is offered.")
MODE_STREAM = _reply(200, "Mode is Stream.")
MODE_UNKNOWN = _reply(504, "Only MODE S is offered.")
UTF8_ALWAYS = _reply(200, "Always UTF-8.")
OPTION_UNKNOWN = _reply(501, "No such option.")
CLIENT_NOTED = _reply(200, "Noted.")


def facts_chosen(facts: str) -> Reply:
    return _reply(200, f"MLST OPTS {facts}".rstrip())


def hash_chosen(name: str) -> Reply:
    return _reply(200, name)


def hash_is(name: str, first: int, last: int, digest: str, path: str) -> Reply:
    return _reply(213, f"{name} {first}-{last} {digest} {path}")


def digest(value: str) -> Reply:
    return _reply(250, value)


BAD_RANGE = _reply(501, "The range lies outside the file.")
NO_RECEIPT = _reply(550, "There is no complete file of this name, so there is no receipt.")


def receipt_again(version: Version) -> Reply:
    return _reply(250, *receipt_lines(version), "End")
