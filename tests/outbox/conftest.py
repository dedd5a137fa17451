"""What the outbox's tests share: a store, a clock, a receiver with a certificate that this process trusts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway import selfsigned
from gateway.store import Store
from gateway.testing import FakeClock


@dataclass
class Post:
    """One request that arrived."""

    head: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Post], Awaitable[bytes]]


async def taken(_: Post) -> bytes:
    return b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent, and answers as the test says."""

    port: int = 0
    answer: Answer = taken
    posts: list[Post] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every request of a connection, for as long as the client keeps it open."""
        try:
            while True:
                head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                post = Post(head, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
                self.posts.append(post)
                answer = await self.answer(post)
                writer.write(answer)
                await writer.drain()
                if not answer.startswith(b"HTTP/"):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(f"sqlite:///{tmp_path}/store.db")
    yield opened
    await opened.close()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A certificate for ``localhost`` alone, trusted here."""
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    selfsigned.make(*paths, names=["localhost"])
    monkeypatch.setenv("SSL_CERT_FILE", str(paths[0]))
    return paths


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver in the clear, on loopback."""
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
async def secure_receiver(certificate: tuple[Path, Path]) -> AsyncIterator[Receiver]:
    """A receiver with TLS, on loopback."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "webhook.secret"
    path.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    path.chmod(0o600)
    return path
