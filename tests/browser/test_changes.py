"""Editing and deleting in the page: by keyboard, mouse and finger, offline too; and what was read, in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from playwright.async_api import expect

from tests.browser.test_page import HIDE, PHONE, assert_accessible, desk_and_phone
from tests.helpers.clients import Client
from tests.helpers.tabs import marked

if TYPE_CHECKING:
    from tests.browser.conftest import OpenTab
    from tests.helpers.servers import Server
    from tests.helpers.tabs import Tab

GONE: Final = "This message was deleted"
FIELD: Final = "textarea[name=message]"


async def point_at(tab: Tab, text: str) -> None:
    """Move the mouse over a message, so that its buttons come."""
    await tab.page.locator("[data-message]", has_text=text).hover()
    await tab.page.locator("[data-tools]").wait_for()


async def delete(tab: Tab, text: str) -> None:
    await point_at(tab, text)
    await tab.page.get_by_role("button", name="Delete", exact=True).click()
    await tab.page.locator("[data-really]").click()


async def edits_last(tab: Tab, text: str) -> None:
    """Arrow up, type anew, Enter."""
    await tab.page.locator(FIELD).press("ArrowUp")
    await tab.page.locator("[data-editing]").wait_for()
    await tab.says(text)


async def test_arrow_up_edits_the_last_own_message(tab: OpenTab) -> None:
    """Everybody sees the new text and that it is one; Enter saves, and the draft of something else is not touched."""
    alice = await (await tab()).joins("alice")
    bob = await (await tab()).joins("bob")
    await alice.says("helo")
    await bob.shows("helo")
    await bob.says("hi")
    await alice.shows("helo", "hi")
    field = alice.page.locator(FIELD)
    await field.press("ArrowUp")
    await expect(field).to_have_value("helo")
    await field.press_sequentially(" world")
    await field.press("Enter")
    for each in (alice, bob):
        await each.shows("helo world", "hi")
        mark = each.page.locator(".message-edited:visible")
        await expect(mark).to_have_count(1)
        assert (await mark.get_attribute("title") or "").startswith("Edited ")
    await expect(field).to_have_value("")
    await expect(alice.page.locator("[data-editing]:visible")).to_have_count(0)


async def test_escape_leaves_the_message_as_it_is_and_brings_the_draft_back(tab: OpenTab) -> None:
    alice = await (await tab()).joins("alice")
    await alice.says("hello")
    await alice.shows("hello")
    field = alice.page.locator(FIELD)
    await field.fill("half a thought")
    await point_at(alice, "hello")
    await alice.page.get_by_role("button", name="Edit", exact=True).click()
    await expect(field).to_have_value("hello")
    await field.fill("something else")
    await alice.page.reload()
    await alice.is_online()
    await expect(field).to_have_value("something else")
    await expect(alice.page.locator(".message-editing")).to_have_count(1)
    await field.press("Escape")
    await expect(field).to_have_value("half a thought")
    await expect(alice.page.locator(".message-editing")).to_have_count(0)
    await alice.shows("hello")


async def test_arrow_up_in_a_text_only_moves_the_cursor(tab: OpenTab) -> None:
    alice = await (await tab()).joins("alice")
    await alice.says("hello")
    await alice.shows("hello")
    field = alice.page.locator(FIELD)
    await field.fill("half a thought")
    await field.press("ArrowUp")
    await expect(field).to_have_value("half a thought")
    await expect(alice.page.locator("[data-editing]:visible")).to_have_count(0)


async def test_a_deletion_asks_first_and_leaves_a_stone(tab: OpenTab) -> None:
    alice = await (await tab()).joins("alice")
    bob = await (await tab()).joins("bob")
    await alice.says("regretted")
    for each in (alice, bob):
        await each.shows("regretted")
    await point_at(alice, "regretted")
    await alice.page.get_by_role("button", name="Delete", exact=True).click()
    question = alice.page.get_by_role("group", name="Delete this message for everybody?")
    await question.wait_for()
    await question.get_by_role("button", name="Keep it").click()
    await alice.shows("regretted")
    await expect(question).to_have_count(0)
    await delete(alice, "regretted")
    for each in (alice, bob):
        await each.shows(GONE)
    await bob.page.locator("[data-message]").hover()
    await expect(bob.page.locator("[data-tools]:visible")).to_have_count(0)
    await alice.page.locator("[data-message]").hover()
    await expect(alice.page.locator("[data-tools]:visible")).to_have_count(0)
    await alice.page.reload()
    await alice.shows(GONE)


async def test_everything_by_keyboard(tab: OpenTab) -> None:
    """Walk to a message, Tab to what can be done with it, and come back by Escape."""
    alice = await (await tab()).joins("alice")
    for text in ("one", "two"):
        await alice.says(text)
    await alice.shows("one", "two")
    keys = alice.page.keyboard
    focused = "() => document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"
    await keys.press("Shift+Tab")
    await keys.press("ArrowUp")
    await keys.press("ArrowUp")
    assert "one" in await alice.evaluate(focused)
    await keys.press("Tab")
    assert await alice.evaluate(focused) == "Edit"
    await keys.press("Tab")
    assert await alice.evaluate(focused) == "Delete"
    await keys.press("Enter")
    assert await alice.evaluate(focused) == "Keep it", "the careful answer comes first"
    await keys.press("Escape")
    assert "one" in await alice.evaluate(focused)
    await keys.press("Tab")
    await keys.press("Tab")
    await keys.press("Enter")
    await keys.press("Shift+Tab")
    assert await alice.evaluate(focused) == "Delete"
    await keys.press("Enter")
    await alice.shows(GONE, "two")
    assert await alice.evaluate("() => document.activeElement.name") == "message"


async def test_on_a_phone_a_tap_brings_the_buttons(tab: OpenTab) -> None:
    alice = await (await tab(viewport=PHONE, has_touch=True, is_mobile=True)).joins("alice")
    await alice.says("helo")
    await alice.shows("helo")
    await alice.page.locator(".message-content").tap()
    edit = alice.page.get_by_role("button", name="Edit", exact=True)
    box = await edit.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 38
    await edit.tap()
    await expect(alice.page.locator(FIELD)).to_have_value("helo")
    await alice.page.locator(FIELD).fill("hello")
    await alice.page.get_by_role("button", name="Save").tap()
    await alice.shows("hello")


async def test_what_is_emptied_is_deleted_if_one_says_so(tab: OpenTab) -> None:
    alice = await (await tab()).joins("alice")
    await alice.says("regretted")
    await alice.shows("regretted")
    await alice.page.locator(FIELD).press("ArrowUp")
    await alice.page.locator(FIELD).fill("")
    await alice.page.locator(FIELD).press("Enter")
    await alice.page.locator("[data-really]").click()
    await alice.shows(GONE)


async def test_changes_made_offline_survive_a_reload_and_arrive_in_order(tab: OpenTab, chatzilla: Server) -> None:
    alice = await (await tab()).joins("alice")
    bob = await (await tab()).joins("bob")
    for text in ("one", "two", "three"):
        await alice.says(text)
    for each in (alice, bob):
        await each.shows("one", "two", "three")
    await alice.page.context.set_offline(True)
    await alice.is_offline()
    await edits_last(alice, "three, better")
    await edits_last(alice, "three, best")
    await delete(alice, "one")
    await alice.shows(GONE, "two", "three, best", states=("sent", "pending"))
    assert [row.state for row in await alice.rows()] == ["pending", "sent", "pending"]
    await bob.shows("one", "two", "three")
    await alice.page.close()
    await alice.page.context.set_offline(False)
    again = await (await tab(beside=alice)).joins("alice")
    for each in (again, bob):
        await each.shows(GONE, "two", "three, best")


async def test_what_cannot_be_changed_any_more_is_said_where_it_stands(tab: OpenTab) -> None:
    """Two tabs of one person, apart: one deletes, the other edits. The deletion holds, and the loss is told."""
    left = await (await tab()).joins("alice")
    right = await (await tab()).joins("alice")
    await left.says("hello")
    for each in (left, right):
        await each.shows("hello")
    await right.page.context.set_offline(True)
    await right.is_offline()
    await edits_last(right, "hello, better")
    await delete(left, "hello")
    await left.shows(GONE)
    await right.page.context.set_offline(False)
    words = right.page.locator(".message-failure:visible")
    await words.filter(has_text="Your change was not saved. This message was deleted.").wait_for()
    await words.get_by_role("button", name="Discard").click()
    await right.shows(GONE)


async def test_a_message_that_is_deleted_while_it_is_edited(tab: OpenTab) -> None:
    left = await (await tab()).joins("alice")
    right = await (await tab(beside=left)).joins("alice")
    await left.says("hello")
    for each in (left, right):
        await each.shows("hello")
    await right.page.locator(FIELD).press("ArrowUp")
    await delete(left, "hello")
    await right.page.locator("[data-notice]", has_text="was deleted").wait_for()
    await expect(right.page.locator(FIELD)).to_have_value("")
    await expect(right.page.locator("[data-editing]:visible")).to_have_count(0)


@desk_and_phone
async def test_axe_finds_nothing(tab: OpenTab, scheme: str, viewport: dict[str, int]) -> None:
    alice = await (await tab(color_scheme=scheme, bypass_csp=True, viewport=viewport)).joins("alice@example.com")
    for text in ("kept", "edited", "gone"):
        await alice.says(text)
    await alice.shows("kept", "edited", "gone")
    await delete(alice, "gone")
    await alice.shows("kept", "edited", GONE)
    await edits_last(alice, "edited, better")
    await alice.shows("kept", "edited, better", GONE)
    await point_at(alice, "kept")
    await assert_accessible(alice)
    await alice.page.get_by_role("button", name="Delete", exact=True).click()
    await alice.page.locator("[data-really]").wait_for()
    await assert_accessible(alice)
    await alice.page.locator("[data-keep]").click()
    await alice.page.locator(FIELD).press("ArrowUp")
    await assert_accessible(alice)


async def goes_to(tab: Tab, room: str) -> None:
    await tab.page.fill("[name=room]", room)
    await tab.page.press("[name=room]", "Enter")
    await tab.page.wait_for_url(f"**/r/{room}")


async def test_what_is_read_in_one_place_is_read_everywhere(tab: OpenTab, chatzilla: Server) -> None:
    """Two browsers of one person: unread in both, read in one, and the mark goes from the other by itself."""
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins("garden", name="bot")
    phone = await (await tab("/r/garden")).joins("alice")
    await phone.says("known")
    await bot.hears()
    desk = await (await tab("/r/kitchen")).joins("alice")
    link = desk.page.locator("[data-rooms] a", has_text="garden")
    await link.wait_for()
    await phone.evaluate(HIDE, True)
    await bot.says("garden", "one")
    said = await bot.says("garden", "two")
    await marked(link, 2).wait_for()
    await phone.page.wait_for_function("() => document.title.startsWith('(2)')")
    accepted, _ = await bot.call("edit", {"id": said["id"], "content": "two, better"})
    assert accepted
    await phone.shows("known", "one", "two, better")
    await link.click()
    await desk.shows("known", "one", "two, better")
    await phone.page.wait_for_function("() => !document.title.startsWith('(')")
    tablet = await (await tab("/r/attic")).joins("alice")
    there = tablet.page.locator("[data-rooms] a", has_text="garden")
    await there.wait_for()
    assert not await there.locator(".unread").is_visible(), "a new device knows what was read"
    await goes_to(desk, "kitchen")
    await desk.is_online()
    await bot.says("garden", "three")
    await marked(there, 1).wait_for()
    await bot.close()


async def test_a_new_device_knows_what_is_unread(tab: OpenTab, chatzilla: Server) -> None:
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins("garden", name="bot")
    alice = await (await tab("/r/garden")).joins("alice")
    await alice.says("mine")
    await bot.hears()
    await goes_to(alice, "kitchen")
    await alice.is_online()
    for text in ("one", "two"):
        await bot.says("garden", text)
    await marked(alice.page.locator("[data-rooms] a", has_text="garden"), 2).wait_for()
    await alice.page.close()
    other = await (await tab("/r/kitchen")).joins("alice")
    link = other.page.locator("[data-rooms] a", has_text="garden")
    await marked(link, 2).wait_for()
    await link.click()
    await other.shows("mine", "one", "two")
    order = await other.evaluate(
        "() => [...document.querySelectorAll('.message-content, .line-new')].map(element => element.textContent)"
    )
    assert order == ["mine", "New since you left", "one", "two"]
    await bot.close()
