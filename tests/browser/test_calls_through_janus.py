"""The page in a call that goes through Janus: the same buttons, the same tiles, another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playwright.async_api import async_playwright

from tests.browser.conftest import QUIET, chromium_path
from tests.helpers.call_tabs import CALL_FLAGS, CallTab
from tests.helpers.janus_server import SECRET, JanusServer
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_page_in_a_call_through_janus(tmp_path: Path) -> None:
    """People come, share screens, switch cameras, and stay when Janus dies; what is seen is as in a mesh."""
    janus = await JanusServer(tmp_path).start()
    try:
        settings: dict[str, Any] = {"calls": "janus", "janus_url": janus.url, "janus_secret": SECRET}
        async with serving(tmp_path / "data", **settings) as server, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=QUIET + CALL_FLAGS)

            async def caller(name: str) -> CallTab:
                context = await browser.new_context(viewport={"width": 900, "height": 560})
                tab = await CallTab.of(context, server.url, "/r/garden", name)
                await tab.joins(name)
                return await tab.calls()

            anna, bob = [await caller(name) for name in ("Anna", "Bob")]
            for each in (anna, bob):
                await each.sees("Anna", "Bob")
                await each.receives(videos=1, sounds=1)
            await anna.presses("Share your screen")
            await bob.sees("Anna", "Bob", screens=["Anna"])
            carl = await caller("Carl")
            await carl.sees("Anna", "Bob", "Carl", screens=["Anna"])
            await bob.presses("Turn your camera off")
            await bob.presses("Mute")
            await carl.sees("Anna", "Bob", "Carl", screens=["Anna"], dark=["Bob"])
            await anna.presses("Stop sharing your screen")
            await carl.sees("Anna", "Bob", "Carl", dark=["Bob"])
            await bob.presses("Turn your camera on")
            await bob.presses("Unmute")
            await carl.sees("Anna", "Bob", "Carl")
            await anna.presses("Share your screen")
            await carl.sees("Anna", "Bob", "Carl", screens=["Anna"])
            await carl.presses("Devices and connection")
            await carl.page.locator("[data-routes]").get_by_text("The server").wait_for()
            await carl.page.keyboard.press("Escape")
            await janus.kill()
            await carl.shows("Bob", presence="reconnecting")
            await janus.start()
            for each in (anna, bob, carl):
                await each.sees("Anna", "Bob", "Carl", screens=["Anna"])
            await carl.receives(videos=3, sounds=3)
            for each in (anna, bob, carl):
                each.assert_well_behaved()
            await browser.close()
    finally:
        await janus.kill()
