"""The page for everybody: every width, both themes, keyboard alone, screen readers, hidden tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.helpers.clients import Client
from tests.helpers.servers import ROOT
from tests.helpers.tabs import marked

if TYPE_CHECKING:
    from tests.browser.conftest import OpenTab
    from tests.helpers.servers import Server
    from tests.helpers.tabs import Tab

AXE: Final = ROOT / "node_modules/axe-core/axe.min.js"
DESK: Final = {"width": 1280, "height": 800}
PHONE: Final = {"width": 390, "height": 844}
FOUR_HUNDRED_PERCENT: Final = {"width": 320, "height": 256}
"""What a window of 1280 by 1024 leaves at a zoom of 400 %."""

desk_and_phone: Final = pytest.mark.parametrize(
    ("scheme", "viewport"), [("light", DESK), ("dark", PHONE)], ids=["desk", "phone"]
)
"""Each page is looked at in each scheme and in each width: a scheme changes colours, and the same ones everywhere."""


async def assert_accessible(tab: Tab) -> None:
    """axe-core finds nothing. Colours are judged when nothing moves any more."""
    await tab.evaluate("() => Promise.allSettled(document.getAnimations().map(animation => animation.finished))")
    if not await tab.evaluate("() => 'axe' in window"):
        await tab.page.evaluate(AXE.read_text())
    result: dict[str, Any] = await tab.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    assert result["passes"], "axe looked at nothing"
    found = [
        (violation["id"], [node["html"][:120] for node in violation["nodes"]]) for violation in result["violations"]
    ]
    assert not found, found


async def overflow(tab: Tab) -> int:
    """How many pixels of the page one would have to scroll sideways to see."""
    script = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(await tab.evaluate(script))


@desk_and_phone
async def test_axe_finds_nothing(tab: OpenTab, chatzilla: Server, scheme: str, viewport: dict[str, int]) -> None:
    alice = await tab("/r/garden", color_scheme=scheme, viewport=viewport, bypass_csp=True)
    await assert_accessible(alice)
    await alice.joins("alice@example.com")
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins("garden", name="bot")
    await bot.says("garden", "look at https://example.com/ and\nat this")
    await alice.says("hello")
    await alice.shows("look at https://example.com/ and\nat this", "hello")
    await assert_accessible(alice)
    await alice.page.goto(f"{alice.url}/r/attic")
    await alice.is_online()
    await bot.says("garden", "news")
    if viewport == PHONE:
        await alice.page.get_by_role("button", name="Rooms and people").click()
    link = marked(alice.page.locator("[data-rooms] a", has_text="garden"), 1)
    await link.wait_for()
    await assert_accessible(alice)
    await link.click()
    await alice.shows("look at https://example.com/ and\nat this", "hello", "news")
    await bot.close()
    await alice.page.context.set_offline(True)
    await alice.is_offline()
    await alice.says("kept")
    said = ("look at https://example.com/ and\nat this", "hello", "news", "kept")
    await alice.shows(*said, states=("sent", "pending"))
    await assert_accessible(alice)


@pytest.mark.parametrize(
    "viewport",
    [DESK, PHONE, FOUR_HUNDRED_PERCENT, {"width": 1920, "height": 1080}],
    ids=["desk", "phone", "zoomed", "wide"],
)
async def test_nothing_sticks_out_at_any_width(tab: OpenTab, viewport: dict[str, int]) -> None:
    """One never scrolls sideways, whatever somebody writes, and can always write."""
    alice = await tab("/r/a-room-with-a-long-name-that-goes-on-and-on-for-64-characters---", viewport=viewport)
    assert await overflow(alice) == 0
    await alice.joins("a-very-long-name-without-any-space-in-it@a-very-long-domain.example.com")
    word = "x" * 500
    await alice.says(word)
    await alice.shows(word)
    assert await overflow(alice) == 0
    composer = await alice.page.locator("textarea[name=message]").bounding_box()
    assert composer is not None
    assert composer["y"] + composer["height"] <= viewport["height"]
    assert composer["height"] < 50, "one line, whatever the room is called"
    await alice.says("the same minute")
    await alice.shows(word, "the same minute")
    hour_ends, text_begins = await alice.evaluate(
        """() => [".message-grouped time", ".message-grouped .message-content"].map(part => {
            const {left, right} = document.querySelector(part).getBoundingClientRect();
            return part.endsWith("time") ? right : left;
        })"""
    )
    assert hour_ends < text_begins


async def test_everything_by_keyboard(tab: OpenTab) -> None:
    """Join, write, read the messages one by one, come back, change rooms: without a mouse."""
    alice = await tab("/r/garden")
    keys = alice.page.keyboard
    await keys.type("alice")
    await keys.press("Enter")
    await alice.is_online()
    focused = "() => document.activeElement.textContent || document.activeElement.name"
    assert await alice.evaluate("() => document.activeElement.name") == "message"
    for text in ("one", "two", "three"):
        await keys.type(text)
        await keys.press("Enter")
    await alice.shows("one", "two", "three")
    await keys.press("Shift+Tab")
    await keys.press("ArrowUp")
    await keys.press("ArrowUp")
    assert "two" in await alice.evaluate(focused) or "one" in await alice.evaluate(focused)
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert await alice.evaluate(outline) != "none", "focus has to be seen"
    await keys.press("Escape")
    assert await alice.evaluate("() => document.activeElement.name") == "message"
    await alice.page.locator("[name=room]").focus()
    await keys.type("kitchen")
    await keys.press("Enter")
    await alice.page.wait_for_url("**/r/kitchen")


async def test_new_messages_alone_are_announced(tab: OpenTab, chatzilla: Server) -> None:
    """A screen reader hears what others say now, and not the history."""
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins(name="bot")
    await bot.says("lobby", "long ago")
    alice = await (await tab()).joins("alice")
    await alice.shows("long ago")
    announced = "() => [...document.querySelectorAll('[aria-live=polite]')].map(live => live.textContent).join()"
    assert "long ago" not in await alice.evaluate(announced)
    await bot.says("lobby", "just now")
    await alice.page.wait_for_function(
        "() => [...document.querySelectorAll('[aria-live=polite]')].some(live => live.textContent.includes('just now'))"
    )


HIDE: Final = """hidden => {
    Object.defineProperty(document, 'visibilityState', {value: hidden ? 'hidden' : 'visible', configurable: true});
    Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
    document.hasFocus = () => !hidden;
    document.dispatchEvent(new Event('visibilitychange'));
}"""


async def test_a_hidden_tab_counts_in_its_title_and_notifies_where_allowed(tab: OpenTab, chatzilla: Server) -> None:
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins(name="bot")
    alice = await tab()
    await alice.page.add_init_script(
        """window.notices = [];
           window.Notification = class {
               constructor(title, options) { notices.push([title, options.body]) }
               close() {}
           };
           Notification.permission = 'granted';
           Notification.requestPermission = async () => 'granted';"""
    )
    await alice.page.reload()
    await alice.joins("alice")
    await alice.evaluate(HIDE, True)
    await bot.says("lobby", "are you there?")
    await alice.page.wait_for_function("() => document.title.startsWith('(1)')")
    await bot.says("lobby", "hello?")
    await alice.page.wait_for_function("() => document.title.startsWith('(2)')")
    notices = await alice.evaluate("() => notices")
    assert any("are you there?" in str(notice) for notice in notices), notices
    await alice.evaluate(HIDE, False)
    await alice.page.wait_for_function("() => !document.title.startsWith('(')")


async def test_what_is_new_since_one_left_is_marked(tab: OpenTab, chatzilla: Server) -> None:
    """Coming back, one sees where one had stopped reading."""
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins(name="bot")
    await bot.says("lobby", "old")
    alice = await (await tab()).joins("alice")
    await alice.shows("old")
    await alice.page.goto("about:blank")
    await bot.says("lobby", "new")
    await alice.page.goto(chatzilla.url)
    await alice.shows("old", "new")
    order = await alice.evaluate(
        "() => [...document.querySelectorAll('.message-content, .line-new')].map(element => element.textContent)"
    )
    assert order == ["old", "New since you left", "new"]


async def test_a_refusal_at_the_door_is_said_in_words(tab: OpenTab) -> None:
    alice = await tab()
    await alice.page.fill("[name=email]", "x" * 300)
    await alice.page.get_by_role("button", name="Join", exact=True).click()
    words = alice.page.locator("[data-words]")
    await words.filter(has_text="254").wait_for()
    await alice.page.fill("[name=email]", "   ")
    await alice.page.get_by_role("button", name="Join", exact=True).click()
    await words.filter(has_not_text="254").filter(has_text="name").wait_for()
    await alice.joins("alice")
