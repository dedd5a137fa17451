"""The servers we measure ourselves beside: Pure-FTPd and Postfix from Debian's packages, private and on loopback only.

Nothing is installed as a service or changed outside the folder that is given: Pure-FTPd is unpacked there, Postfix (a
test client of this project anyway) gets a configuration, a queue and a port of its own. Both accept everything that the
load programs send; neither inspects, records or notifies. Postfix hands what it has queued to ``discard``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import measure

PATIENCE = 30.0
REST_STEP = 0.5
REST_MOST = 120.0
"""Seconds that a server may go on working after its last answer."""
RESTS = 0.05
"""The part of a processor that a resting server may use."""


@dataclass
class Server:
    """A server under load: where it listens, who may come in, and what it costs."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    group: Path | None = None
    user: str = "bench"
    password: str = "bench"
    clear: Callable[[], None] = lambda: None
    """Removes the bytes that a run has left, so that runs fit on the disk."""
    mail_port: int = 0
    sender: str = "a@example.com"
    recipient: str = "b@example.net"
    subject: str = "load"

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_seconds(self) -> float:
        return measure.cpu_seconds(self.pid, self.group)

    def come_to_rest(self) -> None:
        """Wait until the server does nothing any more: what it does after its answers is part of their price."""
        for _ in range(int(REST_MOST / REST_STEP)):
            before = self.cpu_seconds()
            time.sleep(REST_STEP)
            if self.cpu_seconds() - before < RESTS * REST_STEP:
                return

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.group is not None:
            measure.remove_group(self.group)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_greeting(port: int, process: subprocess.Popen[bytes]) -> float:
    """Wait until a server greets; return how many seconds that took. Raises TimeoutError, or OSError when it died."""
    begun = time.monotonic()
    while time.monotonic() < begun + PATIENCE:
        if process.poll() is not None:
            raise OSError(f"the server ended with {process.returncode} before it answered")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
                if connection.recv(64).startswith(b"220"):
                    return time.monotonic() - begun
        except OSError:
            time.sleep(0.01)
    raise TimeoutError(f"nothing greets on port {port}")


def _start(command: Sequence[str], name: str, work: Path) -> tuple[subprocess.Popen[bytes], Path | None]:
    """Start a peer in a cgroup of its own; what it says goes to a file below *work*."""
    group = measure.make_group(name)
    with (work / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            measure.in_group(group, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=work
        )
    return process, group


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed ECDSA P-256 certificate and its key, the same kind for every server."""
    chain, key = folder / "bench.crt", folder / "bench.key"
    if not chain.exists():
        _run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", "/CN=bench.example.org", "-keyout", str(key), "-out", str(chain))  # fmt: skip
    return chain, key


def _run(*command: str, cwd: Path | None = None, stdin: str = "") -> str:
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


# -- Pure-FTPd ---------------------------------------------------------------------------------------------------------


def pure_ftpd(work: Path, where: Path, *, own_hash: bool = False) -> Server:
    """Unpack Pure-FTPd below *work* and start it; what is uploaded lies below *where*.

    With *own_hash* the password is kept as its tool keeps it (argon2id: seconds a login), else under the cheapest hash
    that it knows, so that the sessions alone are compared.
    """
    name = "pure-ftpd-own-hash" if own_hash else "pure-ftpd"
    root = work / "pure-ftpd"
    if not (root / "usr/sbin/pure-ftpd").exists():
        root.mkdir(parents=True, exist_ok=True)
        _run("apt-get", "download", "-qq", "pure-ftpd", "pure-ftpd-common", cwd=root)
        for package in root.glob("*.deb"):
            _run("dpkg", "-x", package.name, ".", cwd=root)
    home = where / name
    home.mkdir(parents=True, exist_ok=True)
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    pem, users, database = root / "bench.pem", root / f"{name}.users", root / f"{name}.pdb"
    pem.write_text("".join(file.read_text() for file in reversed(certificate(work))))
    pure_pw = str(root / "usr/bin/pure-pw")
    users.unlink(missing_ok=True)
    if own_hash:
        by = ("-u", str(nobody.pw_uid), "-g", str(nobody.pw_gid), "-d", str(home), "-f", str(users))
        _run(pure_pw, "useradd", "bench", *by, stdin="bench\nbench\n")
    else:
        cheap = _run("openssl", "passwd", "-1", "bench").strip()
        users.write_text(f"bench:{cheap}:{nobody.pw_uid}:{nobody.pw_gid}::{home}/./::::::::::::\n")
    _run(pure_pw, "mkdb", str(database), "-f", str(users))
    port = free_port()
    command = [
        str(root / "usr/sbin/pure-ftpd"),
        # It lets in half as many users as it has passive ports, whatever -c says.
        *("-S", f"127.0.0.1,{port}", "-Y", "3", "-2", str(pem), "-l", f"puredb:{database}", "-A", "-E", "-H"),
        *("-c", "2000", "-C", "2000", "-p", "61400:63400", "-u", "100", "-g", str(root / f"{name}.pid")),
    ]
    process, group = _start(command, name, work)
    wait_for_greeting(port, process)

    def clear() -> None:
        for file in home.iterdir():
            file.unlink()

    return Server("Pure-FTPd, its own hash" if own_hash else "Pure-FTPd", port, process, group, clear=clear)


# -- Postfix -----------------------------------------------------------------------------------------------------------

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
myhostname = bench.example.org
alias_maps =
mydestination =
local_recipient_maps =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
message_size_limit = 67108864
local_transport = discard:
default_transport = discard:
smtpd_recipient_restrictions = permit_mynetworks,reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
queue_minfree = 0
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
maillog_file = {log}
maillog_file_prefixes = {log}
"""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - 50 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def postfix(work: Path, where: Path) -> Server:
    """Start a private Postfix whose queue lies below *where* (root only: Postfix insists)."""
    configuration, queue, data = work / "postfix", where / "postfix/queue", where / "postfix/data"
    for folder in (configuration, queue, data):
        folder.mkdir(parents=True, exist_ok=True)
    owner = pwd.getpwnam("postfix")
    os.chown(data, owner.pw_uid, owner.pw_gid)
    port = free_port()
    chain, key = certificate(work)
    facts = {"queue": queue, "data": data, "certificate": chain, "key": key, "log": work / "postfix.maillog"}
    (configuration / "main.cf").write_text(MAIN_CF.format(**facts))
    (configuration / "master.cf").write_text(MASTER_CF.format(port=port))
    postconf = shutil.which("postconf", path="/usr/sbin:/usr/bin")
    if postconf is None:
        raise RuntimeError("Postfix is not installed: run tests/install-clients as root")
    _run("/usr/sbin/postfix", "-c", str(configuration), "check")
    daemons = _run(postconf, "-c", str(configuration), "-hx", "daemon_directory").strip()
    process, group = _start([f"{daemons}/master", "-c", str(configuration), "-d"], "postfix", work)
    wait_for_greeting(port, process)
    return Server("Postfix", 0, process, group, mail_port=port)
