"""Disks that fail and machines that stop, at the very call a test names.

A fault is *where* (``os:fsync``, ``gateway.store.engine:_flock``: module, colon, name), *when* (the how-manieth call
counts, 1 is the first; with *path* only calls that name a path containing it, or a descriptor of such a file) and
*what*: an errno's name (``ENOSPC``: the call raises it and does nothing), ``kill`` (SIGKILL before the call) or
``kill-after``.

In the test's own process: ``with Faults(Fault("os:fsync", what="EIO")): …``. In a running gateway:
``running_gateway(environment=environment(fault, door="ftps"))``: every new process of that door reads it at its start.
With ``environment_of_lives`` each process of a door, which is started again when a fault has killed it, has its own.
Nothing of this is known to the gateway's own code: a process of the gateway has it only where ``startup/`` is on its
path.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

VARIABLE = "GATEWAY_TESTING_FAULTS"
LIVES = "GATEWAY_TESTING_LIVES"
"""A folder in which the processes of a door count themselves; then the variable above has a list for each."""

STARTUP = Path(__file__).with_name("startup")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. ``times`` is how often: 1, or 0 for ever after."""

    where: str
    what: str = "EIO"
    nth: int = 1
    times: int = 1
    path: str = ""

    def __post_init__(self) -> None:
        if self.what not in ("kill", "kill-after") and not hasattr(errno, self.what):
            raise ValueError(f"no such fault: {self.what}")


class Faults:
    """The faults of this process, from ``install`` (or ``with``) to ``remove``; ``struck`` counts them."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        self.struck = 0
        self._undo: list[tuple[Any, str, Any]] = []
        self._finder: _AfterImport | None = None

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def install(self) -> None:
        """Arm what is imported already, and the rest when it is."""
        later = [fault for fault in self.faults if not self._arm(fault)]
        if later:
            self._finder = _AfterImport(lambda module: [self._arm(f) for f in later if _module_of(f) == module])
            sys.meta_path.insert(0, self._finder)

    def remove(self) -> None:
        for owner, name, original in reversed(self._undo):
            setattr(owner, name, original)
        self._undo.clear()
        if self._finder is not None:
            sys.meta_path.remove(self._finder)
            self._finder = None

    def _arm(self, fault: Fault) -> bool:
        module = sys.modules.get(_module_of(fault))
        if module is None:
            return False
        *owners, name = fault.where.partition(":")[2].split(".")
        owner: Any = module
        for each in owners:
            owner = getattr(owner, each)
        original = getattr(owner, name)
        self._undo.append((owner, name, original))
        setattr(owner, name, self._faulty(fault, original))
        return True

    def _faulty(self, fault: Fault, original: Callable[..., Any]) -> Callable[..., Any]:
        lock, calls = threading.Lock(), 0

        def faulty(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            with lock:
                if not _concerns(fault.path, arguments):
                    return original(*arguments, **named)
                calls += 1
                strikes = calls >= fault.nth and (not fault.times or calls < fault.nth + fault.times)
                self.struck += strikes
            if not strikes:
                return original(*arguments, **named)
            if fault.what == "kill-after":
                original(*arguments, **named)
            if fault.what.startswith("kill"):
                os.kill(os.getpid(), signal.SIGKILL)
            number = getattr(errno, fault.what)
            raise OSError(number, f"{os.strerror(number)} (a test's fault)")

        return faulty


def environment(*faults: Fault, door: str = "ftps") -> dict[str, str]:
    """What a gateway's environment must hold for its processes of *door* to have these faults."""
    return environment_of({door: faults})


def environment_of(doors: Mapping[str, Sequence[Fault]]) -> dict[str, str]:
    """``environment`` for several doors at once: their faults by their names."""
    return {
        VARIABLE: json.dumps({door: [asdict(fault) for fault in faults] for door, faults in doors.items()}),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(STARTUP), os.environ.get("PYTHONPATH")])),
    }


def environment_of_lives(folder: Path, doors: Mapping[str, Sequence[Sequence[Fault]]]) -> dict[str, str]:
    """For the first process of a door the first faults, for its second the second, and none for those that follow.

    *folder*, which is the caller's to make, keeps the count.
    """
    lives = {door: [[asdict(fault) for fault in faults] for faults in each] for door, each in doors.items()}
    return {**environment_of({}), VARIABLE: json.dumps(lives), LIVES: str(folder)}


def install_from_environment() -> None:
    """Called by ``startup/sitecustomize.py`` in every Python that has it on its path."""
    started_as = " ".join(sys.orig_argv)
    for door, faults in json.loads(os.environ.get(VARIABLE, "{}")).items():
        if f"gateway.daemon.process {door} " in started_as:
            if LIVES in os.environ:
                faults = (faults[_life_of(door) :] or [[]])[0]
            Faults(*(Fault(**fault) for fault in faults)).install()


def _life_of(door: str) -> int:
    """How many processes of the door there were before this one."""
    for number in itertools.count():
        try:
            Path(os.environ[LIVES], f"{door}.{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number
    raise AssertionError


def _module_of(fault: Fault) -> str:
    return fault.where.partition(":")[0]


def _concerns(path: str, arguments: tuple[Any, ...]) -> bool:
    if not path:
        return True
    return any(path in name for name in _names(arguments))


def _names(arguments: tuple[Any, ...]) -> Iterator[str]:
    for argument in arguments:
        if isinstance(argument, str | os.PathLike):
            yield os.fspath(argument)
        elif isinstance(argument, int) and argument >= 0:
            try:
                yield os.readlink(f"/proc/self/fd/{argument}")
            except OSError:
                continue


class _AfterImport(MetaPathFinder):
    """Calls back when a module has been imported."""

    def __init__(self, imported: Callable[[str], object]) -> None:
        self._imported = imported

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                if spec.loader is not None:
                    spec.loader = _Telling(spec.loader, self._imported)
                return spec
        return None


class _Telling(Loader):
    def __init__(self, loader: Loader, imported: Callable[[str], object]) -> None:
        self._loader = loader
        self._imported = imported

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._imported(module.__name__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
