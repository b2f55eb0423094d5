"""The page as it ships, in a real Chromium."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import async_playwright

from tests.browser.conftest import QUIET
from tests.helpers.tabs import Tab

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

    from tests.torture.proxy import Proxy

ACTION_MS: Final = 5_000
ATTEMPT_SECONDS: Final = 25.0
RELOAD_SECONDS: Final = 240.0
"""Longer than any hole."""

STATE: Final = """() => ({
    status: document.documentElement.dataset.connection ?? "",
    people: [...document.querySelectorAll("[data-people] .person-name")].map(each => each.textContent),
    entries: [...document.querySelectorAll("[data-message]")].map(row => [
        row.dataset.seq === undefined ? null : Number(row.dataset.seq),
        row.querySelector(".message-sender").textContent,
        row.querySelector(".message-content").textContent,
        row.dataset.state,
    ]),
    oddities: JSON.parse(sessionStorage.getItem("torture.oddities") ?? "[]"),
})"""

WATCH: Final = """addEventListener("DOMContentLoaded", () => {
    const odd = new Set(JSON.parse(sessionStorage.getItem("torture.oddities") ?? "[]"));
    const look = () => {
        const texts = new Set();
        for (const { textContent } of document.querySelectorAll("[data-message] .message-content")) {
            if (texts.has(textContent)) odd.add(`shown twice: ${textContent}`);
            texts.add(textContent);
        }
        const numbers = [...document.querySelectorAll("[data-message][data-seq]")].map(row => Number(row.dataset.seq));
        if (numbers.some((seq, at) => at > 0 && seq <= numbers[at - 1])) odd.add(`out of order: ${numbers}`);
        if (document.querySelector("[data-message][data-state=failed]")) odd.add("refused for good");
        if (odd.size > 0) sessionStorage.setItem("torture.oddities", JSON.stringify([...odd]));
    };
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
})"""


class Chromium:
    """The browser; each tab has a profile of its own."""

    async def start(self) -> Self:
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        self._playwright = await async_playwright().start()
        self._browser = await self._playwright.chromium.launch(executable_path=path, args=QUIET)
        return self

    async def context(self) -> BrowserContext:
        context = await self._browser.new_context(locale="en-GB", timezone_id="UTC")
        context.set_default_timeout(ACTION_MS)
        await context.add_init_script(WATCH)
        return context

    async def close(self) -> None:
        await self._browser.close()
        await self._playwright.stop()


class BrowserTab:
    """One person at one tab, behind a proxy."""

    def __init__(self, name: str, context: BrowserContext, proxy: Proxy) -> None:
        self.name = name
        self.proxy = proxy
        self.written: list[str] = []
        """What was certainly written: Enter was pressed and the page was there."""
        self.oddities: set[str] = set()
        self.busy = asyncio.Lock()
        self._context = context
        self._said = 0
        self._tab: Tab | None = None

    async def open(self) -> None:
        """Load the page and join, however long the network lets one wait."""
        async with asyncio.timeout(RELOAD_SECONDS):
            while True:
                with suppress(PlaywrightError, TimeoutError):
                    async with asyncio.timeout(ATTEMPT_SECONDS):
                        tab = self._tab = Tab(await self._context.new_page(), self.proxy.url)
                        await tab.page.goto(tab.url)
                        await tab.page.fill("[name=email]", self.name)
                        await tab.page.get_by_role("button", name="Join", exact=True).click()
                        await tab.page.wait_for_selector("textarea[name=message]:visible")
                        return
                await self._drop()

    @property
    def is_open(self) -> bool:
        """Whether there is a page; when none could be had, the harness has failed and says so."""
        return self._tab is not None

    async def say(self) -> bool:
        """Type the next text and press Enter; returns whether there was a page to do it in."""
        async with self.busy:
            return await self._say()

    async def reload(self) -> None:
        """Reload as often as it takes to get a page."""
        async with asyncio.timeout(RELOAD_SECONDS):
            while self._tab is not None:
                with suppress(PlaywrightError):
                    await self._tab.page.goto(self.proxy.url)
                    await self._tab.page.wait_for_selector("textarea[name=message]:visible")
                    return

    async def crash(self, after_ms: float) -> None:
        """Press Enter and be gone: the renderer is killed; another tab of the same browser takes over."""
        await self._say()
        await asyncio.sleep(after_ms / 1000)
        await self._collect()
        if self._tab is not None:
            session = await self._context.new_cdp_session(self._tab.page)
            with suppress(PlaywrightError, TimeoutError):
                await asyncio.wait_for(session.send("Page.crash"), 1)
        await self._drop()
        await self.open()

    async def network(self, state: str) -> None:
        await self._context.set_offline(state == "offline")

    async def state(self) -> dict[str, Any] | None:
        """What the page shows now; None when there is none."""
        if self._tab is None:
            return None
        with suppress(PlaywrightError):
            found: dict[str, Any] = await self._tab.page.evaluate(STATE)
            self.oddities.update(found["oddities"])
            return found
        return None

    async def close(self) -> None:
        """The tab is closed without a word."""
        await self._context.close()

    async def _say(self) -> bool:
        if self._tab is None:
            return False
        self._said += 1
        text = f"{self.name} #{self._said}"
        with suppress(PlaywrightError):
            await self._tab.says(text)
            self.written.append(text)
            return True
        return False

    async def _collect(self) -> None:
        await self.state()

    async def _drop(self) -> None:
        if self._tab is not None:
            with suppress(PlaywrightError, TimeoutError):
                await asyncio.wait_for(self._tab.page.close(), 2)
        self._tab = None
