"""``make run``: what it prints is pasted into bash as it stands, and works; a second start keeps everything."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.operator import operator
from gateway.testing.running import free_range, is_free, merged, toml
from gateway.testing.waiting import PATIENCE, until
from tests.clients.programs import needs

CHECKOUT = Path(__file__).parents[2]


class Demo:
    """A folder like a checkout, with ports of its own; ``start`` is what ``make run`` starts there.

    As it is shipped, each door is served by a process a processor; *processes* is another number.
    """

    def __init__(self, folder: Path, processes: int = 0) -> None:
        self.folder = folder
        for name in ("examples", "certs", "spool"):
            (folder / name).mkdir()
        (folder / ".venv").symlink_to(sys.prefix)
        low = free_range(20)
        ports = {
            "ftps": {"port": low, "passive_ports": f"{low + 2}-{low + 19}", "processes": processes},
            "smtp": {"port": low + 1, "processes": processes},
        }
        shipped = tomllib.loads((CHECKOUT / "examples" / "demo.toml").read_text())
        (folder / "examples" / "demo.toml").write_text(toml(merged(shipped, ports)))
        self.ports = (low, low + 1)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start and return everything that is printed until the doors answer."""
        output = open(self.folder / "output", "w+")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [self.folder / ".venv/bin/python", "-m", "gateway.demo"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
        output.close()
        return until(self._printed, "the demo prints its commands")

    def _printed(self) -> str:
        assert self.process is not None
        text = (self.folder / "output").read_text()
        assert self.process.poll() is None, text
        return text if "# Ctrl-C" in text else ""

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def paste(self, text: str) -> str:
        """Everything that was printed, pasted into bash in the checkout."""
        done = subprocess.run(
            ["bash"], input=text, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE * 4
        )
        assert done.stderr == "", done.stderr
        return done.stdout

    def gateway(self, *words: str) -> object:
        """The command line with the configuration that the printed commands name."""
        done = operator().run(os.environ, self.folder, "--config", "examples/demo.toml", *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def demo(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Demo]:
    made = Demo(tmp_path, processes=getattr(request, "param", 1))
    yield made
    made.end()


@pytest.mark.parametrize("demo", [0], indirect=True, ids=["as shipped"])
@needs("curl", "lftp")
def test_the_printed_commands_work_when_pasted_and_after_a_second_start_and_after_a_reset(demo: Demo) -> None:
    printed = demo.start()
    check_secrets(demo)
    said = demo.paste(printed)
    archive = demo.folder / "spool" / "demo" / "logs.zip"
    sha256 = subprocess.run(["sha256sum", archive], capture_output=True, text=True, check=True).stdout.split()[0]

    receipt, _, refusal = said.partition("< 550")
    assert "< 226" in receipt
    assert "<--- 226" in receipt, "lftp shows the receipt, too"
    assert "< 250 2.6.0 Filed under SR 12345" in receipt, "and the mail its own"
    assert sha256 in receipt, "the 226 names the SHA-256 that sha256sum prints"
    assert "SR: 12345" in receipt
    assert refusal, "a mail that would open an SR is refused"
    assert "https://support.example.com/" in refusal
    assert "+1 555 0100" in refusal

    shown = demo.gateway("sr", "show", "12345")
    assert isinstance(shown, dict)
    assert {(Path(each["path"]).name, each["sha256"], each["state"]) for each in shown["files"]} == {
        ("logs.zip", sha256, "complete"),
        ("logs-by-lftp.zip", sha256, "complete"),
    }
    (update,) = shown["updates"]
    assert (update["sender"], update["visibility"]) == ("eva@example.com", "private")
    (attachment,) = until(lambda: attachments_of(demo, update["id"]), "the mail was looked into")
    assert (attachment["name"], attachment["sha256"]) == ("logs.zip", sha256)

    assert demo.stop() == 0
    assert all(is_free(port) for port in demo.ports)

    again = demo.start()
    assert again == printed, "the same password, the same commands"
    assert "< 226" in demo.paste(again)
    shown = demo.gateway("sr", "show", "12345")
    assert isinstance(shown, dict)
    assert len(shown["files"]) == 2, "the same bytes under the same name are the same receipt"
    assert len(shown["updates"]) == 2
    reset = demo.gateway("account", "reset", "acme-demo")
    assert isinstance(reset, dict)
    assert demo.stop() == 0

    after = demo.start()
    assert password_in(after) not in (password_in(printed), reset["password"]), "one that was reset is made anew"
    assert "< 226" in demo.paste(after)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Demo, str]]:
    """One that serves for all tests that leave it serving, and what it printed."""
    made = Demo(tmp_path_factory.mktemp("demo"), processes=1)
    try:
        yield made, made.start()
    finally:
        made.end()


