"""Posting an event: signed, to the address that was checked, and honest about what went wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.domain.events import Event, EventType, about_request
from gateway.outbox.webhook import NotDelivered, Poster, Receiver, secrets, signed
from gateway.testing import FakeClock

from .conftest import Post
from .conftest import Receiver as Server

KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    made = Poster()
    yield made
    await made.close()


def event(clock: FakeClock) -> Event:
    return about_request(EventType.UPDATE_FILED, "12345", clock.now(), update="01", subject="käse")


def test_the_signature_is_that_of_standard_webhooks(clock: FakeClock) -> None:
    """The example of the specification's reference implementations."""
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', [KEY], at)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


async def test_an_event_is_posted_signed_and_once_identifiable(
    receiver: Server, poster: Poster, secret_file: Path, clock: FakeClock
) -> None:
    told = event(clock)
    await poster.post(told, Receiver(f"http://127.0.0.1:{receiver.port}/hook?a=b", secret_file), clock.now())
    [post] = receiver.posts
    assert post.head == "POST /hook?a=b HTTP/1.1"
    assert post.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert post.headers["webhook-id"] == told.id
    content = b".".join([told.id.encode(), post.headers["webhook-timestamp"].encode(), post.body])
    expected = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    assert post.headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(post.body) == {
        "type": "update.filed",
        "timestamp": "2026-11-23T12:00:00Z",
        "id": told.id,
        "data": told.payload,
    }


async def test_with_two_secrets_there_are_two_signatures(
    receiver: Server, poster: Poster, secret_file: Path, clock: FakeClock
) -> None:
    other = base64.b64encode(b"x" * 32).decode()
    secret_file.write_text(f"{secret_file.read_text()}whsec_{other}\n")
    await poster.post(event(clock), Receiver(f"http://127.0.0.1:{receiver.port}/", secret_file), clock.now())
    assert len(receiver.posts[0].headers["webhook-signature"].split()) == 2


