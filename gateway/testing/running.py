"""A real gateway for a test: its own state, free loopback ports, a certificate, the command line beside it.

::

    with running_gateway() as gateway:
        account = gateway.add_account("Acme", "Acme")
        gateway.add_contact("eva@example.com", account.login)
        gateway.add_sr("12345", account.login)
        ftp = gateway.ftp(account)

It is started as an operator starts it (``python -m gateway --config … serve``) and is ready when it tells its service
manager so; this is the test's own ``$NOTIFY_SOCKET``. Leaving ends it as Ctrl-C does and fails the test where the exit
code is not 0. Its log is ``gateway.log``, shown when a start fails.
"""

from __future__ import annotations

import ftplib
import functools
import json
import os
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import selfsigned
from gateway.testing.operator import operator
from gateway.testing.waiting import PATIENCE, until
from gateway.testing.wire import Wire, trusting

Settings = Mapping[str, Any]
HOST = "127.0.0.1"
TWO_EACH: Settings = {"ftps": {"processes": 2}, "smtp": {"processes": 2}}
"""Two processes a door, as on a host of two processors; a test has one unless it asks for more: they take a second."""
PASSIVE_PORTS = 40


@dataclass(frozen=True)
class Login:
    """A new account's way in."""

    login: str
    password: str


class RunningGateway:
    """A gateway that serves, or did; see ``running_gateway``."""

    def __init__(
        self, folder: Path, settings: Settings, environment: Mapping[str, str], serve: Sequence[str] | None = None
    ) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.config_file = folder / "gateway.toml"
        self.log_file = folder / "gateway.log"
        self.certificate = folder / "certificate.pem"
        self.environment = {**os.environ, **environment}
        self.addresses: dict[str, tuple[str, int]] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._serve = serve or [sys.executable, "-m", "gateway", "--config", str(self.config_file), "serve"]
        selfsigned.make(self.certificate, folder / "private_key.pem", ["localhost", HOST])
        low = free_range(PASSIVE_PORTS)
        self.settings = merged(
            {
                "gateway": {"state_dir": str(self.state_dir), "hostname": "gateway.example.com"},
                "ftps": {
                    "host": HOST,
                    "port": 0,
                    "processes": 1,
                    "passive_ports": f"{low}-{low + PASSIVE_PORTS - 1}",
                    "certificate": str(self.certificate),
                    "private_key": str(folder / "private_key.pem"),
                },
                "smtp": {"host": HOST, "port": 0, "processes": 1},
            },
            settings,
        )
        self.write_config()

    # Starting and ending.

    def write_config(self, settings: Settings | None = None) -> None:
        """Write the configuration file again, with *settings* laid over what it has."""
        self.settings = merged(self.settings, settings or {})
        self.config_file.write_text(toml(self.settings))

    def start(self) -> None:
        """Start and wait until every door answers; the ports stay the same over a restart.

        A first start finds a store without rows, which takes half a second to make.
        """
        ours = self.settings["gateway"]["state_dir"] == str(self.state_dir) and "store" not in self.settings
        if ours and not self.state_dir.exists():
            self.state_dir.mkdir(mode=0o700)
            database = self.state_dir / "gateway.db"
            database.touch(0o600)
            database.write_bytes(_empty_store())
        with (
            tempfile.TemporaryDirectory(prefix="gw-") as short,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        ):
            manager.bind(f"{short}/notify")
            manager.settimeout(0.1)
            environment = {**self.environment, "NOTIFY_SOCKET": f"{short}/notify"}
            with open(self.log_file, "ab") as log:
                self.process = subprocess.Popen(
                    self._serve, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.folder
                )
            told = until(lambda: self._ready(manager), "the gateway is ready")
        for name, host, port in re.findall(r"(\w+) on \[?([^,\s\]]+)\]?:(\d+)", told):
            self.addresses[name] = (host, int(port))
        self.write_config({name: {"port": port} for name, (_, port) in self.addresses.items()})

    def _ready(self, manager: socket.socket) -> str:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with exit code {self.process.returncode}:\n{self.log()}")
        try:
            told = manager.recv(65536).decode()
        except TimeoutError:
            return ""
        return told if "READY=1" in told else ""

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        assert self.process is not None
        code = self.process.wait(PATIENCE * 2)
        self.process = None
        return code

    def kill(self) -> None:
        """End it as a power cut would, as far as a process can be: SIGKILL for the supervisor, and so for its doors."""
        doors = [self.pid(door) for door in self.doors()]
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process = None
        until(lambda: not any(alive(pid) for pid in doors), "the doors are gone")

    def restart(self) -> None:
        """SIGKILL and a new start."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Let go of everything but the folder."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def doors(self) -> dict[str, int]:
        """The doors' process ids by their names, as they are now."""
        assert self.process is not None
        found = {}
        for pid in children(self.process.pid):
            words = command_line(pid)
            if "gateway.daemon.process" in words:
                found[words[words.index("gateway.daemon.process") + 1]] = pid
        return found

    def pid(self, door: str) -> int:
        """A door's process id, once it has one."""
        return until(lambda: self.doors().get(door, 0), f"the {door} door has a process")

    def serving(self, sock: socket.socket) -> str:
        """The name of the process that has the other end of this client's connection."""
        _, port = sock.getsockname()[:2]
        _, at = sock.getpeername()[:2]
        inode = until(lambda: _inode_of(at, port), "the server's end of the connection")
        return until(
            lambda: next((name for name, pid in self.doors().items() if inode in _sockets_of(pid)), ""),
            "a process that accepted the connection",
        )

    def log(self) -> str:
        """Everything that was logged so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # The command line.

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``gateway WORDS`` with this gateway's configuration, as it is run from a shell."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", "--config", str(self.config_file), *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            env=self.environment,
            cwd=self.folder,
        )

    def command(self, *words: str) -> Any:
        """Run ``gateway WORDS --json``, which must succeed; what it says. Quick: see ``testing.operator``."""
        done = operator().run(self.environment, self.folder, "--config", str(self.config_file), *words, "--json")
        assert done.returncode == 0, f"gateway {' '.join(words)}: exit code {done.returncode}\n{done.stderr}"
        return json.loads(done.stdout)

    def add_account(self, sold_to: str = "Acme", end_user: str | None = None, *further: str) -> Login:
        """Add an ST/EU account."""
        added = self.command("account", "add", "--sold-to", sold_to, "--end-user", end_user or sold_to, *further)
        return Login(added["login"], added["password"])

    def add_contact(self, email: str, login: str, access: str = "read-write", name: str = "Eva Example") -> None:
        """Add a contact and grant access to one account."""
        self.command("contact", "add", email, "--name", name)
        self.command("contact", "grant", email, login, "--access", access)

    def add_sr(self, number: str, login: str, status: str = "Open/New") -> None:
        """Add an SR."""
        self.command("sr", "add", number, "--account", login, "--status", status)

    def check(self) -> None:
        """``gateway doctor`` finds nothing wrong: the end of every crash test."""
        found = self.command("doctor")
        assert found["ok"], json.dumps(found, indent=2)

    # Clients.

    def wire(self, door: str, *, byte_by_byte: bool = False) -> Wire:
        """A raw connection to a door."""
        return Wire.connect(self.addresses[door], byte_by_byte=byte_by_byte)

    def tls(self) -> ssl.SSLContext:
        """A client's context that trusts this gateway."""
        return trusting(str(self.certificate))

    def ftp(self, login: Login) -> ftplib.FTP_TLS:
        """Python's own client, logged in, with a private data channel."""
        client = ftplib.FTP_TLS(context=self.tls(), timeout=PATIENCE)
        try:
            client.connect(*self.addresses["ftps"])
            client.login(login.login, login.password)
            client.prot_p()
        except BaseException:  # ftplib leaves its socket to the garbage collector, and that is a warning
            client.close()
            raise
        return client

    def mail(self) -> smtplib.SMTP:
        """Python's own client, greeted."""
        client = smtplib.SMTP(*self.addresses["smtp"], local_hostname="client.example.com", timeout=PATIENCE)
        try:
            client.ehlo()
        except BaseException:
            client.close()
            raise
        return client


