"""``[gateway]`` and ``[spool]``: what all doors share."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from gateway.config.section import Section
from gateway.config.types import Duration, FilePath, GiB, HostName, MiB, Size, Zone


class Gateway(Section):
    """What all doors share: where things are kept, what this host is called, how it ends."""

    state_dir: FilePath = Path("/var/lib/gateway")
    """The folder that holds everything the gateway keeps: the store (unless [store] url says otherwise), the spool,
    metrics. Back up this folder as a whole.
    """

    hostname: HostName = Field(default_factory=socket.getfqdn, examples=["gateway.example.com"])
    """The name customers know this host by; it stands in greetings, receipts and refusals. Default: the machine's own
    full name.
    """

    organisation: str = "Example Support"
    """What the support organisation is called in words to customers."""

    timezone: Zone = ZoneInfo("UTC")
    """The time zone of dates in words to people whose region is not known, and of what the command line shows them. The
    store, JSON and the log keep UTC whatever stands here.
    """

    drain_timeout: Duration = timedelta(seconds=30)
    """How long running transfers may go on after SIGTERM before they become partials, which can be resumed. Keep it
    below systemd's TimeoutStopSec.
    """

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are logged. Refusals are info, things to look at are warning, our own bugs are
    error.
    """

    log_format: Literal["text", "json"] = "text"
    """How a log line is written to stderr: text is key=value, json is one object a line. Neither ever holds a secret.
    """


class Spool(Section):
    """The bytes on disk."""

    free_disk_reserve: Size = 1 * GiB
    """Bytes of the disk that stay free: below it new uploads and mails are refused for the time being, so that the
    store can always commit.
    """

    flush_every: Size = 128 * MiB
    """How many bytes of an upload may lie between two flushes. What a power cut loses of a partial is at most this;
    smaller costs throughput.
    """

    keep_partials: Duration = timedelta(days=14)
    """How long an upload that broke off can be resumed, counted from its last byte, before `gateway spool purge` may
    remove it.
    """

    keep_deleted: Duration = timedelta(days=7)
    """How long a file that the customer deleted is kept (and counts to the quota) before `gateway spool purge` may
    remove its bytes.
    """
