"""The recipes in docs/customers.md are run as they stand, against a running gateway, for a customer of its own."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing import PATIENCE, RunningGateway, running_gateway
from gateway.testing.running import TWO_EACH
from tests.clients.programs import needs

PAGE = Path(__file__).parents[2] / "docs/customers.md"
NODE = Path(__file__).parents[1] / "clients/node"
RECIPES = re.findall(r"^```(sh|python|javascript)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway(TWO_EACH) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def home(gateway: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The customer's folder: the logs of the recipes, and settings that trust the test's certificate."""
    home = tmp_path_factory.mktemp("customer")
    with zipfile.ZipFile(home / "logs.zip", "w") as archive:
        archive.writestr("server.log", os.urandom(200_000))
    (home / "logs").mkdir()
    (home / "logs/a.gz").write_bytes(os.urandom(1000))
    (home / ".lftprc").write_text(f"set ssl:ca-file {gateway.certificate}\nset net:max-retries 2\n")
    (home / "node_modules").symlink_to(NODE / "node_modules")
    return home


@pytest.fixture(scope="module")
def environment(gateway: RunningGateway, home: Path) -> dict[str, str]:
    account = gateway.add_account("Acme")
    gateway.add_sr("12345", account.login)
    host, port = gateway.addresses["ftps"]
    trust = dict.fromkeys(("CURL_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), str(gateway.certificate))
    way = {"HOST": f"{host}:{port}", "LOGIN": account.login, "PASSWORD": account.password}
    return {**os.environ, **trust, **way, "HOME": str(home)}


@needs("curl", "lftp", "node")
def test_every_recipe_of_the_page_works_as_it_stands(
    gateway: RunningGateway, home: Path, environment: dict[str, str]
) -> None:
    kinds = [kind for kind, _ in RECIPES]
    assert kinds.count("sh") >= 5
    assert {"python", "javascript"} <= set(kinds)
    for kind, recipe in RECIPES:
        said = _run(kind, recipe, home, environment)
        assert said.returncode == 0, f"{recipe}\n{said.stdout}\n{said.stderr}"
        if "--verbose" in recipe:
            assert hashlib.sha256((home / "logs.zip").read_bytes()).hexdigest() in said.stderr
    expected = hashlib.sha256((home / "logs.zip").read_bytes()).hexdigest()
    files = {each["path"]: each for each in gateway.command("file", "list", "--sr", "12345")}
    for name in ("logs.zip", "by-ftplib.zip", "by-aioftp.zip", "by-basic-ftp.zip"):
        assert (files[f"/SR-12345/{name}"]["sha256"], files[f"/SR-12345/{name}"]["state"]) == (expected, "complete")
    assert files["/SR-12345/logs/a.gz"]["size"] == 1000


def _run(kind: str, recipe: str, home: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    if kind == "sh":
        recipe = "\n".join(line for line in recipe.splitlines() if not line.startswith("export HOST="))
        command = ["bash", "-e", "-c", recipe]
    elif kind == "python":
        command = [sys.executable, "-c", recipe]
    else:
        (home / "recipe.mjs").write_text(recipe)
        command = ["node", "recipe.mjs"]
    return subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=PATIENCE * 4, check=False
    )
