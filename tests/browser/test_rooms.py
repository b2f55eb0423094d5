"""Rooms and people in real browsers: made, found, changed, left, by mouse, by keyboard and on a phone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest_asyncio
from playwright.async_api import expect

from tests.browser.test_page import DESK, HIDE, PHONE, assert_accessible, desk_and_phone, overflow
from tests.browser.test_sign_in import OUT_WITHIN_SECONDS, Closed, comes_in, makes_link, opens_people
from tests.helpers.servers import serving
from tests.helpers.wires import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Dialog, Locator

    from tests.browser.conftest import OpenTab
    from tests.helpers.tabs import Tab

ON_A_PHONE: Final[dict[str, Any]] = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
FOCUSED: Final = "() => document.activeElement.name || document.activeElement.getAttribute('aria-label')"


class House(Closed):
    """A closed server into which people are let without much ado."""

    async def enters(self, name: str, **options: Any) -> Tab:
        (link,) = await self.server.house.operators.invite_link({"role": "member"})
        tab = await comes_in(await self.browser(link.removeprefix(self.server.url), **options), name)
        tab.page.on("dialog", _agree)
        return tab


def _agree(dialog: Dialog) -> None:
    """Whatever the page asks: yes."""
    asyncio.ensure_future(dialog.accept())  # noqa: RUF006  # it ends with the page


@pytest_asyncio.fixture(loop_scope="session")
async def house(chromium: Browser, tmp_path: Path) -> AsyncIterator[House]:
    async with serving(tmp_path / "data", sign_in="links") as server:
        opened = House(server, chromium, [])
        yield opened
        for tab in opened.tabs:
            tab.assert_well_behaved()


async def sidebar(tab: Tab) -> Locator:
    """The room list, which is a drawer on a phone."""
    menu = tab.page.get_by_role("button", name="Rooms and people")
    rooms = tab.page.locator("room-list")
    if await menu.is_visible() and not await rooms.is_visible():
        await menu.click()
    return rooms


async def makes(tab: Tab, name: str, *people: str, private: bool = True) -> None:
    """Make a room by its dialog."""
    await (await sidebar(tab)).get_by_role("button", name="Make a room").click()
    dialog = tab.page.locator("new-room dialog")
    await dialog.get_by_label("Name", exact=True).fill(name)
    if private:
        await dialog.get_by_label("Only whom its members invite").check()
    for person in people:
        await dialog.get_by_role("checkbox", name=person).check()
    await dialog.get_by_role("button", name="Make the room").click()
    await dialog.wait_for(state="hidden")  # the room is made: one of the same name may have been open before
    await is_in(tab, name)


async def is_in(tab: Tab, room: str) -> None:
    await tab.page.locator("[data-room-name]", has_text=room).wait_for()
    await tab.is_online()


async def details(tab: Tab) -> Locator:
    await tab.page.get_by_role("button", name="About this room").click()
    dialog = tab.page.locator("room-details dialog")
    await dialog.locator("[data-members] li").first.wait_for()
    return dialog


async def test_a_private_room_from_the_first_word_to_the_last(house: House) -> None:
    """Alice makes it and invites Bob, who is on his phone; it gets another name before his eyes; he is shown out."""
    alice, bob = await house.enters("Alice", viewport=DESK), await house.enters("Bob", **ON_A_PHONE)
    await makes(alice, "Plans", "Bob")
    link = (await sidebar(bob)).get_by_role("link", name="Plans, private, 1 unread message")
    await link.click()
    await is_in(bob, "Plans")
    await alice.says("between us")
    await bob.shows("Alice made this room.", "between us")
    await bob.says("yes")
    await alice.shows("Alice made this room.", "between us", "yes")

    dialog = await details(alice)
    await dialog.get_by_role("button", name="Rename").click()
    await dialog.get_by_label("Name", exact=True).fill("Design")
    await dialog.get_by_label("Topic").fill("How it looks")
    await dialog.get_by_role("button", name="Save").click()
    await is_in(bob, "Design")
    await alice.page.locator("[data-topic]", has_text="How it looks").wait_for()  # a phone's bar has no place for it
    said = ["Alice renamed this room to “Design”.", "Alice set the topic: How it looks"]
    await bob.shows("Alice made this room.", "between us", "yes", *said)

    await dialog.get_by_role("button", name="Remove Bob").click()
    await bob.page.locator("[data-notice-words]", has_text="You are not in “Design” any more.").wait_for()
    await is_in(bob, "lobby")
    await expect((await sidebar(bob)).get_by_role("link", name="Design")).to_have_count(0)
    await alice.page.keyboard.press("Escape")
    await alice.shows("Alice made this room.", "between us", "yes", *said, "Alice removed Bob.")
    response = await bob.page.request.get(alice.page.url)
    assert response.status == 404


async def test_a_room_is_made_once_though_the_first_answer_is_lost(house: House) -> None:
    """Alice is told that nobody answered, and presses the button again: she is in the room that was made then."""
    alice = await house.enters("Alice", viewport=DESK)
    wire = await Wire.of(alice.page)
    await alice.is_online()
    await (await sidebar(alice)).get_by_role("button", name="Make a room").click()
    dialog = alice.page.locator("new-room dialog")
    await dialog.get_by_label("Name", exact=True).fill("Plans")
    await dialog.get_by_label("Only whom its members invite").check()
    wire.hold("43/chat,")
    answered = asyncio.create_task(wire.comes("43/chat,"))
    await dialog.get_by_role("button", name="Make the room").click()
    await answered
    back = asyncio.create_task(wire.comes("43/chat,"))
    wire.hold()
    await wire.cut()
    await dialog.locator("[data-refused]", has_text="The server did not answer.").wait_for()
    assert len(house.server.house.directory.private()) == 1
    await back
    await dialog.get_by_role("button", name="Make the room").click()
    await is_in(alice, "Plans")
    await alice.shows("Alice made this room.")
    assert len(house.server.house.directory.private()) == 1
    await makes(alice, "Plans")
    assert len(house.server.house.directory.private()) == 2, "what is wanted anew is made"


async def test_whoever_was_invited_by_a_code_and_let_into_a_private_room_is_out_at_once(house: House) -> None:
    """A small team from its first link: Bob comes in by a QR code, both talk in private, and his sign-in is ended."""
    olga = await house.owner()
    await opens_people(olga)
    path = await makes_link(olga)
    await olga.page.keyboard.press("Escape")
    bob = await comes_in(await house.browser(path), "Bob")

    await makes(olga, "Plans", "Bob")
    await bob.page.get_by_role("link", name="Plans, private").click()
    await is_in(bob, "Plans")
    await bob.says("between us")
    await olga.shows("Olga made this room.", "between us")

    await opens_people(olga)
    await olga.page.locator("[data-sign-ins] li").filter(has_text="Bob").get_by_role("button").click()
    await bob.page.get_by_role("heading", name="This Chatzilla is closed").wait_for(timeout=OUT_WITHIN_SECONDS * 1000)
    await olga.page.keyboard.press("Escape")
    await olga.says("on my own")
    await olga.shows("Olga made this room.", "between us", "on my own")
    await bob.page.goto(olga.page.url)
    await bob.page.get_by_role("heading", name="This Chatzilla is closed").wait_for()
    bob.complaints.clear()


async def test_writing_to_a_person_from_wherever_their_name_is(house: House) -> None:
    alice, bob = await house.enters("Alice", viewport=DESK), await house.enters("Bob", viewport=DESK)
    await alice.page.get_by_role("button", name="Message Bob").click()
    await is_in(alice, "Bob")
    assert await bob.page.get_by_role("link", name="Alice").count() == 0, "nobody has written anything"
    await alice.says("just you")
    link = bob.page.locator("[data-direct]").get_by_role("link", name="Alice, 1 unread message")
    await link.click()
    await is_in(bob, "Alice")
    await bob.shows("just you")
    dialog = await details(alice)
    assert await dialog.get_by_role("button", name="Leave the room").is_visible() is False
    await dialog.get_by_role("button", name="Mute").click()
    await dialog.get_by_role("button", name="Unmute").wait_for()
    await alice.page.keyboard.press("Escape")
    await alice.page.get_by_role("link", name="lobby").click()
    await is_in(alice, "lobby")
    await bob.says("are you there?")
    muted = alice.page.locator("[data-direct]").get_by_role("link", name="Bob, muted", exact=True)
    await muted.wait_for()
    again = await house.browser("/")
    await again.page.context.add_cookies(await alice.page.context.cookies())  # type: ignore[arg-type]  # what it gave
    await again.page.goto(house.server.url)
    await again.page.locator("[data-direct]").get_by_role("link", name="Bob, muted", exact=True).wait_for()


async def test_a_muted_room_makes_no_noise(house: House) -> None:
    alice, bob = await house.enters("Alice", viewport=DESK), await house.enters("Bob", viewport=DESK)
    await makes(alice, "Noise", "Bob")
    await (await sidebar(bob)).get_by_role("link", name="Noise").click()
    dialog = await details(bob)
    await dialog.get_by_role("button", name="Mute").click()
    await dialog.get_by_role("button", name="Unmute").wait_for()
    await bob.page.keyboard.press("Escape")
    await bob.evaluate(HIDE, True)
    await alice.says("loud")
    await bob.shows("Alice made this room.", "loud")
    assert await bob.page.title() == "Noise · Chatzilla"
    await bob.evaluate(HIDE, False)


async def test_going_anywhere_by_keyboard(house: House) -> None:
    """Ctrl+K, a part of a name, arrows, Enter; Escape leaves everything as it was."""
    alice, _ = await house.enters("Alice", viewport=DESK), await house.enters("Bob", viewport=DESK)
    await makes(alice, "Garden", private=False)
    await makes(alice, "Garden shed", private=True)
    keys = alice.page.keyboard
    await alice.says("here")
    assert await alice.evaluate(FOCUSED) == "message"
    await keys.press("Control+k")
    options = alice.page.locator("[role=option]")
    await options.filter(has_text="Bob").wait_for()
    await keys.type("gard")
    assert [text.partition("d")[0] for text in await options.all_inner_texts()][:2] == ["Gar", "Gar"]
    chosen = alice.page.locator("[role=option][aria-selected=true]")
    first = await chosen.inner_text()
    await keys.press("ArrowDown")
    assert await chosen.inner_text() != first
    active = "() => document.activeElement.getAttribute('aria-activedescendant')"
    assert await alice.evaluate(active) == await chosen.get_attribute("id")
    await keys.press("ArrowUp")
    await keys.press("Escape")
    assert await alice.evaluate(FOCUSED) == "message", "the focus is where it was"
    await is_in(alice, "Garden shed")

    await keys.press("Control+k")
    await keys.type("garden")
    await keys.press("Enter")
    await alice.page.wait_for_url("**/r/garden")
    assert await alice.evaluate(FOCUSED) == "message"
    await keys.press("Control+k")
    await options.filter(has_text="Bob").wait_for()
    await keys.type("bo")
    await keys.press("Enter")
    await is_in(alice, "Bob")
    await keys.press("Control+k")
    await keys.type("somewhere new")
    await keys.press("Enter")
    await alice.page.wait_for_url("**/r/somewhere-new")


async def test_everything_about_a_room_by_keyboard(house: House) -> None:
    alice = await house.enters("Alice", viewport=DESK)
    await house.enters("Bob", viewport=DESK)
    keys = alice.page.keyboard
    await alice.page.get_by_role("button", name="Make a room").focus()
    await keys.press("Enter")
    assert await wait_focus(alice, "name")
    await keys.press("Enter")
    refusal = alice.page.locator("new-room [role=alert]")
    await refusal.filter(has_text="A room's name cannot be empty.").wait_for()
    await keys.type("Kitchen")
    await keys.press("Enter")
    await is_in(alice, "Kitchen")
    await alice.page.get_by_role("button", name="About this room").focus()
    await keys.press("Enter")
    dialog = alice.page.locator("room-details dialog")
    await dialog.get_by_text("Invite people").wait_for()
    await dialog.get_by_text("Invite people").focus()
    await keys.press("Enter")
    await dialog.get_by_role("checkbox", name="Bob").focus()
    await keys.press("Space")
    await keys.press("Tab")
    await keys.press("Enter")
    await dialog.locator("[data-members] li", has_text="Bob").wait_for()
    await keys.press("Escape")
    assert await alice.evaluate(FOCUSED) == "About this room"


async def wait_focus(tab: Tab, name: str) -> bool:
    await tab.page.wait_for_function("name => document.activeElement.name === name", arg=name)
    return True


async def test_an_archived_room_goes_into_the_fold_and_is_only_read(house: House) -> None:
    alice, bob = await house.enters("Alice", viewport=DESK), await house.enters("Bob", viewport=DESK)
    await makes(alice, "Old plans", "Bob", private=False)
    await alice.says("one last word")
    await (await sidebar(bob)).get_by_role("link", name="Old plans").click()
    await bob.shows("Alice made this room.", "one last word")
    dialog = await details(alice)
    await dialog.get_by_role("button", name="Archive").click()
    for each in (alice, bob):
        await each.page.locator("[data-closed]", has_text="This room is archived").wait_for()
        assert not await each.page.locator("textarea[name=message]").is_visible()
        await each.page.locator("[data-archived]").get_by_role("link", name="Old plans").wait_for()
    await dialog.get_by_role("button", name="Open it again").click()
    await bob.page.locator("textarea[name=message]").wait_for()
    await bob.says("still good")
    await bob.page.locator("[data-rooms]").get_by_role("link", name="Old plans").wait_for()


async def test_leaving_for_good(house: House) -> None:
    alice, bob = await house.enters("Alice", viewport=DESK), await house.enters("Bob", viewport=DESK)
    await makes(alice, "Plans", "Bob")
    await (await sidebar(bob)).get_by_role("link", name="Plans").click()
    await is_in(bob, "Plans")
    dialog = await details(bob)
    await dialog.get_by_role("button", name="Leave the room").click()
    await is_in(bob, "lobby")
    await expect(bob.page.get_by_role("link", name="Plans")).to_have_count(0)
    await alice.shows("Alice made this room.", "Bob left.")


async def test_on_an_open_server_a_typed_name_is_told_why_not(tab: OpenTab) -> None:
    alice, bob = await (await tab(viewport=DESK)).joins("alice"), await (await tab()).joins("bob")
    await alice.page.get_by_role("button", name="Make a room").click()
    dialog = alice.page.locator("new-room dialog")
    await dialog.get_by_text("a name that was only typed proves nothing").wait_for()
    assert await dialog.get_by_label("Only whom its members invite").is_disabled()
    await dialog.get_by_label("Name", exact=True).fill("x" * 81)
    await dialog.get_by_role("button", name="Make the room").click()
    await dialog.get_by_role("alert").filter(has_text="80 characters").wait_for()
    await dialog.get_by_label("Name", exact=True).fill("Our garden")
    await dialog.get_by_role("button", name="Make the room").click()
    await is_in(alice, "Our garden")
    assert await alice.page.get_by_role("button", name="Message bob").count() == 0
    await bob.page.keyboard.press("Control+k")
    await bob.page.locator("[role=option]", has_text="Our garden").click()
    await is_in(bob, "Our garden")
    await bob.shows("alice made this room.")


@desk_and_phone
async def test_axe_finds_nothing(house: House, scheme: str, viewport: dict[str, int]) -> None:
    options = ON_A_PHONE if viewport == PHONE else {"viewport": viewport}
    await house.enters("Bob")
    alice = await house.enters("Alice", color_scheme=scheme, bypass_csp=True, **options)
    await (await sidebar(alice)).get_by_role("button", name="Make a room").click()
    await alice.page.locator("new-room .choices li").wait_for()
    await assert_accessible(alice)
    assert await overflow(alice) == 0
    await alice.page.keyboard.press("Escape")
    await makes(alice, "A room with rather a long name that goes on and on and ends somewhere far", "Bob")
    await assert_accessible(alice)
    dialog = await details(alice)
    await dialog.get_by_text("Invite people").click()
    await dialog.get_by_role("button", name="Rename").click()
    await assert_accessible(alice)
    assert await overflow(alice) == 0
    await alice.page.keyboard.press("Escape")
    await alice.page.get_by_role("button", name="Find a room or a person").click()
    await alice.page.locator("[role=option]", has_text="Bob").wait_for()
    await assert_accessible(alice)
    assert await overflow(alice) == 0
    await alice.page.locator("[role=option]", has_text="Bob").click()
    await is_in(alice, "Bob")
    await sidebar(alice)
    await assert_accessible(alice)
