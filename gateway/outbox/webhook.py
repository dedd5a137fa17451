"""One event, posted to one webhook: signed as Standard Webhooks describes (standardwebhooks.com, version 1).

The body is ``{"type", "timestamp", "id", "data"}``. ``webhook-id`` is the event's id, the same at every attempt: a
receiver that has seen it has seen the event. ``webhook-signature`` is ``v1,`` and the base64 HMAC-SHA256 of
``id.timestamp.body``; a secret file with several lines gives several signatures, so that a secret can be replaced.

Rules: HTTPS, but for loopback; connected to the address that was checked, with the name in SNI, certificate and Host;
no redirect is followed, no proxy of the environment is used, an answer's body is not read. Any 2xx is a delivery.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import ssl
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from gateway import __version__
from gateway.domain.events import Event, timestamp
from gateway.outbox.addresses import Forbidden, Resolve, allowed_address, resolve

_PREFIX = "whsec_"


class NotDelivered(Exception):
    """An attempt failed; one line for the operator. *final*: trying again can't help. *pause*: what was asked for."""

    def __init__(self, reason: str, *, final: bool = False, pause: timedelta | None = None) -> None:
        super().__init__(reason)
        self.final = final
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook: where it is, what it signs with, whether it may be inside a private network."""

    url: str = field(repr=False)
    secret_file: Path
    private: bool = False

    @property
    def name(self) -> str:
        """What the store and the operator call it: the host and a digest, for the rest of a URL may be a secret."""
        return f"{urlsplit(self.url).hostname}#{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"


class Poster:
    """Posts events; *timeout* is for a whole attempt."""

    def __init__(self, timeout: timedelta = timedelta(seconds=30), resolving: Resolve = resolve) -> None:
        self._timeout = timeout
        self._resolving = resolving
        # Connections are pooled by address. Kept alive, one made for a name could serve another name at that address,
        # whose certificate nobody checked: so each post has its own.
        self._client = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=timeout.total_seconds(),
            limits=httpx.Limits(max_keepalive_connections=0),
            verify=ssl.create_default_context(),
        )

    async def post(self, event: Event, receiver: Receiver, now: datetime) -> None:
        """Deliver *event*. Raises NotDelivered."""
        body = json.dumps(envelope(event), separators=(",", ":"), ensure_ascii=False).encode()
        headers = signed(event.id, body, secrets(receiver.secret_file), now)
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                address = await allowed_address(receiver.url, private=receiver.private, resolving=self._resolving)
                response = await self._send(receiver.url, address, headers, body)
        except TimeoutError:
            raise NotDelivered(f"no answer within {self._timeout.total_seconds():g} seconds") from None
        except Forbidden as error:
            raise NotDelivered(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NotDelivered(f"could not be reached: {str(error) or type(error).__name__}") from None
        _judge(response)

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, url: str, address: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        there = httpx.URL(url)
        request = self._client.build_request(
            "POST",
            there.copy_with(host=address),
            content=body,
            headers={**headers, "host": there.netloc.decode("ascii")},
            extensions={"sni_hostname": there.host},
        )
        response = await self._client.send(request, stream=True)
        await response.aclose()
        return response


def envelope(event: Event) -> dict[str, object]:
    """What is posted of an event."""
    return {
        "type": event.type.value,
        "timestamp": timestamp(event.created_at),
        "id": event.id,
        "data": event.payload,
    }


def secrets(file: Path) -> list[bytes]:
    """The signing secrets in a file, one a line, ``whsec_`` and base64. Raises NotDelivered without repeating them."""
    try:
        if file.stat().st_mode & 0o077:
            raise NotDelivered(f"the secret {file} may be read by others: chmod 600 {file}")
        lines = file.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise NotDelivered(f"the secret {file} can't be read: {getattr(error, 'strerror', 'no text')}") from None
    try:
        found = [base64.b64decode(line.removeprefix(_PREFIX), validate=True) for line in lines]
    except binascii.Error:
        raise NotDelivered(f"{file} has a line that is not {_PREFIX} and base64") from None
    if not found or min(len(secret) for secret in found) < 24:
        raise NotDelivered(f"{file} needs a secret of 24 bytes or more, in base64")
    return found


def signed(event_id: str, body: bytes, keys: list[bytes], now: datetime) -> dict[str, str]:
    """The headers of a post."""
    seconds = str(int(now.timestamp()))
    content = b".".join((event_id.encode(), seconds.encode(), body))
    signatures = (base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {
        "content-type": "application/json",
        "user-agent": f"inbound-gateway/{__version__}",
        "webhook-id": event_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _judge(response: httpx.Response) -> None:
    """Raise NotDelivered unless the receiver took it."""
    code = response.status_code
    if response.is_success:
        return
    if 300 <= code < 400:
        where = urlsplit(response.headers.get("location", "")).hostname or "another address"
        raise NotDelivered(f"answered {code}, a redirect to {where[:100]}; redirects are not followed")
    if code == 410:  # Standard Webhooks: the receiver wants no more
        raise NotDelivered("answered 410: this receiver is gone", final=True)
    raise NotDelivered(f"answered {code}", pause=_asked_for(response))


def _asked_for(response: httpx.Response) -> timedelta | None:
    seconds = response.headers.get("retry-after", "")
    if response.status_code in {429, 503} and seconds.isascii() and seconds.isdigit():
        return timedelta(seconds=min(int(seconds), 10**6))
    return None
