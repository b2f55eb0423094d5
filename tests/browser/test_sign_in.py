"""A closed server in a real browser: links, invitations, people who come and are shown out."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import pytest_asyncio

from chatzilla import control
from tests.browser.test_page import PHONE, assert_accessible, desk_and_phone, overflow
from tests.helpers.qr import read_qr
from tests.helpers.servers import Server, serving
from tests.helpers.tabs import Tab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, BrowserContext

    from tests.browser.conftest import OpenTab

OUT_WITHIN_SECONDS: Final = 5.0


class Closed(NamedTuple):
    """A closed server, and the browsers around it."""

    server: Server
    chromium: Browser
    tabs: list[Tab]

    async def browser(self, path: str, **options: Any) -> Tab:
        """Open a page in a browser of its own."""
        context: BrowserContext = await self.chromium.new_context(locale="en-GB", timezone_id="UTC", **options)
        tab = await Tab.open(context, self.server.url, path)
        self.tabs.append(tab)
        return tab

    async def owner(self, **options: Any) -> Tab:
        """The owner, who came by the link that a first start prints."""
        return await comes_in(await self.browser(await owner_path(self.server), **options), "Olga")


async def owner_path(server: Server) -> str:
    """Where the owner comes in."""
    _, url = await server.house.operators.owner_link({})
    return url.removeprefix(server.url)


@pytest_asyncio.fixture(loop_scope="session")
async def closed(chromium: Browser, tmp_path: Path) -> AsyncIterator[Closed]:
    async with serving(tmp_path / "data", sign_in="links") as server:
        house = Closed(server, chromium, [])
        yield house
        for tab in house.tabs:
            tab.assert_well_behaved()


async def comes_in(tab: Tab, name: str) -> Tab:
    """Type a name on a link's page, and wait for the room."""
    await tab.page.get_by_label("Choose a name").fill(name)
    await tab.page.get_by_role("button", name="Come in").click()
    await tab.is_online()
    return tab


async def opens_people(tab: Tab) -> None:
    menu = tab.page.get_by_role("button", name="Rooms and people")
    if await menu.is_visible():
        await menu.click()
    await tab.page.get_by_role("button", name="People and links").click()
    await tab.page.locator("[data-sign-ins] li").first.wait_for()


async def makes_link(tab: Tab, button: str = "Make a link") -> str:
    """Press a button that makes a link; returns what a camera reads from its QR code, which is what the field says."""
    await tab.page.get_by_role("button", name=button).click()
    await tab.page.locator("[data-made]").wait_for()
    url = str(await tab.page.input_value("[data-url]"))
    size = int((await tab.page.locator("[data-qr]").get_attribute("viewBox") or "").split()[-1])
    assert read_qr(size, await tab.page.locator("[data-qr] path").get_attribute("d") or "") == url
    return url.removeprefix(tab.url)


async def test_a_small_team_runs_a_closed_server_with_links(closed: Closed) -> None:
    """The owner comes in and invites Bob by a QR code; both talk; Bob is shown out, and stays out."""
    olga = await closed.owner()
    await olga.page.get_by_role("button", name="Invite people").click()
    await olga.page.locator("[data-sign-ins] li").first.wait_for()
    path = await makes_link(olga)
    await olga.page.keyboard.press("Escape")

    bob = await closed.browser(path)
    assert "Olga" in await bob.page.locator(".card-room").inner_text()
    await comes_in(bob, "Bob")
    assert not await bob.page.get_by_role("button", name="Invite people").is_visible()
    await bob.says("hello")
    await olga.shows("hello")
    assert not await olga.page.get_by_role("button", name="Invite people").is_visible()
    await olga.says("welcome")
    await bob.shows("hello", "welcome")

    await opens_people(olga)
    bobs = olga.page.locator("[data-sign-ins] li").filter(has_text="Bob")
    began = time.monotonic()
    await bobs.get_by_role("button").click()
    await bob.page.get_by_role("heading", name="This Chatzilla is closed").wait_for()
    assert time.monotonic() - began < OUT_WITHIN_SECONDS
    await bobs.wait_for(state="detached")
    await bob.page.goto(closed.server.url + "/r/lobby")
    await bob.page.get_by_role("heading", name="This Chatzilla is closed").wait_for()
    response = await bob.page.request.get(closed.server.url + path)
    assert response.status == 404
    bob.complaints.clear()
    await olga.page.keyboard.press("Escape")
    await olga.says("quiet again")
    await olga.shows("hello", "welcome", "quiet again")


async def test_a_phone_is_signed_in_by_a_link_for_oneself(closed: Closed) -> None:
    olga = await closed.owner()
    await opens_people(olga)
    path = await makes_link(olga, "Open on my phone")
    phone = await closed.browser(path, viewport=PHONE, has_touch=True, is_mobile=True)
    await phone.page.get_by_role("button", name="Sign in").click()
    await phone.is_online()
    await phone.says("from my phone")
    await olga.shows("from my phone")
    assert (await olga.rows())[0].sender == "Me"


@pytest.mark.parametrize("width", [360, 390])
async def test_on_a_phone_there_is_room_to_say_who_is_here(closed: Closed, width: int) -> None:
    """Whoever moderates has one button more; the line beside the buttons is whole, also in a locked room with many."""
    olga = await closed.owner(viewport={"width": width, "height": 740}, has_touch=True, is_mobile=True)
    count = olga.page.locator("[data-people-count]", has_text="1 person here")
    await count.wait_for()
    await olga.page.locator("[data-lock]").wait_for()
    await asyncio.to_thread(control.ask, closed.server.data, "lock", room="lobby")
    await olga.page.locator("[data-lock][data-shut]").wait_for()
    whole = "element => element.scrollWidth <= element.clientWidth"
    assert await count.evaluate(whole)
    await count.evaluate("element => { element.textContent = '128 people here'; }")
    assert await olga.page.locator("[data-people-count]").evaluate(whole)
    assert await olga.page.locator("[data-status]").inner_text() == "Online", "for those who listen"


