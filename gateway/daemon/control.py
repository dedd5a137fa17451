"""How the supervisor and a door speak: one ``SOCK_SEQPACKET`` pair a door, one message a packet.

===================  ====================================================================================
to the door
===================  ====================================================================================
``open``             the configuration (pickled: it comes from our own parent), the state directory's lock and
                     the listening sockets
``stop SECONDS``     accept nothing more, have transfers end within so long; may be repeated, nearer
``reload``           read the certificates again
===================  ====================================================================================

===================  ====================================================================================
from the door
===================  ====================================================================================
``ready``            clients are answered now
``alive``            the door's loop turns; sent every ``BEAT`` seconds
``reloaded``         the reload is done; what failed is in the log
``cannot WHY``       the door can't serve this configuration; one line for the operator
===================  ====================================================================================

The pair is the door's lifeline as well: when the supervisor's end closes, the door ends at once.
"""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Sequence

from gateway.config import Config

BEAT = 5.0
"""Seconds between two ``alive``."""

LARGEST = 1 << 18
"""Bytes of the largest message; a configuration takes a few KiB."""

MOST_SOCKETS = 16


def send_open(control: socket.socket, config: Config, lock: int, sockets: Sequence[socket.socket]) -> None:
    """Send ``open``. *lock* holds the state directory: the door keeps it open as long as it lives."""
    control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    socket.send_fds(control, [pickle.dumps(config)], [lock, *(each.fileno() for each in sockets)])


def receive_open(control: socket.socket) -> tuple[Config, tuple[socket.socket, ...]] | None:
    """Wait for ``open``; None when the supervisor went away before it came to that."""
    data, descriptors, _, _ = socket.recv_fds(control, LARGEST, MOST_SOCKETS)
    if not data:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    sockets = tuple(socket.socket(fileno=descriptor) for descriptor in descriptors[1:])
    for each in sockets:
        each.setblocking(False)
    config = pickle.loads(data)
    assert isinstance(config, Config)
    return config, sockets


def send(control: socket.socket, *words: str) -> None:
    """Send one message; to nobody where the other end is gone, for its going is noticed elsewhere."""
    try:
        control.send(" ".join(words).encode()[:LARGEST])
    except (BrokenPipeError, ConnectionResetError, BlockingIOError):
        return


def receive(control: socket.socket) -> tuple[str, str] | None:
    """One message as (verb, rest); None at the end. Raises BlockingIOError where none waits."""
    data = control.recv(LARGEST)
    if not data:
        return None
    verb, _, rest = data.decode().partition(" ")
    return verb, rest
