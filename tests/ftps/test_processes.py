"""The FTPS door in two processes: one door to everybody, whichever of them answers."""

from __future__ import annotations

import ftplib
import gzip
import hashlib
import io
import os
import signal
import socket
import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from gateway.ftps.limits import Throttle
from gateway.ftps.ports import Lease, Ports
from gateway.processors import share
from gateway.tally import Board, Tally
from gateway.testing import RunningGateway, running_gateway, until
from gateway.testing.running import Login, children, free_range
from gateway.testing.waiting import PATIENCE

LIMITS = {"sessions_per_account": 8, "transfers_per_account": 3, "sessions_per_address": 200}
SETTINGS = {"ftps": {"processes": 2, "limits": LIMITS}, "smtp": {"enabled": False}}
NAMES = ["ftps", "ftps-2"]
MOVED = 4 << 20
both_ways = pytest.mark.parametrize("one, other", [NAMES, NAMES[::-1]])


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway(SETTINGS) as gateway:
        yield gateway
        gateway.check()


@pytest.fixture
def acme(gateway: RunningGateway, request: pytest.FixtureRequest) -> Login:
    return gateway.add_account("Acme", str(zlib.crc32(request.node.name.encode())))


def to(gateway: RunningGateway, name: str, login: Login, stack: ExitStack) -> ftplib.FTP_TLS:
    """A session with the process of that name."""

    def there() -> ftplib.FTP_TLS | None:
        client = gateway.ftp(login)
        assert client.sock is not None
        if gateway.serving(client.sock) == name:
            return client
        others.append(client)  # closed at once, it would leave who has fewer sessions to get the next one, too
        if len(others) > 3:
            others.popleft().close()
        return None

    others: deque[ftplib.FTP_TLS] = deque()
    client = until(there, f"a session with {name}")
    for other in others:
        other.close()
    assert client is not None
    stack.callback(client.close)
    return client


def begun(client: ftplib.FTP_TLS, verb: str, stack: ExitStack, data: bytes = b"") -> socket.socket:
    """The data connection of a transfer that has begun, with *data* sent."""
    connection, _ = client.ntransfercmd(verb)
    stack.callback(connection.close)
    connection.sendall(data)
    return connection


def ended(client: ftplib.FTP_TLS, data: socket.socket) -> str:
    """The last reply of a transfer whose end was said as it should be."""
    with suppress(OSError):
        data.unwrap()  # type: ignore[attr-defined]
    data.close()
    return client.voidresp()


def files(gateway: RunningGateway, login: Login) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = gateway.command("file", "list", "--account", login.login)
    return listed


def test_those_who_come_together_are_shared_out(gateway: RunningGateway, acme: Login) -> None:
    """One that got all eight would have its processor busy, and the other nothing to do."""
    with ExitStack() as stack:
        for name in NAMES:
            to(gateway, name, acme, stack)
        address = gateway.addresses["ftps"]
        clients = [stack.enter_context(socket.create_connection(address, PATIENCE)) for _ in range(8)]
        for client in clients:
            client.recv(100)
        served = Counter(gateway.serving(client) for client in clients)
    assert min(served[name] for name in NAMES) >= 2, served


def roaming(pid: int) -> dict[str, bool]:
    """A process's threads, and whether each may run on any processor that there is."""
    everywhere = len(os.sched_getaffinity(0))
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            found[task] = len(os.sched_getaffinity(int(task))) == everywhere
    return found


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="to roam takes two processors")
def test_each_has_its_processors_and_a_large_transfer_may_have_any(gateway: RunningGateway, acme: Login) -> None:
    there = os.sched_getaffinity(0)
    homes = [os.sched_getaffinity(gateway.pid(name)) for name in NAMES]
    assert homes == [set(share(tuple(there), place, 2)) for place in range(2)]
    with ExitStack() as stack:
        pid = gateway.pid("ftps")
        client = to(gateway, "ftps", acme, stack)
        packed = io.BytesIO(gzip.compress(b"small"))
        assert client.storbinary("STOR small.gz", packed).startswith("226")
        at_home = {task for task, roams in roaming(pid).items() if not roams}
        data = begun(client, "STOR large.bin", stack, os.urandom(MOVED))
        [mover] = until(
            lambda: at_home & {task for task, roams in roaming(pid).items() if roams}, "the session's thread roams"
        )
        assert mover != str(pid)
        assert ended(client, data).startswith("226")
        until(lambda: not roaming(pid).get(mover), "it is at home again")
        workers = children(pid)
        assert workers
        assert all(os.sched_getaffinity(worker) == there for worker in workers)


def test_a_file_sent_to_one_is_there_for_the_other(gateway: RunningGateway, acme: Login) -> None:
    with ExitStack() as stack:
        one, other = (to(gateway, name, acme, stack) for name in NAMES)
        sent = os.urandom(100_000)
        assert one.storbinary("STOR logs.bin", io.BytesIO(sent)).startswith("226")
        got = io.BytesIO()
        other.retrbinary("RETR logs.bin", got.write)
        assert got.getvalue() == sent
        assert other.nlst() == ["logs.bin"]