@needs("curl", "lftp")
def test_a_client_that_is_not_installed_or_not_let_in_says_so(lasting: tuple[Demo, str]) -> None:
    demo, printed = lasting
    (demo.folder / "bin").mkdir()
    grep = shutil.which("grep")
    assert grep is not None
    (demo.folder / "bin" / "grep").symlink_to(grep)
    said = demo.paste(f"PATH=$PWD/bin\n{printed}")
    assert len(re.findall("curl: command not found", said)) == 3
    assert len(re.findall("lftp: command not found", said)) == 1

    said = demo.paste(printed.replace(password_in(printed), "guessed"))
    assert "< 530 Login incorrect" in said
    assert "<--- 530 Login incorrect" in said


def test_a_store_with_accounts_of_its_own_gets_no_demo_account(demo: Demo) -> None:
    demo.gateway("account", "add", "--sold-to", "Example", "--end-user", "Example")
    printed = demo.start()
    assert "The store has accounts of its own" in printed
    accounts = demo.gateway("account", "list")
    assert isinstance(accounts, list)
    assert [each["login"] for each in accounts] == ["example"]


def test_ctrl_c_at_a_terminal_ends_make_run_with_exit_code_0(demo: Demo) -> None:
    (demo.folder / "Makefile").write_text("run:\n\t@exec .venv/bin/python -m gateway.demo\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(demo.folder)
        os.execvp("make", ["make", "--silent", "run"])
    seen = b""
    while b"# Ctrl-C" not in seen:
        assert select.select([terminal], [], [], PATIENCE)[0], seen
        seen += os.read(terminal, 65536)
    os.write(terminal, b"\x03")
    with contextlib.suppress(OSError):  # EIO: the last one at the terminal is gone
        while block := os.read(terminal, 65536):
            seen += block
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen.decode()
    assert b"Traceback" not in seen
    assert all(is_free(port) for port in demo.ports)


def test_a_second_one_in_the_same_folder_says_whose_state_it_is(lasting: tuple[Demo, str]) -> None:
    demo, _ = lasting
    done = subprocess.run(
        [sys.executable, "-m", "gateway.demo"], cwd=demo.folder, capture_output=True, text=True, timeout=PATIENCE * 2
    )
    assert done.returncode == 2
    assert f"{demo.folder}/spool is served by another gateway" in done.stderr


def test_a_wrong_configuration_ends_the_demo_with_one_line(demo: Demo) -> None:
    (demo.folder / "examples" / "demo.toml").write_text("[ftps]\nprot = 2121\n")
    done = subprocess.run(
        [sys.executable, "-m", "gateway.demo"], cwd=demo.folder, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.search(r"demo\.toml:2: ftps\.prot: unknown key", done.stderr)


def check_secrets(demo: Demo) -> None:
    """The key and the password are for their owner alone, and the certificate is a modern one."""
    for secret in ("certs/gateway.key", "spool/demo/password"):
        assert (demo.folder / secret).stat().st_mode & 0o777 == 0o600
    text = subprocess.run(
        ["openssl", "x509", "-in", demo.folder / "certs/gateway.pem", "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "ASN1 OID: prime256v1" in text


def attachments_of(demo: Demo, update: str) -> list[dict[str, object]]:
    shown = demo.gateway("update", "show", update)
    assert isinstance(shown, dict)
    found: list[dict[str, object]] = shown["attachments"]
    return found


def password_in(printed: str) -> str:
    found = re.search(r"acme-demo:(\S+?)'? ", printed)
    assert found is not None
    return found[1]
