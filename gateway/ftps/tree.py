"""An account's files as folders: rows of the store, seen and changed the way an FTP client thinks.

Logged in, a customer sees a folder for each open Service Request (``/SR-12345``), the folders they made, and the names
they sent. A name shows its newest version; a partial has the bytes that are there so far, for a client to resume.

Rules: nothing outside the account is ever seen, and an SR of another account does not exist. Folders named ``SR-…``
come and go with their SR. Nothing is overwritten, and what came by mail is not in here.

It asks the store through the bridge, one crossing a question, and refuses in replies. Never a path on the disk.
"""

from __future__ import annotations

from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO, TypeVar

from gateway.clock import Clock
from gateway.domain import names
from gateway.domain.names import Path
from gateway.domain.records import Account, Request, Version, VersionState
from gateway.domain.replies import Refusal, ftp
from gateway.ftps.bridge import Bridge
from gateway.spool import Spool
from gateway.store import Store, files, one_by_one, requests

Result = TypeVar("Result")

UNDER_WAY = (VersionState.RECEIVING, VersionState.PARTIAL)

_make_folder = one_by_one(files.make_folder)
_remove_folder = one_by_one(files.remove_folder)
_remove = one_by_one(files.remove)
_rename = one_by_one(files.rename)
_set_modified = one_by_one(files.set_modified)


@dataclass(frozen=True, slots=True)
class Node:
    """A file or a folder, as a listing shows it."""

    path: Path
    modified: datetime
    version: Version | None = None
    """None for a folder."""
    size: int = 0
    reserved: bool = False
    """A folder that belongs to a Service Request."""

    @property
    def name(self) -> str:
        return self.path[-1] if self.path else ""

    @property
    def is_folder(self) -> bool:
        return self.version is None


async def used_by(store: Store, account_id: str, *, partials: bool = True, but: Collection[str] = ()) -> int:
    """Bytes that count to an account's quota, *partials* or not, all *but* some uploads."""
    async with store.reading() as connection:
        return await files.used(connection, account_id, partials=partials, but=but)


