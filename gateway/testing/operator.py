"""The command line for tests, without its start-up: one process imports everything once and forks for each command.

What runs is ``gateway.cli.main`` as the program ``gateway`` runs it, in a process of its own that ends afterwards; only
the imports (most of a command's time) are shared, by all gateways of the tests' process. ``Operator`` is the test's
side, ``main`` the process's.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

SHARED = (
    "cli.app admin.accounts admin.contacts admin.requests admin.updates admin.files admin.spool "
    "cli.show config.machine doctor log store access rotation outbox"
)
"""Modules of the gateway that commands import when they run."""


class Operator:
    """Somebody at the command line, of any gateway; one command at a time. Ends with the tests' process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from gateway.testing.operator import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._busy = threading.Lock()
        atexit.register(self._close)

    def run(self, environment: Mapping[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``gateway WORDS`` with this environment, in this folder."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._busy:
            self._process.stdin.write(json.dumps([{**environment}, str(folder), words]) + "\n")
            self._process.stdin.flush()
            code, stdout, stderr = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(["gateway", *words], code, stdout, stderr)

    def _close(self) -> None:
        self._process.terminate()  # between two commands it holds nothing
        with self._process:  # closes its pipes, and waits
            pass


@functools.cache
def operator() -> Operator:
    """The one of this process."""
    return Operator()


def main() -> None:
    """Read a command's environment, folder and words, JSON, a line each; answer with exit code, stdout and stderr."""
    for name in SHARED.split():
        with contextlib.suppress(ModuleNotFoundError):  # a module that has moved only costs its command some time
            importlib.import_module(f"gateway.{name}")
    for line in sys.stdin:
        environment, folder, words = json.loads(line)
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            process = os.fork()
            if process == 0:
                _command(environment, folder, words, stdout.fileno(), stderr.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            stdout.seek(0)
            stderr.seek(0)
            print(json.dumps([code, stdout.read(), stderr.read()]), flush=True)


def _command(environment: dict[str, str], folder: str, words: list[str], stdout: int, stderr: int) -> None:
    """Become the command; never returns."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    sys.argv = ["gateway", *words]
    code = 0
    try:
        importlib.import_module("gateway.cli").main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