def test_one_name_sent_to_both_at_once_is_two_versions(gateway: RunningGateway, acme: Login) -> None:
    with ExitStack() as stack:
        clients = [to(gateway, name, acme, stack) for name in NAMES]
        contents = [os.urandom(3 << 20) for _ in clients]
        data = [begun(client, "STOR same.bin", stack) for client in clients]
        for connection, content in zip(data, contents, strict=True):
            connection.sendall(content)
        for client, connection in zip(clients, data, strict=True):
            assert ended(client, connection).startswith("226")
    kept = {each["sha256"] for each in files(gateway, acme)}
    assert kept == {hashlib.sha256(content).hexdigest() for content in contents}


def test_an_accounts_sessions_and_transfers_are_counted_over_both(gateway: RunningGateway, acme: Login) -> None:
    with ExitStack() as stack:
        clients = [to(gateway, name, acme, stack) for name in (*NAMES, *NAMES)]
        until(lambda: _sessions_left(gateway, acme) == LIMITS["sessions_per_account"] - len(clients), "four are free")
        running = [begun(client, f"STOR {number}.bin", stack) for number, client in enumerate(clients[:3])]
        with pytest.raises(ftplib.error_temp, match="450 Too many transfers"):
            clients[3].ntransfercmd("STOR 3.bin")
        ended(clients[0], running[0])
        ended(clients[3], begun(clients[3], "STOR 3.bin", stack, b"now it may"))


def _sessions_left(gateway: RunningGateway, login: Login) -> int:
    """How many further sessions an account may have: as many as are let in before one is refused."""
    with ExitStack() as stack:
        for count in range(100):
            try:
                stack.callback(gateway.ftp(login).close)
            except ftplib.error_temp:
                return count
    raise AssertionError("there is no limit")


@both_ways
def test_an_upload_that_hangs_in_one_is_resumed_through_the_other(
    gateway: RunningGateway, acme: Login, one: str, other: str
) -> None:
    """The customer's connection is dead, and nobody told the server: he comes again, and the other process answers."""
    content = os.urandom(3 * MOVED)
    with ExitStack() as stack:
        dead = to(gateway, one, acme, stack)
        connection = begun(dead, "STOR logs.bin", stack, content[:MOVED])
        alive = to(gateway, other, acme, stack)
        until(lambda: _size(alive, "logs.bin") == MOVED, "what was sent has come")
        data, _ = alive.ntransfercmd("STOR logs.bin", rest=MOVED)
        with suppress(OSError):  # the dead one may wake, and changes nothing
            connection.sendall(b"x" * 1000)
        data.sendall(content[MOVED:])
        reply = ended(alive, data)
        assert hashlib.sha256(content).hexdigest() in reply
        with pytest.raises(ftplib.error_temp, match="426"):
            ended(dead, connection)


def _size(client: ftplib.FTP_TLS, path: str) -> int | None:
    try:
        client.voidcmd("TYPE I")
        return client.size(path)
    except ftplib.error_perm:
        return None


@both_ways
def test_one_that_is_killed_leaves_the_others_uploads_alone_and_its_own_as_partials(
    gateway: RunningGateway, acme: Login, one: str, other: str
) -> None:
    content = os.urandom(2 * MOVED)
    sha256 = hashlib.sha256(content).hexdigest()
    with ExitStack() as stack:
        dies, lives, looks = (to(gateway, name, acme, stack) for name in (one, other, other))
        begun(dies, "STOR dies.bin", stack, content[:MOVED])
        going = begun(lives, "STOR lives.bin", stack, content[:MOVED])
        for name in ("dies.bin", "lives.bin"):
            until(lambda name=name: _size(looks, name) == MOVED, "it is under way")  # type: ignore[misc]
        pid = gateway.pid(one)
        os.kill(pid, signal.SIGKILL)
        until(lambda: gateway.doors().get(one, pid) != pid, "another process")
        again = to(gateway, one, acme, stack)  # it serves, so it has looked for what was interrupted
        going.sendall(content[MOVED:])
        assert sha256 in ended(lives, going)
        resumed, _ = again.ntransfercmd("STOR dies.bin", rest=MOVED)
        resumed.sendall(content[MOVED:])
        assert sha256 in ended(again, resumed)
    assert {(each["path"], each["state"], each["sha256"]) for each in files(gateway, acme)} == {
        (path, "complete", sha256) for path in ("/dies.bin", "/lives.bin")
    }


def test_a_reset_ends_the_sessions_of_both(gateway: RunningGateway, acme: Login) -> None:
    with ExitStack() as stack:
        clients = [to(gateway, name, acme, stack) for name in NAMES]
        gateway.command("account", "reset", acme.login, "--at-once")
        for client in clients:
            assert _is_ended(client)


def _is_ended(client: ftplib.FTP_TLS) -> bool:
    try:
        reply = client.getresp()
    except (ftplib.error_temp, EOFError) as error:
        return "421" in str(error) or isinstance(error, EOFError)
    raise AssertionError(reply)


