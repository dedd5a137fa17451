"""The files that are written from the code: run this (``make docs``) and they are right again; a test compares them."""

from collections.abc import Callable
from pathlib import Path

from gateway.config import reference

ROOT = Path(__file__).parents[2]
PAGES: dict[str, Callable[[], str]] = {
    "examples/gateway.toml": reference.example,
    "docs/configuration.md": reference.page,
}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (ROOT / name).write_text(write())
