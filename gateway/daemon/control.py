"""How the supervisor and a door speak: one ``SOCK_SEQPACKET`` pair a door, one message a packet.

===================  ====================================================================================
to the door
===================  ====================================================================================
``open``             the ``Opening`` (pickled: it comes from our own parent) with its descriptors
``stop SECONDS``     accept nothing more, have transfers end within so long; may be repeated, nearer
``reload``           read the certificates again
``word TEXT``        another process of the same door says so
===================  ====================================================================================

===================  ====================================================================================
from the door
===================  ====================================================================================
``ready``            clients are answered now
``alive``            the door's loop turns; sent every ``BEAT`` seconds
``reloaded``         the reload is done; what failed is in the log
``cannot WHY``       the door can't serve this configuration; one line for the operator
``others TEXT``      pass this on to the other processes of the same door, as ``word``
===================  ====================================================================================

The pair is the door's lifeline as well: when the supervisor's end closes, the door ends at once.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
from dataclasses import dataclass, replace

from gateway.config import Config

BEAT = 5.0
"""Seconds between two ``alive``."""

LARGEST = 1 << 18
"""Bytes of the largest message; a configuration takes a few KiB."""

MOST_DESCRIPTORS = 16


@dataclass(frozen=True, slots=True)
class Opening:
    """What a process is opened with. *lock* holds the state directory, and the door keeps it open as long as it lives;
    *board* is the memory of its door's tally."""

    config: Config
    lock: int
    board: int
    sockets: tuple[socket.socket, ...] = ()
    place: int = 0
    """Which of its door's processes it is, from 0 …"""
    of: int = 1
    """… and how many there are."""


def send_open(control: socket.socket, opening: Opening) -> None:
    """Send ``open``."""
    control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    descriptors = [opening.lock, opening.board, *(each.fileno() for each in opening.sockets)]
    socket.send_fds(control, [pickle.dumps(replace(opening, lock=-1, board=-1, sockets=()))], descriptors)


def receive_open(control: socket.socket) -> Opening | None:
    """Wait for ``open``; None when the supervisor went away before it came to that."""
    data, descriptors, _, _ = socket.recv_fds(control, LARGEST, MOST_DESCRIPTORS)
    if not data:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    lock, board, *listening = descriptors
    sockets = tuple(socket.socket(fileno=descriptor) for descriptor in listening)
    for each in sockets:
        each.setblocking(False)
    opening = pickle.loads(data)
    assert isinstance(opening, Opening)
    return replace(opening, lock=lock, board=board, sockets=sockets)


def send(control: socket.socket, *words: str) -> bool:
    """Send one message; False where the other end does not keep up and nothing more may wait for it.

    To nobody where the other end is gone, for its going is noticed elsewhere.
    """
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        try:
            control.send(" ".join(words).encode()[:LARGEST])
        except BlockingIOError:
            return False
    return True


def receive(control: socket.socket) -> tuple[str, str] | None:
    """One message as (verb, rest); None at the end. Raises BlockingIOError where none waits."""
    data = control.recv(LARGEST)
    if not data:
        return None
    verb, _, rest = data.decode().partition(" ")
    return verb, rest