@contextmanager
def running_gateway(
    settings: Settings | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    serve: Callable[[Path], Sequence[str]] | None = None,
    start: bool = True,
) -> Iterator[RunningGateway]:
    """Start a gateway with *settings* (sections of the configuration) laid over the test's defaults.

    *serve* gives another command to start, from the configuration file. With *start* false nothing runs yet.
    """
    folder = Path(tempfile.mkdtemp(prefix="gateway-"))
    gateway = RunningGateway(folder, settings or {}, environment or {}, serve and serve(folder / "gateway.toml"))
    try:
        if start:
            gateway.start()
        yield gateway
        if gateway.process is not None:
            code = gateway.stop()
            assert code == 0, f"exit code {code}:\n{gateway.log()}"
    finally:
        gateway.close()
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _empty_store() -> bytes:
    """The database of a store without rows."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        database = Path(folder) / "gateway.db"
        make = "import asyncio, sys\nfrom gateway.store import Store\n"
        make += "async def make():\n await (await Store.open(sys.argv[1])).close()\nasyncio.run(make())"
        subprocess.run([sys.executable, "-c", make, f"sqlite:///{database}"], check=True)
        return database.read_bytes()


def free_range(count: int) -> int:
    """The lowest of *count* neighbouring ports that are free now, below the ephemeral range."""
    while True:
        low = random.randrange(10_000, 32_000 - count)
        if all(is_free(port) for port in range(low, low + count)):
            return low


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen on *port* now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """The processes that *pid* started and that are there now."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(each) for each in task.read_text().split()]
    return found


def _inode_of(local: int, remote: int) -> str:
    """The socket with these ports on this host's IPv4 addresses, as /proc names it; "0" until it is accepted."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [int(fields[end].rpartition(":")[2], 16) for end in (1, 2)] == [local, remote]:
            return "" if fields[9] == "0" else fields[9]
    return ""


def _sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    with suppress(FileNotFoundError, ProcessLookupError):
        for each in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                link = os.readlink(each.path)
                if link.startswith("socket:["):
                    found.add(link[8:-1])
    return found


def command_line(pid: int) -> list[str]:
    """The words a process was started with; none where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def merged(base: Settings, over: Settings) -> dict[str, Any]:
    """Settings with others laid over them, section by section; None takes a setting away."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping):
            result[key] = merged(result.get(key, {}), value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def toml(settings: Settings) -> str:
    """A TOML document: plain settings first, then the tables."""
    return "\n".join(_tables(settings, "")) + "\n"


def _tables(table: Settings, name: str) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lists = {key: value for key, value in table.items() if _is_list_of_tables(value)}
    for key, value in table.items():
        if key not in inner and key not in lists:
            yield f"{key} = {json.dumps(value)}"
    for key, value in inner.items():
        yield f"[{name}{key}]"
        yield from _tables(value, f"{name}{key}.")
    for key, values in lists.items():
        for value in values:
            yield f"[[{name}{key}]]"
            yield from _tables(value, f"{name}{key}.")


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)
