"""What people write stays text: a thousand hostile strings in every field that a person can set, in a real browser.

Nothing runs, nothing leads away, every string is shown as it was written; also where the Content Security Policy, which
would stop most of it, has been taken away.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

import pytest
import pytest_asyncio

from chatzilla.core.messages import Change, ClientId, Draft, Target
from chatzilla.core.people import account_named
from chatzilla.core.policy import Role
from chatzilla.core.rooms import ConnectionId, RoomId
from chatzilla.errors import BadRequest
from tests.browser.test_sign_in import comes_in
from tests.helpers import hostile
from tests.helpers.mailed import DOMAIN, mail_town
from tests.helpers.people import town
from tests.helpers.servers import Server, serving
from tests.helpers.tabs import Tab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from playwright.async_api import Browser, Page, Route

ROOM: Final = RoomId("garden")
AT_ONCE: Final = 250
SLOW_MS: Final = 90_000
"""How long a thousand rows may take on a machine that does other things as well."""
LOOK_EVERY_MS: Final = 100
"""How often to look whether all rows are there; with each picture that is painted would cost more than the rows."""
ROWS: Final = "'[data-message] .message-content'"
CONTROL: Final = "<img src=x onerror=xss()>"
INSERT: Final = """html => {
    const box = document.createElement('div');
    try { box.innerHTML = html; } catch (refusal) { return String(refusal); }
    document.body.append(box);
    return '';
}"""
TEXTS: Final = "() => [...document.querySelectorAll('[data-message] .message-content')].map(each => each.textContent)"
LINKS: Final = """() => [...document.querySelectorAll('.message-content a')].map(each => ({
    text: each.textContent, address: each.getAttribute('href'), scheme: each.protocol,
    target: each.target, rel: each.rel,
    names: each.getAttributeNames().sort().join(), inside: each.children.length,
}))"""
"""What the page made of the addresses that people wrote."""

SHOW_PEOPLE: Final = """people => document.querySelector('people-list')
    .show(people, people.length, null, { write: true, keepOrder: true })"""

MARKUP: Final = """selector => [...document.querySelectorAll(selector)]
    .flatMap(each => [...each.querySelectorAll('*')]).map(each => each.outerHTML)"""
CLICK_ALL: Final = """selector => {
    let clicked = 0;
    for (const each of document.querySelectorAll(selector)) {
        each.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }));
        clicked += 1;
    }
    return clicked;
}"""


SPARED_AFTER: Final = 5
SPARE: Final = """count => addEventListener('click', event => {
    if (event.target.closest('a') && count-- <= 0) event.preventDefault();
})"""


class Watched:
    """A page whose scripts, dialogs, new windows and journeys are counted."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.ran: list[str] = []
        self.left: list[str] = []
        self.opened: list[Page] = []

    @classmethod
    async def open(cls, chromium: Browser, url: str, path: str = "/", *, policy: bool = True) -> Watched:
        """Open a page; without its policy, if that is asked for."""
        context = await chromium.new_context(locale="en-GB", timezone_id="UTC")
        ran: list[str] = []
        await context.expose_binding("xss", lambda *_: ran.append("xss()"))
        if not policy:
            await context.route(lambda asked: "/static/" not in asked and "/socket.io/" not in asked, _without_policy)
        tab = await Tab.open(context, url, path)
        watched = cls(tab)
        watched.ran = ran
        tab.page.on("dialog", watched._dialog)
        # What an address leads to opens beside the page, and is asked for nothing here.
        await context.route(lambda asked: not asked.startswith(url), lambda route: route.abort())
        context.on("page", lambda page: watched.opened.append(page))
        return watched

    def watch_journeys(self) -> None:
        """From here on, the page stays where it is."""
        self.tab.page.on("framenavigated", lambda frame: self.left.append(frame.url))

    async def is_untouched(self) -> None:
        """Nothing has run, and nothing has led anywhere."""
        await self.tab.page.evaluate(
            "() => new Promise(resolve => setTimeout(() => requestAnimationFrame(resolve), 50))"
        )
        assert not self.ran
        assert not self.left
        foreign = [
            url for url in self.tab.requests if not url.startswith((self.tab.url, self.tab.url.replace("http", "ws")))
        ]
        assert not foreign

    async def _dialog(self, dialog: Any) -> None:
        self.ran.append(dialog.message)
        await dialog.dismiss()


