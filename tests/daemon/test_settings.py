"""Settings that nobody sees at work on an ordinary day: each does what docs/configuration.md says of it."""

from __future__ import annotations

import ftplib
import io
import json
import lzma
import re
import sqlite3
import zipfile
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

import gateway
from gateway.config import Config
from gateway.testing import RunningGateway, running_gateway, until

SENDER, ALIAS = "eva@example.com", "support@example.com"
HEADER = b"From: eva@example.com\r\nTo: support@example.com\r\nSubject: SR# 12345 %d\r\nMIME-Version: 1.0\r\n"


def keys(model: type[BaseModel]) -> set[str]:
    """The names of all settings, those of the sections within included."""
    found = set()
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        found |= keys(inner[0]) if inner else {name}
    return found


def test_every_setting_is_read_somewhere() -> None:
    root = Path(gateway.__file__).parent
    source = "\n".join(file.read_text() for file in root.rglob("*.py") if "testing" not in file.parts)
    assert {key for key in keys(Config) if not re.search(rf"\.{key}\b", source)} == set()


def nested(levels: int) -> bytes:
    opened = (b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(levels))
    return b"".join(opened) + b"Content-Type: text/plain\r\n\r\nthe core\r\n--b0--\r\n"


def several(parts: int) -> bytes:
    part = b"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=x.txt\r\n\r\nx\r\n"
    return b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + part * parts + b"--b--\r\n"


def zipped(size: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("zeros", bytes(size))
    return file.getvalue()


def compressed(dictionary: int) -> bytes:
    return lzma.compress(b"log\n" * 9, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": dictionary}])


def upload(gateway: RunningGateway, client: ftplib.FTP_TLS, name: str, content: bytes) -> dict[str, str]:
    """Upload *content*; what was found in it."""
    client.storbinary(f"STOR {name}", io.BytesIO(content))

    def found() -> dict[str, str] | None:
        (file,) = (each for each in gateway.command("file", "list") if each["path"] == f"/{name}")
        inside: dict[str, str] | None = gateway.command("file", "show", file["id"])["inspection"]
        return inside

    return until(found, f"{name} was looked into")  # type: ignore[return-value]


def test_too_large_a_mail_is_sent_to_the_ftps_host_by_name_and_the_only_region_is_everybodys() -> None:
    """The address that PASV names is no name to tell a person."""
    asked = {"ftps": {"masquerade_address": "203.0.113.5"}, "smtp": {"max_message_size": "1 MiB"}}
    with running_gateway(asked) as gateway:
        account = gateway.add_account("Acme")
        gateway.add_contact(SENDER, account.login)
        gateway.add_sr("12345", account.login)
        with gateway.mail() as mail:
            code, words = mail.docmd("MAIL", f"FROM:<{SENDER}> SIZE=2000000")
            assert (code, b"to gateway.example.com" in words) == (552, True), words
            mail.sendmail(SENDER, [ALIAS], HEADER % 1 + b"\r\ntext\r\n")
        assert gateway.command("account", "show", account.login)["region"] is None
        rows = sqlite3.connect(gateway.state_dir / "gateway.db")
        ((payload,),) = rows.execute("SELECT payload FROM events WHERE type = 'update.filed'")
        rows.close()
        assert json.loads(payload)["next_business_moment"] is not None


def test_what_workers_may_take() -> None:
    asked = {"examine": {"depth": 4, "parts": 10, "memory": "230 MiB", "archive_time": "0.05 s"}}
    with running_gateway(asked) as gateway:
        account = gateway.add_account("Acme")
        gateway.add_contact(SENDER, account.login)
        gateway.add_sr("12345", account.login)
        with gateway.mail() as mail:
            for number, content in enumerate((nested(5), nested(4), several(10), several(9))):
                mail.mail(SENDER)
                mail.rcpt(ALIAS)
                assert mail.data(HEADER % number + content)[0] == 250

        def examined() -> list[tuple[int, list[str]]] | None:
            found = gateway.command("update", "list", "--sr", "12345")
            shown = [gateway.command("update", "show", each["id"]) for each in found]
            if not all(each["examined"] for each in shown):
                return None
            return [(len(each["attachments"]), [m for m in each["marks"] if m.startswith("too-")]) for each in shown]

        found = until(examined, "all are examined")
        assert found == [(1, ["too-deep"]), (0, []), (9, ["too-many-parts"]), (9, [])]

        client = gateway.ftp(account)
        assert upload(gateway, client, "small.zip", zipped(1000))["verdict"] == "intact"
        late = upload(gateway, client, "large.zip", zipped(400 << 20))
        assert (late["verdict"], late["cause"]) == ("unchecked", "time")
        assert upload(gateway, client, "small.xz", compressed(16 << 20))["verdict"] == "intact"
        large = upload(gateway, client, "large.xz", compressed(200 << 20))
        assert (large["verdict"], large["cause"]) == ("unchecked", "memory")
        client.quit()


def test_flush_every_and_busy_timeout() -> None:
    asked = {"spool": {"flush_every": "1 MiB"}, "store": {"busy_timeout": "0.2 s"}}
    with running_gateway(asked) as gateway:
        client = gateway.ftp(gateway.add_account("Acme"))
        data = client.transfercmd("STOR under-way.log")
        data.sendall(bytes(8 << 20))
        rows = sqlite3.connect(gateway.state_dir / "gateway.db", isolation_level=None)
        durable = "SELECT max(durable_size) FROM versions"
        until(lambda: (rows.execute(durable).fetchone()[0] or 0) >= 1 << 20, "a flush is recorded")
        rows.execute("BEGIN IMMEDIATE")
        refused = gateway.run("account", "add", "--sold-to", "Other", "--end-user", "Other")
        assert refused.returncode == 1, refused.stderr
        assert "locked" in refused.stderr, refused.stderr
        rows.execute("ROLLBACK")
        rows.close()
        data.close()
        client.close()
