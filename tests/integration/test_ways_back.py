"""Whoever was put out tries to come back, or to stay: by what they made before, by another door, by being quicker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import socketio.exceptions

from chatzilla.core.policy import Role
from tests.helpers.callers import Caller
from tests.helpers.clients import Client
from tests.helpers.people import Person, Town, town
from tests.helpers.servers import serving
from tests.integration.test_links import refused
from tests.integration.test_moderation import close, inside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with serving(tmp_path / "data", sign_in="links", message_rate=0.0) as server, town(server) as opened:
        yield opened


async def link_of(person: Person, **terms: Any) -> str:
    status, answer = await person.ask("POST", "links", terms)
    assert status == 201, answer
    return str(answer["url"].rpartition("/")[2])


async def page_of(place: Town, secret: str) -> int:
    async with place.http.get(f"{place.server.url}/in/{secret}") as answer:
        return answer.status


async def test_who_is_banned_lets_nobody_in_by_links_from_before_until_the_ban_ends(place: Town) -> None:
    """Else they would be here again at once, as somebody new."""
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    secret = await link_of(bob, role="member")
    status, answer = await olga.ask("POST", "bans", {"account": bob.id})
    assert status == 201
    assert (await place.use(secret, "Bobby"))[0] == 401
    assert await page_of(place, secret) == 404
    assert (await olga.ask("DELETE", f"bans/{answer['bans'][0]['id']}"))[0] == 204
    assert (await place.use(secret, "Carl"))[0] == 201, "what was ended was the ban alone"


async def test_who_is_banned_from_a_room_invites_nobody_into_it(place: Town) -> None:
    """Neither by a link from before nor by a new one: else they would be its guest."""
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    boss = await inside(olga, "garden")
    await boss.says("garden", "so that it is stored")
    secret = await link_of(bob, role="guest", room="garden")
    assert (await olga.ask("POST", "bans", {"account": bob.id, "room": "garden"}))[0] == 201
    assert (await place.use(secret, "Guest"))[0] == 401
    assert (await bob.ask("POST", "links", {"role": "guest", "room": "garden"}))[0] == 403
    assert (await place.use(await link_of(bob, role="guest", room="lobby"), "Guest"))[0] == 201
    await boss.close()


@pytest.mark.parametrize("scope", ["garden", None])
async def test_a_ban_reaches_who_is_in_a_call_and_nowhere_else(place: Town, scope: str | None) -> None:
    """A connection of `/calls` alone, which has joined no room, is a connection too."""
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    host, caller = await Caller(olga.url).connect(token=olga.token), await Caller(bob.url).connect(token=bob.token)
    await host.joins("garden")
    joined = await caller.joins("garden")
    await host.hears_of("joined")
    wanted = {"account": bob.id} | ({} if scope is None else {"room": scope})
    assert (await olga.ask("POST", "bans", wanted))[0] == 201
    assert (await host.hears_of("left"))["reason"] == "kicked"
    if scope is None:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await Caller(bob.url).connect(token=bob.token)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await Caller(bob.url).connect(token=bob.token, resume=joined["resume"])
    else:
        for question in ({"room": "garden"}, {"room": "garden", "resume": joined["resume"]}):
            assert (await caller.call("join", question))[0] is False
    await host.close()
    await caller.close()


async def test_an_admin_who_is_removed_takes_no_bot_along(place: Town) -> None:
    """Whoever made its token knows it, also where the browser in which it was made is long gone."""
    olga, ada = await place.enters("Olga", Role.OWNER), await place.enters("Ada", Role.ADMIN)
    _, bot = await ada.ask("POST", "bots", {"name": "Robot"})
    _, other = await olga.ask("POST", "bots", {"name": "Servant"})
    _, own = await ada.ask("POST", "tokens", {"label": "own"})
    _, link = await ada.ask("POST", "links", {"account": "me"})
    again = await place.comes(link["url"].rpartition("/")[2])
    assert (await ada.ask("POST", "sign-out", {}))[0] == 204
    robot = Person(place.http, ada.url, bot["secret"], bot["bot"]["id"], "Robot")
    servant = Person(place.http, ada.url, other["secret"], other["bot"]["id"], "Servant")
    program = Person(place.http, ada.url, own["secret"], ada.id, "Ada")
    connected = await inside(robot, "lobby")
    for person in (robot, servant, program, again):
        assert (await person.ask("GET", "me"))[0] == 200
    assert (await olga.ask("DELETE", f"people/{ada.id}"))[0] == 204
    assert [(await person.ask("GET", "me"))[0] for person in (robot, program, again)] == [401, 401, 401]
    assert (await servant.ask("GET", "me"))[0] == 200, "what others made is theirs"
    assert (await refused(robot.url, token=robot.token))["code"] == "sign-in"
    await asyncio.wait_for(connected.gone.wait(), 5)
    assert (await olga.ask("POST", "tokens", {"label": "anew", "bot": robot.id}))[0] == 201, "the bot itself stays"
    await connected.close()


async def test_nobody_silences_somebody_above_them(place: Town) -> None:
    """Whoever moderates a room decides who speaks there, and not whether the owner does."""
    olga, bob, carl = await place.enters("Olga", Role.OWNER), await place.enters("Bob"), await place.enters("Carl")
    _, made = await bob.ask("POST", "rooms", {"name": "Bobs"})
    room = made["room"]["room"]
    status, answer = await bob.ask("PUT", f"rooms/{room}/members/{olga.id}", {"grade": "read"})
    assert (status, answer["code"]) == (403, "forbidden")
    assert (await bob.ask("PUT", f"rooms/{room}/members/{carl.id}", {"grade": "read"}))[0] == 204
    assert (await olga.ask("POST", f"rooms/{room}/messages", {"content": "hello"}))[0] == 201
    assert (await carl.ask("POST", f"rooms/{room}/messages", {"content": "hello"}))[0] == 403


async def test_of_two_owners_who_demote_each_other_at_once_one_stays(place: Town) -> None:
    olga, ada = await place.enters("Olga", Role.OWNER), await place.enters("Ada", Role.OWNER)
    answers = await asyncio.gather(
        olga.ask("PUT", f"people/{ada.id}/role", {"role": "member"}),
        ada.ask("PUT", f"people/{olga.id}/role", {"role": "member"}),
    )
    assert sorted(status for status, _ in answers) in ([200, 404], [200, 409])
    owners = [each for each in place.server.house.sign_ins.people() if each.role is Role.OWNER]
    assert len(owners) == 1


async def test_a_second_tab_does_nothing_any_more_once_the_first_was_answered_that_they_are_out(place: Town) -> None:
    """Many acts are on their way on several connections while the person is removed: none of them holds later."""
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob", Role.ADMIN)
    boss = await inside(olga, "garden")
    said = await boss.says("garden", "before")
    tabs = [await inside(bob, "garden") for _ in range(3)]

    async def acts(tab: Client) -> None:
        for at in range(20):
            await tab.sio.emit(
                "message", {"room": "garden", "client_id": f"{id(tab)}-{at}", "content": "racing"}, namespace="/chat"
            )
            await tab.sio.emit("delete", {"id": said["id"]}, namespace="/chat")

    async def makes_ways_back() -> list[str]:
        found = await asyncio.gather(*(bob.ask("POST", "links", {"role": "member"}) for _ in range(5)))
        tokens = await asyncio.gather(*(bob.ask("POST", "tokens", {"label": "back"}) for _ in range(5)))
        return [answer["url"].rpartition("/")[2] for status, answer in found if status == 201] + [
            answer["secret"] for status, answer in tokens if status == 201
        ]

    racing = [asyncio.ensure_future(acts(tab)) for tab in tabs]
    made = asyncio.ensure_future(makes_ways_back())
    await asyncio.sleep(0)
    assert (await olga.ask("DELETE", f"people/{bob.id}"))[0] == 204
    last = await boss.says("garden", "after")
    await asyncio.gather(*racing, return_exceptions=True)
    ways = await made
    for way in ways:
        if way.count(".") == 2:
            person = Person(place.http, bob.url, way, bob.id, "Bob")
            assert (await person.ask("POST", "rooms/garden/messages", {"content": "back"}))[0] in (401, 403)
            assert (await person.ask("GET", "rooms/garden/messages"))[0] in (401, 403)
        else:
            assert (await place.use(way, f"Bob {ways.index(way)}"))[0] in (401, 429)
    _, page = await boss.call("history", {"room": "garden", "limit": 100})
    places = [row["seq"] for row in page["messages"] if row["sender"] == bob.id]
    assert max([0, *places]) < last["seq"], "nothing of theirs was given a place after the answer"
    await close(boss, *tabs)


async def test_a_typed_name_speaks_no_more_once_it_is_somebodys(tmp_path: Path) -> None:
    """A token from before would else be a way to speak as them without ever joining."""
    async with serving(tmp_path / "data") as server, town(server) as place:
        visitor = await Client(server.url).connect(auth={"dialect": "full"})
        you = (await visitor.joins("lobby", name="Eve"))["you"]
        await visitor.close()
        typed = Person(place.http, server.url, you["token"], you["id"], "Eve")
        assert (await typed.ask("POST", "rooms/lobby/messages", {"content": "I am Eve"}))[0] == 201
        eve = await place.enters("Ev\u0435")  # with a letter that looks the same
        assert (await typed.ask("POST", "rooms/lobby/messages", {"content": "I am Eve"}))[0] == 403
        async with place.http.post(
            f"{server.url}/chat", data="I am Eve", headers={"Authorization": f"Bearer {typed.token}"}
        ) as answer:
            assert answer.status == 403
        again = await Client(server.url).connect(auth={"dialect": "full", "token": typed.token})
        assert (await again.call("join", {"room": "lobby"}))[1]["code"] == "forbidden"
        assert (await eve.ask("POST", "rooms/lobby/messages", {"content": "I am Eve"}))[0] == 201
        await again.close()
