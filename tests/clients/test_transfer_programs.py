"""Programs that customers' scripts call: rclone keeps a folder alike, PHP's own FTP functions send, resume and fetch.

Both are written by others than the clients of tests/ftps: Go's TLS resumes no session, PHP resumes the control
connection's.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gateway.testing import PATIENCE, Login
from tests.clients.conftest import Customer
from tests.clients.programs import needs

ODD_NAMES = ("empty", "a b.log", "ümläut #1 [x].log", "日本語.log", 'it\'s "so" & %41.bin', "-dash", "under/neath.log")

PHP = r"""<?php
function ok($done, $what) { if (!$done) { fwrite(STDERR, "$what failed\n"); exit(1); } }
$ftp = ftp_ssl_connect(getenv('HOST'), (int) getenv('PORT'), 20);
ok(ftp_login($ftp, getenv('LOGIN'), getenv('PASSWORD')), 'login');
ok(ftp_pasv($ftp, true), 'pasv');
foreach (['none', 'one', 'some'] as $name) {
    ok(ftp_put($ftp, "/SR-12345/php-$name", $name, FTP_BINARY), "put $name");
    ok(ftp_size($ftp, "/SR-12345/php-$name") === filesize($name), "size of $name");
}
$data = fopen('some', 'rb');
ok(ftp_fput($ftp, '/SR-12345/php-cut', $data, FTP_BINARY, FTP_AUTORESUME), 'resume');
ok(ftp_nlist($ftp, '/SR-12345/php-*') == ['/SR-12345/php-cut', '/SR-12345/php-none', '/SR-12345/php-one',
    '/SR-12345/php-some'], 'nlist');
ok(count(ftp_mlsd($ftp, '/SR-12345')) >= 4, 'mlsd');
ok(ftp_get($ftp, 'back', '/SR-12345/php-some', FTP_BINARY), 'get');
ok(sha1_file('back') === sha1_file('some'), 'the same bytes');
ok(ftp_close($ftp), 'close');
"""


def environment(customer: Customer, **more: str) -> Mapping[str, str]:
    host, port = customer.gateway.addresses["ftps"]
    account: Login = customer.account
    mine = {"HOST": host, "PORT": str(port), "LOGIN": account.login, "PASSWORD": account.password}
    return {**os.environ, **mine, **more}


def received(customer: Customer, beginning: str) -> dict[str, str]:
    """Path → SHA-256 of the complete files whose paths begin so."""
    files = customer.gateway.command("file", "list", "--account", customer.account.login)
    found = {each["path"]: each["sha256"] for each in files if each["state"] == "complete"}
    return {path: sha256 for path, sha256 in found.items() if path.startswith(beginning)}


@needs("rclone")
def test_rclone_keeps_a_folder_alike_whatever_the_names(customer: Customer, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    for number, name in enumerate(ODD_NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(50_000 * number))
    trusted = environment(customer, SSL_CERT_FILE=str(customer.gateway.certificate), RCLONE_CONFIG="/dev/null")

    def rclone(*words: str) -> str:
        done = subprocess.run(
            ["rclone", *words], env=trusted, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE * 2
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    obscured = rclone("obscure", customer.account.password).strip()
    at = ",".join(f"{key}={trusted[name]}" for key, name in (("host", "HOST"), ("port", "PORT"), ("user", "LOGIN")))
    there = f":ftp,{at},pass='{obscured}',explicit_tls=true:SR-{customer.sr}/rclone"
    rclone("sync", "logs", there)
    assert received(customer, f"/SR-{customer.sr}/rclone/") == {
        f"/SR-{customer.sr}/rclone/{name}": hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ODD_NAMES
    }
    assert "There was nothing to transfer" in rclone("sync", "-v", "logs", there)
    rclone("check", "--download", "logs", there)
    (folder / "a b.log").unlink()
    rclone("sync", "logs", there)
    assert len(received(customer, f"/SR-{customer.sr}/rclone/")) == len(ODD_NAMES) - 1


@needs("php")
def test_php_sends_resumes_and_fetches(customer: Customer, tmp_path: Path) -> None:
    contents = {"none": b"", "one": b"x", "some": os.urandom(300_000)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "send.php").write_text(PHP)
    with customer.gateway.ftp(customer.account) as client:
        data = client.transfercmd("STOR /SR-12345/php-cut")
        data.sendall(contents["some"][:100_000])
        data.close()  # without TLS's closing message: the file was cut
        assert client.getmultiline().startswith("426")
    done = subprocess.run(
        ["php", "send.php"],
        env=environment(customer),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    contents["cut"] = contents["some"]
    assert received(customer, "/SR-12345/php-") == {
        f"/SR-12345/php-{name}": hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
