"""Messages over HTTP, by real requests; whoever is connected hears them by a real socket."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from chatzilla.core.messages import TEXT_LIMIT
from chatzilla.core.policy import Role
from tests.helpers.clients import Client
from tests.helpers.clock import ManualClock
from tests.helpers.people import Person, Town, town
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOBBY = "rooms/lobby/messages"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as opened:
        yield opened


async def said(person: Person, content: str, room: str = "lobby", **fields: Any) -> dict[str, Any]:
    status, posted = await person.ask("POST", f"rooms/{room}/messages", {"content": content, **fields})
    assert status == 201, posted
    return dict(posted)


async def test_everybody_hears_what_is_posted_its_author_too(place: Town) -> None:
    alice, bob = await place.enters("Alice"), await place.enters("Bob")
    hers, his = await alice.connect(), await bob.connect()
    await hers.joins()
    await his.joins()
    posted = await said(alice, "hello", client_id="c-1")
    assert (posted["id"], posted["seq"], posted["changed"], posted["client_id"]) == ("lobby:1", 1, 1, "c-1")
    for client in (hers, his):
        heard = await client.hears()
        assert (heard["id"], heard["content"], heard["sender"], heard["name"]) == (
            "lobby:1",
            "hello",
            alice.id,
            "Alice",
        )
    await hers.close()
    await his.close()


async def test_a_retry_is_answered_as_the_first_time_and_not_told_again(place: Town) -> None:
    alice = await place.enters("Alice")
    listener = await (await place.enters("Bob")).connect()
    await listener.joins()
    draft = {"content": "hello", "client_id": str(uuid.uuid4())}
    first = await alice.ask("POST", LOBBY, draft)
    again = await alice.ask("POST", LOBBY, draft)
    at_once = await asyncio.gather(*(alice.ask("POST", LOBBY, draft | {"client_id": "same"}) for _ in range(5)))
    assert (first[0], again[0], again[1]) == (201, 200, first[1])
    assert sorted(status for status, _ in at_once) == [200] * 4 + [201]
    assert len({json.dumps(posted) for _, posted in at_once}) == 1
    assert [await listener.hears(), await listener.hears()]
    await listener.hears_nothing()
    status, problem = await alice.ask("POST", LOBBY, {"content": "other", "client_id": "same"})
    assert (status, problem["code"]) == (409, "conflict")
    await listener.close()


async def test_a_message_of_a_socket_is_repeated_over_http(place: Town) -> None:
    alice = await place.enters("Alice")
    client = await alice.connect()
    await client.joins()
    sent = await client.says("lobby", "hello", "c-1")
    status, posted = await alice.ask("POST", LOBBY, {"content": "hello", "client_id": "c-1"})
    assert (status, posted) == (200, sent)
    await client.close()


async def test_edits_and_deletions_reach_everybody(place: Town) -> None:
    alice, bob = await place.enters("Alice"), await place.enters("Bob")
    listener = await bob.connect()
    await listener.joins()
    await said(alice, "helo")
    await listener.hears()
    status, edited = await alice.ask("PATCH", "messages/lobby:1", {"content": "hello"})
    assert (status, edited["content"], edited["changed"]) == (200, "hello", 2)
    assert await listener.hears() == edited
    assert await bob.ask("GET", "messages/lobby:1") == (200, edited)
    assert (await bob.ask("PATCH", "messages/lobby:1", {"content": "hacked"}))[1]["code"] == "forbidden"
    assert (await bob.ask("DELETE", "messages/lobby:1"))[0] == 403
    status, deleted = await alice.ask("DELETE", "messages/lobby:1")
    assert (status, deleted["deleted"], deleted["content"]) == (200, True, "")
    assert await listener.hears() == deleted
    assert await alice.ask("DELETE", "messages/lobby:1") == (200, deleted), "a retry is harmless"
    assert (await alice.ask("PATCH", "messages/lobby:1", {"content": "again"}))[1]["code"] == "conflict"
    await listener.close()


async def test_a_history_is_read_on_by_its_next_links(place: Town) -> None:
    alice = await place.enters("Alice")
    for at in range(25):
        await said(alice, str(at))
    for query, expected in (
        ("limit=10", [range(15, 25), range(5, 15), range(5)]),
        ("after=0&limit=10", [range(10), range(10, 20), range(20, 25)]),
        ("before=13&limit=10", [range(2, 12), range(2)]),
        ("before=0", [range(0)]),
        ("after=25", [range(0)]),
    ):
        pages, path = [], f"{LOBBY}?{query}"
        while path:
            status, page = await alice.ask("GET", path)
            assert status == 200
            assert page["more"] == (page["next"] is not None)
            pages.append([int(message["content"]) for message in page["messages"]])
            path = (page["next"] or "").removeprefix("/api/v1/")
        assert pages == [list(each) for each in expected], query


async def test_what_http_and_sockets_tell_of_a_message_is_the_same(place: Town) -> None:
    """The shape that the document promises leaves nothing out."""
    alice = await place.enters("Alice")
    client = await alice.connect()
    await client.joins()
    await said(alice, "one")
    await alice.ask("PATCH", "messages/lobby:1", {"content": "uno"})
    await said(alice, "two")
    await alice.ask("DELETE", "messages/lobby:3")
    _, page = await alice.ask("GET", LOBBY)
    assert page["messages"] == (await client.joins())["messages"]
    await client.close()


async def test_rooms_are_one_whatever_the_case(place: Town) -> None:
    alice = await place.enters("Alice")
    await said(alice, "hello", room="Garden")
    assert (await alice.ask("GET", "rooms/GARDEN/messages"))[1]["messages"][0]["room"] == "garden"


async def test_a_private_room_is_made_shared_and_taken_away(place: Town) -> None:
    alice, bob = await place.enters("Alice"), await place.enters("Bob")
    his = await bob.connect()
    await his.joins()
    wanted = {"name": "Plans", "kind": "private", "topic": "for the summer", "people": []}
    status, made = await alice.ask("POST", "rooms", wanted)
    room = made["room"]
    path = f"rooms/{room['room']}"
    assert (status, room["name"], room["kind"], room["topic"]) == (201, "Plans", "private", "for the summer")
    assert "invite" in room["may"]
    nowhere = "rooms/p-" + "a" * 24
    for each in ("", "/messages", "/members"):
        hidden, missing = await bob.ask("GET", path + each), await bob.ask("GET", nowhere + each)
        assert hidden == missing, "nobody can tell whether it exists"
        assert (hidden[0], hidden[1]["code"]) == (404, "not-found")
    assert (await alice.ask("PUT", f"{path}/members/{bob.id}", {}))[0] == 204
    assert (await his.hears("room"))["room"] == room["room"]
    await his.joins(room["room"])
    await said(alice, "welcome", room["room"])
    assert [(await his.hears())["content"]] == ["welcome"]
    _, roll = await bob.ask("GET", f"{path}/members")
    grades = {each["name"]: (each["grade"], each["here"]) for each in roll["members"]}
    assert (roll["count"], grades) == (2, {"Alice": ("moderate", False), "Bob": ("post", True)})
    assert (await bob.ask("PATCH", path, {"name": "Bob's"}))[0] == 403
    status, changed = await alice.ask("PATCH", path, {"topic": "for the winter"})
    assert (status, changed["room"]["topic"]) == (200, "for the winter")
    assert (await alice.ask("PATCH", path, {}))[1]["code"] == "bad-request"
    assert (await alice.ask("DELETE", f"{path}/members/{bob.id}"))[0] == 204
    await said(alice, "he is gone", room["room"])
    assert "he is gone" not in [message["content"] for message in his.heard()]
    await his.fence()
    assert "he is gone" not in [message["content"] for message in his.heard()]
    assert (await bob.ask("GET", path))[0] == 404
    await his.close()


async def test_a_room_that_is_asked_for_again_is_the_same_one(place: Town) -> None:
    alice = await place.enters("Alice")
    wanted = {"name": "Plans", "kind": "private", "client_id": str(uuid.uuid4())}
    first, again = await alice.ask("POST", "rooms", wanted), await alice.ask("POST", "rooms", wanted)
    assert (first[0], again[0], again[1]["room"]["room"]) == (201, 200, first[1]["room"]["room"])
    status, problem = await alice.ask("POST", "rooms", wanted | {"kind": "public"})
    assert (status, problem["code"]) == (409, "conflict")


async def test_rooms_are_listed_as_somebody_sees_them(place: Town) -> None:
    alice, bob = await place.enters("Alice"), await place.enters("Bob")
    await said(bob, "hello", "garden")
    _, made = await bob.ask("POST", "rooms", {"name": "Secret", "kind": "private"})
    direct = [(await each.ask("POST", "direct", {"people": [alice.id, bob.id]}))[1] for each in (alice, bob, alice)]
    assert len({each["room"]["room"] for each in direct}) == 1, "there is never a second one"
    for person, seen in ((alice, {"garden": False}), (bob, {"garden": True, made["room"]["room"]: True})):
        _, listing = await person.ask("GET", "rooms")
        listed = {room["room"]: room["member"] for room in listing["rooms"]}
        assert listed == seen | {direct[0]["room"]["room"]: True}
        assert set(listing["makes"]) == {"public", "private", "direct"}
    _, nobody = await alice.ask("GET", "rooms/no-word-yet")
    assert (nobody["room"]["head"], nobody["room"]["last"]) == (0, 0)
    _, found = await alice.ask("GET", "people")
    assert [(each["name"], each["online"]) for each in found["people"]] == [("Alice", False), ("Bob", False)]


async def test_a_guest_reads_and_says_nothing_elsewhere(place: Town) -> None:
    alice, gus = await place.enters("Alice"), await place.enters("Gus", Role.GUEST, "garden")
    await said(alice, "in the lobby")
    await said(gus, "in the garden", room="garden")
    for method, path, question in (
        ("GET", LOBBY, None),
        ("POST", LOBBY, {"content": "hello"}),
    ):
        status, problem = await gus.ask(method, path, question)
        assert (status, problem["code"]) == (403, "forbidden")
    for method, question in (("GET", None), ("PATCH", {"content": "x"}), ("DELETE", None)):
        there = await gus.ask(method, "messages/lobby:1", question)
        nowhere = await gus.ask(method, "messages/lobby:999", question)
        assert there == nowhere, "nobody learns what is in a room that is not theirs"
        assert (there[0], there[1]["code"]) == (404, "not-found")


FOR_THOSE_WHO_ARE_IN = [
    ("GET", "me", None),
    ("GET", LOBBY, None),
    ("POST", LOBBY, {"content": "hello"}),
    ("GET", "messages/lobby:1", None),
    ("PATCH", "messages/lobby:1", {"content": "hello"}),
    ("DELETE", "messages/lobby:1", None),
    ("GET", "tokens", None),
    ("POST", "bots", {"name": "Robot"}),
    ("POST", "hooks", {"name": "CI", "room": "lobby"}),
]


async def test_strangers_are_refused_alike(place: Town) -> None:
    alice = await place.enters("Alice")
    await said(alice, "secret")
    for method, path, question in FOR_THOSE_WHO_ARE_IN:
        refusals = [
            await alice.ask(method, path, question, headers=headers)
            for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp4"})
        ]
        assert {(status, problem["code"], problem["title"]) for status, problem in refusals} == {
            (401, "sign-in", "Unauthorized")
        }


async def test_on_an_open_server_a_typed_name_speaks_by_its_token(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as server, town(server) as place:
        client = await Client(server.url).connect(auth={"dialect": "full"})
        you = (await client.joins(name="bob@example.com"))["you"]
        bob = Person(place.http, server.url, you["token"], you["id"], you["name"])
        await said(bob, "hello")
        assert (await client.hears())["sender"] == bob.id
        assert (await bob.ask("GET", "me"))[1]["you"]["role"] == "visitor"
        for method, path, question in (
            ("GET", "links", None),
            ("POST", "tokens", {"label": "mine"}),
            ("POST", "bots", {"name": "Robot"}),
            ("POST", "hooks", {"name": "CI", "room": "lobby"}),
        ):
            assert (await bob.ask(method, path, question))[0] == 401, path
        await client.close()


async def test_rates_hold_for_a_person_and_an_address_on_all_their_ways(tmp_path: Path) -> None:
    clock = ManualClock()
    settings: dict[str, Any] = {"message_rate": 1.0, "message_burst": 3, "address_rate": 1.0, "address_burst": 6}
    async with serving(tmp_path / "data", clock=clock, sign_in="links", **settings) as server, town(server) as place:
        alice, bob = await place.enters("Alice"), await place.enters("Bob")
        client = await alice.connect()
        await client.joins()
        await client.says("lobby", "by socket")
        await said(alice, "by http")
        await said(alice, "by http")
        status, problem = await alice.ask("POST", LOBBY, {"content": "too much"})
        assert (status, problem["code"]) == (429, "too-fast")
        _, refusal = await client.call("message", {"room": "lobby", "client_id": "x", "content": "too much"})
        assert refusal["code"] == "too-fast"  # and has cost the address a try
        await said(bob, "for another person")
        await said(bob, "the last of the address")
        assert (await bob.ask("POST", LOBBY, {"content": "too much"}))[0] == 429
        clock.advance(1.5)
        await said(alice, "later")
        await client.close()


async def test_reading_has_a_rate_too(tmp_path: Path) -> None:
    clock = ManualClock()
    settings: dict[str, Any] = {"call_rate": 1.0, "call_burst": 2}
    async with serving(tmp_path / "data", clock=clock, sign_in="links", **settings) as server, town(server) as place:
        alice, bob = await place.enters("Alice"), await place.enters("Bob")
        assert [(await alice.ask("GET", LOBBY))[0] for _ in range(3)] == [200, 200, 429]
        assert (await bob.ask("GET", LOBBY))[0] == 200


UNSPEAKABLE = [
    ({}, 400, "bad-request"),
    ({"content": 5}, 400, "bad-request"),
    ({"content": ""}, 400, "bad-request"),
    ({"content": "  \n"}, 400, "bad-request"),
    ({"content": "a\0b"}, 400, "bad-request"),
    ({"content": "x" * (TEXT_LIMIT + 1)}, 413, "too-long"),
    ({"content": "x" * 200_000}, 413, "too-long"),
    ({"content": "x", "client_id": ""}, 400, "bad-request"),
    ({"content": "x", "client_id": "x" * 65}, 400, "bad-request"),
    ({"content": "x", "client_id": "x\n"}, 400, "bad-request"),
    ({"content": "x", "client_id": None}, 400, "bad-request"),
]


async def test_what_cannot_be_said_is_refused(place: Town) -> None:
    alice = await place.enters("Alice")
    for question, status, code in UNSPEAKABLE:
        answered, problem = await alice.ask("POST", LOBBY, question)
        assert (answered, problem["code"], problem["status"]) == (status, code, status)
        assert (await alice.ask("GET", LOBBY))[1]["messages"] == []


async def test_the_longest_message_is_taken_however_it_is_escaped(place: Town) -> None:
    alice = await place.enters("Alice")
    longest = "\U0001f600" * TEXT_LIMIT
    await said(alice, longest)  # every character in twelve bytes of ASCII
    headers = {"Authorization": f"Bearer {alice.token}", "Content-Type": "application/json"}
    raw = json.dumps({"content": longest}, ensure_ascii=False).encode()
    assert (await alice.ask("POST", LOBBY, headers=headers, data=raw))[0] == 201
    _, page = await alice.ask("GET", f"{LOBBY}?limit=1")
    assert page["messages"][0]["content"] == longest


ASKED = [
    (f"{LOBBY}?limit=0", 400),
    (f"{LOBBY}?limit=101", 400),
    (f"{LOBBY}?limit=x", 400),
    (f"{LOBBY}?limit=1&limit=2", 400),
    (f"{LOBBY}?before=-1", 400),
    (f"{LOBBY}?before=1&after=1", 400),
    (f"{LOBBY}?before=99999999999999999999", 400),
    (f"{LOBBY}?somebody=else", 200),
    ("rooms/a%20b/messages", 404),
    ("rooms/%2e%2e/messages", 404),
    (f"rooms/{'x' * 65}/messages", 404),
    ("messages/lobby", 404),
    ("messages/lobby:0", 404),
    ("messages/lobby:1%0a", 404),
    ("messages/LOBBY:1", 404),
    ("nothing", 404),
]


async def test_what_cannot_be_asked_is_refused(place: Town) -> None:
    alice = await place.enters("Alice")
    for path, status in ASKED:
        answered, answer = await alice.ask("GET", path)
        assert answered == status, answer
        assert status == 200 or answer["code"] == {400: "bad-request", 404: "not-found"}[status]


async def test_programs_are_given_problems_whatever_they_take(place: Town) -> None:
    headers = {"Accept": "text/html"}
    for method, path, status in (("GET", "me", 401), ("GET", "nothing", 404), ("PUT", "me", 405)):
        async with place.http.request(method, f"{place.server.url}/api/v1/{path}", headers=headers) as answer:
            assert (answer.status, answer.content_type) == (status, "application/problem+json")
            problem = await answer.json(content_type=None)
            assert problem.keys() == {"type", "title", "status", "detail", "code"}


async def test_a_retry_over_a_restart_is_known(tmp_path: Path) -> None:
    draft = {"content": "hello", "client_id": "c-1"}
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        alice = await place.enters("Alice")
        first = await alice.ask("POST", LOBBY, draft)
    async with serving(tmp_path / "data", sign_in="links") as server, aiohttp.ClientSession() as http:
        alice.http, alice.url = http, server.url
        assert await alice.ask("POST", LOBBY, draft) == (200, first[1])
