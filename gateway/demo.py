"""``make run``: the whole gateway on this machine's loopback, with something to play with, and commands to paste.

It makes what is missing, in the folder it is started in: a certificate in ``certs/``, a ``.zip`` and a demo account,
contact and SR in ``spool/``. It then serves as ``gateway serve`` does, and prints once both doors answer.

Rules: what is there is kept; only where the store holds no account is anything put into it. The demo password lies in
``spool/demo/password`` (mode 0600); where it is no longer the account's, the account gets a new one, so that what is
printed always works. Everything it prints may be pasted: the words between the commands are comments.

A crash between two steps leaves the later ones to the next start.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gateway import config as configuration
from gateway import daemon, selfsigned
from gateway.access import Hashing
from gateway.admin import Desk, accounts, contacts, requests
from gateway.config import Config, ConfigError
from gateway.domain.admission import Match
from gateway.domain.records import Access
from gateway.store import Store, StoreError
from gateway.store import accounts as account_rows
from gateway.store import contacts as contact_rows
from gateway.store import requests as request_rows

CONFIG = Path("examples/demo.toml")
SOLD_TO, END_USER, LOGIN = "Acme Telecom", "Acme Contact Centre", "acme-demo"
CONTACT, NAME = "eva@example.com", "Eva Example"
SR = "12345"
_TROUBLE = "(curl|put): |not found"
"""What else is shown of a client's words: why it failed, and the shell's when the client is not installed."""


def main() -> int:
    """Make what is missing and serve; the exit code of ``gateway serve``."""
    try:
        config = configuration.load(CONFIG)
        _certificate(config)
        archive = _archive(config)
        password = asyncio.run(_furnish(config))
    except (ConfigError, StoreError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2

    def opened(addresses: Mapping[str, str]) -> None:
        print(guide(config, addresses, archive, password), flush=True)

    with _terminal_of_our_own():
        return daemon.serve(config, opened=opened)


def _certificate(config: Config) -> None:
    certificate, key = config.ftps.certificate, config.ftps.private_key
    if certificate is not None and key is not None and not certificate.exists():
        certificate.parent.mkdir(exist_ok=True)
        selfsigned.make(certificate, key, ["localhost", "127.0.0.1", "::1"])


def _archive(config: Config) -> Path:
    """A log to upload, compressed as customers are asked to."""
    folder = config.gateway.state_dir / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "logs.zip"
    if not archive.exists():
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("sip-server.log", "12:00:00.000 Std 00001 the log that the Service Request asks for\n" * 5000)
    return archive


async def _furnish(config: Config) -> str | None:
    """See to the demo account and return its password; None where the store has accounts, but not this one."""
    store = await Store.open(config.store_url)
    try:
        desk = Desk(config, store, actor="make run")
        async with desk.reading() as connection:
            known = {each.login for each in await account_rows.everything(connection)}
        if known and LOGIN not in known:
            return None
        kept = config.gateway.state_dir / "demo" / "password"
        password = kept.read_text().strip() if kept.exists() else ""
        if LOGIN not in known:
            password = (await accounts.add(desk, sold_to=SOLD_TO, end_user=END_USER, login=LOGIN)).password
        elif not await _opens(desk, password):
            password = (await accounts.reset(desk, LOGIN)).password
        _keep(kept, password)
        async with desk.reading() as connection:
            contact = await contact_rows.by_email(connection, CONTACT)
            request = await request_rows.by_number(connection, SR)
        if contact is None:
            await contacts.add(desk, CONTACT, NAME)
            await contacts.grant(desk, CONTACT, LOGIN, Access.READ_WRITE)
        if request is None:
            await requests.add(desk, SR, LOGIN, title="Calls are dropped after a transfer")
        return password
    finally:
        await store.close()


async def _opens(desk: Desk, password: str) -> bool:
    """Whether the password kept from the last start is the account's still."""
    async with desk.reading() as connection:
        account = await account_rows.by_login(connection, LOGIN)
    hashing = Hashing(threads=1)
    try:
        return account is not None and await hashing.match(password, account.password_hash, None) is Match.PRESENT
    finally:
        hashing.close()


def _keep(file: Path, password: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as kept:
        kept.write(f"{password}\n")


def guide(config: Config, addresses: Mapping[str, str], archive: Path, password: str | None) -> str:
    """What is printed: comments and commands, to be pasted into a shell in this folder."""
    ftps, smtp = addresses["ftps"], addresses["smtp"]
    gateway = f"{_here(Path(sys.executable).parent / 'gateway')} --config {CONFIG}"
    if password is None:
        return f"""
# Serving FTPS on {ftps} and SMTP on {smtp}. The store has accounts of its own, so no demo account was made:
{gateway} account list

# Ctrl-C here ends the gateway.
"""
    file, alias, certificate = _here(archive), config.regions[0].alias, _here(config.ftps.certificate or Path())
    curl = f"curl --silent --show-error --ssl-reqd --cacert {certificate}"
    mail = f"""{curl} --url smtp://{smtp}/client.example.com \\
  --mail-from {CONTACT} --mail-rcpt {alias} -H 'From: {NAME} <{CONTACT}>' -H 'To: {alias}' \\"""
    return f"""
# Serving FTPS on {ftps} and SMTP on {smtp}. In another shell, in this folder, paste:

# (a) Upload a log for SR {SR} with curl; what the server answers at the end is the receipt.
{curl} --user {shlex.quote(f"{LOGIN}:{password}")} \\
  --upload-file {file} ftp://{ftps}/SR-{SR}/ --verbose 2>&1 | grep -E '^< (226|[45])|{_TROUBLE}'

#     The same with lftp, under another name.
lftp -c "debug 4; set cmd:fail-exit yes; set net:max-retries 2; \\
  set ssl:ca-file {certificate}; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; \\
  open -u {LOGIN},{password} ftp://{ftps}; put {file} -o SR-{SR}/logs-by-lftp.zip" 2>&1 \\
  | grep -E '^<--- (226|[45])|{_TROUBLE}'

# (b) Send a mail about SR {SR}, with the log attached; the answer says where it was filed.
{mail}
  -H 'Subject: SR# {SR} the log of this morning' \\
  -F '=Hello, the log is attached.;type=text/plain' -F 'file=@{file};encoder=base64' \\
  --verbose 2>&1 | grep -E '^< (250 2\\.6|[45])|{_TROUBLE}'

# (c) What support sees of SR {SR}: both files and the update.
{gateway} sr show {SR}

# (d) What somebody is told who wants to open an SR by mail.
{mail}
  -H 'Subject: Calls are dropped' -F '=Please help.;type=text/plain' --verbose 2>&1 | grep -E '^< 5|not found'

# Ctrl-C here ends the gateway; started again, everything is still there.
"""


def _here(path: Path) -> str:
    """The path as it is typed in this folder."""
    absolute = Path(os.path.abspath(path))
    return shlex.quote(str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute))


@contextmanager
def _terminal_of_our_own() -> Iterator[None]:
    """Under ``make`` on a terminal: take Ctrl-C for ourselves, for ``make`` would answer it with an error of its own.

    Ctrl-Z is ignored then, for nobody would be there to go on with us.
    """
    if not sys.stdin.isatty() or os.getpgrp() in (os.getpid(), 0) or os.tcgetpgrp(0) != os.getpgrp():
        yield
        return
    before = os.getpgrp()
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    try:
        yield
    finally:
        os.tcsetpgrp(0, before)


if __name__ == "__main__":
    sys.exit(main())
