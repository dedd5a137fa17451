"""``[smtp]``: the mail door."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from pydantic import Field, IPvAnyNetwork

from gateway.config.section import Section
from gateway.config.types import Count, Duration, FilePath, HostName, MiB, Port, Processes, Size


class SmtpLimits(Section):
    """How much one peer or everybody may take of the mail door. Reached, each is answered 421 or 45x in words."""

    sessions: Count = 400
    """Connections at once, of all peers together."""

    sessions_per_address: Count = 50
    """Connections at once from one address. A relay in front is one address: list it in trusted_relays, which are
    exempt.
    """

    recipients: Count = 100
    """Recipients of one mail; RFC 5321 section 4.5.3.1.8 asks for at least 100."""

    commands: Count = 1000
    """Commands from one mail's end to the next's, before the session is ended."""

    errors: Count = 20
    """Wrong commands in one session before it is ended."""

    messages: Count = 1000
    """Mails in one session."""

    postmaster: Count = 100
    """Mails to the postmaster that are held at once (``gateway quarantine list``). Beyond it they are deferred with
    452: every stranger may write there.
    """


class Smtp(Section):
    """The mail door: updates to Service Requests that exist, from people who may write to them."""

    enabled: bool = True
    """Whether this door is opened at all."""

    host: HostName = "0.0.0.0"
    """The address to listen on. "::" listens on IPv6 and IPv4."""

    port: Port = 25
    """The port. Run as the MX, or as Postfix's before-queue proxy: a queueing relay in front would bounce our refusals.
    """

    processes: Processes = 0
    """How many processes serve this door: each uses one processor for what is not encrypting, hashing or the disk, and
    takes about 60 MiB. 0: one a processor, 2 at most, which take more mail than most organisations get.
    """

    certificate: FilePath | None = Field(default=None, examples=["certs/gateway.pem"])
    """The certificate chain for STARTTLS in PEM. Default: that of [ftps]."""

    private_key: FilePath | None = Field(default=None, examples=["certs/gateway.key"])
    """The key of that certificate. Default: that of [ftps]."""

    require_tls: bool = False
    """Whether mail is taken only after STARTTLS. RFC 3207 section 4 forbids it to a public MX."""

    max_message_size: Size = 35 * MiB
    """The largest mail, as SIZE announces it. Larger things go by FTPS, and the refusal says so."""

    sender_authentication: Literal["verify", "trusted-relay", "off"] = "off"
    """Who says that a sender is genuine: SPF, DKIM and DMARC checked here ("verify", extra mailauth), the
    Authentication-Results of a relay of ours ("trusted-relay"), or nobody ("off": only where nobody but our own relay
    reaches this port).
    """

    trusted_relays: tuple[IPvAnyNetwork, ...] = Field(default=(), examples=[["192.0.2.0/24", "2001:db8::/32"]])
    """The networks of our own relays, whose Authentication-Results are believed under "trusted-relay"."""

    authserv_id: HostName | None = Field(default=None, examples=["mx.example.com"])
    """The authserv-id that our relays write into Authentication-Results (RFC 8601 section 2.5). All others are ignored.
    """

    name_servers: tuple[str, ...] = Field(default=(), examples=[["192.0.2.53", "192.0.2.54:5353"]])
    """The name servers that are asked about senders under "verify", as address or address:port. Default: the system's.
    """

    closed_mail: Literal["refuse", "file-marked"] = "refuse"
    """What happens to mail about a closed SR: refused with the region's telephone, or filed with a mark and not acted
    upon.
    """

    automatic_mail: Literal["file-marked", "refuse"] = "file-marked"
    """What happens to automatic mail (vacation notes, Auto-Submitted): filed with a mark, or refused. It is never
    answered.
    """

    proxy_protocol: bool = False
    """Whether a load balancer in proxy_networks puts a PROXY header (version 1 or 2) before each connection."""

    proxy_networks: tuple[IPvAnyNetwork, ...] = Field(default=(), examples=[["192.0.2.10/32"]])
    """From where a PROXY header is believed. Anyone else's connection is closed."""

    greeting_delay: Duration = timedelta(0)
    """How long to wait before the greeting; who talks earlier is a robot and is refused. 0 s: nobody is tested so."""

    command_timeout: Duration = timedelta(minutes=5)
    """How long to wait for a command (RFC 5321 section 4.5.3.2.7)."""

    data_timeout: Duration = timedelta(minutes=3)
    """How long to wait for the next block of a mail; renewed with each."""

    limits: SmtpLimits = SmtpLimits()

    def mistakes(self) -> Iterator[tuple[str, str]]:
        if bool(self.certificate) != bool(self.private_key):
            alone = "certificate" if self.certificate else "private_key"
            yield alone, "stands alone; allowed: certificate and private_key together, or neither"
        if self.sender_authentication == "trusted-relay":
            for key in ("trusted_relays", "authserv_id"):
                if not getattr(self, key):
                    yield key, 'is missing; sender_authentication = "trusted-relay" needs it'
        if self.proxy_protocol and not self.proxy_networks:
            yield "proxy_networks", "is missing; proxy_protocol = true needs it"