async def _without_policy(route: Route) -> None:
    response = await route.fetch(max_redirects=0)
    kept = {name: value for name, value in response.headers.items() if name != "content-security-policy"}
    await route.fulfill(response=response, headers=kept)


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path / "data", message_rate=0.0) as running:
        yield running


def test_the_corpus_is_large_and_each_is_there_once() -> None:
    texts = hostile.corpus()
    assert len(texts) == len(set(texts)) >= 1_000
    assert len(hostile.lines()) >= 900
    assert sum(hostile.CALL in text or "evil" in text.lower() for text in texts) > 800


@pytest.mark.parametrize("policy", [True, False], ids=["as it is", "without the policy"])
async def test_what_is_said_and_edited_is_shown_and_nothing_else_happens(
    chromium: Browser, server: Server, policy: bool
) -> None:
    """Names, messages and edits, live and from history; then everything is clicked."""
    texts, names = hostile.corpus(), hostile.lines()
    watched = await Watched.open(chromium, server.url, f"/r/{ROOM}", policy=policy)
    page = watched.tab.page
    await watched.tab.joins("Alice")
    watched.watch_journeys()
    log = server.house.log
    authors = [_author(names[at % len(names)]) for at in range(len(texts))]
    for begin in range(0, len(texts), AT_ONCE):  # and no faster than the page can follow
        end = min(begin + AT_ONCE, len(texts))
        await asyncio.gather(
            *(
                log.append(authors[at], Draft(ROOM, ClientId(str(uuid.uuid4())), texts[at]), origin=None)
                for at in range(begin, end)
            )
        )
        count = f"() => document.querySelectorAll('[data-message]').length === {end}"
        await page.wait_for_function(count, timeout=SLOW_MS, polling=LOOK_EVERY_MS)
    assert await page.evaluate(TEXTS) == texts
    shown = await page.evaluate("() => [...document.querySelectorAll('.message-sender')].map(each => each.textContent)")
    assert shown == [author.name for author in authors]
    assert await page.evaluate(MARKUP, ".message-sender") == []
    assert await page.evaluate(MARKUP, ".message-content > :not(a)") == []
    links = await page.evaluate(LINKS)
    assert len(links) > 100
    for link in links:
        assert link["scheme"] in ("http:", "https:"), link
        assert link["text"] == link["address"], "it says where it leads"
        assert (link["target"], link["rel"], link["inside"]) == ("_blank", "noopener noreferrer", 0), link
        assert link["names"] == "href,rel,target", link
    # Each becomes the next one: an edit comes on another way than what is new.
    wanted = [texts[at - 1] for at in range(len(texts))]
    for begin in range(0, len(texts), AT_ONCE):
        end = min(begin + AT_ONCE, len(texts))
        await asyncio.gather(
            *(
                log.change(authors[at], Change(Target(ROOM, at + 1), wanted[at]), origin=None)
                for at in range(begin, end)
            )
        )
        edited = f"() => document.querySelectorAll({ROWS})[{end - 1}].textContent === {json.dumps(wanted[end - 1])}"
        await page.wait_for_function(edited, timeout=SLOW_MS, polling=LOOK_EVERY_MS)
    assert await page.evaluate(TEXTS) == wanted
    assert await page.evaluate(CLICK_ALL, ".message-sender, .log *:not(a)") > 2 * len(texts)
    assert not watched.opened
    # Each is clicked; a few open their tabs, and the browser is spared the rest.
    await page.evaluate(SPARE, SPARED_AFTER)
    assert await page.evaluate(CLICK_ALL, ".message-content a") == len(links)
    await watched.is_untouched()
    assert len(watched.opened) <= SPARED_AFTER

    refused = await page.evaluate(INSERT, CONTROL)
    if policy:
        assert "TrustedHTML" in refused, "with the policy, the page itself could not even try"
        await watched.is_untouched()
    else:
        assert refused == ""
        async with asyncio.timeout(10):
            while not watched.ran:  # what would run is seen to run
                await page.wait_for_timeout(20)


