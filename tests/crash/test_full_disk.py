"""A real disk that is really full: refused with a 4xx, nothing that was there is lost, and room makes it work again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.told import SENDER, SR, Kept, connect, message, send, upload

from gateway.testing import running_gateway

ROOM = 24 << 20
"""Bytes of the whole disk, the store included."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_a_4xx_and_loses_nothing(disk: Path) -> None:
    before, too_much = os.urandom(1 << 20), os.urandom(ROOM)
    settings = {"gateway": {"state_dir": str(disk / "state")}, "spool": {"free_disk_reserve": "1 MiB"}}
    with running_gateway(settings) as gateway:
        account = gateway.add_account("Acme")
        gateway.add_contact(SENDER, account.login)
        gateway.add_sr(SR, account.login)
        client = connect(gateway, account)
        earlier = upload(client, "earlier.bin", before)
        mail_before = send(gateway, message("earlier"))
        (disk / "ballast").write_bytes(bytes(8 << 20))
        refused = upload(client, "too-much.bin", too_much)
        assert refused.code in (452, 552), refused
        kept = Kept(gateway, account)
        kept.judge_upload("earlier.bin", before, earlier)
        kept.judge_upload("too-much.bin", too_much, refused)
        kept.judge_mail("earlier", mail_before)
        (disk / "ballast").unlink()
        later = upload(client, "later.bin", before)
        client.close()
        gateway.restart()
        kept = Kept(gateway, account)
        kept.judge_upload("earlier.bin", before, earlier)
        kept.judge_upload("later.bin", before, later)
        assert earlier.kept
        assert later.kept, later
        kept.audit()
