"""Keeping order: whoever is turned out hears nothing more, on all their connections, before it is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import socketio.exceptions

from chatzilla.core import moderation
from chatzilla.core.moderation import NOBODY
from chatzilla.core.policy import Role
from chatzilla.core.rooms import Grade, RoomId
from tests.helpers.callers import Caller
from tests.helpers.clients import Client
from tests.helpers.clock import ManualClock
from tests.helpers.people import Person, Town, town
from tests.helpers.servers import serving
from tests.integration.test_links import refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOUR_MS = 3600 * 1000
GARDEN = RoomId("garden")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with serving(tmp_path / "data", sign_in="links", message_rate=0.0) as server, town(server) as opened:
        yield opened


@pytest.fixture
async def open_place(tmp_path: Path) -> AsyncIterator[Town]:
    """An open server behind a proxy, so that people come from where a header says."""
    async with serving(tmp_path / "data", proxies=1) as server, town(server) as opened:
        yield opened


async def inside(person: Person, *rooms: str, transport: str = "websocket") -> Client:
    """A connection of somebody who has joined rooms."""
    client = Client(person.url)
    await client.connect(auth={"dialect": "full", "token": person.token}, transports=(transport,))
    for room in rooms:
        await client.joins(room)
    return client


async def close(*clients: Client) -> None:
    for client in clients:
        await client.close()


async def moderates(place: Town, person: Person, room: RoomId = GARDEN) -> None:
    """Let somebody moderate a room that is stored already."""
    house = place.server.house
    account = house.sign_ins.person(person.id)
    assert account is not None
    assert await house.rooms.grade(room, account, Grade.MODERATE, house.ports.clock.wall_ms())
    house.directory.keep(house.directory.find(room).graded(person.id, Grade.MODERATE))


async def test_whoever_is_kicked_hears_nothing_later_on_any_connection(place: Town) -> None:
    """Both transports; a room elsewhere goes on; they may come back, and find what was said meanwhile."""
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    boss = await inside(olga, "garden")
    ears = [await inside(bob, "garden", "lobby"), await inside(bob, "garden", transport="polling")]
    watching = await inside(bob, "lobby")
    await boss.says("garden", "before")
    for ear in ears:
        assert (await ear.hears())["content"] == "before"
    for ear in (*ears, watching):
        await ear.fence()
        ear.heard("room")
    status, answer = await olga.ask("POST", "kicks", {"room": "garden", "account": bob.id})
    assert (status, answer) == (200, {"connections": 2})
    await boss.says("garden", "after")
    await boss.joins("lobby")
    await boss.says("lobby", "elsewhere")
    for ear in ears:
        told = await ear.hears("room")
        assert told == {"room": "garden", "gone": True, "message": "You were asked to leave this room."}
        await ear.fence()
        assert [each["content"] for each in ear.heard() if each["room"] == "garden"] == []
        assert [each for each in ear.heard("room") if each["room"] == "garden"] == []
        assert (await ear.call("message", {"room": "garden", "client_id": "x", "content": "still here"}))[1][
            "code"
        ] == "not-joined"
    await watching.hears_nothing("room")
    back = await ears[0].joins("garden")
    assert [each["content"] for each in back["messages"]] == ["before", "after"]
    await close(boss, watching, *ears)


async def test_a_page_that_was_under_way_is_not_answered_after_a_kick(place: Town) -> None:
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    boss, ear, late = await inside(olga, "garden"), await inside(bob, "garden"), await inside(bob)
    await boss.says("garden", "one")
    reading, turn = place.server.house.store._ask, asyncio.Event()
    loop = asyncio.get_running_loop()

    def held(ask: Any) -> Any:
        asyncio.run_coroutine_threadsafe(turn.wait(), loop).result(10)
        return reading(ask)

    place.server.house.store._ask = held  # type: ignore[method-assign]  # a store that takes its time
    history = asyncio.ensure_future(ear.call("history", {"room": "garden"}))
    joining = asyncio.ensure_future(late.call("join", {"room": "garden"}))
    await boss.fence()
    while not any("garden" in session.rooms for session in place.server.house.delivery.sessions_of(bob.id)):
        await asyncio.sleep(0)
    assert (await olga.ask("POST", "kicks", {"room": "garden", "account": bob.id}))[0] == 200
    turn.set()
    assert (await history)[1]["code"] == "not-joined"
    assert (await joining)[0] is False
    await close(boss, ear, late)


async def test_a_banned_account_is_out_at_every_door_until_the_ban_ends(tmp_path: Path) -> None:
    clock = ManualClock()
    async with serving(tmp_path / "data", clock=clock, sign_in="links") as server, town(server) as place:
        olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
        boss = await inside(olga, "garden")
        ears = [await inside(bob, "garden"), await inside(bob, "lobby", transport="polling"), await inside(bob)]
        status, answer = await olga.ask("POST", "bans", {"account": bob.id, "hours": 2})
        (ban,) = answer["bans"]
        assert (status, ban["kind"], ban["ends_at"] - ban["made_at"]) == (201, "account", 2 * HOUR_MS)
        await boss.says("garden", "after")
        for ear in ears:
            goodbye = await ear.hears("goodbye")
            assert (goodbye["code"], goodbye["reconnect"]) == ("forbidden", False)
            assert "banned from this server until" in goodbye["message"]
            await asyncio.wait_for(ear.gone.wait(), 5)
            assert ear.heard() == []
        refusal = await refused(server.url, token=bob.token)
        assert (refusal["code"], refusal["message"]) == ("forbidden", goodbye["message"])
        assert (await bob.ask("GET", "me"))[0] == 403
        headers = {"Authorization": f"Bearer {bob.token}", "Accept": "text/html"}
        async with place.http.get(server.url, headers=headers) as page:
            assert (page.status, "banned from this server" in await page.text()) == (403, True)
        clock.advance(2 * 3600)
        back = await inside(bob, "garden")
        assert (await olga.ask("GET", "bans"))[1] == {"bans": []}
        await close(boss, back, *ears)


async def test_a_ban_outlives_the_server_and_can_be_lifted(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
        assert (await olga.ask("POST", "bans", {"account": bob.id}))[0] == 201
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        for person in (olga, bob):
            person.http, person.url = place.http, server.url
        assert (await bob.ask("GET", "me"))[0] == 403
        (ban,) = (await olga.ask("GET", "bans"))[1]["bans"]
        assert ban["ends_at"] is None
        assert (await olga.ask("DELETE", f"bans/{ban['id']}"))[0] == 204
        assert (await bob.ask("GET", "me"))[0] == 200
        assert (await olga.ask("DELETE", f"bans/{ban['id']}"))[0] == 404


async def test_a_ban_from_a_room_leaves_the_others(place: Town) -> None:
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    boss = await inside(olga, "garden", "lobby")
    ear = await inside(bob, "garden", "lobby")
    await ear.says("garden", "hello")
    assert (await olga.ask("POST", "bans", {"account": bob.id, "room": "garden"}))[0] == 201
    await boss.says("garden", "secret")
    await boss.says("lobby", "open")
    assert (await ear.hears())["content"] == "open"
    assert "banned from the room “garden”" in next(e["message"] for e in ear.heard("room") if e.get("gone"))
    for event, fields in (("join", {}), ("history", {}), ("typing", {}), ("read", {"seq": 1})):
        accepted, refusal = await ear.call(event, {"room": "garden", **fields})
        assert (accepted, refusal["code"]) in ((False, "forbidden"), (False, "not-joined")), event
    again = await inside(bob, "lobby")
    await boss.says("garden", "more")
    await again.fence()
    assert [each for each in again.heard("room") if each["room"] == "garden"] == [], "it is not even in their list"
    await close(boss, ear, again)


async def test_a_ban_of_a_typed_name_is_one_of_its_addresses(open_place: Town) -> None:
    """Everybody unverified behind the address is out, in both dialects; whoever has signed in stays."""
    olga = await open_place.enters("Olga", Role.OWNER)
    url = open_place.server.url
    there, elsewhere = {"X-Forwarded-For": "192.0.2.7"}, {"X-Forwarded-For": "192.0.2.8"}

    async def comes(name: str | None, headers: dict[str, str], **auth: Any) -> Client:
        client = await Client(url).connect(auth={"dialect": "full", **auth}, headers=headers)
        await client.joins("lobby", **({} if name is None else {"name": name}))
        return client

    first, neighbour, far = await comes("Eve", there), await comes("Ned", there), await comes("Fay", elsewhere)
    eve = await comes(None, there, token=first.you["token"])
    await first.close()
    boss = await comes(None, there, token=olga.token)
    simple = await Client(url).connect(headers=there)
    status, answer = await olga.ask("POST", "bans", {"account": eve.you["id"]})
    assert (status, [(ban["kind"], ban["address"], ban["name"]) for ban in answer["bans"]]) == (
        201,
        [("address", "192.0.2.7", "Eve")],
    )
    await boss.says("lobby", "after")
    for client in (eve, neighbour, simple):
        assert "your address is banned" in (await client.hears("goodbye"))["message"]
        await asyncio.wait_for(client.gone.wait(), 5)
        assert client.heard() == []
    assert (await far.hears())["content"] == "after"
    for auth in (None, {"dialect": "full"}, {"dialect": "full", "token": eve.you["token"]}):
        again = Client(url)
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        again.sio.on("connect_error", told.set_result, namespace="/chat")
        with pytest.raises(socketio.exceptions.ConnectionError):
            await again.connect(headers=there, auth=auth)
        assert (await told)["data"]["code"] == "forbidden"
        await again.close()
    headers = {"Authorization": f"Bearer {eve.you['token']}"} | there
    async with open_place.http.get(f"{url}/api/v1/me", headers=headers) as refusal:
        assert refusal.status == 403
    moved = await comes(None, elsewhere, token=eve.you["token"])
    await close(eve, neighbour, far, boss, simple, moved)


async def test_a_ban_of_an_address_from_the_lobby_reaches_who_has_not_joined(open_place: Town) -> None:
    olga = await open_place.enters("Olga", Role.OWNER)
    url, there = open_place.server.url, {"X-Forwarded-For": "2001:db8::1"}
    early = await Client(url).connect(headers=there)
    boss = await inside(olga, "lobby")
    assert (await olga.ask("POST", "bans", {"address": "2001:db8::ffff", "room": "lobby"}))[0] == 201
    late = await Client(url).connect(headers=there)
    await boss.says("lobby", "after")
    for client in (early, late):
        await client.hears_nothing()
        accepted, sentence = await client.call("join", "eve")
        assert (accepted, "banned from the room “lobby”" in sentence) == (False, True)
    other = await Client(url).connect(auth={"dialect": "full"}, headers=there)
    await other.joins("garden", name="eve")
    await close(early, late, boss, other)


async def test_a_moderator_deletes_anybodys_message_and_everybody_sees_who_it_was_not(place: Town) -> None:
    """A tombstone says so; the text is gone; the audit list has it, without the text; its author sees no more of it."""
    olga, bob, mo = await place.enters("Olga", Role.OWNER), await place.enters("Bob"), await place.enters("Mo")
    author, moderator = await inside(bob, "garden"), await inside(mo, "garden")
    said = await author.says("garden", "something vile")
    own = await moderator.says("garden", "my own")
    await author.fence()
    author.heard()
    target = {"id": said["id"]}
    assert (await moderator.call("delete", target))[1]["code"] == "forbidden"
    await moderates(place, mo)
    accepted, row = await moderator.call("delete", target)
    assert (accepted, row["deleted"], row["removed"], row["content"]) == (True, True, True, "")
    assert await author.hears() == row
    assert (await moderator.call("delete", target))[1] == row, "asked again, it is answered as it stands"
    assert (await moderator.call("edit", target | {"content": "x"}))[0] is False
    assert (await author.call("edit", target | {"content": "x"}))[1]["code"] in ("conflict", "forbidden")
    accepted, row = await moderator.call("delete", {"id": own["id"]})
    assert "removed" not in row, "their own is their own"
    late = await inside(bob)
    rows = (await late.joins("garden"))["messages"]
    assert [(each["deleted"], each.get("removed")) for each in rows] == [(True, True), (True, None)]
    (entry,) = (await olga.ask("GET", "audit"))[1]["entries"]
    assert (entry["act"], entry["actor"]["name"], entry["person"]["name"], entry["details"]) == (
        "delete-message",
        "Mo",
        "Bob",
        {"message": said["id"]},
    )
    assert "vile" not in str(entry)
    await close(author, moderator, late)


async def test_over_http_a_moderator_deletes_anybodys_message_too(place: Town) -> None:
    olga, bob, carl = await place.enters("Olga", Role.OWNER), await place.enters("Bob"), await place.enters("Carl")
    _, posted = await bob.ask("POST", "rooms/garden/messages", {"content": "spam"})
    path = f"messages/{posted['id']}"
    assert (await carl.ask("DELETE", path))[0] == 403
    status, answer = await olga.ask("DELETE", path)
    assert (status, answer["deleted"], answer["removed"]) == (200, True, True)
    assert [each["act"] for each in (await olga.ask("GET", "audit"))[1]["entries"]] == ["delete-message"]


@pytest.mark.parametrize("way", ["kick", "ban", "remove"])
async def test_whoever_is_turned_out_of_a_room_is_out_of_its_call(place: Town, way: str) -> None:
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    boss, chatting = await inside(olga, "garden"), await inside(bob, "garden")
    await boss.says("garden", "so that there is a room")
    host, caller = await Caller(olga.url).connect(token=olga.token), await Caller(bob.url).connect(token=bob.token)
    await host.joins("garden")
    await caller.joins("garden")
    await host.hears_of("joined")
    if way == "remove":
        assert (await olga.ask("DELETE", f"people/{bob.id}"))[0] == 204
    else:
        assert (await olga.ask("POST", f"{way}s", {"room": "garden", "account": bob.id}))[0] in (200, 201)
    assert (await host.hears_of("left"))["reason"] == "kicked"
    await close(boss, chatting)
    await host.close()
    await caller.close()


async def test_a_purge_reaches_everybody_also_who_was_away(place: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderation, "PURGED_AT_MOST", 25)
    monkeypatch.setattr(moderation, "PURGED_AT_ONCE", 10)
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    boss, spammer = await inside(olga, "garden", "lobby"), await inside(bob, "garden", "lobby")
    kept = await boss.says("garden", "kept")
    for at in range(30):
        await spammer.says("garden", f"spam {at}")
    await spammer.says("lobby", "hello")
    away = await inside(olga)
    cursor = (await away.joins("garden"))["cursor"]
    await away.call("leave", {"room": "garden"})
    await boss.fence()
    boss.heard()
    wanted = {"account": bob.id, "room": "garden"}
    assert (await olga.ask("POST", "purges", wanted))[1] == {"messages": 25, "more": True}
    assert (await olga.ask("POST", "purges", wanted))[1] == {"messages": 5, "more": False}
    assert (await olga.ask("POST", "purges", wanted))[1] == {"messages": 0, "more": False}
    heard = [await boss.hears() for _ in range(30)]
    assert [each["changed"] for each in heard] == list(range(cursor + 1, cursor + 31)), "numbered like anything else"
    assert all(each["removed"] and each["content"] == "" for each in heard)
    caught_up = (await away.joins("garden", cursor=cursor))["messages"]
    assert caught_up == heard
    rows = (await boss.call("history", {"room": "garden", "limit": 100}))[1]["messages"]
    assert [each["id"] for each in rows if not each.get("deleted")] == [kept["id"]]
    assert not (await boss.call("history", {"room": "lobby"}))[1]["messages"][0].get("deleted")
    assert (await olga.ask("POST", "purges", {"account": bob.id}))[1] == {"messages": 1, "more": False}
    acts = [(each["act"], each["room"], each["details"]) for each in (await olga.ask("GET", "audit"))[1]["entries"]]
    assert acts == [
        ("purge", None, {"messages": 1}),
        ("purge", "garden", {"messages": 5}),
        ("purge", "garden", {"messages": 25}),
    ]
    await close(boss, spammer, away)


async def test_a_locked_room_is_read_by_all_and_written_by_who_moderates_it(place: Town) -> None:
    olga, bob, mo = await place.enters("Olga", Role.OWNER), await place.enters("Bob"), await place.enters("Mo")
    boss, author, moderator = await inside(olga, "garden"), await inside(bob, "garden"), await inside(mo, "garden")
    said = await author.says("garden", "hello")
    await moderates(place, mo)
    assert (await bob.ask("POST", "locks", {"room": "garden", "on": True}))[0] == 404
    assert (await mo.ask("POST", "locks", {"room": "garden", "on": True}))[0] == 204
    assert (await mo.ask("POST", "locks", {"room": "garden", "on": True}))[0] == 204
    accepted, refusal = await author.call("message", {"room": "garden", "client_id": "x", "content": "but"})
    assert (accepted, refusal["code"], "locked" in refusal["message"]) == (False, "forbidden", True)
    assert (await author.call("edit", {"id": said["id"], "content": "but"}))[1]["code"] == "forbidden"
    accepted, row = await author.call("delete", {"id": said["id"]})
    assert (accepted, row["deleted"], "removed" in row) == (True, True, False), "taking back is no speaking"
    await moderator.says("garden", "calm down")
    await boss.says("garden", "yes")
    assert [(await author.hears())["content"] for _ in range(2)] == ["calm down", "yes"]
    late = await inside(bob)
    joined = await late.joins("garden")
    assert (joined["room"]["locked"], len(joined["messages"])) == (True, 3)
    assert (await mo.ask("POST", "locks", {"room": "garden", "on": False}))[0] == 204
    await author.says("garden", "good")
    acts = [(each["act"], each["actor"]["name"]) for each in (await olga.ask("GET", "audit"))[1]["entries"]]
    assert acts == [("unlock", "Mo"), ("lock", "Mo")]
    await close(boss, author, moderator, late)


async def test_a_new_role_holds_at_once_on_live_connections_and_at_every_door(place: Town) -> None:
    olga, bob, eve = await place.enters("Olga", Role.OWNER), await place.enters("Bob"), await place.enters("Eve")
    live, author = await inside(bob, "garden"), await inside(eve, "garden")
    said = [await author.says("garden", "one"), await author.says("garden", "two")]
    assert (await bob.ask("GET", "audit"))[0] == 403
    status, answer = await olga.ask("PUT", f"people/{bob.id}/role", {"role": "admin"})
    assert (status, answer["person"]["role"]) == (200, "admin")
    assert (await live.hears("you"))["role"] == "admin"
    assert (await live.call("delete", {"id": said[0]["id"]}))[0] is True
    assert (await bob.ask("GET", "audit"))[0] == 200
    assert (await bob.ask("GET", "me"))[1]["you"]["role"] == "admin"
    early = await inside(bob)
    assert (await olga.ask("PUT", f"people/{bob.id}/role", {"role": "member"}))[0] == 200
    assert (await live.call("delete", {"id": said[1]["id"]}))[1]["code"] == "forbidden"
    assert (await early.joins("garden"))["you"]["role"] == "member", "also where they had joined nothing yet"
    assert (await early.call("delete", {"id": said[1]["id"]}))[1]["code"] == "forbidden"
    assert (await bob.ask("GET", "audit"))[0] == 403
    assert (await live.joins("garden"))["you"]["role"] == "member"
    await close(live, early, author)


async def test_a_role_that_is_lost_takes_the_links_with_it(place: Town) -> None:
    """Else somebody could come back as what they were, or be whoever has risen meanwhile."""
    olga, ada, bob = (
        await place.enters("Olga", Role.OWNER),
        await place.enters("Ada", Role.OWNER),
        await place.enters("Bob"),
    )

    async def made(maker: Person, terms: dict[str, Any]) -> str:
        status, answer = await maker.ask("POST", "links", terms)
        assert status == 201, answer
        return str(answer["url"].rpartition("/")[2])

    as_owner, as_member = await made(ada, {"role": "owner"}), await made(ada, {"role": "member"})
    as_bob, own = await made(ada, {"account": bob.id}), await made(ada, {"account": "me"})
    assert (await olga.ask("PUT", f"people/{ada.id}/role", {"role": "member"}))[0] == 200
    assert (await place.use(as_owner, "Ada again"))[0] == 401
    assert (await place.use(as_bob))[0] == 401
    assert (await place.use(own))[1]["you"]["role"] == "member"
    assert (await place.use(as_member, "Carol"))[0] == 201
    risen = await made(olga, {"account": bob.id})
    assert (await olga.ask("PUT", f"people/{bob.id}/role", {"role": "admin"}))[0] == 200
    assert (await place.use(risen))[0] == 401


async def test_a_membership_ends_with_its_sign_ins_and_links_and_a_role_brings_it_back(place: Town) -> None:
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    ears = [await inside(bob, "garden"), await inside(bob, "lobby", transport="polling")]
    _, invitation = await bob.ask("POST", "links", {})
    _, device = await bob.ask("POST", "links", {"account": "me"})
    assert (await olga.ask("DELETE", f"people/{bob.id}"))[0] == 204
    for ear in ears:
        goodbye = await ear.hears("goodbye")
        assert (goodbye["code"], goodbye["reconnect"]) == ("forbidden", False)
        await asyncio.wait_for(ear.gone.wait(), 5)
    assert (await bob.ask("GET", "me"))[0] == 401
    for link in (invitation, device):
        assert (await place.use(link["url"].rpartition("/")[2], "Bob two"))[0] == 401
    _, secret = await place.link()
    for name in ("Bob", "B0b"):
        assert (await place.use(secret, name))[0] == 409, "their name stays theirs"
    assert (await olga.ask("POST", "links", {"account": bob.id}))[0] == 404
    assert (await olga.ask("DELETE", f"people/{bob.id}"))[0] == 404
    assert (await olga.ask("PUT", f"people/{bob.id}/role", {"role": "member"}))[0] == 200
    status, link = await olga.ask("POST", "links", {"account": bob.id})
    again = await place.comes(link["url"].rpartition("/")[2])
    assert (status, again.id) == (201, bob.id)
    await close(*ears)


async def test_whoever_was_removed_stays_so_over_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
        assert (await olga.ask("DELETE", f"people/{bob.id}"))[0] == 204
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        olga.http, olga.url, bob.http, bob.url = place.http, server.url, place.http, server.url
        assert (await bob.ask("GET", "me"))[0] == 401
        _, secret = await place.link()
        assert (await place.use(secret, "B0b"))[0] == 409
        roles = {each["name"]: each["role"] for each in (await olga.ask("GET", "roles"))[1]["people"]}
        assert roles == {"Olga": "owner", "Bob": "removed"}


async def test_whoever_cannot_be_reached_is_answered_alike(place: Town) -> None:
    """Nobody like that, somebody higher, oneself, the last owner; for whoever has no power, everybody."""
    olga, ada, bob = (
        await place.enters("Olga", Role.OWNER),
        await place.enters("Ada", Role.ADMIN),
        await place.enters("Bob"),
    )
    clients = [await inside(person, "garden") for person in (olga, ada, bob)]
    place.server.house.directory.vain._at_most = 1_000  # how many are judged has a test of its own
    told = set()
    for actor, targets in ((ada, [olga.id, ada.id, "nobody", "x" * 60]), (bob, [olga.id, bob.id, "nobody"])):
        for ident in targets:
            for method, path, question in (
                ("PUT", f"people/{ident}/role", {"role": "member"}),
                ("DELETE", f"people/{ident}", None),
                ("POST", "bans", {"account": ident}),
                ("POST", "bans", {"account": ident, "room": "garden"}),
                ("POST", "kicks", {"account": ident, "room": "garden"}),
                ("POST", "purges", {"account": ident}),
            ):
                told.add((await actor.ask(method, path, question))[1]["detail"])
                assert (await actor.ask(method, path, question))[0] == 404, (actor.name, ident, path)
    assert told == {NOBODY}
    assert (await olga.ask("PUT", f"people/{olga.id}/role", {"role": "member"}))[0] == 404
    assert (await olga.ask("DELETE", f"people/{olga.id}"))[0] == 404
    for client in clients:
        await client.fence()
        assert client.heard("goodbye") == []
    await close(*clients)


async def test_what_makes_no_sense_is_refused(place: Town) -> None:
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    for path, questions in {
        "bans": [
            {},
            {"account": 5},
            {"account": bob.id, "address": "1.2.3.4"},
            {"address": "there"},
            {"address": 7},
            {"account": bob.id, "hours": -1},
            {"account": bob.id, "hours": 0},
            {"account": bob.id, "hours": 1e9},
            {"account": bob.id, "hours": 99_999_999},
            {"account": bob.id, "room": "a b"},
        ],
        "kicks": [{}, {"room": "garden"}, {"account": bob.id}, {"room": 5, "account": bob.id}, []],
        "purges": [{}, {"account": []}, {"account": bob.id, "room": ""}],
        "locks": [{}, {"room": "garden"}, {"room": "garden", "on": 1}, {"on": True}],
    }.items():
        for question in questions:
            assert (await olga.ask("POST", path, question))[0] == 400, (path, question)
    for role in ("king", "visitor", "removed", "", None, 5, ["admin"]):
        assert (await olga.ask("PUT", f"people/{bob.id}/role", {"role": role}))[0] == 400, role
    assert (await olga.ask("PUT", f"people/{bob.id}/role", {"role": "guest"}))[0] == 403
    for before in ("x", "-1", "1.5", "9" * 20):
        assert (await olga.ask("GET", f"audit?before={before}"))[0] == 400, before
    assert (await olga.ask("GET", "audit"))[1]["entries"] == []


async def test_there_is_always_an_owner(place: Town) -> None:
    """Two owners who take each other's role at once: one of them stays."""
    olga, ada = await place.enters("Olga", Role.OWNER), await place.enters("Ada", Role.OWNER)
    results = await asyncio.gather(
        olga.ask("PUT", f"people/{ada.id}/role", {"role": "member"}),
        ada.ask("DELETE", f"people/{olga.id}"),
    )
    assert sorted(status for status, _ in results) in ([200, 404], [200, 409], [204, 401], [204, 404], [204, 409])
    owners = [person for person in place.server.house.sign_ins.people() if person.role is Role.OWNER]
    assert len(owners) == 1


