"""The testing helpers themselves: a test that can't fail is worse than none."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.testing import NOON, FakeClock, Fault, Faults, Wire, until
from gateway.testing.faults import environment, environment_of_lives
from gateway.testing.loop_lag import watched
from gateway.testing.running import merged, toml
from gateway.testing.waiting import PATIENCE


@pytest.fixture
def peer() -> Iterator[tuple[Wire, socket.socket]]:
    """A wire, and the far end of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        wire = Wire.connect(server.getsockname()[:2])
        far, _ = server.accept()
        with wire, far:
            yield wire, far


def test_a_transcript_that_matches_passes(peer: tuple[Wire, socket.socket]) -> None:
    wire, far = peer
    far.sendall(b"220 ready\r\n250-gateway.example.com\r\n250-SIZE 1\r\n250-STARTTLS\r\n250 HELP\r\n")
    heard = wire.talk(
        """
        S: 220 *
        C: EHLO client.example.com
        S: 250-gateway*
        S: ...
        S: 250 HELP
        """
    )
    assert heard[2:4] == ["250-SIZE 1", "250-STARTTLS"]
    assert far.recv(100) == b"EHLO client.example.com\r\n"


def test_a_transcript_that_does_not_match_shows_the_conversation(peer: tuple[Wire, socket.socket]) -> None:
    wire, far = peer
    far.sendall(b"220 ready\r\n530 no\r\n")
    with pytest.raises(AssertionError, match=r"(?s)expected '331 \*'.*S: 220 ready.*S: 530 no"):
        wire.talk("S: 220 *\nS: 331 *")


def test_a_reply_is_read_whole_even_where_its_text_looks_like_an_end(peer: tuple[Wire, socket.socket]) -> None:
    wire, far = peer
    far.sendall(b"211-Features:\r\n 221 is not the end\r\n211-more\r\n211 End\r\n220 next\r\n")
    assert wire.reply() == ["211-Features:", " 221 is not the end", "211-more", "211 End"]


def test_a_line_without_cr_and_a_closed_connection_are_noticed(peer: tuple[Wire, socket.socket]) -> None:
    wire, far = peer
    far.sendall(b"220 bare\n")
    with pytest.raises(AssertionError, match="without CR"):
        wire.line()
    far.close()
    assert wire.is_closed()
    with pytest.raises(EOFError):
        wire.line()


def test_byte_by_byte_sends_the_same_bytes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        wire = Wire.connect(server.getsockname()[:2], byte_by_byte=True)
        far, _ = server.accept()
        with wire, far:
            wire.send("NOOP")
            got = b""
            while len(got) < 6:
                got += far.recv(100)
            assert got == b"NOOP\r\n"


def test_the_clock_stands_still_until_it_is_moved() -> None:
    clock = FakeClock()
    started = clock.monotonic()
    assert clock.now() == clock.now() == NOON
    assert clock.advance(timedelta(hours=1)) == NOON + timedelta(hours=1)
    assert clock.monotonic() - started == 3600


def test_until_gives_up_and_says_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match=r"in vain: the sea is dry"):
        until(lambda: False, "the sea is dry", within=0.05)


