"""Keeping order in a real browser: what moderators can do, what is said before it is done, and what the others see."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from chatzilla import control
from tests.browser.test_page import assert_accessible, desk_and_phone, overflow
from tests.browser.test_sign_in import Closed, closed, comes_in, opens_people, owner_path

if TYPE_CHECKING:
    from playwright.async_api import Locator

    from tests.browser.conftest import OpenTab
    from tests.helpers.servers import Server
    from tests.helpers.tabs import Tab

__all__ = ["closed"]  # a fixture


async def invited(closed: Closed, name: str, role: str = "member") -> Tab:
    """Somebody who came by the operator's invitation."""
    (link,) = await closed.server.house.operators.invite_link({"role": role})
    return await comes_in(await closed.browser(link.removeprefix(closed.server.url)), name)


def message(tab: Tab, text: str) -> Locator:
    return tab.page.locator("[data-message]").filter(has_text=text)


async def opens_card(tab: Tab, name: str) -> Locator:
    """Open somebody's card from the list of people."""
    menu = tab.page.get_by_role("button", name="Rooms and people")
    if await menu.is_visible():
        await menu.click()
    await tab.page.get_by_role("button", name=f"About {name}").click()
    card = tab.page.get_by_role("dialog", name=name)
    await card.get_by_role("button", name="Turn out now").wait_for()
    return card


async def test_a_message_is_removed_and_a_role_changes_hands(closed: Closed) -> None:
    """The owner deletes what Bob said; made an admin, Bob may do so too, on the page that is open; then no more."""
    olga = await closed.owner()
    bob, eve = await invited(closed, "Bob"), await invited(closed, "Eve")
    await eve.says("rude")
    await bob.shows("rude")
    await bob.says("please")
    await olga.shows("rude", "please")
    await bob.shows("rude", "please")
    await message(bob, "rude").hover()
    assert not await bob.page.locator("[data-tools]").is_visible(), "others' messages are not Bob's to touch"
    await message(olga, "rude").hover()
    assert not await olga.page.locator("[data-tools] [data-edit]").is_visible()
    await olga.page.locator("[data-tools] [data-delete]").click()
    await olga.page.get_by_text("Delete Eve’s message for everybody?").wait_for()
    await olga.page.locator("[data-confirm] [data-really]").click()
    for tab in (olga, bob, eve):
        await tab.shows("This message was removed by a moderator", "please")

    await eve.says("again")
    await bob.shows("This message was removed by a moderator", "please", "again")
    card = await opens_card(olga, "Bob")
    await card.get_by_role("combobox", name="Role").select_option("admin")
    await card.get_by_role("button", name="Change").click()
    await card.get_by_text("Bob is admin now.").wait_for()
    await bob.page.get_by_role("button", name="About Eve").wait_for()
    await message(bob, "again").hover()
    await bob.page.locator("[data-tools] [data-delete]").click()
    await bob.page.locator("[data-confirm] [data-really]").click()
    await olga.shows("This message was removed by a moderator", "please", "This message was removed by a moderator")
    await card.get_by_role("combobox", name="Role").select_option("member")
    await card.get_by_role("button", name="Change").click()
    await bob.page.get_by_role("button", name="About Eve").wait_for(state="hidden")

    await olga.page.keyboard.press("Escape")
    await opens_people(olga)
    await olga.page.get_by_role("button", name="Keeping order").click()
    order = olga.page.get_by_role("dialog", name="Keeping order")
    await order.get_by_text("Bob deleted a message of theirs in lobby").wait_for()
    assert await order.locator("[data-audit] li").count() == 7, (
        "two deletions, two roles, and three links to come in by"
    )
    assert "rude" not in await order.inner_text()


async def test_somebody_is_banned_with_words_before_and_after(closed: Closed) -> None:
    """All of it by keyboard; Eve is out at once, is told so, and comes back when the ban is lifted."""
    olga = await closed.owner()
    eve = await invited(closed, "Eve")
    await eve.says("spam")
    await olga.shows("spam")
    keys = olga.page.keyboard
    await olga.page.get_by_role("button", name="About Eve").focus()
    await keys.press("Enter")
    card = olga.page.get_by_role("dialog", name="Eve")
    ban = card.get_by_role("button", name="Ban", exact=True)
    await ban.focus()
    await keys.press("Enter")
    await card.get_by_text("They are out at once").wait_for()
    assert await olga.evaluate("() => document.activeElement.textContent") == "Cancel", "the harmless one"
    await keys.press("Escape")
    await ban.wait_for()
    assert await card.is_visible(), "Escape takes one step back"
    await ban.focus()
    await keys.press("Enter")
    await card.get_by_label("For").select_option("1")
    await card.get_by_label("Delete their messages, too").focus()
    await keys.press("Space")
    await keys.press("Tab")
    await keys.press("Enter")
    await card.get_by_text("Banned. 1 message is gone.").wait_for()
    await olga.shows("This message was removed by a moderator")
    await eve.page.get_by_text("You are banned from this server until").wait_for()
    eve.complaints.clear()  # the browser notes the status of the page

    await keys.press("Escape")
    await opens_people(olga)
    await olga.page.get_by_role("button", name="Keeping order").click()
    await olga.page.get_by_role("button", name="Lift: Eve").click()
    await olga.page.get_by_text("Nobody is banned.").wait_for()
    await eve.page.goto(closed.server.url)
    await eve.is_online()


