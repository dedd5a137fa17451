"""The schema's version: which one a database has, which ones this program knows, and the way up.

Alembic walks the way (migrations/versions); it is imported only when there is something to walk, for the daemon
and every command open the store, and nearly always it is current.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

HEAD = "0001"
"""The newest migration; a test holds it against the scripts."""

SCRIPTS = Path(__file__).with_name("migrations")


def known(version: str) -> bool:
    """Whether *version* is one of this program's own."""
    return any(path.name.startswith(f"{version}_") for path in (SCRIPTS / "versions").glob("*.py"))


def version(connection: Connection) -> str | None:
    """The schema's version of the database behind *connection*; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])


def upgrade(connection: Connection) -> None:
    """Bring the database behind *connection* up to HEAD, inside the transaction that is open."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS))
    command.upgrade(config, "head")


def head() -> str | None:
    """The newest migration among the scripts (for the test of HEAD)."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    found: Any = ScriptDirectory.from_config(config).get_current_head()
    return None if found is None else str(found)
