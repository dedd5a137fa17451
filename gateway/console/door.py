"""The console door's process: uvicorn on the supervisor's socket, with the FTPS host's certificate.

Rules: TLS 1.2 or newer; no access log, for an address holds a token; a renewed certificate is taken up by itself. It
holds no sealing key: what it shows is sealed under the link's own token. A crash leaves every link unused or used.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator

import uvicorn

from gateway.clock import SystemClock
from gateway.config import Config
from gateway.console.page import application
from gateway.doorway import CannotServe, Doorway
from gateway.renewal import renewing, stamps
from gateway.store import Store


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the supervisor's affair."""
        yield


async def serve(doorway: Doorway) -> None:
    """Serve the page until the doorway is stopping."""
    config: Config = doorway.config
    certificate, key = config.ftps.certificate, config.ftps.private_key
    if certificate is None or key is None:
        raise CannotServe("[console] is served in the FTPS host's certificate: [ftps] certificate and private_key")
    store = await Store.open(config.store_url, busy_timeout=config.store.busy_timeout)
    try:
        settings = uvicorn.Config(
            application(store, SystemClock(), config.places),
            ssl_certfile=certificate,
            ssl_keyfile=key,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the audit trail names who really came
            lifespan="off",
            timeout_graceful_shutdown=5,
            h11_max_incomplete_event_size=16 * 1024,
            limit_concurrency=200,
        )
        seen = list(stamps((certificate, key)))
        settings.load()
        tls = settings.ssl
        assert tls is not None
        tls.minimum_version = ssl.TLSVersion.TLSv1_2

        def renew() -> None:
            now = stamps((certificate, key))
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)  # a wrong pair spoils its context
            tls.load_cert_chain(certificate, key)
            seen[:] = now

        doorway.on_reload(renew)
        changed = lambda: list(stamps((certificate, key))) != seen  # noqa: E731
        renewals = asyncio.create_task(renewing(changed, renew, (OSError, ssl.SSLError)))
        server = _Server(settings)
        serving = asyncio.create_task(server.serve(sockets=list(doorway.sockets)))
        stopping = asyncio.create_task(doorway.stopping.wait())
        doorway.ready()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
        stopping.cancel()
        renewals.cancel()
    finally:
        await store.close()
