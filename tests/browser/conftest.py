"""A real Chromium, and tabs that are people."""

from __future__ import annotations

import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

import pytest
from playwright.async_api import async_playwright

from tests.helpers.servers import Process
from tests.helpers.tabs import Tab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any

    from playwright.async_api import Browser, BrowserContext

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))


class OpenTab(Protocol):
    """Opens the page in a browser of its own, or in the one of `beside`."""

    async def __call__(self, path: str = "/", *, beside: Tab | None = None, **options: Any) -> Tab: ...


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """The system's browser, without a window; where it is installed, the build of it that never had one.

    It takes less than half of the processor time to start. For calls it lacks too much.
    """
    async with async_playwright() as playwright:
        path = shutil.which("chromium-headless-shell") or chromium_path()
        browser = await playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        await browser.close()


@pytest.fixture
async def chatzilla(tmp_path: Path) -> AsyncIterator[Process]:
    """The server as an operator runs it, with a heartbeat that finds the dead within four seconds."""
    process = await Process(tmp_path / "data", environ={"CHATZILLA_HEARTBEAT": "2"}).start()
    yield process
    await process.kill()


@pytest.fixture
async def tab(chromium: Browser, chatzilla: Process) -> AsyncIterator[OpenTab]:
    """`await tab("/r/garden")` opens a page; at the end, each has to have behaved."""
    async with AsyncExitStack() as stack:
        tabs: list[Tab] = []

        async def open_tab(path: str = "/", *, beside: Tab | None = None, **options: Any) -> Tab:
            context: BrowserContext
            if beside is None:
                context = await chromium.new_context(locale="en-GB", timezone_id="UTC", **options)
                stack.push_async_callback(context.close)
            else:
                context = beside.page.context
            opened = await Tab.open(context, chatzilla.url, path)
            tabs.append(opened)
            return opened

        yield open_tab
        for each in tabs:
            each.assert_well_behaved()
