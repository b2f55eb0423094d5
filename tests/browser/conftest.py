"""A real Chromium, and tabs that are people.

All tests here share one driver, and one browser of each build, because to start either takes longer than many a test
does; so they share one event loop, too. What keeps people apart is what keeps private windows apart: each has a context
of their own, and it ends with the test.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.helpers.call_tabs import CALL_FLAGS
from tests.helpers.servers import Server, serving
from tests.helpers.tabs import Tab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any

    from playwright.async_api import Browser, BrowserContext, Playwright

NOT_NEEDED = [
    # A page that waits behind each window's address bar takes more to load than ours do.
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxPopup",
    # Of two such lists the last one counts, so what playwright has in its own is repeated.
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
]
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--disable-features={','.join(NOT_NEEDED)}",
]


def chromium_path() -> str:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test here runs in the loop of the browsers."""
    if pytest_asyncio.is_async_test(item):
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class Browsers:
    """The browsers that tests share: each starts when it is first asked for, and anew when it has died."""

    def __init__(self, playwright: Playwright) -> None:
        self._playwright = playwright
        self._running: dict[tuple[str, ...], Browser] = {}

    async def of_pages(self) -> Browser:
        """The system's browser, without a window; where it is installed, the build of it that never had one.

        It takes less than half of the processor time. For calls it lacks too much.
        """
        return await self._get(shutil.which("chromium-headless-shell") or chromium_path(), *QUIET)

    async def of_calls(self) -> Browser:
        return await self._get(chromium_path(), *QUIET, *CALL_FLAGS)

    async def start(self, *flags: str) -> Browser:
        """One more for calls, which is nobody else's; whoever starts it closes it."""
        return await self._start(chromium_path(), *QUIET, *flags)

    async def close(self) -> None:
        for browser in self._running.values():
            await browser.close()

    async def _get(self, path: str, *flags: str) -> Browser:
        found = self._running.get((path, *flags))
        if found is None or not found.is_connected():
            found = self._running[path, *flags] = await self._start(path, *flags)
        return found

    async def _start(self, path: str, *flags: str) -> Browser:
        return await self._playwright.chromium.launch(executable_path=path, args=flags)


class OpenTab(Protocol):
    """Opens the page in a browser of its own, or in the one of `beside`."""

    async def __call__(self, path: str = "/", *, beside: Tab | None = None, **options: Any) -> Tab: ...


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browsers() -> AsyncIterator[Browsers]:
    async with async_playwright() as playwright:
        shared = Browsers(playwright)
        yield shared
        await shared.close()


@pytest_asyncio.fixture(loop_scope="session")
async def chromium(browsers: Browsers) -> AsyncIterator[Browser]:
    """A browser in which nothing is open, nor stays open."""
    browser = await browsers.of_pages()
    yield browser
    for context in browser.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def chatzilla(tmp_path: Path) -> AsyncIterator[Server]:
    """A server in this loop; where servers are killed, it is a process."""
    async with serving(tmp_path / "data") as server:
        yield server


@pytest.fixture(autouse=True)
def no_leaked_tasks() -> None:
    """In this loop there are servers that go on; what they leave behind is looked for everywhere else."""


@pytest_asyncio.fixture(loop_scope="session")
async def tab(chromium: Browser, chatzilla: Server) -> AsyncIterator[OpenTab]:
    """`await tab("/r/garden")` opens a page; at the end, each has to have behaved."""
    tabs: list[Tab] = []

    async def open_tab(path: str = "/", *, beside: Tab | None = None, **options: Any) -> Tab:
        context: BrowserContext
        if beside is None:
            context = await chromium.new_context(locale="en-GB", timezone_id="UTC", **options)
        else:
            context = beside.page.context
        opened = await Tab.open(context, chatzilla.url, path)
        tabs.append(opened)
        return opened

    yield open_tab
    for each in tabs:
        each.assert_well_behaved()
