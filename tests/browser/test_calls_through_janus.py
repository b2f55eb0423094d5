"""What is Janus' own in calls, in real browsers; what holds whichever engine carries a call is in `test_calls`."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from tests.browser.test_calls import SMALL, House, Place, place
from tests.helpers import extras
from tests.helpers.call_engines import engine
from tests.helpers.call_tabs import CAST, COLOURS, CallTab, until
from tests.helpers.callers import Party, party
from tests.helpers.janus_server import SECRET, JanusServer
from tests.helpers.servers import Process, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.browser.conftest import Browsers

__all__ = ["place"]
"""The fixture finds this module's `house`."""

BACK_WITHIN_SECONDS: Final = 5.0

EXTRAS: Final = 3
"""More, and three browsers that paint them all keep two cores from everything else."""

OWN_ID: Final = "() => document.querySelector('.tile-mine').dataset.participant"

SENT: Final = """async () => {
    const found = {};
    for (const connection of __connections) {
        for (const stat of (await connection.getStats()).values()) {
            if (stat.type === 'outbound-rtp' && stat.rid && stat.active) found[stat.rid] = stat.frameWidth ?? 0;
        }
    }
    return found;
}"""
"""How wide each size is in which the camera is sent. A machine that is busy sends less than the camera has."""

SEEN: Final = "() => document.querySelector('.tile:not(.tile-mine):not(.tile-dark) video')?.videoWidth"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(browsers: Browsers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A server that has Janus, and a browser."""
    folder = tmp_path_factory.mktemp("calls")
    async with engine("janus", folder) as settings, serving(folder / "data", **settings) as server:
        yield House(server, await browsers.of_calls())


@pytest.mark.alone
async def test_browsers_and_extras_outlive_the_end_of_either_process(house: House, tmp_path: Path) -> None:
    """Three people in browsers and three extras: everybody sees everybody in their own colour.

    Janus is killed, and so is the server: everybody stays, and seconds after it is back everybody sees everybody again,
    without a reload and as who they were. When they have gone nothing of them is left in Janus.
    """
    async with AsyncExitStack() as stack:
        janus = await JanusServer(tmp_path).start()
        stack.push_async_callback(janus.kill)
        environ = {"CHATZILLA_CALLS": "janus", "CHATZILLA_JANUS_URL": janus.url, "CHATZILLA_JANUS_SECRET": SECRET}
        server: Any = await Process(tmp_path / "data", environ=environ).start()
        stack.push_async_callback(server.kill)
        people = Party(server, stack)
        cast = await extras.enter(people, "garden", *[*CAST][:EXTRAS])
        for extra in cast:
            stack.push_async_callback(extra.vanishes)
        tabs = []
        for name in ("Anna", "Bob", "Carl"):
            context = await house.chromium.new_context(viewport=SMALL)
            stack.push_async_callback(context.close)
            tab = await CallTab.of(context, server.url, "/r/garden", name)
            await tab.joins(name)
            tabs.append(await tab.calls())
        names = [*(extra.name for extra in cast), *(tab.name for tab in tabs)]
        ids = {extra.name: extra.id for extra in cast}

        async def everybody_sees_everybody() -> float:
            """Returns after how many seconds they did."""
            began = time.monotonic()
            seen = {await tab.evaluate(OWN_ID): COLOURS[tab.name] for tab in tabs}
            seen |= {extra.id: CAST[extra.name] for extra in cast}
            await asyncio.gather(*(tab.sees(*names) for tab in tabs), extras.all_see(cast, seen))
            return time.monotonic() - began

        await everybody_sees_everybody()
        assert [url for url in tabs[0].requests if "/call/sfu" in url]
        assert not [url for url in tabs[0].requests if "/call/mesh" in url]
        everything = 1 + 2 * len(names)
        assert await janus.handles() == everything, "two of each, and one by which rooms are made"

        await janus.kill()
        for tab in tabs:
            await tab.told("Pictures and sound have stopped.")
            await tab.told(f"{len(names)} participants")
        await janus.start()
        assert await everybody_sees_everybody() < BACK_WITHIN_SECONDS
        assert await janus.handles() == everything

        await server.kill()
        for tab in tabs:
            await tab.told("The server is out of reach. Coming back…")
        await server.start()
        assert await everybody_sees_everybody() < BACK_WITHIN_SECONDS
        for tab in tabs:
            await tab.receives(videos=len(names) - 1, sounds=len(names) - 1)
            tab.assert_well_behaved()
        assert {extra.name: extra.id for extra in cast} == ids, "the same participants"
        assert await janus.handles() == everything
        assert len(await janus.rooms()) == 1

        for tab in tabs:
            await tab.presses("Leave the call")
        for extra in cast:
            await extra.leaves()

        async def nothing_is_left() -> bool:
            return await janus.rooms() == [] and await janus.handles() == 1

        await until(nothing_is_left, lambda: "nothing is left in Janus", janus.handles)


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

        async def receives(wanted: str, *sizes: str) -> None:
            """Wait until Anna sends these sizes, and what Bob sees is the wanted one."""

            async def right() -> bool:
                sent, seen = await anna.evaluate(SENT), await bob.evaluate(SEEN)
                larger = sent.get("l", 0) < sent.get("h", 0)
                return larger and sent.keys() == {*sizes} and bool(sent[wanted] == seen)

            await until(right, lambda: f"Bob wants Anna as {wanted} of {sizes}", lambda: anna.evaluate(SENT))

        await receives("h", "h")
        for name in ("Carl", "Dora", "Eve"):
            await crowd.enters(name, place.room, audio=False, video=False)
        await bob.told("5 participants")
        await receives("l", "h", "l")
        await bob.page.get_by_role("button", name="Enlarge: Anna").click()
        await receives("h", "h", "l")