async def test_history_and_the_composer_take_it_as_text_too(chromium: Browser, server: Server) -> None:
    """What was said before one came; what one types, edits and searches the rooms for oneself."""
    texts = hostile.corpus()
    log, author = server.house.log, account_named("chronicler")
    for text in texts[:90]:
        await log.append(author, Draft(ROOM, ClientId(str(uuid.uuid4())), text), origin=None)
    watched = await Watched.open(chromium, server.url, f"/r/{ROOM}", policy=False)
    page = watched.tab.page
    await watched.tab.joins(hostile.CALL + CONTROL)
    watched.watch_journeys()
    await page.wait_for_function("() => document.querySelectorAll('[data-message]').length === 90")
    assert await page.evaluate(TEXTS) == texts[:90]
    for text in hostile.ALONE[:6]:
        await watched.tab.says(text)
    await watched.tab.shows(*texts[:90], *(text.strip() for text in hostile.ALONE[:6]))
    for text in hostile.lines()[:40]:
        await page.fill("#open-room", text)
        await page.press("#open-room", "Enter")
    assert CONTROL in await page.locator("[data-my-name]").inner_text()
    assert await page.evaluate(MARKUP, "[data-my-name], [data-my-avatar], [data-error]") == []
    await watched.is_untouched()


async def test_people_who_are_here_or_writing_are_names_and_no_more(chromium: Browser, server: Server) -> None:
    """A hundred come and write over the wire; then the list itself is shown everybody."""
    watched = await Watched.open(chromium, server.url, f"/r/{ROOM}", policy=False)
    page = watched.tab.page
    await watched.tab.joins("Alice")
    watched.watch_journeys()
    people = {account.id: account for account in map(_author, hostile.lines())}
    some = list(people.values())[:90]
    for at, account in enumerate(some):
        server.house.presence.arrive(ROOM, account, ConnectionId(f"nobody {at}"))
    await page.wait_for_function("() => document.querySelectorAll('[data-people] li').length === 91")
    shown = await page.evaluate("() => [...document.querySelectorAll('.person-name')].map(each => each.textContent)")
    assert set(shown) == {account.name for account in some} | {"Alice"}
    for account in some[:5]:
        server.house.delivery.tell_typing(ROOM, account)
    await page.wait_for_function("() => document.querySelector('[data-typing]').textContent !== ''")
    listed = [{"id": account.id, "name": account.name} for account in people.values()]
    await page.evaluate(SHOW_PEOPLE, listed)
    inside = await page.evaluate(MARKUP, ".person-name, .avatar, [data-typing], [data-people-count]")
    assert inside == []
    await watched.is_untouched()


async def test_links_and_sign_ins_are_listed_as_text(chromium: Browser, tmp_path: Path) -> None:
    """What a browser calls itself, who made a link, for whom and where: all of the corpus in one dialog."""
    lines = hostile.lines()
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        olga = await place.enters(CONTROL, Role.OWNER)
        _, device = await place.link(account=olga.id)
        watched = await Watched.open(chromium, server.url, f"/in/{device}", policy=False)
        page = watched.tab.page
        assert CONTROL in await page.locator("h1").inner_text()
        await page.get_by_role("button", name="Sign in").click()
        await watched.tab.is_online()
        watched.watch_journeys()
        for agent in [line for line in lines if line.isascii()][:15]:
            _, secret = await place.link(account=olga.id)
            await place.use(secret, headers={"User-Agent": agent})
        person = {"id": "x", "verified": True, "role": "member", "room": None}
        sign_ins = [
            person_sign_in | {"id": f"s{at}", "person": person | {"name": line}, "agent": line}
            for at, line in enumerate(lines)
            for person_sign_in in [{"made_at": 0, "seen_at": 0, "ends_at": 0, "current": False}]
        ]
        links = [
            {"id": f"l{at}", "kind": "invitation", "role": line, "room": line, "email": line, "person": None}
            | {"maker": {"id": "x", "name": line}, "made_at": 0, "ends_at": 0, "uses": 2, "used": 1}
            for at, line in enumerate(lines)
        ]
        await page.get_by_role("button", name="People and links").click()
        await page.locator("[data-sign-ins] li").nth(16).wait_for()
        await page.get_by_role("button", name="Close", exact=True).click()
        await page.context.route("**/api/v1/sign-ins", lambda route: route.fulfill(json={"sign_ins": sign_ins}))
        await page.context.route("**/api/v1/links", lambda route: route.fulfill(json={"links": links}))
        await page.get_by_role("button", name="People and links").click()
        await page.wait_for_function(f"() => document.querySelectorAll('.entries li').length === {2 * len(lines)}")
        assert await page.evaluate(MARKUP, ".entry-words > *") == []
        assert await page.evaluate(CLICK_ALL, ".entry-words, .entry-words *") >= 6 * len(lines)
        await watched.is_untouched()


