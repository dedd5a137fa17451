"""Many uploads at once by different clients, some cut at random points: what is there is exactly what was said."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import aioftp

from gateway.domain.records import VersionState
from gateway.testing.ftps import Customer, Door

from .conftest import MakeDoor

UPLOADS = int(os.environ.get("UPLOADS", "60"))
"""How many; a longer run: UPLOADS=500."""

KILLED = """
import os, sys
from pathlib import Path
from gateway.testing.ftps import Client
import ssl
host, port, login, password, certificate, name, size, seed = sys.argv[1:]
client = Client(context=ssl.create_default_context(cafile=certificate), timeout=30)
client.connect(host, int(port)); client.login(login, password); client.prot_p(); client.voidcmd("TYPE I")
import random
data = client.transfercmd("STOR " + name)
data.sendall(random.Random(seed).randbytes(int(size)))
os.kill(os.getpid(), 9)
"""


def content(seed: int) -> bytes:
    return random.Random(str(seed)).randbytes(random.Random(seed).randrange(1, 400_000))


def by_ftplib(door: Door, acme: Customer, name: str, data: bytes, folder: Path) -> str:
    with door.client(acme) as client:
        return client.put(name, data)


def by_curl(door: Door, acme: Customer, name: str, data: bytes, folder: Path) -> str:
    (folder / name).write_bytes(data)
    url = f"ftp://{door.host}:{door.port}/{name}"
    fixed = ["curl", "-sS", "-v", "--ssl-reqd", "--cacert", str(door.certificate), "-u", f"acme:{acme.password}"]
    done = subprocess.run([*fixed, "-T", name, url], cwd=folder, capture_output=True, text=True, timeout=120)
    return "\n".join(line[2:] for line in done.stderr.splitlines() if line.startswith("< 226"))


def by_lftp(door: Door, acme: Customer, name: str, data: bytes, folder: Path) -> str:
    (folder / name).write_bytes(data)
    password = acme.password.replace(" ", "\\ ")
    script = f"set ssl:ca-file {door.certificate}; set ftp:ssl-force yes; debug 5; "
    script += f"open -u acme,{password} -p {door.port} {door.host}; put {name}"
    done = subprocess.run(["lftp", "--norc", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120)
    return "\n".join(re.findall(r"<--- (226.*)", done.stderr))


def raw(how: str) -> object:
    def upload(door: Door, acme: Customer, name: str, data: bytes, folder: Path) -> str:
        with door.talk(acme) as talk:
            return talk.cut(name, data, how=how)

    return upload


def by_a_client_that_is_killed(door: Door, acme: Customer, name: str, data: bytes, folder: Path) -> str:
    words = [door.host, str(door.port), "acme", acme.password, str(door.certificate), name, str(len(data)), name]
    subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, timeout=120)
    return "killed"


WHOLE = (by_ftplib, by_curl, by_lftp, by_ftplib)
CUT = (raw("fin"), raw("rst"), by_a_client_that_is_killed)


def test_uploads_by_mixed_clients_leave_exactly_what_the_replies_said(make_door: MakeDoor, tmp_path: Path) -> None:
    door = make_door(ports=6)
    acme = door.customer()

    def upload(number: int) -> tuple[str, str]:
        name = f"{number:04}.bin"
        how = CUT[number // 5 % 3] if number % 5 == 0 else WHOLE[number % 4]
        return f"/{name}", how(door, acme, name, content(number), tmp_path)  # type: ignore[operator]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        said = dict(pool.map(upload, range(UPLOADS)))
    kept = {version.path: version for version in door.versions(acme)}
    for number in range(UPLOADS):
        path = f"/{number:04}.bin"
        told, data, version = said[path], content(number), kept.get(path)
        if told.startswith("226"):
            assert version is not None
            assert version.state is VersionState.COMPLETE
            assert version.sha256 == hashlib.sha256(data).hexdigest()
            assert version.sha256 in told
            assert version.id in told
            assert door.content(version) == data
        else:
            assert number % 5 == 0, (path, told)
            assert told == "killed" or told.startswith("426 "), told
            assert version is None or version.state in (VersionState.PARTIAL, VersionState.RECEIVING)
            if version is not None and told != "killed":
                assert data.startswith(door.content(version))
                assert str(len(door.content(version))) in told
    assert len(kept) >= UPLOADS * 4 // 5


def test_aioftp_uploads_lists_and_downloads(door: Door, acme: Customer, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    (tmp_path / "logs.zip").write_bytes(data)

    async def conversation() -> list[str]:
        client = aioftp.Client()
        await client.connect(door.host, door.port)
        await client.upgrade_to_tls(door.trusting())
        await client.login("acme", acme.password)
        await client.upload(tmp_path / "logs.zip", "/SR-12345/logs.zip", write_into=True)
        listed = [str(path) for path, _ in await client.list("/SR-12345")]
        await client.download("/SR-12345/logs.zip", tmp_path / "back.zip", write_into=True)
        await client.quit()
        return listed

    assert asyncio.run(conversation()) == ["/SR-12345/logs.zip"]
    assert (tmp_path / "back.zip").read_bytes() == data
    (version,) = door.versions(acme)
    assert version.state is VersionState.COMPLETE
