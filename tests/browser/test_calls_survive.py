"""A call outlives what happens around it: the server's death, a machine that sleeps, a network that needs a relay."""

from __future__ import annotations

import os
import signal
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from tests.helpers.call_tabs import CALL_FLAGS, CallTab, until
from tests.helpers.coturn import SECRET, coturn
from tests.helpers.servers import Process

if TYPE_CHECKING:
    from playwright.async_api import Browser, ViewportSize

    from tests.browser.conftest import Browsers

LONGEST_GAP_MS: Final = 300.0
ROSTER_WITHIN_SECONDS: Final = 3.0
BACK_WITHIN_SECONDS: Final = 1.0
GONE_WITHIN_SECONDS: Final = 35.0
A_LOOK_SECONDS: Final = 1.0
"""How long a machine that does other things may take to look at a page."""
SMALL: Final[ViewportSize] = {"width": 900, "height": 560}


async def caller(stack: AsyncExitStack, opened: Browser, server: Process, name: str, **options: Any) -> CallTab:
    """Somebody in the call of the garden."""
    context = await opened.new_context(locale="en-GB", timezone_id="UTC", viewport=SMALL)
    stack.push_async_callback(context.close)
    tab = await CallTab.of(context, server.url, "/r/garden", name, **options)
    await tab.joins(name)
    return await tab.calls()