def test_a_banned_address_is_known_to_both() -> None:
    limits = {**LIMITS, "failures_before_ban": 3}
    with running_gateway({**SETTINGS, "ftps": {"processes": 2, "limits": limits}}) as gateway:
        until(lambda: "ftps-2" in gateway.doors(), "the second process")
        for _ in range(4):
            with suppress(ftplib.Error, EOFError), ExitStack() as stack:
                stack.callback(gateway.ftp(Login("nobody", "wrong")).close)

        for _ in range(40):  # whoever answers
            with gateway.wire("ftps") as wire:
                assert wire.line().startswith("421 Too many failed logins")


def test_uploads_over_fewer_ports_than_there_are_uploads() -> None:
    """Two processes, three ports, twelve uploads at once: who has none waits until another gives one back."""
    low = free_range(3)
    limits = {**LIMITS, "sessions_per_account": 20, "transfers_per_account": 20}
    settings = {**SETTINGS, "ftps": {"processes": 2, "passive_ports": f"{low}-{low + 2}", "limits": limits}}
    with running_gateway(settings) as gateway, ExitStack() as stack:
        login = gateway.add_account()
        until(lambda: "ftps-2" in gateway.doors(), "the second process")
        to(gateway, "ftps-2", login, stack)
        clients = [gateway.ftp(login) for _ in range(12)]
        for client in clients:
            stack.callback(client.close)
        replies: list[str] = []

        def send(number: int, client: ftplib.FTP_TLS) -> None:
            for turn in range(2):
                replies.append(client.storbinary(f"STOR {number}-{turn}.bin", io.BytesIO(os.urandom(50_000))))

        threads = [threading.Thread(target=send, args=each) for each in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(replies) == 24
        assert all(reply.startswith("226") for reply in replies)
        assert len(files(gateway, login)) == 24
        gateway.check()


# -- its parts -------------------------------------------------------------------------------------


@pytest.fixture
def two() -> Iterator[Callable[[int], Tally]]:
    board = Board(2)
    yield lambda place: Tally(board.fd, place, 2)
    board.close()


def test_two_allocators_share_a_range_and_never_a_port(two: Callable[[int], Tally]) -> None:
    low = free_range(6)
    ports = [Ports(range(low, low + 6), two(place), place=place, of=2) for place in (0, 1)]
    leases = [ports[turn % 2].take("127.0.0.1", socket.AF_INET, "acme", 0) for turn in range(6)]
    assert all(leases)
    assert len({lease.port for lease in leases if lease}) == 6
    assert [each.taken for each in ports] == [6, 6]
    assert ports[0].take("127.0.0.1", socket.AF_INET, "acme", 0) is None
    assert leases[1] is not None
    ports[1].give_back(leases[1])
    lease = ports[0].take("127.0.0.1", socket.AF_INET, "acme", 10)  # the other's own port serves as well
    assert lease is not None
    for each, taker in [(lease, 0), *((one, turn % 2) for turn, one in enumerate(leases))]:
        assert each is not None
        ports[taker].give_back(each)
    assert ports[0].taken == 0


@contextmanager
def nothing_free(tally: Tally) -> Iterator[Ports]:
    """A range of one port, which somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield Ports([taken.getsockname()[1]], tally, place=0, of=2)


def waiting(ports: Ports, account: str, patience: float, got: dict[str, Lease | None]) -> threading.Thread:
    """Somebody who waits for a port, and is in the queue."""

    def take() -> None:
        got[account] = ports.take("127.0.0.1", socket.AF_INET, account, patience)

    before = len(ports._queue)
    thread = threading.Thread(target=take)
    thread.start()
    until(lambda: len(ports._queue) > before, "waits")
    return thread


def test_of_all_who_wait_for_a_port_one_looks_again(
    two: Callable[[int], Tally], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    class Counted(Ports):
        def _first(self) -> Any:
            nonlocal looks
            looks += 1
            return super()._first()

    monkeypatch.setattr("tests.ftps.test_processes.Ports", Counted)
    with nothing_free(two(0)) as ports:
        for thread in [waiting(ports, f"account {number}", 1.5, {}) for number in range(60)]:
            thread.join()
    assert looks < 60 * 10


def test_who_waits_with_less_comes_first_when_another_process_gives_the_first_one_a_port(
    two: Callable[[int], Tally],
) -> None:
    got: dict[str, Lease | None] = {}
    with nothing_free(two(0)) as ports:
        threads = [waiting(ports, account, 60, got) for account in ("acme", "globex")]
        two(1).add("ports of acme")
    threads[1].join()
    lease = got["globex"]
    assert lease is not None
    assert "acme" not in got
    ports.give_back(lease)
    threads[0].join()
    assert got["acme"] is not None
    ports.give_back(got["acme"])


def test_a_bandwidth_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("gateway.ftps.limits.time.monotonic", lambda: now)
    share = 0.5
    throttle = Throttle(1000.0, lambda: share)
    assert throttle.take(500) == 1.0
    share = 1.0
    assert throttle.take(1000) == 2.0
