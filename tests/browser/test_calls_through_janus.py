"""The stories of calls again, through Janus: page, tests and what people see are the same, the engine is not."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.browser.conftest import QUIET, chromium_path
from tests.browser.test_calls import (
    SMALL,
    House,
    Place,
    couple,
    pair,
    place,
    test_microphone_and_camera,
    test_moderators,
    test_one_click_from_a_room_to_a_call,
    test_three_who_join_at_once_all_see_each_other,
    test_two_screens_shared_at_the_same_moment,
)
from tests.helpers.call_tabs import CALL_FLAGS, CallTab, until
from tests.helpers.callers import party
from tests.helpers.janus_server import SECRET, JanusServer
from tests.helpers.servers import Process, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

__all__ = [
    "couple",
    "pair",
    "place",
    "test_microphone_and_camera",
    "test_moderators",
    "test_one_click_from_a_room_to_a_call",
    "test_three_who_join_at_once_all_see_each_other",
    "test_two_screens_shared_at_the_same_moment",
]
"""What the other engine is held to as well; the fixtures find this module's `house`."""

BACK_WITHIN_SECONDS: Final = 5.0

SENT: Final = """async () => {
    const found = {};
    for (const connection of __connections) {
        for (const stat of (await connection.getStats()).values()) {
            if (stat.type === 'outbound-rtp' && stat.rid && stat.active) found[stat.rid] = stat.frameWidth ?? 0;
        }
    }
    return found;
}"""
"""How wide each size is in which the camera is sent."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def janus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[JanusServer]:
    server = await JanusServer(tmp_path_factory.mktemp("janus")).start()
    yield server
    await server.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, janus: JanusServer) -> AsyncIterator[House]:
    """A server that has Janus, and a browser."""
    settings: dict[str, Any] = {"calls": "janus", "janus_url": janus.url, "janus_secret": SECRET}
    data = tmp_path_factory.mktemp("calls") / "data"
    async with serving(data, **settings) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=QUIET + CALL_FLAGS)
        yield House(server, browser)
        await browser.close()


async def everybody_is_seen(tabs: Sequence[CallTab]) -> float:
    """Wait until everybody is here and has a picture, for everybody; returns after how many seconds they had."""

    async def seen() -> bool:
        tiles = [tile for tab in tabs for tile in await tab.tiles()]
        return all(tile["presence"] == "here" and tile["colour"] for tile in tiles)

    return await until(seen, lambda: "everybody wants to see everybody", tabs[0].tiles)


async def test_janus_is_killed_in_a_call(pair: tuple[CallTab, CallTab], janus: JanusServer) -> None:
    """Everybody stays, and is told; seconds after it is back everybody sees and hears everybody, without a reload."""
    anna, bob = pair
    assert [url for url in anna.requests if "/call/sfu" in url]
    assert not [url for url in anna.requests if "/call/mesh" in url]
    await janus.kill()
    for each in pair:
        await each.told("Pictures and sound have stopped.")
        await each.told("2 participants")
    await janus.start()
    assert await everybody_is_seen(pair) < BACK_WITHIN_SECONDS
    for each, other in ((anna, "Bob"), (bob, "Anna")):
        await each.sees("Anna", "Bob")
        await each.receives(videos=1, sounds=1)
        await each.shows(other, presence="here")


async def test_a_small_tile_receives_a_small_picture(house: House, place: Place) -> None:
    """From five people on a camera is sent in two sizes; whoever enlarges a tile receives the large one."""
    async with party(house.server) as crowd:
        tabs = []
        for name in ("Anna", "Bob"):
            context = await house.chromium.new_context(viewport=SMALL)
            place.stack.push_async_callback(context.close)
            tab = await CallTab.of(context, house.server.url, f"/r/{place.room}", name, size=(640, 480))
            place.tabs.append(tab)
            await tab.joins(name)
            tabs.append(await tab.calls())
        anna, bob = tabs
        await bob.sees("Anna", "Bob")
        assert (await anna.evaluate(SENT)).keys() == {"h"}

        async def width() -> int:
            script = "() => document.querySelector('.tile:not(.tile-mine):not(.tile-dark) video').videoWidth"
            return int(await bob.evaluate(script))

        async def receives(wanted: int) -> None:
            async def right() -> bool:
                return await width() == wanted

            await until(right, lambda: f"Bob wants Anna {wanted} pixels wide", lambda: anna.evaluate(SENT))

        await receives(640)
        for name in ("Carl", "Dora", "Eve"):
            await crowd.enters(name, place.room, audio=False, video=False)
        await bob.told("5 participants")
        await receives(320)
        assert await anna.evaluate(SENT) == {"h": 640, "l": 320}
        await bob.page.get_by_role("button", name="Enlarge: Anna").click()
        await receives(640)


async def test_the_server_is_killed_in_a_call(house: House, tmp_path: Path) -> None:
    """With it goes what there was in Janus; both pages stay in the call, and see each other again when it is back."""
    janus = await JanusServer(tmp_path).start()
    environ = {"CHATZILLA_CALLS": "janus", "CHATZILLA_JANUS_URL": janus.url, "CHATZILLA_JANUS_SECRET": SECRET}
    server = await Process(tmp_path / "data", environ=environ).start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(janus.kill)
        stack.push_async_callback(server.kill)
        tabs = []
        for name in ("Anna", "Bob"):
            context = await house.chromium.new_context(viewport=SMALL)
            stack.push_async_callback(context.close)
            tab = await CallTab.of(context, server.url, "/r/garden", name)
            await tab.joins(name)
            tabs.append(await tab.calls())
        for each in tabs:
            await each.sees("Anna", "Bob")
        await server.kill()
        for each in tabs:
            await each.told("The server is out of reach. Coming back…")
        await server.start()
        assert await everybody_is_seen(tabs) < BACK_WITHIN_SECONDS
        for each in tabs:
            await each.sees("Anna", "Bob")
            await each.receives(videos=1, sounds=1)
            each.assert_well_behaved()
