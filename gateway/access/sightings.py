"""What was seen of an account's clients (last login, last failure, software), for support to look at.

Rules: nobody waits for it, and many sightings of one account become one row written: what is seen while a write is
under way goes with the next. Any thread may tell.

A crash loses at most what was seen in the last instant.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

from gateway import log as logs
from gateway.store import Store, accounts

log = logs.get(__name__)


class Sightings:
    """Made in the store's loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._seen: dict[str, dict[str, Any]] = {}
        self._writing = 0
        """How many accounts' rows are being written."""
        self._at_rest = threading.Event()
        self._at_rest.set()

    def note(self, account_id: str, **seen: Any) -> None:
        """Keep what was seen, columns of account_activity, soon."""
        with self._lock:
            self._seen.setdefault(account_id, {}).update(seen)
        self._write()

    async def close(self) -> None:
        """Write what was seen last."""
        await asyncio.to_thread(self._at_rest.wait)

    def _write(self) -> None:
        with self._lock:
            if self._writing:
                return
            noted, self._seen = self._seen, {}
            self._writing = len(noted)
            if not noted:
                self._at_rest.set()
                return
            self._at_rest.clear()
        for each in noted.items():
            try:
                written = self._store.post(accounts.note_activity, each, self._loop)
            except Exception as error:  # the store is closing
                written = Future()
                written.set_exception(error)
            written.add_done_callback(self._written)

    def _written(self, done: Future[Any]) -> None:
        if (error := done.exception()) is not None:
            log.error("could not note what was seen of clients", reason=repr(error))
        with self._lock:
            self._writing -= 1
        self._write()
