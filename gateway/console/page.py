"""The page itself: a button, then the password.

Rules
- ``GET`` changes nothing: mail scanners, previews and prefetching browsers may look as often as they like. Only the
  button's ``POST`` uses the link up.
- A link that was used, has ended or never was gets one and the same answer, 410.
- Nothing may be stored, framed, sent on as a referrer, or loaded from anywhere: there is no script.
- Every word on it stands here; what comes from the store is escaped.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.access import links
from gateway.access.sealing import SealingError
from gateway.clock import Clock
from gateway.domain.calendar import Places, day_in_words, local_day
from gateway.domain.records import Account
from gateway.store import Store, accounts

_STYLE = """
body { font: 18px/1.5 sans-serif; color: #222; max-width: 38em; margin: 3em auto; padding: 0 1em }
output { display: block; font: 24px monospace; padding: .6em; border: 2px solid #444; overflow-wrap: anywhere }
button { font: inherit; padding: .5em 1.2em }
dt { float: left; clear: left; width: 7em; color: #555 }
"""
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    f"style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}
_GONE = "This link is not valid any more: it was used, it has ended, or the password was changed. Ask for a new one."


def application(store: Store, clock: Clock, places: Places) -> Starlette:
    """The page as an ASGI application."""

    async def look(request: Request) -> Response:
        if not await links.waits(store, request.path_params["token"], clock.now()):
            return _page("Link not valid", f"<p>{_GONE}</p>", 410)
        return _page(
            "Show the password",
            "<p>This link shows the password of your file-transfer account, once. Have the place ready where you will "
            "put it, and make sure that nobody looks over your shoulder.</p>"
            '<form method="post"><button type="submit">Show the password</button></form>',
        )

    async def show(request: Request) -> Response:
        origin = request.client.host if request.client else None
        try:
            opened = await links.open_once(store, request.path_params["token"], clock.now(), origin)
        except SealingError:
            opened = None
        account = None
        if opened is not None:
            async with store.reading() as connection:
                account = await accounts.by_id(connection, opened[0])
        if opened is None or account is None:
            return _page("Link not valid", f"<p>{_GONE}</p>", 410)
        return _page("Your password", _shown(account, opened[1], places))

    async def anywhere(request: Request, error: Exception) -> Response:
        return _page("Nothing here", "<p>There is nothing at this address.</p>", 404)

    async def failed(request: Request, error: Exception) -> Response:
        return _page("Out of order", "<p>This does not work at the moment. Please try again later.</p>", 500)

    path = "/reveal/{token}"
    return Starlette(
        routes=[
            Route(path, look, methods=["GET", "HEAD"]),
            Route(path, show, methods=["POST"]),
        ],
        exception_handlers={404: anywhere, 405: anywhere, 500: failed},
    )


def _shown(account: Account, password: str, places: Places) -> str:
    ends = ""
    if account.next_reset is not None:
        day = day_in_words(local_day(account.next_reset, places.of(account.region)))
        ends = f"<dt>Valid until</dt><dd>{escape(day)}</dd>"
    return (
        f"<dl><dt>Sold To</dt><dd>{escape(account.sold_to)}</dd><dt>End User</dt><dd>{escape(account.end_user)}</dd>"
        f'<dt>Login</dt><dd id="login">{escape(account.login)}</dd>{ends}</dl>'
        f'<p>Password:</p><output id="password">{escape(password)}</output>'
        "<p>This page can't be opened again. Close it when you have put the password where it belongs.</p>"
    )


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n",
        status_code=status,
        headers=_HEADERS,
    )
