"""The stories of calls again, through Janus: page, tests and what people see are the same, the engine is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.browser.conftest import QUIET, chromium_path
from tests.browser.test_calls import (
    House,
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
from tests.helpers.janus_server import SECRET, JanusServer
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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

BACK_WITHIN_SECONDS = 5.0


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

    async def seen() -> bool:
        tiles = [tile for each in pair for tile in await each.tiles()]
        return all(tile["presence"] == "here" and tile["colour"] for tile in tiles)

    took = await until(seen, lambda: "both want to see both", anna.tiles)
    assert took < BACK_WITHIN_SECONDS
    for each, other in ((anna, "Bob"), (bob, "Anna")):
        await each.sees("Anna", "Bob")
        await each.receives(videos=1, sounds=1)
        await each.shows(other, presence="here")