async def test_tls_names_the_host_and_connects_to_the_checked_address(
    secure_receiver: Server, secret_file: Path, clock: FakeClock
) -> None:
    asked: list[str] = []

    async def resolving(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    poster = Poster(resolving=resolving)
    there = Receiver(f"https://localhost:{secure_receiver.port}/hook", secret_file)
    await poster.post(event(clock), there, clock.now())
    await poster.close()
    assert secure_receiver.posts[0].headers["host"] == f"localhost:{secure_receiver.port}"
    assert asked == ["localhost"], "asked once, so that a second answer can't lead elsewhere"


async def test_a_certificate_for_another_name_is_refused(
    secure_receiver: Server, secret_file: Path, clock: FakeClock
) -> None:
    poster = Poster()
    with pytest.raises(NotDelivered, match=r"(?i)certificate"):
        await poster.post(
            event(clock), Receiver(f"https://127.0.0.1:{secure_receiver.port}/", secret_file), clock.now()
        )
    await poster.close()
    assert secure_receiver.posts == []


async def test_two_names_at_one_address_share_no_connection(
    secure_receiver: Server, secret_file: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """httpx pools by address: kept alive, a connection checked for one name would serve another, unchecked."""

    async def there(url: str, **_: object) -> str:
        return "127.0.0.1"

    monkeypatch.setattr("gateway.outbox.webhook.allowed_address", there)
    poster = Poster()
    good, other = (f"https://{name}:{secure_receiver.port}/" for name in ("localhost", "crm.example.com"))
    await poster.post(event(clock), Receiver(good, secret_file), clock.now())
    with pytest.raises(NotDelivered, match=r"(?i)certificate"):
        await poster.post(event(clock), Receiver(other, secret_file), clock.now())
    await poster.close()
    assert len(secure_receiver.posts) == 1


async def test_a_name_that_turns_private_is_not_posted_to(secret_file: Path, clock: FakeClock) -> None:
    async def resolving(host: str, port: int) -> list[str]:
        return ["169.254.169.254"]

    poster = Poster(resolving=resolving)
    with pytest.raises(NotDelivered, match=r"crm.example.com is at 169\.254\.169\.254"):
        await poster.post(event(clock), Receiver("https://crm.example.com/", secret_file), clock.now())
    await poster.close()


@pytest.mark.parametrize(
    "answer, reason, final",
    [
        (b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", "answered 500", False),
        (b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", "answered 404", False),
        (b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", "answered 410: this receiver is gone", True),
        (b"", "could not be reached", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "could not be reached", False),
    ],
)
async def test_what_is_not_2xx_is_not_delivered(
    receiver: Server, poster: Poster, secret_file: Path, clock: FakeClock, answer: bytes, reason: str, final: bool
) -> None:
    async def answering(_: Post) -> bytes:
        return answer

    receiver.answer = answering
    with pytest.raises(NotDelivered) as failure:
        await poster.post(event(clock), Receiver(f"http://localhost:{receiver.port}/", secret_file), clock.now())
    assert str(failure.value).startswith(reason)
    assert failure.value.final is final


async def test_a_redirect_to_a_private_address_is_named_and_not_followed(
    receiver: Server, poster: Poster, secret_file: Path, clock: FakeClock
) -> None:
    async def redirecting(_: Post) -> bytes:
        return (
            b"HTTP/1.1 307 Over There\r\nlocation: http://169.254.169.254/latest/meta-data?x=secret\r\n"
            b"content-length: 0\r\n\r\n"
        )

    receiver.answer = redirecting
    with pytest.raises(NotDelivered) as failure:
        await poster.post(event(clock), Receiver(f"http://127.0.0.1:{receiver.port}/", secret_file), clock.now())
    assert str(failure.value) == "answered 307, a redirect to 169.254.169.254; redirects are not followed"
    assert len(receiver.posts) == 1


async def test_a_webhook_that_hangs_is_given_up_on(receiver: Server, secret_file: Path, clock: FakeClock) -> None:
    forever = asyncio.Event()

    async def hanging(_: Post) -> bytes:
        await forever.wait()
        return b""

    receiver.answer = hanging
    poster = Poster(timeout=timedelta(milliseconds=200))
    with pytest.raises(NotDelivered, match=r"no answer within 0\.2 seconds"):
        await poster.post(event(clock), Receiver(f"http://127.0.0.1:{receiver.port}/", secret_file), clock.now())
    forever.set()
    await poster.close()


async def test_a_pause_that_is_asked_for_is_told(
    receiver: Server, poster: Poster, secret_file: Path, clock: FakeClock
) -> None:
    async def busy(_: Post) -> bytes:
        return b"HTTP/1.1 429 Slow Down\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n"

    receiver.answer = busy
    with pytest.raises(NotDelivered) as failure:
        await poster.post(event(clock), Receiver(f"http://127.0.0.1:{receiver.port}/", secret_file), clock.now())
    assert failure.value.pause == timedelta(minutes=2)


async def test_no_proxy_of_the_environment_is_used(
    receiver: Server, secret_file: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    poster = Poster()
    await poster.post(event(clock), Receiver(f"http://127.0.0.1:{receiver.port}/", secret_file), clock.now())
    await poster.close()
    assert len(receiver.posts) == 1


def test_a_secret_is_never_repeated(secret_file: Path) -> None:
    secret_file.write_text("whsec_not-base64-at-all\n")
    with pytest.raises(NotDelivered) as failure:
        secrets(secret_file)
    assert "not-base64" not in str(failure.value)
    secret_file.write_text("whsec_c2hvcnQ=\n")
    with pytest.raises(NotDelivered, match="24 bytes"):
        secrets(secret_file)
    secret_file.chmod(0o644)
    with pytest.raises(NotDelivered, match="chmod 600"):
        secrets(secret_file)
    with pytest.raises(NotDelivered, match="No such file"):
        secrets(secret_file.with_name("nowhere"))


def test_a_receivers_name_does_not_show_its_url(secret_file: Path) -> None:
    there = Receiver("https://crm.example.com/hooks/T0PSECRET", secret_file)
    assert there.name.startswith("crm.example.com#")
    assert "T0PSECRET" not in there.name + repr(there)
