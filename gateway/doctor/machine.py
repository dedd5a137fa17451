"""What the machine must offer: certificates that hold, room on the disk, a folder of our own, the promised ports."""

import fcntl
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.config import Config
from gateway.config.machine import advice, certificate_problems, part_problems
from gateway.doctor.finding import Finding, error, info, warning

RENEW_BEFORE: Final = timedelta(days=21)
"""A certificate that ends sooner than this is a warning: ACME clients renew 30 days before."""

KERNEL: Final = Path("/proc/sys/net/ipv4")


def findings(config: Config, now: datetime, *, serving: bool) -> Iterator[Finding]:
    """Everything about this machine that is not as it should be."""
    for problem in certificate_problems(config):
        yield error(str(problem), "put the right pair there; the gateway takes it up by itself, or on SIGHUP")
    for problem in part_problems(config):
        yield error(
            str(problem), "see to it: the gateway would not start again, and no password can be made until then"
        )
    for problem in advice(config):
        yield warning(str(problem), "set it before customers come")
    yield from resets(config)
    yield from certificate_ends(config, now)
    yield from disk(config)
    yield from folder(config.gateway.state_dir)
    if config.ftps.enabled:
        yield from passive_ports(config, KERNEL)
    yield from listening(config, serving=serving)


def resets(config: Config) -> Iterator[Finding]:
    """Whether the password that a scheduled reset makes can be found by anybody."""
    if config.rotation.enabled and not config.rotation.sealed_passwords:
        yield info(
            "passwords are reset when they are due, and nobody can look the new ones up (sealed_passwords is off)",
            "make a key (gateway key rotate) and set [rotation] sealed_passwords = true; or reset each account by hand",
        )
    if config.rotation.enabled and config.outbox.relay is None:
        yield info(
            "passwords are reset when they are due, and nobody is told before or after ([outbox] relay is not set)",
            "set [outbox] relay, or switch [rotation] enabled off",
        )


def is_serving(config: Config) -> bool:
    """Whether a gateway holds the state folder's lock."""
    try:
        lock = os.open(config.gateway.state_dir / "gateway.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def certificate_ends(config: Config, now: datetime) -> Iterator[Finding]:
    """Certificates that have ended, end soon, or are not valid yet."""
    for file in dict.fromkeys((config.ftps.certificate, config.ftps.certificate_rsa, config.smtp.certificate)):
        try:
            leaf = x509.load_pem_x509_certificates(file.read_bytes())[0] if file else None
        except (OSError, ValueError):
            continue  # said already, with the line of its key
        if leaf is None:
            continue
        ends, begins = leaf.not_valid_after_utc, leaf.not_valid_before_utc
        if ends <= now:
            yield error(f"the certificate {file} ended on {ends:%Y-%m-%d}", "renew it; clients refuse it")
        elif begins > now:
            yield error(f"the certificate {file} begins on {begins:%Y-%m-%d}", "see that this machine's clock is right")
        elif ends - now < RENEW_BEFORE:
            days = (ends - now).days
            yield warning(f"the certificate {file} ends on {ends:%Y-%m-%d}, in {days} days", "renew it")


def disk(config: Config) -> Iterator[Finding]:
    """Too little room for what customers send."""
    place = next(each for each in (config.gateway.state_dir, *config.gateway.state_dir.parents) if each.exists())
    free, reserve = shutil.disk_usage(place).free, config.spool.free_disk_reserve
    if free < reserve:
        yield error(
            f"{free >> 20} MiB are free below {place}, less than [spool] free_disk_reserve ({reserve >> 20} MiB)",
            "make room: until then uploads and mails are refused for the time being",
        )
    elif free < 2 * reserve:
        yield warning(
            f"{free >> 20} MiB are free below {place}; at {reserve >> 20} MiB uploads are refused", "make room"
        )


def folder(state_dir: Path) -> Iterator[Finding]:
    """A state folder that others may read: customers' files and password hashes lie in it."""
    try:
        mode = stat.S_IMODE(state_dir.stat().st_mode)
    except OSError:
        return
    if mode & 0o007:
        yield warning(f"everybody on this machine may look into {state_dir} (mode {mode:o})", f"chmod 750 {state_dir}")


def passive_ports(config: Config, kernel: Path) -> Iterator[Finding]:
    """Passive ports that an outgoing connection may take, because they lie in the kernel's ephemeral range."""
    ports = config.ftps.passive_ports
    try:
        first, last = (int(word) for word in (kernel / "ip_local_port_range").read_text().split())
        reserved = _ranges((kernel / "ip_local_reserved_ports").read_text())
    except (OSError, ValueError):
        return
    endangered = [port for port in ports if first <= port <= last and not any(port in each for each in reserved)]
    if endangered:
        yield warning(
            f"{len(endangered)} of the passive ports {ports} lie in the kernel's ephemeral range {first}-{last} and "
            "are not reserved: an outgoing connection may hold one when a customer needs it",
            f"put net.ipv4.ip_local_reserved_ports = {ports} into /etc/sysctl.d/60-gateway.conf; sysctl --system",
        )


def listening(config: Config, *, serving: bool) -> Iterator[Finding]:
    """Doors that do not answer though a gateway serves, or ports that something else has."""
    if not serving:
        yield info(f"no gateway serves {config.gateway.state_dir} now", "gateway serve, or systemctl start gateway")
    for name, door in (("FTPS", config.ftps), ("mail", config.smtp)):
        if not door.enabled or not door.port:
            continue
        answers = _answers(door.host, door.port)
        if serving and not answers:
            yield error(f"the {name} door does not answer on {door.host} port {door.port}", "see the gateway's log")
        elif answers and not serving:
            yield warning(
                f"something else answers on port {door.port}, which is the {name} door's",
                f"find it with `ss -ltnp sport = :{door.port}` and end it, or set another port",
            )


def _answers(host: str, port: int) -> bool:
    """Whether somebody accepts connections there; nothing is said to them."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        socket.create_connection((here, port), timeout=2).close()
    except OSError:
        return False
    return True


def _ranges(text: str) -> list[range]:
    """``"8080,60000-60100"`` as ranges."""
    pairs = (part.partition("-") for part in text.strip().split(",") if part)
    return [range(int(first), int(last or first) + 1) for first, _, last in pairs]
