"""Minichat's doors: a page for whoever is signed in, and what one says as the raw body of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
import pytest

from chatzilla.core.catchup import Span
from chatzilla.core.messages import TEXT_LIMIT
from chatzilla.core.policy import Role
from chatzilla.core.rooms import LOBBY
from tests.helpers import seeds
from tests.helpers.clients import Client
from tests.helpers.doors import Doors, doors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.helpers.people import Person

BROWSER: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path / "data") as found:
        yield found


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path / "data", sign_in="links") as found:
        yield found


def by(person: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {person.token}"}


def cookie_of(where: Doors, person: Person) -> dict[str, str]:
    """What a browser sends that is signed in."""
    return {"Cookie": f"chatzilla-session-{where.server.url.rpartition(':')[2]}={person.token}"}


async def test_everyone_hears_what_is_posted_and_so_do_the_senders_own_connections(closed: Doors) -> None:
    alice, bob = await closed.enters("Alice"), await closed.enters("Bob")
    ears = [await alice.connect(), await bob.connect()]
    for ear in ears:
        await ear.joins("lobby")
    simple = await Client(closed.server.url).connect(auth={"token": bob.token})
    await simple.call("join", "Bob")
    text = "hello\n<b>everybody</b> \u2665"
    assert await closed.post("/chat", data=text.encode(), headers=by(alice)) == (204, "")
    for ear in ears:
        message = await ear.hears()
        assert (message["content"], message["name"], message["sender"]) == (text, "Alice", alice.id)
        assert (message["room"], message["seq"], message["kind"]) == ("lobby", 1, "text")
    assert await simple.hears() == {"sender": "Alice", "content": text}
    for ear in (*ears, simple):
        await ear.hears_nothing()
    late = await bob.connect()
    assert [each["content"] for each in (await late.joins("lobby"))["messages"]] == [text], "it is stored"
    for ear in (*ears, simple, late):
        await ear.close()


async def test_it_can_be_posted_as_the_document_says(closed: Doors) -> None:
    alice = await closed.enters("Alice")
    ear = await alice.connect()
    await ear.joins("lobby")
    for command in seeds.commands("Minichat", closed.server.url):
        assert await seeds.run(command, TOKEN=alice.token) == ""
        assert (await ear.hears())["content"] == "hello"
    await ear.close()


async def test_its_author_may_change_it_as_any_other(closed: Doors) -> None:
    alice = await closed.enters("Alice")
    await closed.post("/chat", data="helo", headers=by(alice))
    ear = await alice.connect()
    (said,) = (await ear.joins("lobby"))["messages"]
    accepted, edited = await ear.call("edit", {"id": said["id"], "content": "hello"})
    assert (accepted, edited["content"]) == (True, "hello")
    await ear.close()


async def test_on_an_open_server_it_takes_the_token_that_a_join_gave(house: Doors) -> None:
    bob = await Client(house.server.url).connect(auth={"dialect": "full"})
    you = (await bob.joins("lobby", name="bob@example.com"))["you"]
    assert (await house.post("/chat", data="hello", headers={"Authorization": f"Bearer {you['token']}"}))[0] == 204
    assert (await bob.hears())["sender"] == you["id"]
    await bob.close()


@pytest.mark.parametrize("mode", ["open", "links"])
async def test_without_a_sign_in_nothing_is_said(tmp_path: Path, mode: str) -> None:
    async with doors(tmp_path / "data", sign_in=mode) as where:
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer"}, {"Cookie": "x=y"}):
            assert (await where.post("/chat", data="hello", headers=headers))[0] == 401
        page = await where.server.house.store.history(LOBBY, Span(limit=10))
        assert not page.messages


async def test_a_cookie_counts_from_a_page_of_ours_and_from_no_other(closed: Doors) -> None:
    alice = await closed.enters("Alice")
    cookie, origin = cookie_of(closed, alice), closed.server.url
    for headers in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{origin}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        assert (await closed.post("/chat", data="hello", headers=cookie | headers))[0] == 401
    assert (await closed.post("/chat", data="hello", headers=cookie | {"Origin": origin}))[0] == 204


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b" \n\t", 400),
        (b"\xff\xfe", 400),
        (b"a\0b", 400),
        (b"\xed\xa0\x80", 400),
        (b"x" * (TEXT_LIMIT + 1), 413),
        (b"x" * 200_000, 413),
        (("\U0001f600" * TEXT_LIMIT).encode(), 204),
    ],
    ids=["empty", "blank", "bytes", "nul", "surrogate", "too long", "huge", "longest"],
)
async def test_a_body_is_a_message_or_nothing(closed: Doors, body: bytes, status: int) -> None:
    alice = await closed.enters("Alice")
    assert (await closed.post("/chat", data=body, headers=by(alice)))[0] == status


async def test_whatever_its_sender_calls_it_the_body_is_the_text(closed: Doors) -> None:
    alice = await closed.enters("Alice")
    ear = await alice.connect()
    await ear.joins("lobby")
    for kind in ("application/x-www-form-urlencoded", "application/json", "text/plain;charset=UTF-8"):
        await closed.post("/chat", data=b'{"a": "b"}', headers=by(alice) | {"Content-Type": kind})
        assert (await ear.hears())["content"] == '{"a": "b"}'
    await ear.close()


async def test_a_guest_of_another_room_says_nothing_in_the_lobby(closed: Doors) -> None:
    guest = await closed.enters("Gert", Role.GUEST, "garden")
    assert (await closed.post("/chat", data="hello", headers=by(guest)))[0] == 403


async def test_it_goes_at_the_pace_of_the_person(tmp_path: Path) -> None:
    async with doors(tmp_path / "data", sign_in="links", message_rate=0.001, message_burst=2) as where:
        alice = await where.enters("Alice")
        told = [(await where.post("/chat", data="hello", headers=by(alice)))[0] for _ in range(3)]
        assert told == [204, 204, 429]


async def test_the_page_asks_for_a_sign_in_where_it_is_missing(closed: Doors) -> None:
    status, page = await closed.get("/minichat", headers=BROWSER)
    assert (status, "This Chatzilla is closed" in page, "data-say" in page) == (200, True, False)
    alice = await closed.enters("Alice")
    async with aiohttp.ClientSession(headers=BROWSER | cookie_of(closed, alice)) as browser:
        async with browser.get(f"{closed.server.url}/minichat") as answer:
            page = await answer.text()
        assert ('content="Alice"' in page, "data-say" in page) == (True, True)
        await alice.ask("POST", "sign-out", {})
        async with browser.get(f"{closed.server.url}/minichat") as answer:
            assert "This Chatzilla is closed" in await answer.text()


async def test_the_page_is_not_for_a_guest_of_another_room(closed: Doors) -> None:
    guest = await closed.enters("Gert", Role.GUEST, "garden")
    assert (await closed.get("/minichat", headers=BROWSER | cookie_of(closed, guest)))[0] == 403
