"""Calls in the page: who is seen and heard where, whatever people and networks do. Real Chromium, real media.

Every story is told on both engines, from browser to browser and through Janus, unless it is about the page alone.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import pytest_asyncio

from chatzilla.core.people import app_named
from chatzilla.core.rights import CallRole
from chatzilla.core.rooms import RoomId
from tests.browser.test_page import PHONE, assert_accessible, desk_and_phone, overflow
from tests.helpers.call_engines import ENGINES, engine
from tests.helpers.call_tabs import CallTab
from tests.helpers.servers import serving
from tests.helpers.wires import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, ViewportSize

    from tests.browser.conftest import Browsers
    from tests.helpers.servers import Server

SMALL: Final[ViewportSize] = {"width": 900, "height": 560}
"""Every pixel of a page is painted by the processor here."""


class House(NamedTuple):
    """A server and the browser of calls, for all tests of a module; each test has a room of its own."""

    server: Server
    chromium: Browser


the_page_alone = pytest.mark.parametrize("house", ENGINES[:1], indirect=True)
"""For what is the same before a call has an engine, and for what any engine would do."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=ENGINES)
async def house(
    request: pytest.FixtureRequest, browsers: Browsers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("calls")
    async with engine(request.param, folder) as settings, serving(folder / "data", **settings) as server:
        yield House(server, await browsers.of_calls())


class Place(NamedTuple):
    """A room for one test, and how one gets into it."""

    house: House
    room: str
    stack: AsyncExitStack
    tabs: list[CallTab]

    async def browser(self, name: str, path: str, **options: Any) -> CallTab:
        options = {"locale": "en-GB", "timezone_id": "UTC", "viewport": SMALL} | options
        context = await self.house.chromium.new_context(**options)
        self.stack.push_async_callback(context.close)
        tab = await CallTab.of(context, self.house.server.url, path, name)
        self.tabs.append(tab)
        return tab

    async def person(self, name: str, **options: Any) -> CallTab:
        """Somebody in the room, in a browser of their own."""
        tab = await self.browser(name, f"/r/{self.room}", **options)
        await tab.joins(name)
        return tab

    async def caller(self, name: str, **options: Any) -> CallTab:
        """Somebody in the room's call."""
        return await (await self.person(name, **options)).calls()

    def link(self, name: str, role: CallRole = CallRole.PUBLISHER) -> str:
        """The page of the call, with a right to enter it."""
        rights = self.house.server.house.sign_ins.rights
        assert rights is not None
        room = RoomId(self.room)
        return f"/call/{self.room}?token={rights.make(app_named(name, room), room, role).token}"

    async def guest(self, name: str, role: CallRole = CallRole.PUBLISHER, **options: Any) -> CallTab:
        """Somebody on the call's own page, who came with a right."""
        tab = await self.browser(name, self.link(name, role), **options)
        await tab.page.locator("call-preview:not([hidden])").wait_for()
        return tab


@pytest_asyncio.fixture(loop_scope="session")
async def place(house: House, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        room = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:64].strip("-")
        found = Place(house, room, stack, [])
        yield found
        for tab in found.tabs:
            tab.assert_well_behaved()


async def test_one_click_from_a_room_to_a_call(place: Place) -> None:
    """Anna calls, Bob sees who is in before he enters; they see and hear each other, and what is left is a notice."""
    anna = await place.person("Anna")
    bob = await place.person("Bob")
    await anna.calls()
    await bob.told("Anna is in a call")
    assert "call-bar-rings" in str(await bob.page.locator("[data-call-bar]").get_attribute("class"))
    assert await bob.evaluate("() => document.activeElement.name") == "message", "nobody's focus is stolen"
    await bob.looks()
    await bob.told("Anna is in it.")
    await bob.page.wait_for_function("() => +document.querySelector('[data-level]').ariaValueNow > 5")
    await bob.joins_call()
    await anna.sees("Anna", "Bob")
    await bob.sees("Anna", "Bob")
    await anna.receives(videos=1, sounds=1)
    await bob.receives(videos=1, sounds=1)
    await bob.told("2 participants")
    assert (await bob.tile("You"))["mirrored"]
    assert not (await bob.tile("Anna"))["mirrored"]
    await bob.shows("Anna", speaking=True)

    await bob.says("written in the call")
    await anna.page.locator(".message-content", has_text="written in the call").wait_for()
    await bob.presses("Leave the call")
    await anna.sees("Anna")
    await anna.told("1 participant")
    assert await bob.evaluate("() => __tracks.every(track => track.readyState === 'ended')"), "the light goes out"
    await anna.presses("Leave the call")
    await anna.page.locator(".message-notice").wait_for()
    words = await anna.page.locator(".message-notice .message-content").inner_text()
    assert "Anna" in words
    assert "Bob" in words
    await bob.page.locator("[data-call-bar]").wait_for(state="hidden")


async def test_three_who_join_at_once_all_see_each_other(place: Place) -> None:
    """No first offer gets lost, however they cross."""
    three = [await (await place.person(name)).looks() for name in ("Anna", "Bob", "Carl")]
    for each in three:
        await each.join.click(no_wait_after=True)
    for each in three:
        await each.is_in_call()
    for each in three:
        await each.sees("Anna", "Bob", "Carl")
        await each.receives(videos=2, sounds=2)
    await three[0].told("3 participants")
    carl = three.pop()
    await carl.page.close()
    for each in three:
        await each.sees("Anna", "Bob")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def couple(house: House) -> AsyncIterator[tuple[CallTab, CallTab]]:
    """Anna and Bob, who are in a call for as long as somebody wants to see something of it."""
    async with AsyncExitStack() as stack:
        place = Place(house, "couple", stack, [])
        yield await place.caller("Anna"), await place.caller("Bob")
        for tab in place.tabs:
            tab.assert_well_behaved()


@pytest_asyncio.fixture(loop_scope="session")
async def pair(couple: tuple[CallTab, CallTab]) -> tuple[CallTab, CallTab]:
    """Both are seen and heard."""
    anna, bob = couple
    for each in couple:
        await each.sees("Anna", "Bob")
    await anna.shows("Bob", muted=False, hand=False, large=False)
    await bob.shows("Anna", muted=False, hand=False, large=False)
    return couple


async def test_microphone_and_camera(pair: tuple[CallTab, CallTab]) -> None:
    """Muted is shown; a camera that is off is let go of, and comes back."""
    anna, bob = pair
    await bob.presses("Mute")
    await anna.shows("Bob", muted=True, speaking=False)
    await bob.presses("Turn your camera off")
    await anna.sees("Anna", "Bob", dark=["Bob"])
    cameras = "() => __tracks.filter(track => track.kind === 'video').map(track => track.readyState)"
    assert set(await bob.evaluate(cameras)) == {"ended"}
    await anna.receives(videos=0, sounds=0)
    await bob.presses("Turn your camera on")
    await bob.presses("Unmute")
    await anna.sees("Anna", "Bob")
    await anna.receives(videos=1, sounds=1)
    await anna.shows("Bob", muted=False, speaking=True)


async def test_what_one_was_like_is_remembered(place: Place) -> None:
    """Whoever left muted and without a picture enters so the next time, and their first word is heard."""
    anna, bob = await place.caller("Anna"), await place.caller("Bob")
    await bob.presses("Mute")
    await bob.presses("Turn your camera off")
    await bob.presses("Leave the call")
    await bob.calls()
    await anna.sees("Anna", "Bob", dark=["Bob"])
    await anna.shows("Bob", muted=True)
    await bob.presses("Unmute")
    await anna.receives(videos=0, sounds=1)
    await bob.presses("Turn your camera on")
    await anna.sees("Anna", "Bob")


async def test_hands_zoom_and_full_screen(pair: tuple[CallTab, CallTab]) -> None:
    """Raise a hand; make a tile large with the mouse and by the keyboard; fill the screen with it."""
    anna, bob = pair
    await bob.presses("Raise your hand")
    await anna.told("Bob raised a hand.")
    await anna.shows("Bob", hand=True)
    await anna.page.get_by_role("button", name="Enlarge: Bob").click()
    await anna.shows("Bob", large=True)
    await anna.evaluate("() => Promise.all(document.getAnimations().map(animation => animation.finished))")
    box = await anna.page.locator(".tile-large").bounding_box()
    stage = await anna.page.locator("[data-tiles]").bounding_box()
    assert box is not None
    assert stage is not None
    assert box["width"] * box["height"] > 0.5 * stage["width"] * stage["height"]
    await anna.page.get_by_role("button", name="Make smaller: Bob").press("Enter")
    await anna.shows("Bob", large=False)
    await anna.page.get_by_role("button", name="Full screen: Bob").click()
    await anna.page.wait_for_function("() => document.fullscreenElement?.classList.contains('tile')")
    await anna.evaluate("() => document.exitFullscreen()")
    await bob.presses("Lower your hand")


async def test_the_space_bar_is_to_talk_unless_one_writes(pair: tuple[CallTab, CallTab]) -> None:
    anna, bob = pair
    await bob.page.locator(".call-head").click()
    await bob.page.keyboard.press("m")
    await anna.shows("Bob", muted=True)
    await bob.page.keyboard.down(" ")
    await anna.shows("Bob", muted=False)
    await anna.receives(videos=1, sounds=1)
    await bob.page.keyboard.up(" ")
    await anna.shows("Bob", muted=True)
    await bob.page.locator("textarea[name=message]").press("m")
    await bob.page.keyboard.press(" ")
    await bob.page.keyboard.press("h")
    assert await bob.page.input_value("textarea[name=message]") == "m h"
    assert not (await anna.tile("Bob"))["hand"]
    await bob.presses("Unmute")


async def test_two_screens_shared_at_the_same_moment(pair: tuple[CallTab, CallTab]) -> None:
    """Both offers cross, both screens arrive; the browser's own button ends one, and no camera comes back with it."""
    anna, bob = pair
    await bob.presses("Turn your camera off")
    await anna.sees("Anna", "Bob", dark=["Bob"])
    share = "() => document.querySelector('call-controls [data-screen]').click()"
    for each in (anna, bob):
        await each.evaluate(share)
    for each in (anna, bob):
        await each.sees("Anna", "Bob", dark=["Bob"], screens=["Anna", "Bob"])
    await anna.receives(videos=1, sounds=2)
    await bob.receives(videos=2, sounds=2)
    large = [tile["name"] for tile in await anna.tiles() if tile["large"]]
    assert large == ["Bob’s screen"]
    await bob.evaluate(
        """() => {
            const screen = __tracks.findLast(track => track.kind === 'video');
            screen.stop();
            screen.dispatchEvent(new Event('ended'));
        }"""
    )
    await anna.sees("Anna", "Bob", dark=["Bob"], screens=["Anna"])
    await anna.presses("Stop sharing your screen")
    await bob.sees("Anna", "Bob", dark=["Bob"])
    await anna.presses("Share your screen")
    await bob.sees("Anna", "Bob", dark=["Bob"], screens=["Anna"])
    await bob.receives(videos=2, sounds=2)
    await anna.presses("Stop sharing your screen")
    await bob.sees("Anna", "Bob", dark=["Bob"])
    await bob.presses("Turn your camera on")
    for each in pair:
        await each.sees("Anna", "Bob")
        await each.receives(videos=1, sounds=1)


async def test_moderators(place: Place) -> None:
    """Who began the call may mute, switch off, lock, remove and end; whoever it concerns is told by whom."""
    anna, bob = await place.caller("Anna"), await place.caller("Bob")
    await anna.sees("Anna", "Bob")
    await bob.presses("Share your screen")
    await anna.sees("Anna", "Bob", screens=["Bob"])
    await anna.presses("2 participants")
    people = anna.page.locator("call-people dialog")
    for button, words in (
        ("Mute: Bob", "Anna muted you."),
        ("Camera off: Bob", "Anna switched off your camera."),
        ("Stop screen: Bob", "Anna switched off your screen."),
    ):
        await people.get_by_role("button", name=button).click()
        await bob.told(words)
    await anna.sees("Anna", "Bob", dark=["Bob"])
    await anna.shows("Bob", muted=True)
    await people.get_by_role("button", name="Let nobody else in").click()
    await people.get_by_role("button", name="Let others in again").wait_for()
    carl = await (await place.person("Carl")).looks()
    await carl.join.click()
    await carl.told("This call is locked")
    await people.get_by_role("button", name="Remove: Bob").click()
    await bob.told("Anna removed you from the call")
    assert await bob.evaluate("() => __tracks.every(track => track.readyState === 'ended')")
    await anna.sees("Anna")
    await people.get_by_role("button", name="Let others in again").click()
    await people.get_by_role("button", name="Let nobody else in").wait_for()
    await carl.joins_call()
    await anna.sees("Anna", "Carl")
    anna.page.once("dialog", lambda dialog: dialog.accept())
    await people.get_by_role("button", name="End the call").click()
    await carl.told("Anna ended the call")


async def test_a_call_on_a_page_of_its_own(place: Place) -> None:
    """Open the page twice and that is a group call; whoever may only watch is counted, and neither seen nor asked."""
    anna = await place.guest("Anna")
    assert "token" not in anna.page.url
    await anna.joins_call()
    bob = await (await place.guest("Bob")).joins_call()
    await anna.sees("Anna", "Bob")
    await bob.sees("Anna", "Bob")
    carl = await place.guest("Carl", CallRole.SUBSCRIBER)
    await carl.page.get_by_role("button", name="Join and watch").click()
    await carl.sees("Anna", "Bob")
    await carl.receives(videos=2, sounds=2)
    assert await carl.evaluate("() => __tracks.length") == 0
    await anna.told("3 participants, 1 watching")
    await anna.sees("Anna", "Bob")
    await carl.page.reload()
    await carl.page.get_by_role("button", name="Join and watch").click()
    await carl.sees("Anna", "Bob")
    await bob.presses("Leave the call")
    await bob.join.wait_for()
    await anna.sees("Anna")
    await anna.told("2 participants, 1 watching")


async def test_the_same_right_twice(place: Place) -> None:
    """The newer page wins, and the older one is told; it can take the call back."""
    anna = await (await place.guest("Anna")).joins_call()
    link = place.link("Bob")
    first, second = [await place.browser("Bob", link) for _ in range(2)]
    await first.joins_call()
    await anna.sees("Anna", "Bob")
    await second.joins_call()
    await first.told("This call goes on elsewhere")
    assert await first.evaluate("() => __tracks.every(track => track.readyState === 'ended')")
    await anna.sees("Anna", "Bob")
    await anna.told("2 participants")
    await first.page.get_by_role("button", name="Enter again").click()
    await first.joins_call()
    await second.told("This call goes on elsewhere")
    await anna.sees("Anna", "Bob")
    await anna.receives(videos=1, sounds=1)


@the_page_alone
async def test_without_a_good_right_one_is_told(place: Place) -> None:
    """A forged token, and none at all: the mirror stays, and words say what is wrong."""
    for path in (f"/call/{place.room}?token=forged", f"/call/{place.room}"):
        tab = await place.browser("Anna", path)
        await tab.join.click()
        refusal = tab.page.locator("call-preview [data-refusal]")
        await refusal.filter(has_text="sign").or_(refusal.filter(has_text="valid")).wait_for()
        assert await tab.join.is_visible()


async def takes_in_hand(anna: CallTab) -> Wire:
    wire = await Wire.of(anna.page)
    await anna.is_online()
    return wire


INTO_CALLS: Final = ("40/calls,", "44/calls,")
"""How the server answers whoever asks to enter the namespace."""

INTO_CHAT: Final = ("40/chat,", "44/chat,")


async def looks_unanswered(place: Place) -> tuple[CallTab, Wire]:
    """Anna looks into the call, and what the server answers is held back."""
    anna = await place.person("Anna")
    wire = await takes_in_hand(anna)
    wire.hold(*INTO_CALLS)
    answered = asyncio.create_task(wire.comes("40/calls,"))
    await anna.looks()
    await answered
    return anna, wire


@the_page_alone
async def test_join_is_pressed_before_the_server_has_answered(place: Place) -> None:
    """The page asks for its way to the server when one looks; who is quicker than the answer is in when it comes."""
    anna, wire = await looks_unanswered(place)
    await anna.join.click()
    await anna.page.locator("call-preview [data-enter]", has_text="Connecting…").wait_for()
    wire.let_go()
    await anna.is_in_call()


@the_page_alone
async def test_the_look_is_over_before_the_server_has_answered(place: Place) -> None:
    """Closed before the answer came, and opened again: one can enter."""
    anna, wire = await looks_unanswered(place)
    await anna.page.locator("call-preview [data-close]").click()
    await anna.page.locator("call-preview").wait_for(state="hidden")
    wire.let_go()
    await anna.calls()
    assert wire.connections == 1, "nobody was thrown out for asking again and again"


@the_page_alone
async def test_the_browser_says_that_it_is_online_while_the_server_is_asked(place: Place) -> None:
    """The chat and the call come back from a loss, though the browser tells of its network in the middle of it."""
    anna = await place.person("Anna")
    wire = await takes_in_hand(anna)
    ready = asyncio.create_task(wire.comes("43/calls,"))
    await anna.looks()
    await ready
    wire.hold(*INTO_CHAT, *INTO_CALLS)
    answered = [asyncio.create_task(wire.comes(head)) for head in ("40/chat,", "40/calls,")]
    await wire.cut()
    await asyncio.gather(*answered)
    await anna.evaluate("() => void dispatchEvent(new Event('online'))")
    await anna.is_offline()
    wire.let_go()
    await anna.is_online()
    await anna.joins_call()


async def test_a_room_full_of_people(house: House, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all places of those who are seen are taken, one may still watch and listen; when the room is full, not."""
    (media,) = house.server.house.call_roster._engines
    monkeypatch.setattr(media, "limits", replace(media.limits, people=3, publishers=2))
    anna, _ = await place.caller("Anna"), await place.caller("Bob")
    carl = await (await place.person("Carl")).looks()
    await carl.join.click()
    await carl.told("2 people can be seen and heard")
    await carl.page.get_by_role("button", name="Watch and listen").click()
    await carl.is_in_call()
    await carl.sees("Anna", "Bob", "Carl", dark=["Carl"])
    await carl.receives(videos=2, sounds=2)
    await carl.presses("Turn your camera on")
    await carl.told("2 people can be seen and heard")
    await carl.sees("Anna", "Bob", "Carl", dark=["Carl"])
    dora = await (await place.person("Dora")).looks()
    await dora.join.click()
    await dora.told("3 people")
    await anna.sees("Anna", "Bob", "Carl", dark=["Carl"])


async def test_a_device_that_is_unplugged(pair: tuple[CallTab, CallTab]) -> None:
    """Another one takes its place, and the person is told; the others go on seeing them."""
    anna, bob = pair
    await bob.evaluate(
        """() => {
            const camera = __tracks.findLast(track => track.kind === 'video' && track.readyState === 'live');
            camera.stop();
            camera.dispatchEvent(new Event('ended'));
        }"""
    )
    await bob.told("Your camera is gone.")
    assert await bob.evaluate("() => __tracks.filter(track => track.readyState === 'live').length") == 2
    await anna.receives(videos=1, sounds=1)
    await anna.sees("Anna", "Bob")


@the_page_alone
@desk_and_phone
async def test_axe_finds_nothing_in_a_call(place: Place, scheme: str, viewport: dict[str, int]) -> None:
    """Before, in and after a call, with its dialogs and the chat beside it; and nothing sticks out."""
    bob = await place.caller("Bob")
    anna = await place.person("Anna", color_scheme=scheme, viewport=viewport, bypass_csp=True)
    await anna.told("Bob is in a call")
    await assert_accessible(anna)
    await anna.looks()
    await anna.page.wait_for_function("() => document.querySelector('[data-mirror] video').videoWidth > 0")
    await assert_accessible(anna)
    await anna.joins_call()
    await bob.presses("Share your screen")
    await bob.presses("Mute")
    await bob.presses("Raise your hand")
    await anna.sees("Anna", "Bob", screens=["Bob"])
    await anna.shows("Bob", hand=True, muted=True)
    await assert_accessible(anna)
    assert await overflow(anna) == 0
    controls = await anna.page.locator("call-controls button:visible").all()
    boxes = [await control.bounding_box() for control in controls]
    assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= viewport["width"] for box in boxes)
    for button in ("2 participants", "Devices and connection"):
        await anna.presses(button)
        await assert_accessible(anna)
        await anna.page.keyboard.press("Escape")
    if viewport == PHONE:
        await anna.presses("Show the chat")
        await anna.page.locator("textarea[name=message]:visible").wait_for()
        await anna.says("from my phone")
        await anna.page.locator(".message-content", has_text="from my phone").wait_for()
        await assert_accessible(anna)
    await bob.presses("2 participants")
    await bob.page.get_by_role("button", name="Remove: Anna").click()
    await anna.told("Bob removed you from the call")
    await assert_accessible(anna)


@the_page_alone
async def test_the_first_look_at_a_room_loads_nothing_of_calls(place: Place) -> None:
    anna = await place.person("Anna")
    assert not [url for url in anna.requests if "/call/" in url or "call-view" in url or "call.css" in url]
    await anna.looks()
    assert [url for url in anna.requests if "call-view" in url]
