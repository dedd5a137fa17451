"""One visit of the doctor: the machine first, then the store, then the store and the spool side by side."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config import Config
from gateway.doctor import contents, machine, trail
from gateway.doctor.finding import Finding, Level, error, info, warning
from gateway.store import Store, StoreError, StoreTooNew

_ORDER = list(Level)


async def visit(config: Config, now: datetime) -> list[Finding]:
    """Everything that is not as it should be, the worst first. Raises StoreTooNew."""
    serving = machine.is_serving(config)
    findings = [*machine.findings(config, now, serving=serving)]
    findings += [each async for each in _store(config, now, serving)]
    return sorted(findings, key=lambda finding: _ORDER.index(finding.level))


async def _store(config: Config, now: datetime, serving: bool) -> AsyncIterator[Finding]:
    if not _exists(config.store_url) and (serving or _received(config)):
        yield error(
            f"the store at {config.store_url} is gone: nothing can be taken",
            "put the database back, or restore it from a backup, and restart the gateway",
        )
        return
    if not _exists(config.store_url):
        yield info("there is no store yet", "nothing: it is made by the first command or start that needs it")
        return
    try:
        store = await Store.open(config.store_url, migrate=False)
    except StoreTooNew:
        raise
    except StoreError as problem:
        if "schema" in str(problem):
            yield warning(str(problem), "nothing: the next start or command brings it up to date; then look again")
        else:
            yield error(str(problem), "see that the database can be reached, or restore it from a backup")
        return
    try:
        for look in (contents.findings, trail.findings):
            async for finding in look(store, config, now, serving):
                yield finding
    finally:
        await store.close()


def _received(config: Config) -> bool:
    """Whether the spool holds what only a store could tell of."""
    return any((config.gateway.state_dir / "files").glob("*/*"))


def _exists(url: str) -> bool:
    """Whether there is a database to look at; to open an SQLite file that is not there would make it."""
    scheme, _, path = url.partition(":///")
    return not scheme.startswith("sqlite") or Path(urlsplit(path).path).exists()