async def test_a_guest_stays_in_one_room(closed: Closed) -> None:
    olga = await closed.owner()
    await opens_people(olga)
    await olga.page.get_by_label("As", exact=True).select_option("guest")
    await olga.page.get_by_label("Into the room").fill("garden")
    path = await makes_link(olga)
    guest = await comes_in(await closed.browser(path), "Gus")
    assert guest.page.url.endswith("/r/garden")
    assert not await guest.page.get_by_label("Open or create a room").is_visible()
    await guest.page.goto(closed.server.url + "/")
    await guest.is_online()
    assert guest.page.url.endswith("/r/garden")
    await opens_people(guest)
    assert not await guest.page.get_by_role("button", name="Make a link").is_visible()
    response = await guest.page.request.get(closed.server.url + "/r/lobby")
    assert response.status == 403


async def test_on_an_open_server_typed_names_are_shown_as_unverified(tab: OpenTab, chatzilla: Server) -> None:
    """Whoever came by a link is not; one's own name needs no mark."""
    olga = await comes_in(await tab(await owner_path(chatzilla)), "Olga")
    await (await tab()).joins("alice")
    bob = await (await tab()).joins("bob")
    await bob.page.locator("[data-people] li").nth(2).wait_for()
    marks = [
        await bob.page.locator("[data-people] li").filter(has_text=name).locator("span:visible").all_text_contents()
        for name in ("alice", "bob", "Olga")
    ]
    assert [each[2:] for each in marks] == [["unverified"], ["Me"], []]
    await olga.says("hello")
    await bob.shows("hello")


async def test_signing_out_by_oneself_asks_first(closed: Closed) -> None:
    olga = await closed.owner()
    answers: list[str] = []

    async def answer(dialog: Any) -> None:
        answers.append(dialog.message)
        await (dialog.accept() if len(answers) > 1 else dialog.dismiss())

    olga.page.on("dialog", answer)
    await olga.page.get_by_role("button", name="Sign out").click()
    assert "link" in answers[0]
    await olga.says("still here")
    await olga.shows("still here")
    await olga.page.get_by_role("button", name="Sign out").click()
    await olga.page.get_by_role("heading", name="This Chatzilla is closed").wait_for()


KEPT: Final = """async () => {
    const letters = await new Promise(resolve => {
        indexedDB.open("chatzilla").onsuccess = ({target: {result: database}}) => {
            const all = database.transaction("letters").objectStore("letters").getAll();
            all.onsuccess = () => resolve(all.result);
        };
    });
    return JSON.stringify([letters, {...localStorage}, {...sessionStorage}]);
}"""


async def test_whoever_signs_out_is_told_what_is_not_sent_and_leaves_nothing_in_the_browser(closed: Closed) -> None:
    (link,) = await closed.server.house.operators.invite_link({"role": "member"})
    bob = await comes_in(await closed.browser(link.removeprefix(closed.server.url)), "Bob")
    await bob.page.context.set_offline(True)
    await bob.is_offline()
    await bob.says("a secret letter")
    await bob.page.fill("textarea[name=message]", "a secret draft")
    await asyncio.to_thread(control.ask, closed.server.data, "lock", room="lobby")
    await bob.page.context.set_offline(False)
    await bob.page.locator(".message-failure:visible", has_text="Not sent.").wait_for()
    assert "a secret letter" in (kept := str(await bob.evaluate(KEPT)))
    assert "a secret draft" in kept
    said: list[str] = []

    async def accept(dialog: Any) -> None:
        said.append(dialog.message)
        await dialog.accept()

    bob.page.on("dialog", accept)
    await bob.page.get_by_role("button", name="Sign out").click()
    await bob.page.get_by_role("heading", name="This Chatzilla is closed").wait_for()
    assert "1 message is not sent yet, and will be lost." in said[0]
    kept = str(await bob.evaluate(KEPT))
    assert "secret" not in kept
    assert "bob" not in kept.lower()
    assert "lobby" not in kept


async def test_a_name_that_is_taken_is_refused_and_the_link_is_kept(closed: Closed) -> None:
    olga = await closed.owner()
    await opens_people(olga)
    path = await makes_link(olga)
    bob = await closed.browser(path)
    await bob.page.get_by_label("Choose a name").fill("0lga")
    await bob.page.get_by_role("button", name="Come in").click()
    await bob.page.get_by_role("alert").filter(has_text="looks like").wait_for()
    bob.complaints.clear()  # the browser notes the status of the page
    await comes_in(bob, "Bob")


@desk_and_phone
async def test_axe_finds_nothing(closed: Closed, scheme: str, viewport: dict[str, int]) -> None:
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": viewport, "bypass_csp": True}
    stranger = await closed.browser("/", **options)
    await assert_accessible(stranger)
    olga = await closed.owner(**options)
    await opens_people(olga)
    await assert_accessible(olga)
    path = await makes_link(olga)
    await assert_accessible(olga)
    assert await overflow(olga) == 0
    await stranger.page.goto(closed.server.url + path)
    await assert_accessible(stranger)
    assert await overflow(stranger) == 0
