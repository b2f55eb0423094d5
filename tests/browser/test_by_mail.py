"""Signing in by mail in a real browser, with a real mail server between the two pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest_asyncio

from tests.browser.test_page import PHONE, assert_accessible, desk_and_phone, overflow
from tests.browser.test_sign_in import comes_in, opens_people, owner_path
from tests.helpers.mailed import DOMAIN, mail_town
from tests.helpers.post_office import PostOffice
from tests.helpers.servers import Server
from tests.helpers.tabs import Tab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser


class Mailed(NamedTuple):
    """A server that people come into by mail, its mail server, and the browsers around it."""

    server: Server
    office: PostOffice
    chromium: Browser
    tabs: list[Tab]

    async def browser(self, path: str = "/", **options: Any) -> Tab:
        """Open a page in a browser of its own."""
        context = await self.chromium.new_context(locale="en-GB", timezone_id="UTC", **options)
        tab = await Tab.open(context, self.server.url, path)
        self.tabs.append(tab)
        return tab

    async def owner(self, **options: Any) -> Tab:
        """The owner, who came by the link that a first start prints."""
        return await comes_in(await self.browser(await owner_path(self.server), **options), "Olga")


@pytest_asyncio.fixture(loop_scope="session")
async def mailed(chromium: Browser, tmp_path: Path) -> AsyncIterator[Mailed]:
    async with mail_town(tmp_path / "data") as town:
        house = Mailed(town.server, town.office, chromium, [])
        yield house
        for tab in house.tabs:
            tab.assert_well_behaved()


async def asks(tab: Tab, address: str) -> None:
    await tab.page.get_by_label("Type your email").fill(address)
    await tab.page.get_by_role("button", name="Send me a link").click()
    await tab.page.get_by_role("heading", name="Look into your mail").wait_for()


async def test_from_the_card_to_the_room_and_back_on_a_phone(mailed: Mailed) -> None:
    """Alice asks, reads her mail, chooses a name and talks; her phone asks anew, since the link is the desk's."""
    olga = await mailed.owner()
    await olga.page.goto(mailed.server.url + "/r/garden")
    await olga.is_online()
    desk = await mailed.browser("/r/garden")
    await asks(desk, f"alice@{DOMAIN}")
    link = (await mailed.office.next()).link
    phone = await mailed.browser(link.removeprefix(mailed.server.url), viewport=PHONE, has_touch=True, is_mobile=True)
    await phone.page.get_by_role("heading", name="Asked for elsewhere").wait_for()
    phone.complaints.clear()  # the browser notes the status of the page
    await desk.page.goto(link)
    await comes_in(desk, "Alice")
    assert desk.page.url.endswith("/r/garden")
    await desk.says("hello")
    await olga.shows("hello")
    assert (await olga.rows())[0].sender == "Alice"

    await asks(phone, f"Alice@{DOMAIN}")
    await phone.page.goto((await mailed.office.next()).link)
    await phone.page.get_by_role("heading", name="Sign in as Alice").wait_for()
    await phone.page.get_by_role("button", name="Sign in").click()
    await phone.is_online()
    await phone.page.goto(mailed.server.url + "/r/garden")
    await phone.shows("hello")
    assert (await phone.rows())[0].sender == "Me"


async def test_somebody_is_invited_by_mail(mailed: Mailed) -> None:
    """The owner types an address; it is listed, told by mail, and comes in from the server's own address."""
    olga = await mailed.owner()
    await opens_people(olga)
    await olga.page.get_by_label("Instead of a link, by mail to").fill("ina@elsewhere.example")
    await olga.page.get_by_role("button", name="Invite by mail").click()
    await olga.page.get_by_role("heading", name="ina@elsewhere.example may come in").wait_for()
    await olga.page.locator("[data-links] li").filter(has_text="for ina@elsewhere.example").wait_for()
    told = await mailed.office.next()
    assert told.recipients == ["ina@elsewhere.example"]
    assert f"{mailed.server.url}/" in told.text
    ina = await mailed.browser("/")
    await asks(ina, "ina@elsewhere.example")
    await ina.page.goto((await mailed.office.next()).link)
    await comes_in(ina, "Ina")
    await ina.says("thank you")
    await olga.page.keyboard.press("Escape")
    await olga.shows("thank you")


async def test_a_link_on_a_page_elsewhere_leads_to_the_room_and_signs_nobody_out(mailed: Mailed) -> None:
    """Followed, she is who she was; fetched, framed or sent as a form from there, nothing of hers is touched."""
    olga = await mailed.owner()
    url = mailed.server.url
    elsewhere = (
        f'<a href="{url}/r/garden">talk</a><img src="{url}/"><iframe src="{url}/"></iframe>'
        f'<form method=post action="{url}/api/v1/sign-out" target=frame><button>sign out</button></form>'
        f"<iframe name=frame></iframe><script>fetch('{url}/', {{credentials: 'include', mode: 'no-cors'}})</script>"
    )
    await olga.page.context.route(
        "http://elsewhere.example/*", lambda route: route.fulfill(body=elsewhere, content_type="text/html")
    )
    for _ in range(2):
        await olga.page.goto("http://elsewhere.example/")
        await olga.page.get_by_role("button", name="sign out").click()
        await olga.page.wait_for_load_state("networkidle")
        await olga.page.get_by_role("link", name="talk").click()
        await olga.is_online()
        assert await olga.page.locator("[data-my-name]").inner_text() == "Olga"
    olga.complaints.clear()  # the browser notes what the page elsewhere was refused
    olga.requests.clear()


async def test_what_is_no_address_is_said_beside_it(mailed: Mailed) -> None:
    """By the browser at first; what only the server sees comes back with the field as it was."""
    tab = await mailed.browser("/")
    await tab.page.get_by_label("Type your email").fill("alice@intranet")
    await tab.page.get_by_role("button", name="Send me a link").click()
    await tab.page.get_by_role("alert").filter(has_text="no email address").wait_for()
    assert await tab.page.get_by_label("Type your email").input_value() == "alice@intranet"
    assert await tab.page.get_by_label("Type your email").get_attribute("aria-invalid") == "true"
    tab.complaints.clear()


@desk_and_phone
async def test_axe_finds_nothing(mailed: Mailed, scheme: str, viewport: dict[str, int]) -> None:
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": viewport, "bypass_csp": True}
    tab, other = await mailed.browser("/r/garden", **options), await mailed.browser("/", **options)
    await assert_accessible(tab)
    await asks(tab, f"alice@{DOMAIN}")
    await assert_accessible(tab)
    assert await overflow(tab) == 0
    link = (await mailed.office.next()).link
    for each in (other, tab):
        await each.page.goto(link)
        await assert_accessible(each)
        assert await overflow(each) == 0
    other.complaints.clear()
    olga = await mailed.owner(**options)
    await opens_people(olga)
    await olga.page.get_by_label("Instead of a link").fill(f"{'a' * 60}@{'long-' * 11}name.example")
    await olga.page.get_by_role("button", name="Invite by mail").click()
    await olga.page.get_by_role("heading", name="may come in").wait_for()
    await assert_accessible(olga)
    assert await overflow(olga) == 0
