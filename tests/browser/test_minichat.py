"""Minichat's page in a real browser: what is said is a line for everybody, and who closes the page is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.browser.test_page import assert_accessible, desk_and_phone, overflow
from tests.browser.test_sign_in import Closed, closed
from tests.helpers.tabs import Tab

if TYPE_CHECKING:
    from tests.browser.conftest import OpenTab

__all__ = ["closed"]


async def lines(tab: Tab, *wanted: str) -> None:
    """Wait until the lines are exactly these."""
    script = """wanted => {
        const shown = [...document.querySelectorAll('[data-lines] p')].map(line => line.textContent);
        return JSON.stringify(shown) === JSON.stringify(wanted);
    }"""
    await tab.page.wait_for_function(script, arg=list(wanted))


async def here(tab: Tab, people: str) -> None:
    await tab.page.wait_for_function(
        "people => document.querySelector('[data-people]').textContent === people", arg=people
    )


async def says(tab: Tab, text: str) -> None:
    field = tab.page.get_by_label("Message", exact=True)
    await field.fill(text)
    await field.press("Enter")
    await tab.page.wait_for_function("() => document.querySelector('[name=text]').value === ''")


async def test_the_story_of_minichat_on_a_closed_server(closed: Closed) -> None:
    stranger = await closed.browser("/minichat")
    await stranger.page.get_by_role("heading", name="This Chatzilla is closed").wait_for()
    olga = await closed.owner()
    await olga.page.goto(f"{closed.server.url}/minichat")
    await here(olga, "Olga")
    await says(olga, "hello <img src=x onerror=alert(1)>")
    await lines(olga, "Olga: hello <img src=x onerror=alert(1)>")
    second = await Tab.open(olga.page.context, closed.server.url, "/minichat")
    await lines(second, "Olga: hello <img src=x onerror=alert(1)>")
    await says(second, "from another tab")
    await lines(olga, "Olga: hello <img src=x onerror=alert(1)>", "Olga: from another tab")
    await second.page.close()
    await olga.evaluate(
        "() => fetch('/api/v1/sign-out', {method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}})"
    )
    await olga.page.get_by_role("heading", name="This Chatzilla is closed").wait_for()


async def test_who_closes_the_page_is_gone(tab: OpenTab) -> None:
    pages = []
    for name in ("ann", "bob"):
        page = await tab("/minichat")
        await page.page.get_by_label("Your name").fill(name)
        await page.page.get_by_role("button", name="Join").click()
        pages.append(page)
    ann, bob = pages
    await here(ann, "ann, bob")
    await says(bob, "hi")
    for page in pages:
        await lines(page, "bob: hi")
    await bob.page.close()
    await here(ann, "ann")


async def test_a_refusal_is_said_in_words_and_the_text_stays(tab: OpenTab) -> None:
    ann = await tab("/minichat")
    await ann.page.get_by_label("Your name").fill("ann")
    await ann.page.get_by_role("button", name="Join").click()
    field = ann.page.get_by_label("Message", exact=True)
    await field.fill("x" * 10_001)
    await field.press("Enter")
    await ann.page.get_by_text("10,000 characters at most").wait_for()
    assert await field.input_value() == "x" * 10_001
    ann.complaints.clear()  # the browser notes the 413
    await says(ann, "short")
    await lines(ann, "ann: short")


async def test_a_name_that_is_taken_is_asked_for_again(tab: OpenTab) -> None:
    pages = [await tab("/minichat"), await tab("/minichat")]
    for page in pages:
        await page.page.get_by_label("Your name").fill("ann")
        await page.page.get_by_role("button", name="Join").click()
    await here(pages[0], "ann")
    await here(pages[1], "ann")
    third = await tab("/minichat")
    await third.page.get_by_label("Your name").fill("аnn")
    await third.page.get_by_role("button", name="Join").click()
    await third.page.get_by_text("looks like this one").wait_for()
    await third.page.get_by_label("Your name").fill("bob")
    await third.page.get_by_role("button", name="Join").click()
    await here(third, "ann, bob")


@desk_and_phone
async def test_axe_finds_nothing(tab: OpenTab, scheme: str, viewport: dict[str, int]) -> None:
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": viewport, "bypass_csp": True}
    ann = await tab("/minichat", **options)
    await assert_accessible(ann)
    await ann.page.get_by_label("Your name").fill("ann@example.com")
    await ann.page.get_by_role("button", name="Join").click()
    await says(ann, "hello")
    await says(ann, "a-very-long-word-" * 20)
    await lines(ann, "ann@example.com: hello", "ann@example.com: " + "a-very-long-word-" * 20)
    await assert_accessible(ann)
    assert await overflow(ann) == 0