SHAPES: Final = """([head, tail, middles]) => middles.map(middle => {
    const parsed = new DOMParser().parseFromString(head + middle + tail, 'text/html');
    const parts = [...parsed.querySelectorAll('*')].map(
        each => each.localName + [...each.attributes].map(part => part.name).sort());
    return [parts.join(), parsed.querySelector('form input:not([type=hidden])')?.value ?? ''];
})"""
"""What the browser's own parser makes of pages that begin and end alike."""


async def test_pages_that_are_rendered_here_hold_it_as_text(chromium: Browser, tmp_path: Path) -> None:
    """Names, typed fields, rooms in the address: the browser's own parser finds pages of the same shape."""
    texts = ["plain text", *hostile.corpus()]
    async with mail_town(tmp_path / "data") as place, town(place.server) as people:
        _, invitation = await people.link()
        rendered = {
            "a refused name": await asked(
                place.server.url, (form(f"/in/{invitation}", name=text + TOO_LONG) for text in texts)
            ),
            "a refused address": await asked(
                place.server.url, (form("/in", email=text, room=text if len(text) > 64 else "") for text in texts)
            ),
            "a room": await asked(place.server.url, (("GET", f"/r/{quote(text, safe='')}", "") for text in texts)),
        }
        context = await chromium.new_context()
        page = await context.new_page()
        for what, answers in rendered.items():
            # A text that is a room's name has that room's page, and one that is an address a mail.
            refused = {text: html for text, (status, html) in zip(texts, answers, strict=True) if 400 <= status < 500}
            assert len(refused) > 1_000, what
            head = shared(refused.values())
            tail = shared(html[len(head) :][::-1] for html in refused.values())[::-1]
            middles = [html[len(head) : len(html) - len(tail)] for html in refused.values()]
            shapes = await page.evaluate(SHAPES, [head, tail, middles])
            plain = shapes[0][0]
            for text, (found, value) in zip(refused, shapes, strict=True):
                assert found == plain, (what, text)
                typed = text + TOO_LONG if what == "a refused name" else text
                if what != "a room" and "\n" not in text and "\r" not in text:
                    assert value.strip() in (typed.strip(), ""), (what, text)
        await context.close()


TOO_LONG: Final = "x" * 300
PIPELINED: Final = 20


def shared(texts: Iterable[str]) -> str:
    """What all of them begin with: what the first and the last of them do."""
    ordered = sorted(texts)
    pairs = enumerate(zip(ordered[0], ordered[-1], strict=False))
    return ordered[0][: next((at for at, (one, other) in pairs if one != other), len(ordered[0]))]


def form(path: str, **fields: str) -> tuple[str, str, str]:
    return "POST", path, urlencode(fields)


async def asked(url: str, questions: Iterable[tuple[str, str, str]]) -> list[tuple[int, str]]:
    """Ask as a browser does, by one connection and without waiting for each answer; returns statuses and pages."""
    waiting = [
        f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nOrigin: {url}\r\nAccept: text/html\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        for method, path, body in questions
    ]
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    answers = []
    for begin in range(0, len(waiting), PIPELINED):
        some = waiting[begin : begin + PIPELINED]
        writer.write(b"".join(some))
        for _ in some:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            assert length is not None, head
            answers.append((int(head.split()[1]), (await reader.readexactly(int(length[1]))).decode()))
    writer.close()
    return answers


async def test_a_page_for_everybody_who_comes_by_mail_shows_their_name_as_text(
    chromium: Browser, tmp_path: Path
) -> None:
    async with mail_town(tmp_path / "data") as place:
        watched = await Watched.open(chromium, place.server.url, "/", policy=False)
        page = watched.tab.page
        await page.get_by_label("Type your email").fill(f"alice@{DOMAIN}")
        await page.get_by_role("button", name="Send me a link").click()
        await page.goto((await place.office.next()).link)
        await comes_in(watched.tab, f'"><svg onload={hostile.CALL}>')
        await page.reload()
        await watched.tab.is_online()
        assert await page.locator("[data-my-name]").inner_text() == f'"><svg onload={hostile.CALL}>'
        await watched.is_untouched()


def _author(name: str) -> Any:
    try:
        return account_named(name)
    except BadRequest:  # nothing of it can be seen
        return account_named(f"{name}<b>x</b>"[-250:])
