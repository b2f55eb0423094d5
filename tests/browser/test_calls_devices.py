"""What stands between a person and their camera: each in words, each with a way into the call all the same."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import pytest_asyncio

from tests.helpers.call_tabs import CallTab
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, ViewportSize

    from tests.browser.conftest import Browsers
    from tests.helpers.servers import Server

CALLING: Final = ["--mute-audio", "--allow-loopback-in-peer-connection"]
DEVICES: Final = "--use-fake-device-for-media-stream"
GRANTING: Final = "--use-fake-ui-for-media-stream"
SMALL: Final[ViewportSize] = {"width": 900, "height": 560}
BOTH: Final = ["camera", "microphone"]


class House(NamedTuple):
    """A server, and a way to start browsers with devices of one kind or another."""

    server: Server
    browsers: Browsers

    async def start(self, stack: AsyncExitStack, *flags: str) -> Browser:
        browser = await self.browsers.start(*CALLING, *flags)
        stack.push_async_callback(browser.close)
        return browser

    async def person(self, browser: Browser, room: str, name: str, *granted: str, url: str = "") -> CallTab:
        """Somebody before the mirror of a room's call, with the browser's own devices, or none."""
        context = await browser.new_context(locale="en-GB", timezone_id="UTC", viewport=SMALL)
        if granted:
            await context.grant_permissions(list(granted))
        tab = await CallTab.of(context, url or self.server.url, f"/r/{room}", name, canvas=False)
        await tab.joins(name)
        return await tab.looks()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(browsers: Browsers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    # By these settings it may be reached by names, too; where it listens, `serving` says.
    async with serving(tmp_path_factory.mktemp("devices") / "data", host="0.0.0.0") as server:
        yield House(server, browsers)


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_the_browser_is_told_to_keep_the_devices(house: House, stack: AsyncExitStack) -> None:
    """Refused, one is told how to allow it, and watches; allowed, one tries again and is seen."""
    browser = await house.start(stack, DEVICES)
    anna = await house.person(browser, "refused", "Anna", *BOTH)
    await anna.joins_call()
    bob = await house.person(browser, "refused", "Bob")
    await bob.told("Your browser keeps the camera and microphone from this page")
    await bob.joins_call()
    await bob.receives(videos=1, sounds=1)
    await anna.sees_people("Bob", "You")
    await anna.shows("Bob", muted=True, presence="here")
    await bob.page.context.grant_permissions(BOTH)
    await bob.presses("Turn your camera on")
    await anna.receives(videos=1, sounds=0)
    await bob.presses("Unmute")
    await anna.receives(videos=1, sounds=1)
    await anna.shows("Bob", muted=False)


async def test_the_camera_alone_is_refused(house: House, stack: AsyncExitStack) -> None:
    """One is heard, is told, and tries again from where one stands."""
    browser = await house.start(stack, DEVICES)
    bob = await house.person(browser, "half", "Bob", "microphone")
    await bob.told("Your browser keeps the camera from this page")
    assert await bob.page.locator("call-preview [data-level]").is_visible(), "the microphone is there"
    await bob.page.context.grant_permissions(BOTH)
    await bob.page.get_by_role("button", name="Try again").click()
    await bob.page.wait_for_function("() => document.querySelector('[data-mirror] video').videoWidth > 0")
    assert not await bob.page.locator("[data-problem]").is_visible()


async def test_no_camera_and_no_devices_at_all(house: House, stack: AsyncExitStack) -> None:
    """Without a camera one is heard, without anything one watches."""
    deaf = await house.start(stack, GRANTING)
    half = await house.start(stack, GRANTING, f"{DEVICES}=device-count=0")
    anna = await house.person(half, "bare", "Anna")
    await anna.told("There is no camera")
    await anna.joins_call()
    bob = await house.person(deaf, "bare", "Bob")
    await bob.told("There is no camera and no microphone")
    await bob.joins_call()
    await bob.receives(videos=0, sounds=1)
    await anna.sees_people("Bob", "You")
    await bob.shows("Anna", presence="here", speaking=True)


async def test_a_page_that_is_not_secure(house: House, stack: AsyncExitStack) -> None:
    """Over plain http from elsewhere a browser lends nothing; one is told so, and sees and hears the others."""
    browser = await house.start(stack, DEVICES, GRANTING, "--host-resolver-rules=MAP chat.test 127.0.0.1")
    anna = await house.person(browser, "insecure", "Anna")
    await anna.joins_call()
    bob = await house.person(browser, "insecure", "Bob", url=house.server.url.replace("127.0.0.1", "chat.test"))
    await bob.told("No camera and microphone on an insecure page")
    assert not await bob.page.get_by_role("button", name="Try again").is_visible()
    await bob.page.get_by_role("button", name="Check my connection").click()
    await bob.told("Without https://")
    await bob.page.keyboard.press("Escape")
    await bob.joins_call()
    await bob.receives(videos=1, sounds=1)
    await anna.sees_people("Bob", "You")


async def test_several_cameras_and_a_choice_that_is_remembered(house: House, stack: AsyncExitStack) -> None:
    browser = await house.start(stack, GRANTING, f"{DEVICES}=device-count=3")
    anna = await house.person(browser, "choice", "Anna")
    camera = anna.page.locator("#call-camera")
    await camera.locator("option").nth(2).wait_for(state="attached")
    labels = await camera.locator("option").all_inner_texts()
    assert len(set(labels)) == 3
    assert all(labels)
    await camera.select_option(index=2)
    used = "() => document.querySelector('[data-mirror] video')?.srcObject?.getTracks()[0]?.label"
    await anna.page.wait_for_function(f"label => ({used})() === label", arg=labels[2])
    await anna.joins_call()
    await anna.page.reload()
    await anna.is_online()
    await anna.looks()
    await anna.page.wait_for_function(f"label => ({used})() === label", arg=labels[2])


async def test_the_check_before_a_call(house: House, stack: AsyncExitStack) -> None:
    """It says of each thing whether it works, before anybody has to find out in a call."""
    browser = await house.start(stack, DEVICES, GRANTING)
    anna = await house.person(browser, "check", "Anna")
    await anna.page.get_by_role("button", name="Check my connection").click()
    steps: Any = anna.page.locator("call-settings .step")
    await anna.page.wait_for_function(
        "() => document.querySelectorAll('.step').length === 5 && !document.querySelector('.step[data-state=running]')"
    )
    states = {
        await step.get_attribute("data-key"): await step.get_attribute("data-state") for step in await steps.all()
    }
    assert states == {"secure": "good", "devices": "good", "server": "good", "direct": "good", "relay": "so-so"}
    await anna.told("This server has none.")