async def test_a_room_is_locked_and_somebody_turned_out(closed: Closed) -> None:
    olga = await closed.owner()
    bob = await invited(closed, "Bob")
    olga.page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
    for tab in (olga, bob):
        await tab.page.goto(closed.server.url + "/r/garden")
        await tab.is_online()
    await bob.says("hello")
    await bob.says("my password")
    await olga.shows("hello", "my password")
    await olga.page.get_by_role("button", name="Lock the room").click()
    await bob.page.locator("[data-closed]", has_text="This room is locked. Only its moderators").wait_for()
    assert not await bob.page.locator("textarea[name=message]").is_visible()
    await message(bob, "my password").hover()
    assert not await bob.page.locator("[data-tools] [data-edit]").is_visible(), "to edit would be to speak"
    await bob.page.locator("[data-tools] [data-delete]").click()
    await bob.page.locator("[data-confirm] [data-really]").click()
    stone = "This message was deleted"
    await olga.shows("hello", stone)
    await olga.says("calm")
    await bob.shows("hello", stone, "calm")
    await olga.page.get_by_role("button", name="Unlock the room").click()
    await bob.page.locator("textarea[name=message]").wait_for()

    card = await opens_card(olga, "Bob")
    await card.get_by_role("button", name="Turn out now").click()
    await card.get_by_text("They may come back.").wait_for()
    await card.get_by_role("button", name="Turn out", exact=True).click()
    await card.get_by_text("Out of the room.").wait_for()
    await bob.page.locator("[data-notice-words]", has_text="You were asked to leave this room.").wait_for()
    await bob.page.wait_for_url(closed.server.url + "/")
    await olga.page.keyboard.press("Escape")
    await olga.says("quiet")
    await bob.page.goto(closed.server.url + "/r/garden")
    await bob.shows("hello", stone, "calm", "quiet")


async def test_what_is_refused_is_said_where_it_happens(closed: Closed) -> None:
    """An admin reaches for the owner; nothing happens, and the card says so."""
    olga = await closed.owner()
    ada = await invited(closed, "Ada", "admin")
    card = await opens_card(ada, "Olga")
    await card.get_by_role("button", name="Remove from the server").click()
    await card.get_by_role("button", name="Remove", exact=True).click()
    await card.get_by_role("alert").filter(has_text="that is not yours to do").wait_for()
    ada.complaints.clear()  # the browser notes the status
    await olga.says("still here")
    await olga.shows("still here")


async def test_on_an_open_server_a_typed_name_is_banned_by_address_and_told_so(tab: OpenTab, chatzilla: Server) -> None:
    olga = await comes_in(await tab(await owner_path(chatzilla)), "Olga")
    eve = await (await tab()).joins("Eve")
    await eve.says("spam")
    await olga.shows("spam")
    await message(olga, "spam").hover()
    await olga.page.get_by_role("button", name="About its author").click()
    card = olga.page.get_by_role("dialog", name="Eve")
    await card.get_by_text("Unverified: this name was only typed.").wait_for()
    assert not await card.get_by_role("button", name="Remove from the server").is_visible()
    await card.get_by_role("button", name="Ban", exact=True).click()
    await card.get_by_text("Everybody behind that address who has not signed in is out too").wait_for()
    await card.locator("[data-really]").click()
    await card.get_by_text("Banned.").wait_for()
    await eve.page.locator("[data-words]").filter(has_text="your address is banned").wait_for()
    await eve.page.fill("[name=email]", "Somebody else")
    await eve.page.get_by_role("button", name="Join", exact=True).click()
    await eve.page.locator("[data-words]").filter(has_text="your address is banned").wait_for()
    await olga.page.keyboard.press("Escape")
    await olga.says("quiet")
    await olga.shows("spam", "quiet")


async def test_a_room_that_lets_one_in_no_more_leaves_everything_else_as_it_was(
    tab: OpenTab, chatzilla: Server
) -> None:
    eve = await (await tab("/r/garden")).joins("Eve")
    await asyncio.to_thread(control.ask, chatzilla.data, "ban", person="Eve", room="garden")
    for _ in ("at once", "after a reload there"):
        await eve.page.locator("[data-notice]").filter(has_text="banned from the room “garden”").wait_for()
        await eve.is_online()
        assert await eve.evaluate("() => location.pathname") == "/"
        assert not await eve.page.locator("#offline").is_visible()
        await eve.page.goto(f"{chatzilla.url}/r/garden")
    await eve.page.wait_for_url(f"{chatzilla.url}/")
    await eve.says("still here")
    await eve.shows("still here")

    await asyncio.to_thread(control.ask, chatzilla.data, "ban", person="Eve", room="lobby")
    for _ in ("at once", "after a reload"):
        await eve.page.locator("[data-closed]").filter(has_text="is banned from").wait_for()
        await eve.page.wait_for_selector("html[data-connection=online]")
        assert not await eve.page.locator("textarea[name=message]").is_visible()
        assert not await eve.page.locator("#offline").is_visible()
        await eve.page.reload()


@desk_and_phone
async def test_axe_finds_nothing(closed: Closed, scheme: str, viewport: dict[str, int]) -> None:
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": viewport, "bypass_csp": True}
    olga = await closed.owner(**options)
    await invited(closed, "Bob")
    data = closed.server.data
    await asyncio.to_thread(control.ask, data, "lock", room="lobby")
    await asyncio.to_thread(control.ask, data, "ban", address="192.0.2.1", hours="1")
    await olga.page.locator("[data-locked]").wait_for()
    card = await opens_card(olga, "Bob")
    await card.get_by_role("combobox", name="Role").wait_for()
    await assert_accessible(olga)
    assert await overflow(olga) == 0
    await card.get_by_role("button", name="Ban from this room").click()
    await assert_accessible(olga)
    assert await overflow(olga) == 0
    await olga.page.keyboard.press("Escape")
    await olga.page.keyboard.press("Escape")
    await opens_people(olga)
    await olga.page.get_by_role("button", name="Keeping order").click()
    await olga.page.locator("[data-audit] li").nth(1).wait_for()
    await assert_accessible(olga)
    assert await overflow(olga) == 0
