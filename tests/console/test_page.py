"""The page that a one-time link opens: over HTTPS from the door's own process code, and in a real Chromium."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.async_api import async_playwright

from gateway import selfsigned
from gateway.access import links
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.console import door
from gateway.domain.ids import new_id
from gateway.domain.records import Account, AccountState
from gateway.doorway import Doorway
from gateway.store import Store, accounts, audit, credentials, one_by_one

PASSWORD = "7xkm-q9cd-23ab-efgh-jkmn-pqrs-tuvw"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Page:
    """The door, served, with a link to an account's password."""

    def __init__(self, store: Store, account: Account, port: int, certificate: Path) -> None:
        self.store, self.account, self.port = store, account, port
        self.tls = ssl.create_default_context(cafile=str(certificate))

    async def link(self, valid: timedelta = timedelta(hours=1)) -> str:
        made = await links.make(self.store, self.account.id, None, PASSWORD, SystemClock().now(), valid)
        return f"https://localhost:{self.port}/reveal/{made.text}"

    async def ask(self, method: str, url: str) -> httpx.Response:
        async with httpx.AsyncClient(verify=self.tls, trust_env=False) as client:
            return await client.request(method, url)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    selfsigned.make(certificate, key, names=["localhost"])
    config = Config.model_validate(
        {
            "gateway": {"state_dir": tmp_path},
            "ftps": {"certificate": certificate, "private_key": key},
            "console": {"enabled": True},
        }
    )
    store = await Store.open(config.store_url)
    now = SystemClock().now()
    account = Account(
        new_id(), "acme", "Acme <i>& Sons", "Globex", None, AccountState.ACTIVE, None, "x", now,
        now + timedelta(days=44), created_at=now,
    )  # fmt: skip
    await store.write(one_by_one(accounts.add), account)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        ready = asyncio.Event()
        doorway = Doorway("console", config, (listening,), tell_ready=ready.set)
        serving = asyncio.create_task(door.serve(doorway))
        try:
            await asyncio.wait_for(ready.wait(), 30)
            yield Page(store, account, listening.getsockname()[1], certificate)
        finally:
            doorway.stop(within=5)
            await asyncio.wait_for(serving, 30)
            await store.close()


async def test_looking_burns_nothing_and_the_button_shows_the_password_once(page: Page) -> None:
    link = await page.link()
    for method in ("GET", "HEAD", "GET"):
        looked = await page.ask(method, link)
        assert looked.status_code == 200
        assert PASSWORD not in looked.text
    shown = await page.ask("POST", link)
    assert shown.status_code == 200
    assert PASSWORD in shown.text
    assert "Acme &lt;i&gt;&amp; Sons" in shown.text
    for method in ("POST", "GET"):
        again = await page.ask(method, link)
        assert again.status_code == 410
        assert PASSWORD not in again.text


async def test_of_two_who_press_at_once_one_sees_it(page: Page) -> None:
    link = await page.link()
    answers = await asyncio.gather(*(page.ask("POST", link) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410, 410]


async def test_a_link_that_ended_was_reset_or_never_was_gets_one_answer(page: Page) -> None:
    ended = await page.link(valid=timedelta(seconds=-1))
    reset = await page.link()
    item = credentials.Reset(page.account.id, credentials.Credential("new"), SystemClock().now(), None)
    assert await page.store.write(credentials.reset, item)
    never = f"https://localhost:{page.port}/reveal/{'x' * 43}"
    answers = [await page.ask(method, url) for url in (ended, reset, never) for method in ("GET", "POST")]
    assert {answer.status_code for answer in answers} == {410}
    assert len({answer.text for answer in answers}) == 1


async def test_nothing_of_the_page_is_kept_framed_or_sent_on(page: Page) -> None:
    shown = await page.ask("POST", await page.link())
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
    assert "server" not in shown.headers
    assert "<script" not in shown.text


@pytest.mark.parametrize("path", ["/", "/reveal/", "/reveal/a/b", "/docs", "/../etc/passwd", "/reveal/%00"])
async def test_any_other_address_says_nothing(page: Page, path: str) -> None:
    answer = await page.ask("GET", f"https://localhost:{page.port}{path}")
    assert answer.status_code in (404, 410)
    assert "cache-control" in answer.headers


async def test_every_look_at_a_password_is_audited_and_the_store_knows_no_token(page: Page) -> None:
    link = await page.link()
    await page.ask("POST", link)
    async with page.store.reading() as connection:
        [(_, entry)] = await audit.entries(connection)
        assert await audit.verify(connection) is None
    assert (entry.action, entry.subject, entry.origin) == ("password shown", "acme", "127.0.0.1")
    token = link.rpartition("/")[2]
    for file in sorted(Path(str(page.store.url.database)).parent.glob("gateway.db*")):
        kept = file.read_bytes()
        assert token.encode() not in kept
        assert PASSWORD.encode() not in kept


async def test_in_a_real_chromium_the_password_appears_after_the_button(page: Page, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    link = await page.link()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=chromium, headless=True, args=FLAGS, ignore_https_errors=True
        )
        try:
            tab = await browser.new_page()
            trouble: list[str] = []
            tab.on("console", lambda message: trouble.append(message.text))
            await tab.goto(link)
            assert await tab.title() == "Show the password"
            assert PASSWORD not in await tab.content()
            await tab.reload()
            await tab.get_by_role("button", name="Show the password").click()
            await tab.wait_for_selector("#password")
            assert await tab.text_content("#password") == PASSWORD
            assert await tab.text_content("#login") == "acme"
            assert await tab.evaluate("getComputedStyle(document.querySelector('#password')).fontFamily") == "monospace"
            await tab.goto(link)
            assert await tab.title() == "Link not valid"
            assert [text for text in trouble if "Security Policy" in text] == []
        finally:
            await browser.close()