def test_a_fault_strikes_at_its_call_and_no_other(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    with Faults(Fault("os:fsync", "ENOSPC", nth=2)) as faults:
        os.fsync(fd)
        with pytest.raises(OSError) as raised:
            os.fsync(fd)
        assert raised.value.errno == errno.ENOSPC
        os.fsync(fd)
        assert faults.struck == 1
    os.fsync(fd)
    os.close(fd)


def test_a_fault_may_concern_one_path_alone_and_for_ever(tmp_path: Path) -> None:
    other, meant = (os.open(tmp_path / name, os.O_CREAT | os.O_RDWR) for name in ("other", "meant"))
    with Faults(Fault("os:fsync", "EIO", times=0, path="/meant")):
        for _ in range(3):
            os.fsync(other)
            with pytest.raises(OSError):
                os.fsync(meant)
    os.close(other)
    os.close(meant)


def test_a_fault_is_thread_safe() -> None:
    with Faults(Fault("os:getpid", "EIO", nth=50)) as faults:
        threads = [threading.Thread(target=lambda: [_ignoring(os.getpid) for _ in range(25)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults.struck == 1


def _ignoring(call: object) -> None:
    try:
        call()  # type: ignore[operator]
    except OSError:
        return


@pytest.mark.parametrize("what, left", [("kill", "before"), ("kill-after", "after")])
def test_a_fault_kills_a_door_before_or_after_the_call(tmp_path: Path, what: str, left: str) -> None:
    (tmp_path / "before").touch()
    script = f"import os; os.rename({str(tmp_path / 'before')!r}, {str(tmp_path / 'after')!r}); print('alive')"
    faults = environment(Fault("os:rename", what), door="ftps")
    for door, code in (("smtp", 0), ("ftps", -signal.SIGKILL)):
        (tmp_path / "after").unlink(missing_ok=True)
        (tmp_path / "before").touch()
        command = [sys.executable, "-c", script, "gateway.daemon.process", door, "module"]
        done = subprocess.run(command, env={**os.environ, **faults}, timeout=60, check=False)
        assert done.returncode == code
    assert [each.name for each in tmp_path.iterdir()] == [left]


def test_each_life_of_a_door_has_its_own_faults(tmp_path: Path) -> None:
    kill = [Fault("os:getpid", "kill")]
    faults = environment_of_lives(tmp_path, {"ftps": [kill, [], kill]})
    codes = []
    for door in ("ftps", "smtp", "ftps", "ftps", "ftps"):
        command = [sys.executable, "-c", "import os; os.getpid()", "gateway.daemon.process", door, "module"]
        codes.append(subprocess.run(command, env={**os.environ, **faults}, timeout=60, check=False).returncode)
    assert codes == [-signal.SIGKILL, 0, 0, -signal.SIGKILL, 0]


def test_a_fault_in_a_module_that_is_not_imported_yet_strikes_when_it_is() -> None:
    sys.modules.pop("colorsys", None)
    with Faults(Fault("colorsys:rgb_to_hls", "EIO")):
        import colorsys

        with pytest.raises(OSError):
            colorsys.rgb_to_hls(0, 0, 0)
    assert colorsys.rgb_to_hls(0, 0, 0) == (0.0, 0.0, 0.0)


def test_a_fault_with_an_unknown_errno_is_refused() -> None:
    with pytest.raises(ValueError, match="EPERHAPS"):
        Fault("os:fsync", "EPERHAPS")


def test_settings_become_toml_and_lie_over_each_other() -> None:
    settings = merged(
        {"gateway": {"state_dir": 'a "b"'}, "ftps": {"port": 21, "limits": {"sessions": 5}}},
        {
            "ftps": {"port": 0, "host": None, "limits": {"quota": "1 GiB"}},
            "regions": [{"name": "A", "phone": ["1", "2"]}],
        },
    )
    assert tomllib.loads(toml(settings)) == {
        "gateway": {"state_dir": 'a "b"'},
        "ftps": {"port": 0, "limits": {"sessions": 5, "quota": "1 GiB"}},
        "regions": [{"name": "A", "phone": ["1", "2"]}],
    }


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def busy(seconds: float) -> None:
    """Take so much CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def several(*works: Callable[[], None]) -> None:
    """All in one turn of the loop."""
    for work in works:
        asyncio.get_running_loop().call_soon(work)
    await asyncio.sleep(0)


def test_a_loop_that_is_held_by_one_or_by_several_is_seen(loop: asyncio.AbstractEventLoop) -> None:
    with watched(loop) as lag:
        asyncio.run_coroutine_threadsafe(several(lambda: busy(0.1)), loop).result(PATIENCE)
        until(lambda: lag.held >= 0.1, "one was seen")
        asyncio.run_coroutine_threadsafe(several(*[lambda: busy(0.05)] * 4), loop).result(PATIENCE)
        until(lambda: lag.held >= 0.2, "what several hold it together")


def test_a_loop_that_waits_or_is_kept_from_running_is_not_held(loop: asyncio.AbstractEventLoop) -> None:
    with watched(loop) as lag:
        asyncio.run_coroutine_threadsafe(several(lambda: time.sleep(0.2)), loop).result(PATIENCE)
        until(lambda: lag.turns, "a turn")
    assert lag.held < 0.05
    assert lag.slept >= 0.19


def test_a_loop_that_waits_for_events_does_not_sleep(loop: asyncio.AbstractEventLoop) -> None:
    with watched(loop) as lag:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.3), loop).result(PATIENCE)
    assert lag.turns
    assert lag.slept < 0.1
