"""Bots, hooks and tokens in the page, and the page of the API, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

from tests.browser.test_page import assert_accessible, desk_and_phone, overflow
from tests.browser.test_sign_in import Closed, closed, opens_people
from tests.helpers.tabs import Tab

if TYPE_CHECKING:
    from tests.browser.conftest import OpenTab

__all__ = ["closed"]


async def makes(tab: Tab, kind: str, name: str, room: str = "") -> str:
    """Make something; returns what is shown once, having copied it from its field."""
    await tab.page.get_by_label("Make", exact=True).select_option(kind)
    await tab.page.get_by_label("Called").fill(name)
    if room:
        await tab.page.get_by_label("It speaks in the room").fill(room)
    await tab.page.get_by_role("button", name="Make it").click()
    await tab.page.locator("[data-program-made]").wait_for()
    shown = tab.page.locator("[data-program-secret]")
    await tab.page.wait_for_function("field => field.value !== ''", arg=await shown.element_handle())
    return await shown.input_value()


async def test_what_is_sent_to_a_hook_is_said_in_its_room(closed: Closed) -> None:
    olga = await closed.owner()
    await opens_people(olga)
    address = await makes(olga, "hook", "CI", "lobby")
    assert address in await olga.page.locator("[data-program-example]").inner_text()
    await olga.page.get_by_role("button", name="Done").last.click()
    assert await olga.page.locator("[data-program-secret]").input_value() == "", "it is shown once"
    async with aiohttp.ClientSession() as http:
        async with http.post(address, data="the build is green", headers={"Content-Type": "text/plain"}) as answer:
            assert answer.status == 200
        await olga.shows("the build is green")
        assert (await olga.rows())[0].sender == "CI"
        entry = olga.page.locator("[data-programs] li").filter(has_text="CI (hook)")
        assert "speaks in lobby" in await entry.inner_text()
        await entry.get_by_role("button").click()
        await entry.wait_for(state="detached")
        async with http.post(address, data="again") as answer:
            assert answer.status == 404


async def test_a_bot_is_made_talks_and_is_ended(closed: Closed) -> None:
    olga = await closed.owner()
    await opens_people(olga)
    token = await makes(olga, "bot", "Robot")
    headers = {"Authorization": f"Bearer {token}"}
    path = f"{closed.server.url}/api/v1/rooms/lobby/messages"
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(path, json={"content": "beep"}) as answer:
            assert answer.status == 201
        await olga.shows("beep")
        await olga.page.get_by_label("Called").fill("Olga")
        await olga.page.get_by_role("button", name="Make it").click()
        await olga.page.get_by_role("alert").filter(has_text="Somebody here has this name").wait_for()
        olga.complaints.clear()  # the browser notes the status of the answer
        entry = olga.page.locator("[data-programs] li").filter(has_text="Robot (bot)")
        await entry.get_by_role("button").click()
        await entry.wait_for(state="detached")
        async with http.post(path, json={"content": "beep"}) as answer:
            assert answer.status == 401


async def test_a_token_of_ones_own_is_listed_with_the_sign_ins(closed: Closed) -> None:
    olga = await closed.owner()
    await opens_people(olga)
    token = await makes(olga, "token", "backup script")
    entry = olga.page.locator("[data-sign-ins] li").filter(has_text="program: backup script")
    await entry.wait_for()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        async with http.get(f"{closed.server.url}/api/v1/me") as answer:
            assert (await answer.json())["you"]["name"] == "Olga"
        await entry.get_by_role("button").click()
        await entry.wait_for(state="detached")
        async with http.get(f"{closed.server.url}/api/v1/me") as answer:
            assert answer.status == 401


@desk_and_phone
async def test_axe_finds_nothing(closed: Closed, scheme: str, viewport: dict[str, int]) -> None:
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": viewport, "bypass_csp": True}
    page = await closed.browser("/api/v1/", **options)
    await assert_accessible(page)
    assert await overflow(page) == 0
    olga = await closed.owner(**options)
    await opens_people(olga)
    await makes(olga, "hook", "CI")
    await assert_accessible(olga)
    assert await overflow(olga) == 0


async def test_the_page_of_the_api_leads_where_it_says(tab: OpenTab) -> None:
    """Every link in it, and nothing from elsewhere."""
    page = await tab("/api/v1/")
    assert await page.page.locator("#post_message pre").inner_text() == (
        'curl -H "Authorization: Bearer $TOKEN" '
        f"""--json '{{"content": "…"}}' {page.url}/api/v1/rooms/lobby/messages"""
    )
    broken = await page.evaluate(
        """() => [...document.querySelectorAll('a[href^="#"]')].map(link => link.getAttribute('href'))
            .filter(target => !document.getElementById(target.slice(1)))"""
    )
    assert broken == []
    await page.page.get_by_role("link", name="openapi.json").click()
    await page.page.wait_for_url(page.url + "/api/v1/openapi.json")
    assert all(request.startswith(page.url) for request in page.requests)
