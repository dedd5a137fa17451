"""The npm clients: basic-ftp uploads and fetches, nodemailer sends; both over TLS, both told what they should know."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import PATIENCE
from tests.clients.conftest import Customer
from tests.clients.programs import needs

NODE = Path(__file__).with_name("node")

pytestmark = [
    needs("node"),
    pytest.mark.skipif(not (NODE / "node_modules").is_dir(), reason="npm packages are missing (tests/install-clients)"),
]


def node(script: str, *words: str | Path) -> dict[str, Any]:
    """Run a script; what it prints."""
    command = ["node", script, *map(str, words)]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=PATIENCE * 2)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_basic_ftp_uploads_lists_and_fetches_the_same_bytes(customer: Customer, tmp_path: Path) -> None:
    log = tmp_path / "core.gz"
    log.write_bytes(os.urandom(300_000))
    host, port = customer.gateway.addresses["ftps"]
    said = node(
        "upload.mjs",
        host,
        str(port),
        customer.account.login,
        customer.account.password,
        customer.gateway.certificate,
        log,
        f"/SR-{customer.sr}/core.gz",
        tmp_path / "back",
    )
    assert hashlib.sha256(log.read_bytes()).hexdigest() in said["receipt"]
    assert said["size"] == 300_000
    assert ["core.gz", 300_000] in said["listed"]
    assert (tmp_path / "back").read_bytes() == log.read_bytes()


def test_nodemailer_sends_an_update(customer: Customer, tmp_path: Path) -> None:
    said = send(customer, tmp_path, f"SR# {customer.sr} by nodemailer")
    assert said["response"].startswith("250 2.")
    updates = customer.gateway.command("update", "list", "--sr", customer.sr)
    assert [each["visibility"] for each in updates if each["subject"].endswith("by nodemailer")] == ["private"]


def test_nodemailer_is_told_why_a_new_sr_is_refused(customer: Customer, tmp_path: Path) -> None:
    said = send(customer, tmp_path, "Please help")
    assert said["code"] == 550
    assert "SR# 12345" in said["response"]


def send(customer: Customer, folder: Path, subject: str) -> dict[str, Any]:
    (folder / "trace.txt").write_text("a trace\n")
    host, port = customer.gateway.addresses["smtp"]
    words = ("support@example.com", subject, "Hello", folder / "trace.txt")
    return node("send.mjs", host, str(port), customer.gateway.certificate, customer.contact, *words)