async def test_the_audit_list_is_paged_and_bounded(place: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    for at in range(60):
        assert (await olga.ask("PUT", f"people/{bob.id}/role", {"role": ("admin", "member")[at % 2]}))[0] == 200
    first = (await olga.ask("GET", "audit"))[1]
    assert (len(first["entries"]), first["more"]) == (50, True)
    rest = (await olga.ask("GET", f"audit?before={first['entries'][-1]['no']}"))[1]
    assert (len(rest["entries"]), rest["more"]) == (10, False)
    numbers = [entry["no"] for entry in first["entries"] + rest["entries"]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 60
    assert first["entries"][0]["details"] == {"before": "admin", "role": "member"}


async def test_on_an_open_server_an_owners_link_gives_a_browser_its_rights(open_place: Town) -> None:
    """There is nobody with a role there, until the operator says so."""
    house = open_place.server.house
    secret = (await house.operators.owner_link({}))[1].rpartition("/")[2]
    olga = await open_place.comes(secret, "Olga")
    visitor = await Client(open_place.server.url).connect(auth={"dialect": "full"})
    you = (await visitor.joins(name="Eve"))["you"]
    assert you["role"] == "visitor"
    boss = await inside(olga, "lobby")
    said = await visitor.says("lobby", "rude")
    assert (await boss.call("delete", {"id": said["id"]}))[1]["removed"] is True
    stranger = Person(open_place.http, open_place.server.url, you["token"], you["id"], "Eve")
    assert (await stranger.ask("POST", "kicks", {"room": "lobby", "account": olga.id}))[0] == 404
    assert (await stranger.ask("GET", "audit"))[0] == 403
    assert (await visitor.hears())["removed"] is True
    assert (await olga.ask("POST", "kicks", {"room": "lobby", "account": you["id"]}))[1] == {"connections": 1}
    await boss.says("lobby", "after")
    await visitor.hears_nothing()
    assert (await olga.ask("POST", "purges", {"account": you["id"]}))[1] == {"messages": 0, "more": False}
    await close(visitor, boss)