class Tree:
    """One logged-in session's view of its account."""

    def __init__(
        self,
        account: Account,
        store: Store,
        spool: Spool,
        bridge: Bridge,
        clock: Clock,
        number_pattern: str,
        closed_folder_grace: float,
    ) -> None:
        self.account = account
        self._store = store
        self._spool = spool
        self._bridge = bridge
        self._clock = clock
        self._pattern = number_pattern
        self._grace = timedelta(seconds=closed_folder_grace)

    # -- seeing --------------------------------------------------------------------------------------------------------

    def place(self, current: Path, argument: bytes) -> Path:
        """The path that a command's argument means. Raises BadName."""
        path = names.resolve(current, argument)
        number = names.folder_number(path[0], self._pattern) if path else None
        return path if number is None else (names.folder_of(number), *path[1:])

    def node(self, path: Path) -> Node:
        """What is at *path*. Refuses where there is nothing."""
        found = self._see(self._node(path))
        if found is None:
            raise Refusal(ftp.no_such(names.as_text(path)))
        return found

    def folder(self, path: Path) -> Node:
        """The folder at *path*. Refuses a file, and where there is nothing."""
        found = self._see(self._node(path))
        if found is None:
            raise Refusal(ftp.no_such_folder(names.as_text(path)))
        if not found.is_folder:
            raise Refusal(ftp.not_a_folder(names.as_text(path)))
        return found

    def file(self, path: Path) -> Version:
        """What the name at *path* shows. Refuses a folder, and where there is nothing."""
        found = self.node(path)
        if found.version is None:
            raise Refusal(ftp.is_folder(names.as_text(path)))
        return found.version

    def size(self, version: Version) -> int:
        """How many bytes a version has now."""
        if version.state in UNDER_WAY:
            return self._spool.size_of_incoming(version.id) or 0
        return version.size

    def listing(self, path: Path) -> list[Node]:
        """What is in the folder at *path*, by name."""
        self.folder(path)
        return self._ask(self._inside(path))

    def for_upload(self, path: Path) -> Version | None:
        """What the name at *path* shows before something is sent to it. Refuses where no file can be."""
        return self._see(self._for_upload(path))

    def open(self, version: Version) -> BinaryIO:
        """A version's bytes."""
        if version.state in UNDER_WAY or version.sha256 is None:
            return self._spool.open_incoming(version.id)
        return self._spool.open(version.sha256, version.id)

    def sr_of(self, path: Path) -> str | None:
        """The number of the SR that a file's path names, whether or not there is such an SR."""
        return next(names.numbers_in(path, self._pattern), None)

    # -- changing ------------------------------------------------------------------------------------------------------

    def make_folder(self, path: Path) -> None:
        if not path:
            raise Refusal(ftp.exists("/"))
        if names.is_reserved(path):
            raise Refusal(ftp.RESERVED)
        self.folder(path[:-1])
        try:
            self._ask(self._store.write(_make_folder, (self.account.id, names.as_text(path), self._clock.now())))
        except FileExistsError:
            raise Refusal(ftp.exists(names.as_text(path))) from None

    def remove_folder(self, path: Path) -> None:
        if not path:
            raise Refusal(ftp.ROOT_STAYS)
        if names.is_reserved(path):
            raise Refusal(ftp.RESERVED)
        self.folder(path)
        try:
            self._ask(self._store.write(_remove_folder, (self.account.id, names.as_text(path))))
        except FileNotFoundError:
            raise Refusal(ftp.no_such_folder(names.as_text(path))) from None
        except OSError:
            raise Refusal(ftp.not_empty(names.as_text(path))) from None

    def remove(self, path: Path) -> None:
        """Take a name from the tree. Its versions stay for a while, for support to bring back."""
        self.file(path)
        try:
            self._ask(self._store.write(_remove, (self.account.id, names.as_text(path), self._clock.now())))
        except FileNotFoundError:
            raise Refusal(ftp.no_such(names.as_text(path))) from None

    def movable(self, path: Path) -> None:
        """Refuse what can't be renamed."""
        if not path:
            raise Refusal(ftp.ROOT_STAYS)
        if names.folder_number(path[0], self._pattern) is not None and len(path) == 1:
            raise Refusal(ftp.RESERVED)
        if self.node(path).is_folder and names.is_reserved(path):
            raise Refusal(ftp.RESERVED)

    def rename(self, source: Path, target: Path) -> list[Version]:
        """Give the name or folder at *source* the path *target*; the versions that this releases (``….part``)."""
        moved = self.node(source)
        if not target:
            raise Refusal(ftp.ROOT_STAYS)
        if names.is_reserved(target) and (moved.is_folder or names.folder_number(target[0], self._pattern) is not None):
            raise Refusal(ftp.RESERVED)
        if moved.is_folder and target[: len(source)] == source:
            raise Refusal(ftp.INTO_ITSELF)
        self.folder(target[:-1])
        if source == target:
            return []
        item = (
            self.account.id,
            names.as_text(source),
            names.as_text(target),
            lambda path: self.sr_of(names.from_text(path)),
            self._clock.now(),
        )
        try:
            return self._ask(self._store.write(_rename, item))
        except FileNotFoundError:
            raise Refusal(ftp.no_such(names.as_text(source))) from None
        except FileExistsError:
            raise Refusal(ftp.exists(names.as_text(target))) from None

    def set_modified(self, path: Path, at: datetime) -> None:
        """Note the modification time that the customer's client gives a file."""
        self._ask(self._store.write(_set_modified, (self.file(path).id, at)))

    # -- asking the store ----------------------------------------------------------------------------------------------

    def _see(self, question: Coroutine[Any, Any, Result]) -> Result:
        """Ask what only glances: in this thread where that can be, else in the store's loop."""
        return self._store.answer(question) if self._store.answers_here else self._bridge.run(question)

    def _ask(self, question: Coroutine[Any, Any, Result]) -> Result:
        return self._bridge.run(question)

    async def _node(self, path: Path) -> Node | None:
        async with self._store.glance() as connection:
            return await self._find(connection, path)

    async def _find(self, connection: Any, path: Path) -> Node | None:
        birth = self.account.created_at or self._clock.now()
        if not path:
            return Node((), birth)
        number = names.folder_number(path[0], self._pattern)
        if number is not None:
            request = await requests.by_number(connection, number)
            if request is None or not await self._shown(connection, request):
                return None
            if len(path) == 1:
                return Node(path, request.created_at, reserved=True)
        is_folder, version = await files.at(connection, self.account.id, names.as_text(path))
        if version is not None:
            return self._file_node(version)
        return Node(path, birth) if is_folder else None

    async def _for_upload(self, path: Path) -> Version | None:
        if not path:
            raise Refusal(ftp.is_folder("/"))
        if len(path) == 1 and names.folder_number(path[0], self._pattern) is not None:
            raise Refusal(ftp.RESERVED)
        async with self._store.glance() as connection:
            if len(path) > 1:
                parent = await self._find(connection, path[:-1])
                if parent is None:
                    raise Refusal(ftp.no_such_folder(names.as_text(path[:-1])))
                if not parent.is_folder:
                    raise Refusal(ftp.not_a_folder(names.as_text(path[:-1])))
            there = await self._find(connection, path)
            if there is not None and there.is_folder:
                raise Refusal(ftp.is_folder(names.as_text(path)))
            return None if there is None else there.version

    async def _inside(self, path: Path) -> list[Node]:
        text = names.as_text(path)
        async with self._store.reading() as connection:
            found = [
                Node(names.from_text(folder), at)
                for folder, at in await files.subfolders(connection, self.account.id, text)
            ]
            found += [self._file_node(one) for one in await files.in_folder(connection, self.account.id, text)]
            if not path:
                found += [
                    Node((names.folder_of(request.number),), request.created_at, reserved=True)
                    for request in await requests.everything(connection, self.account.id)
                    if await self._shown(connection, request)
                ]
        return sorted(found, key=lambda node: node.name)

    async def _shown(self, connection: Any, request: Request) -> bool:
        """Whether an SR has a folder: while it is open, and for a while after, for partials in it to be finished."""
        if request.account_id != self.account.id:
            return False
        if request.closed_at is None:
            return True
        if self._clock.now() - request.closed_at > self._grace:
            return False
        return await files.holds_partials(connection, self.account.id, f"/{names.folder_of(request.number)}")

    def _file_node(self, version: Version) -> Node:
        modified = version.modified_at or version.ended_at or version.started_at
        return Node(names.from_text(version.path), modified, version, self.size(version))
