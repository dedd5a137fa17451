"""``[ftps]``: the FTPS door."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from pydantic import Field

from gateway.config.section import Section
from gateway.config.types import Count, Duration, FilePath, HostName, Port, PortRange, Ports, Processes, Size


class FtpsLimits(Section):
    """How much one account, one address or everybody may take of the FTPS door. Reached, each is answered in words."""

    sessions: Count = 1000
    """Logged-in sessions at once, all accounts together. An idle one costs about 120 KiB and three descriptors (see
    LimitNOFILE in the unit).
    """

    sessions_not_logged_in: Count = 200
    """Connections at once that have not logged in; the oldest one makes room for a new one, so idle strangers keep no
    customer out.
    """

    sessions_per_account: Count = 40
    """Sessions at once of one account. Clients such as FileZilla open up to ten."""

    sessions_per_address: Count = 100
    """Sessions at once from one address. Corporate NATs put many people behind one address."""

    transfers_per_account: Count = 40
    """Transfers at once of one account; fair shares apply earlier when the passive ports run out."""

    transfers_per_address: Count | None = Field(default=None, examples=[100])
    """Transfers at once from one address, all accounts together. Default: no limit but each account's."""

    logins_per_minute: Count = 60
    """Logins a minute from one address whose password must be checked, before the next ones are put off. One that was
    right minutes ago is not checked again, so a client that opens many connections is not slowed.
    """

    failures_before_ban: Count = 10
    """Failed logins of one address, or for one login, within ban_time before it is banned; see `gateway bans list`."""

    ban_time: Duration = timedelta(minutes=15)
    """How long a ban lasts; failures are forgotten at the same pace."""

    bandwidth_per_account: Size | None = Field(default=None, examples=["100 MiB"])
    """Bytes a second that one account's transfers may move together. Default: no limit."""

    bandwidth_per_address: Size | None = Field(default=None, examples=["200 MiB"])
    """Bytes a second that the transfers from one address may move together. Default: no limit."""

    bandwidth_per_session: Size | None = Field(default=None, examples=["20 MiB"])
    """Bytes a second that one session's transfers may move. Default: no limit."""

    quota: Size | None = Field(default=None, examples=["500 GiB"])
    """Bytes that one account's files may take together, partials and lately deleted ones included. Default: no limit.
    `gateway account` may set another for one account.
    """

    largest_file: Size | None = Field(default=None, examples=["100 GiB"])
    """The largest single file. Default: no limit but the quota and the disk."""


class Ftps(Section):
    """The FTPS door: explicit TLS on both channels, passive mode only."""

    enabled: bool = True
    """Whether this door is opened at all."""

    host: HostName = "0.0.0.0"
    """The address to listen on. "::" listens on IPv6 and IPv4."""

    port: Port = 21
    """The control port. Customers' firewalls are opened for 21."""

    processes: Processes = 0
    """How many processes serve this door: each uses one processor for what is not encrypting, hashing or the disk, and
    takes about 60 MiB. 0: one a processor, 4 at most.
    """

    passive_ports: Ports = PortRange(60000, 60100)
    """The data ports, and the only ones ever offered. They lie inside Linux's ephemeral range: reserve them, see
    `gateway doctor`.
    """

    masquerade_address: HostName | None = Field(default=None, examples=["ftps.example.com"])
    """The IPv4 address that PASV names when a NAT stands before this host: an address, or a name, looked up again every
    five minutes. Default: the address that the client reached.
    """

    certificate: FilePath | None = Field(default=None, examples=["certs/gateway.pem"])
    """The server's certificate chain in PEM, leaf first; ECDSA P-256 is the best choice. `gateway serve` needs it. Read
    again when the file changes or on SIGHUP.
    """

    private_key: FilePath | None = Field(default=None, examples=["certs/gateway.key"])
    """The key of that certificate in PEM, without a passphrase, readable for the gateway only."""

    certificate_rsa: FilePath | None = Field(default=None, examples=["certs/gateway-rsa.pem"])
    """A second chain with an RSA key, for old clients that know no ECDSA. Default: none."""

    private_key_rsa: FilePath | None = Field(default=None, examples=["certs/gateway-rsa.key"])
    """The key of the RSA certificate."""

    data_binding: Literal["session-or-address", "session", "address", "any"] = "session-or-address"
    """Whose a data connection is: one that resumes the control connection's TLS session, or comes from its address
    ("session-or-address"), or strictly one of the two, or anybody's. An account may have another; every change is
    audited.
    """

    login_timeout: Duration = timedelta(seconds=60)
    """How long a connection may take to log in."""

    idle_timeout: Duration = timedelta(minutes=15)
    """How long a session may be silent while nothing is transferred. Never counted during a transfer."""

    data_timeout: Duration = timedelta(seconds=30)
    """How long to wait for the client's data connection after a transfer command."""

    stall_timeout: Duration = timedelta(minutes=5)
    """How long a transfer may move nothing before it ends as a partial."""

    passive_wait: Duration = timedelta(seconds=10)
    """How long PASV waits for a port when the whole range is taken, before it answers 425."""

    inspect_wait: Duration = timedelta(seconds=2)
    """How long the 226 waits for the look inside an archive; what takes longer goes on in a worker and is recorded
    later.
    """

    limits: FtpsLimits = FtpsLimits()

    def mistakes(self) -> Iterator[tuple[str, str]]:
        if self.port in self.passive_ports:
            yield "port", f"{self.port} is one of passive_ports, {self.passive_ports}; allowed: a port outside of them"
        if self.masquerade_address is not None and ":" in self.masquerade_address:
            yield "masquerade_address", "is IPv6, which PASV cannot name (EPSV names none); allowed: IPv4, or a name"
        for certificate, key in (("certificate", "private_key"), ("certificate_rsa", "private_key_rsa")):
            if getattr(self, certificate) and not getattr(self, key):
                yield certificate, f"stands alone; allowed: {certificate} and {key} together"
            if getattr(self, key) and not getattr(self, certificate):
                yield key, f"stands alone; allowed: {certificate} and {key} together"
