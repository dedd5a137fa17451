"""The programs that tests drive: named where they are missing, and installed by ``tests/install-clients`` as root."""

from __future__ import annotations

import shutil

import pytest


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip, by name, where a program is missing (as root that is a failure: see tests/conftest.py)."""
    missing = [each for each in programs if shutil.which(each, path="/usr/bin:/bin:/usr/sbin:/sbin") is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (tests/install-clients)")