def browsers_of_ours() -> set[int]:
    """Every process of a browser that this test has started."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        pid = int(status.parent.name)
        names[pid], parents[pid] = name, int(rest.split()[1])

    def is_ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    return {pid for pid, name in names.items() if "chrom" in name and is_ours(pid)}


@pytest.mark.alone
async def test_the_server_dies_and_nobody_notices(browsers: Browsers, tmp_path: Path) -> None:
    """kill -9 in the middle of a call: pictures and sound go on without a gap; when the server is back, everybody is in
    the roster at once, and whoever comes then sees them all. No page is loaded again."""
    async with AsyncExitStack() as stack:
        server = await Process(tmp_path / "data").start()
        stack.push_async_callback(server.kill)
        opened = await browsers.of_calls()
        tabs = [await caller(stack, opened, server, name) for name in ("Anna", "Bob")]
        for each in tabs:
            await each.sees("Anna", "Bob")
            await each.receives(videos=1, sounds=1)
            await each.evaluate("() => { window.__same = true; __watch(); }")
        await server.kill()
        for each in tabs:
            await each.told("The server is out of reach.")
            await each.receives(videos=1, sounds=1)
        await server.start()
        began = time.monotonic()
        warning = "() => document.querySelector('[data-warning]').hidden"
        for each in tabs:
            await until(lambda each=each: each.evaluate(warning), lambda: "the roster is right again", each.tiles)
        took = time.monotonic() - began
        for each in tabs:
            await each.sees("Anna", "Bob")
            assert await each.evaluate("() => window.__same")
            gaps = await each.evaluate("() => __stopWatching()")
            # Between two looks nobody saw what happened; that is the machine's delay, and not the call's.
            assert gaps["audio"] < LONGEST_GAP_MS + gaps["blink"], gaps
            assert gaps["video"] < LONGEST_GAP_MS + gaps["blink"], gaps
        assert took < ROSTER_WITHIN_SECONDS
        carl = await caller(stack, opened, server, "Carl")
        for each in (*tabs, carl):
            await each.sees("Anna", "Bob", "Carl")
            await each.receives(videos=2, sounds=2)
            each.assert_well_behaved()


class Machine(NamedTuple):
    """A browser of its own, with all its processes: what somebody sits before."""

    tab: CallTab
    pids: set[int]

    def stops(self) -> None:
        self._signal(signal.SIGSTOP)

    def goes_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):  # a browser's helpers come and go
                os.kill(pid, number)


@pytest.mark.alone
async def test_machines_that_vanish(browsers: Browsers, tmp_path: Path) -> None:
    """Whose browser stops is shown as reconnecting. Bob's goes on, and within a second so does his picture; Carl's does
    not, and he is gone after 35 seconds; when it does, he enters again by himself."""
    async with AsyncExitStack() as stack:
        server = await Process(tmp_path / "data").start()
        stack.push_async_callback(server.kill)

        async def machine(name: str) -> Machine:
            before = browsers_of_ours()
            own = await browsers.start(*CALL_FLAGS)
            stack.push_async_callback(own.close)
            tab = await caller(stack, own, server, name)
            found = Machine(tab, browsers_of_ours() - before)
            stack.callback(found.goes_on)  # or it could not be closed
            assert found.pids
            return found

        anna = (await machine("Anna")).tab
        bob, carl = await machine("Bob"), await machine("Carl")
        await anna.sees("Anna", "Bob", "Carl")
        await anna.receives(videos=2, sounds=2)
        stopped = time.monotonic()
        for each in (bob, carl):
            each.stops()
        for each in (bob, carl):
            await anna.shows(each.tab.name, presence="reconnecting")
        await anna.evaluate("() => void (window.__next = __nextPicture())")
        resumed = time.time()
        bob.goes_on()
        next_picture = await anna.evaluate("() => __next")
        # Between two looks nobody saw what happened; that is the machine's delay, and not the call's.
        assert next_picture["at"] / 1000 - resumed < BACK_WITHIN_SECONDS + next_picture["blink"] / 1000
        await anna.shows("Bob", presence="here")
        await anna.sees_people("Bob", "You")
        gone = time.monotonic() - stopped
        assert gone < GONE_WITHIN_SECONDS + A_LOOK_SECONDS
        await bob.tab.sees("Anna", "Bob")
        carl.goes_on()
        for tab in (anna, bob.tab, carl.tab):
            await tab.sees("Anna", "Bob", "Carl")


async def test_three_people_one_of_whom_a_relay_alone_reaches(browsers: Browsers, tmp_path: Path) -> None:
    """Carl's network lets nothing through but the relay; all three see and hear each other, and the check says why."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(coturn(tmp_path))
        environ = {"CHATZILLA_TURN_URLS": f"{relay.udp},{relay.tcp}", "CHATZILLA_TURN_SECRET": SECRET}
        server = await Process(tmp_path / "data", environ=environ).start()
        stack.push_async_callback(server.kill)
        opened = await browsers.of_calls()
        three = [await caller(stack, opened, server, name, relay=name == "Carl") for name in ("Anna", "Bob", "Carl")]
        for each in three:
            await each.sees("Anna", "Bob", "Carl")
            await each.receives(videos=2, sounds=2)
        carl = three[2]
        await carl.presses("Devices and connection")
        await carl.told("It passes on what you send")
        routes = await carl.page.locator("[data-routes] li").all_inner_texts()
        assert len(routes) == 2
        assert all("through the relay" in route for route in routes), routes
        anna = three[0]
        await anna.presses("Devices and connection")
        await anna.page.locator("[data-routes] li").nth(1).wait_for()
        assert any("directly" in route for route in await anna.page.locator("[data-routes] li").all_inner_texts())


async def test_a_relay_that_refuses_the_credentials(browsers: Browsers, tmp_path: Path) -> None:
    """Who can be reached without it is; who cannot is told what is wrong, and whose matter it is."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(coturn(tmp_path))
        environ = {"CHATZILLA_TURN_URLS": relay.udp, "CHATZILLA_TURN_SECRET": "another-secret-of-enough-letters"}
        server = await Process(tmp_path / "data", environ=environ).start()
        stack.push_async_callback(server.kill)
        opened = await browsers.of_calls()
        anna, bob = [await caller(stack, opened, server, name) for name in ("Anna", "Bob")]
        await anna.sees("Anna", "Bob")
        await bob.receives(videos=1, sounds=1)
        carl = await caller(stack, opened, server, "Carl", relay=True)
        await carl.told("The relay refuses this server’s credentials.")
        await carl.presses("Devices and connection")
        await carl.told("Whoever runs the server has to compare the secrets.")
        await anna.shows("Bob", presence="here")
