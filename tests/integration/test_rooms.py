"""Rooms of every kind, by real sockets: who is in them, who hears of them, and what a stranger can learn: nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest

from chatzilla.core.directory import Room, direct_between, mint_private
from chatzilla.core.messages import ClientId, Draft
from chatzilla.core.people import account_named
from chatzilla.core.policy import Role
from chatzilla.core.rooms import Grade, RoomId
from tests.helpers.clients import Client
from tests.helpers.clock import ManualClock
from tests.helpers.house import open_house
from tests.helpers.people import town
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Connect
    from tests.helpers.people import Person, Town

UNKNOWN = "There is no such room, or it is not yours to see."


class Team:
    """A closed server with people who are connected and in the lobby."""

    def __init__(self, place: Town, stack: AsyncExitStack) -> None:
        self.place = place
        self._stack = stack
        self.people: dict[str, Person] = {}

    async def enters(self, name: str, role: Role = Role.MEMBER, room: str | None = None) -> Client:
        """Somebody new comes in."""
        self.people[name] = await self.place.enters(name, role, room)
        return await self.connects(name, room or "lobby")

    async def connects(self, name: str, room: str = "lobby") -> Client:
        """One more connection of somebody."""
        client = await self.people[name].connect()
        self._stack.push_async_callback(client.close)
        await client.joins(room)
        return client

    def id(self, name: str) -> str:
        return str(self.people[name].id)

    def ids(self, *names: str) -> list[str]:
        return [self.id(name) for name in names]


@asynccontextmanager
async def team(data: Path) -> AsyncIterator[Team]:
    async with (
        serving(data, clock=ManualClock(), sign_in="links", message_rate=0.0) as server,
        town(server) as place,
        AsyncExitStack() as stack,
    ):
        yield Team(place, stack)


async def asks(client: Client, event: str, **question: Any) -> dict[str, Any]:
    """Call, and be answered."""
    accepted, answer = await client.call(event, question)
    assert accepted, answer
    return dict(answer)


async def refused(client: Client, event: str, **question: Any) -> dict[str, str]:
    """Call, and be refused; returns code, message and, where it is known, when to try again."""
    accepted, answer = await client.call(event, question)
    assert not accepted, answer
    assert answer.keys() - {"retry_after"} == {"code", "message"}
    return dict(answer)


async def makes(client: Client, name: str, kind: str = "private", **fields: Any) -> str:
    """Make a room; returns its id."""
    return str((await asks(client, "create", name=name, kind=kind, **fields))["room"]["room"])


async def hears_of(client: Client, room: str) -> dict[str, Any]:
    """The next event `room` about this one."""
    while (event := await client.hears("room"))["room"] != room:
        pass
    return dict(event)


async def listed(client: Client) -> dict[str, dict[str, Any]]:
    return {room["room"]: room for room in (await asks(client, "rooms"))["rooms"]}


class TestPrivateRooms:
    async def test_its_members_talk_and_a_stranger_learns_nothing(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob, eve = [await house.enters(name) for name in ("Alice", "Bob", "Eve")]
            room = await makes(alice, "Plans", topic="What we plan", people=house.ids("Bob"))
            told = await hears_of(bob, room)
            assert (told["name"], told["kind"], told["topic"]) == ("Plans", "private", "What we plan")
            entered = await bob.joins(room)
            assert [(row["kind"], row["content"]) for row in entered["messages"]] == [
                ("notice", "Alice made this room.")
            ]
            await alice.joins(room)
            said = await alice.says(room, "between us")
            assert (await bob.hears())["content"] == "between us"

            never = mint_private()
            for event, fields in (
                ("join", {}),
                ("members", {}),
                ("invite", {"account": house.id("Eve")}),
                ("remove", {"account": house.id("Eve")}),
                ("remove", {"account": house.id("Alice")}),
                ("change-room", {"name": "Mine"}),
                ("change-room", {"archived": True}),
                ("mute", {"on": True}),
                ("history", {}),
                ("typing", {}),
                ("read", {"seq": 1}),
                ("message", {"client_id": "1", "content": "let me in"}),
            ):
                there, nowhere = (
                    await refused(eve, event, room=room, **fields),
                    await refused(eve, event, room=never, **fields),
                )
                assert there == nowhere, f"{event} tells them apart"
            for event, fields in (("edit", {"content": "x"}), ("delete", {})):
                assert await refused(eve, event, id=said["id"], **fields) == await refused(
                    eve, event, id=f"{never}:1", **fields
                )
            assert room not in await listed(eve)
            assert room in await listed(bob)
            for event in ("room", "message", "presence", "typing"):
                heard = [each for each in eve.heard(event) if each["room"] == room]
                assert not heard
            page = [await _page(house, "Eve", ident) for ident in (room, never)]
            assert page[0] == page[1]
            assert page[0][0] == 404

    async def test_guesses_count_against_the_address_and_lock_no_member_out(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, eve = await house.enters("Alice"), await house.enters("Eve")
            room = await makes(alice, "Plans")
            for _ in range(20):
                assert (await refused(eve, "join", room=mint_private()))["code"] == "not-found"
            assert (await refused(eve, "join", room=room))["code"] == "too-fast"
            assert (await refused(eve, "join", room=mint_private()))["code"] == "too-fast"
            await alice.joins(room)
            await eve.joins("garden")

    async def test_whoever_is_removed_hears_nothing_later_on_any_connection(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            room = await makes(alice, "Plans", people=house.ids("Bob"))
            await alice.joins(room)
            inside, beside = await house.connects("Bob", room), await house.connects("Bob", room)
            await bob.fence()
            for each in (bob, inside, beside):
                each.heard("room"), each.heard()
            assert await refused(inside, "remove", room=room, account=house.id("Alice")) == {
                "code": "forbidden",
                "message": "That is not yours to do here.",
            }
            await asks(alice, "remove", room=room, account=house.id("Bob"))
            await alice.says(room, "now that he is gone")
            assert (await alice.hears())["content"] == "Alice removed Bob."
            for each in (bob, inside, beside):
                assert await hears_of(each, room) == {"room": room, "gone": True}
                for event in ("message", "presence", "typing", "room"):
                    await each.hears_nothing(event)
                assert (await refused(each, "join", room=room))["message"] == UNKNOWN
                assert (await refused(each, "history", room=room))["code"] == "not-joined"
                assert (await refused(each, "read", room=room, seq=1))["code"] == "not-joined"
            assert [each["name"] for each in (await asks(alice, "members", room=room))["members"]] == ["Alice"]

    async def test_a_message_under_way_makes_nobody_a_member_again(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            room = await makes(alice, "Plans", people=house.ids("Bob"))
            await bob.joins(room)
            removal = asyncio.create_task(asks(alice, "remove", room=room, account=house.id("Bob")))
            for number in range(20):
                await bob.emit("message", {"room": room, "client_id": str(number), "content": "still here"})
            await removal
            await bob.fence()
            token = house.people["Bob"]
        async with team(tmp_path / "data") as house:
            house.people["Bob"] = token
            token.url, token.http = house.place.server.url, house.place.http
            bob = await house.connects("Bob")
            assert (await refused(bob, "join", room=room))["code"] == "not-found"
            assert room not in await listed(bob)
            assert room not in [each["room"] for each in bob.heard("room")]

    async def test_the_last_moderator_who_leaves_is_followed_by_whoever_was_there_longest(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob, carol = [await house.enters(name) for name in ("Alice", "Bob", "Carol")]
            room = await makes(alice, "Plans", people=house.ids("Carol", "Bob"))
            await carol.joins(room)
            await asks(alice, "remove", room=room, account=house.id("Alice"))
            heard = await hears_of(carol, room)
            while "may" not in heard:
                heard = await hears_of(carol, room)
            assert "remove" in heard["may"]
            assert (await carol.hears())["content"] == "Alice left. Carol moderates this room now."
            await asks(carol, "remove", room=room, account=house.id("Bob"))
            assert (await refused(bob, "join", room=room))["code"] == "not-found"
            assert (await asks(carol, "remove", room=room, account=house.id("Carol"))) == {}
            assert (await refused(carol, "join", room=room))["code"] == "not-found"

    async def test_invited_again_one_finds_everything(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            room = await makes(alice, "Plans", people=house.ids("Bob"))
            await bob.joins(room)
            await bob.says(room, "first")
            await asks(alice, "remove", room=room, account=house.id("Bob"))
            await alice.joins(room)
            await alice.says(room, "second")
            bob.heard("room")
            await asks(alice, "invite", room=room, account=house.id("Bob"))
            told = await hears_of(bob, room)
            while "gone" in told:
                told = await hears_of(bob, room)
            assert told["name"] == "Plans"
            rows = (await bob.joins(room))["messages"]
            assert [row["content"] for row in rows] == [
                "Alice made this room.",
                "first",
                "Alice removed Bob.",
                "second",
                "Alice invited Bob.",
            ]

    async def test_grades(self, tmp_path: Path) -> None:
        """A reader reads, a poster posts, a moderator lets others do so; and somebody always moderates."""
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            room = await makes(alice, "Plans", people=house.ids("Bob"))
            entered = await bob.joins(room)
            assert entered["room"]["may"] == ["post", "invite"]
            bob.heard("room")
            await asks(alice, "invite", room=room, account=house.id("Bob"), grade="read")
            told = await hears_of(bob, room)
            assert told["may"] == []
            assert (await refused(bob, "message", room=room, client_id="1", content="x"))["code"] == "forbidden"
            assert (await refused(bob, "typing", room=room))["code"] == "forbidden"
            assert (await refused(bob, "invite", room=room, account=house.id("Alice")))["code"] == "forbidden"
            await asks(bob, "history", room=room)
            last = await refused(alice, "invite", room=room, account=house.id("Alice"), grade="post")
            assert last == {
                "code": "conflict",
                "message": "A room needs somebody who moderates it. Let somebody else do it first.",
            }
            await asks(alice, "invite", room=room, account=house.id("Bob"), grade="moderate")
            await asks(bob, "invite", room=room, account=house.id("Alice"), grade="post")
            assert (await refused(alice, "invite", room=room, account=house.id("Bob"), grade="read"))[
                "code"
            ] == "forbidden"
            roll = await asks(alice, "members", room=room)
            assert [(each["name"], each["grade"]) for each in roll["members"]] == [
                ("Alice", "post"),
                ("Bob", "moderate"),
            ]

    async def test_a_link_into_it_is_for_its_members_to_give(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            room = await makes(alice, "Plans", people=house.ids("Bob"))
            eve = await house.place.enters("Eve")
            terms = {"role": "guest", "room": room}
            status, answer = await eve.ask("POST", "links", terms)
            assert (status, answer["detail"]) == (404, UNKNOWN)
            assert (await eve.ask("POST", "links", terms | {"room": mint_private()}))[1] == answer

            made = [(await house.people["Bob"].ask("POST", "links", terms))[1] for _ in range(2)]
            secrets = [link["url"].rpartition("/")[2] for link in made]
            guest = await house.place.comes(secrets[0], "Guest")
            visiting = await guest.connect()
            await visiting.joins(room)
            await visiting.says(room, "thank you")
            roll = await asks(alice, "members", room=room)
            assert [each["name"] for each in roll["members"]] == ["Alice", "Bob", "Guest"]

            await asks(alice, "remove", room=room, account=str(guest.id))
            assert (await refused(visiting, "join", room=room))["code"] == "forbidden"
            await asks(alice, "remove", room=room, account=house.id("Bob"))
            assert (await house.place.use(secrets[1], "Another"))[0] == 401, "who gave it may not let in any more"
            await visiting.close()
            await bob.fence()

    async def test_a_join_under_way_is_refused_to_whoever_is_removed_meanwhile(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            room = await makes(alice, "Plans", people=house.ids("Bob"))
            store = house.place.server.house.store
            reading, removed = asyncio.Event(), asyncio.Event()
            real = store.backlog

            async def slow(*args: Any, **options: Any) -> Any:
                backlog = await real(*args, **options)
                if args[0] == room:
                    reading.set()
                    await removed.wait()
                return backlog

            store.backlog = slow  # type: ignore[method-assign]  # a reader that takes its time
            joining = asyncio.create_task(refused(bob, "join", room=room))
            await reading.wait()
            await asks(alice, "remove", room=room, account=house.id("Bob"))
            removed.set()
            assert await joining == {"code": "not-found", "message": UNKNOWN}
            await alice.joins(room)
            await alice.says(room, "nothing for Bob")
            await bob.hears_nothing()


class TestDirectRooms:
    async def test_it_is_found_again_however_it_is_asked_for(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob, carol = [await house.enters(name) for name in ("Alice", "Bob", "Carol")]
            answers = await asyncio.gather(
                *(
                    asks(client, "direct", people=house.ids(other))
                    for client, other in ((alice, "Bob"), (bob, "Alice"))
                ),
                asks(alice, "direct", people=house.ids("Bob", "Alice", "Bob")),
            )
            rooms = {answer["room"]["room"] for answer in answers}
            assert rooms == {direct_between([house.people["Alice"].id, house.people["Bob"].id])}
            (room,) = rooms
            assert {person["name"] for person in answers[0]["room"]["people"]} == {"Alice", "Bob"}
            assert answers[0]["room"]["kind"] == "direct"
            three = (await asks(carol, "direct", people=house.ids("Alice", "Bob")))["room"]["room"]
            assert three != room
            await alice.joins(room)
            await alice.says(room, "just you")
            assert (await bob.joins(room))["messages"][-1]["content"] == "just you"
            assert (await refused(carol, "join", room=room))["message"] == UNKNOWN
            assert [each for each in carol.heard("room") if each["room"] == room] == []
            assert await _count_rooms(house, room) == 1

    async def test_it_stays_as_it_is(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice = await house.enters("Alice", Role.OWNER)
            await house.enters("Bob")
            await house.enters("Carol")
            room = (await asks(alice, "direct", people=house.ids("Bob")))["room"]["room"]
            for event, fields in (
                ("change-room", {"name": "Ours"}),
                ("change-room", {"topic": "Us"}),
                ("change-room", {"archived": True}),
                ("invite", {"account": house.id("Carol")}),
                ("remove", {"account": house.id("Bob")}),
                ("remove", {"account": house.id("Alice")}),
            ):
                assert (await refused(alice, event, room=room, **fields))["code"] == "forbidden"

    async def test_for_whom_there_is_none(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice = await house.enters("Alice")
            guest = await house.enters("Guest", Role.GUEST, "garden")
            names = [f"P{number}" for number in range(8)]
            for name in names:
                house.people[name] = await house.place.enters(name)
            assert (await refused(alice, "direct", people=[]))["code"] == "bad-request"
            assert (await refused(alice, "direct", people=house.ids("Alice")))["code"] == "bad-request"
            assert (await refused(alice, "direct", people=house.ids(*names)))["code"] == "bad-request"
            assert (await refused(alice, "direct", people=["nobody"]))["code"] == "not-found"
            assert (await refused(alice, "direct", people=house.ids("Guest")))["code"] == "forbidden"
            assert (await refused(guest, "direct", people=house.ids("Alice")))["code"] == "forbidden"
            for people in (None, "Alice", [1], [None], {"a": 1}):
                assert (await refused(alice, "direct", people=people))["code"] == "bad-request"
            assert (await asks(alice, "direct", people=house.ids(*names[:7])))["room"]["kind"] == "direct"


class TestChanging:
    async def test_a_new_name_is_told_at_once_and_found_by_who_was_away(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            room = await makes(alice, "Plans", "public", people=house.ids("Bob"))
            assert room == "plans"
            elsewhere = await house.connects("Bob")
            cursor = (await bob.joins(room))["cursor"]
            await alice.joins(room)
            for each in (alice, bob, elsewhere):
                each.heard("room"), each.heard()
            answer = await asks(alice, "change-room", room=room, name="Design", topic="How it looks")
            assert (answer["room"]["name"], answer["room"]["topic"]) == ("Design", "How it looks")
            for each in (alice, bob, elsewhere):
                told = await hears_of(each, room)
                assert (told["name"], told["topic"]) == ("Design", "How it looks")
            said = [await bob.hears(), await bob.hears()]
            assert [(row["kind"], row["content"]) for row in said] == [
                ("notice", "Alice renamed this room to “Design”."),
                ("notice", "Alice set the topic: How it looks"),
            ]
            epoch = (await bob.joins(room))["epoch"]
            missed = await bob.joins(room, cursor=cursor, epoch=epoch)
            assert [row["id"] for row in missed["messages"]] == [row["id"] for row in said]
            await asks(alice, "change-room", room=room, name="Design", topic="How it looks")
            for event in ("room", "message"):
                await bob.hears_nothing(event)
            assert (await refused(alice, "edit", id=said[0]["id"], content="no"))["code"] == "forbidden"
            assert (await refused(alice, "delete", id=said[0]["id"]))["code"] == "forbidden"
            assert (await asks(alice, "change-room", room=room, topic=" "))["room"]["topic"] == ""
            assert (await bob.hears())["content"] == "Alice removed the topic."

    async def test_an_archived_room_is_read_and_nothing_is_said_there(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            room = await makes(alice, "Plans", "public")
            await bob.joins(room)
            said = await bob.says(room, "before")
            await alice.joins(room)
            await bob.fence()
            bob.heard("room")
            assert (await refused(bob, "change-room", room=room, archived=True))["code"] == "forbidden"
            assert (await asks(alice, "change-room", room=room, archived=True))["room"]["archived"] is True
            assert (await hears_of(bob, room))["archived"] is True
            for client in (alice, bob):
                answer = await refused(client, "message", room=room, client_id="late", content="after")
                assert answer == {
                    "code": "forbidden",
                    "message": "This room is archived: it can be read, and nothing is said there any more.",
                }
            assert (await refused(bob, "edit", id=said["id"], content="other"))["code"] == "forbidden"
            assert (await refused(bob, "typing", room=room))["code"] == "forbidden"
            assert (await bob.joins(room))["messages"][-1]["content"] == "Alice archived this room."
            await asks(alice, "change-room", room=room, archived=False)
            assert "archived" not in await hears_of(bob, room)
            await bob.says(room, "after")

    async def test_the_lobby_and_rooms_of_nobody(self, tmp_path: Path) -> None:
        """The lobby is the heads' to rename and nobody's to archive; a room that nobody moderates is its members'."""
        async with team(tmp_path / "data") as house:
            owner, alice = await house.enters("Owner", Role.OWNER), await house.enters("Alice")
            assert (await refused(alice, "change-room", room="lobby", name="Mine"))["code"] == "forbidden"
            await owner.says("lobby", "hello")
            simple = await house.people["Alice"].connect(dialect="tutorial")
            assert (await simple.call("join", "Alice"))[0]
            assert (await asks(owner, "change-room", room="lobby", name="Hall"))["room"]["name"] == "Hall"
            await simple.hears_nothing()
            await simple.close()
            assert (await refused(owner, "change-room", room="lobby", archived=True))["message"] == (
                "The lobby always stays open."
            )
            await alice.joins("garden")
            early = await refused(alice, "change-room", room="garden", topic="Plants")
            assert early["code"] == "not-found"
            await alice.says("garden", "roses")
            assert (await asks(alice, "change-room", room="garden", topic="Plants"))["room"]["topic"] == "Plants"
            assert (await refused(alice, "remove", room="lobby", account=house.id("Alice")))["code"] == "forbidden"

    async def test_a_public_room_that_was_left_is_gone_from_the_list_until_one_comes_back(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice = await house.enters("Alice")
            await alice.joins("garden")
            await alice.says("garden", "roses")
            assert (await listed(alice))["garden"]["member"] is True
            beside = await house.connects("Alice", "garden")
            await asks(alice, "remove", room="garden", account=house.id("Alice"))
            assert (await refused(beside, "message", room="garden", client_id="1", content="x"))["code"] == "not-joined"
            assert (await listed(alice))["garden"]["member"] is False
            again = await house.connects("Alice")
            assert "garden" not in [each["room"] for each in again.heard("room")]
            await alice.joins("garden")
            await alice.says("garden", "more roses")
            assert (await listed(alice))["garden"]["member"] is True

    async def test_what_is_no_name_kind_or_change(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice = await house.enters("Alice")
            no_names: list[Any] = [None, 5, "", "  ", "a\nb", "\u200b", [], "\u2800"]
            for name in no_names:
                assert (await refused(alice, "create", name=name))["code"] == "bad-request"
            assert (await refused(alice, "create", name="n" * 81))["code"] == "too-long"
            assert (await refused(alice, "create", name="n", topic="t" * 251))["code"] == "too-long"
            for kind in ("direct", "lobby", "", None, 5):
                assert (await refused(alice, "create", name="n", kind=kind))["code"] == "bad-request"
            room = await makes(alice, "n" * 80, topic="t" * 250)
            for wish in ({}, {"archived": 1}, {"archived": "yes"}, {"name": 5}, {"topic": 5}):
                assert (await refused(alice, "change-room", room=room, **wish))["code"] == "bad-request"
            for event, question in (
                ("invite", {"room": room}),
                ("invite", {"room": room, "account": 5}),
                ("invite", {"room": room, "account": house.id("Alice"), "grade": "owner"}),
                ("mute", {"room": room}),
                ("mute", {"room": room, "on": 1}),
                ("remove", {"room": room, "account": "x" * 65}),
            ):
                assert (await refused(alice, event, **question))["code"] == "bad-request"
            assert (await refused(alice, "invite", room=room, account="nobody"))["code"] == "not-found"
            assert (await refused(alice, "remove", room=room, account="nobody"))["code"] == "not-found"
            for call in ("create", "rooms", "people", "members"):
                assert (await alice.call(call, "a text"))[0] is False

    async def test_addresses_of_public_rooms(self, tmp_path: Path) -> None:
        """An address is made from the name, and never taken from a room that is there."""
        async with team(tmp_path / "data") as house:
            alice = await house.enters("Alice")
            await alice.joins("garden")
            await alice.says("garden", "roses")
            assert await makes(alice, "Garden", "public") == "garden-2"
            assert await makes(alice, "Café & Küche!", "public") == "cafe-kuche"
            assert (await makes(alice, "会議", "public")).startswith("room-")
            assert await makes(alice, mint_private(), "public") != mint_private()


class TestMakingOneTwice:
    async def test_whoever_was_not_answered_asks_again_and_there_is_one_room(self, tmp_path: Path) -> None:
        """At once, on another connection, under another name meanwhile, after a restart: it is the same room."""
        fields = {"name": "Garden", "kind": "public", "client_id": "wish-1"}
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            beside = await house.connects("Alice")
            at_once = await asyncio.gather(*(asks(each, "create", **fields) for each in (alice, beside, alice)))
            assert [answer["room"]["room"] for answer in at_once] == ["garden"] * 3
            hidden = await makes(alice, "Plans", client_id="wish-2")
            await asks(alice, "change-room", room=hidden, name="Design")
            again = await asks(beside, "create", name="Plans", kind="private", client_id="wish-2")
            assert (again["room"]["room"], again["room"]["name"]) == (hidden, "Design")
            assert [row["content"] for row in (await alice.joins("garden"))["messages"]] == ["Alice made this room."]
            assert await makes(bob, "Garden", "public", client_id="wish-1") == "garden-2", "somebody else's wish"
            assert await makes(alice, "Garden", "public", client_id="wish-3") == "garden-3", "another wish"
            assert await makes(alice, "Garden", "public") == "garden-4", "and without an id there is no telling"
            token = house.people["Alice"].token
        async with serving(tmp_path / "data", clock=ManualClock(), sign_in="links") as server:
            alice = await Client(server.url).connect(auth={"dialect": "full", "token": token})
            await alice.joins()
            assert (await asks(alice, "create", **fields))["room"]["room"] == "garden"
            assert set(await listed(alice)) == {"garden", "garden-2", "garden-3", "garden-4", hidden}
            await alice.close()

    async def test_what_is_no_repeat(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            room = await makes(alice, "Plans", people=house.ids("Bob"), client_id="wish")
            other = await refused(alice, "create", name="Plans", kind="public", client_id="wish")
            assert other["code"] == "conflict"
            for wrong in ("", "x" * 65, "zwölf", 7):
                assert (await refused(alice, "create", name="Plans", client_id=wrong))["code"] == "bad-request"
            await asks(bob, "remove", room=room, account=house.id("Bob"))
            await asks(alice, "remove", room=room, account=house.id("Alice"))
            left = await refused(alice, "create", name="Plans", kind="private", client_id="wish")
            assert (left["code"], left["message"]) == ("not-found", UNKNOWN)

    async def test_whoever_has_made_as_many_as_they_may_is_told_of_the_last_one_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("chatzilla.core.membership.ROOMS_PER_PERSON", 1)
        async with team(tmp_path / "data") as house:
            alice = await house.enters("Alice")
            room = await makes(alice, "Plans", client_id="wish")
            assert await makes(alice, "Plans", client_id="wish") == room
            assert (await refused(alice, "create", name="More", client_id="more"))["code"] == "full"


class TestMuting:
    async def test_it_is_in_step_over_devices_and_kept(self, tmp_path: Path) -> None:
        async with team(tmp_path / "data") as house:
            alice, bob = await house.enters("Alice"), await house.enters("Bob")
            await bob.joins("garden")
            await bob.says("garden", "roses")
            await alice.joins("garden")
            await alice.says("garden", "tulips")
            beside = await house.connects("Alice")
            await hears_of(beside, "garden")
            await asks(alice, "mute", room="garden", on=True)
            assert (await hears_of(beside, "garden"))["muted"] is True
            await alice.hears_nothing("room")
            assert (await listed(alice))["garden"]["muted"] is True
            again = await house.connects("Alice")
            assert (await hears_of(again, "garden"))["muted"] is True
            assert (await again.joins("garden"))["room"]["muted"] is True
            await asks(again, "mute", room="garden", on=False)
            assert (await hears_of(beside, "garden"))["muted"] is False
            assert (await alice.joins("garden"))["room"]["muted"] is False
            bob.heard("room")
            await bob.hears_nothing("room")


class TestAnOpenServer:
    async def test_a_typed_name_makes_public_rooms_and_no_others(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "data") as house:
            alice = await house.enter("alice")
            assert (await asks(alice, "rooms"))["makes"] == ["public"]
            answer = await asks(alice, "create", name="Our Garden", topic="Plants")
            assert answer["room"]["room"] == "our-garden"
            assert answer["room"]["may"] == ["post", "rename"]
            bob = await house.enter("bob")
            assert (await listed(bob))["our-garden"]["topic"] == "Plants"
            await bob.joins("our-garden")
            assert (await asks(bob, "change-room", room="our-garden", topic="Flowers"))["room"]["topic"] == "Flowers"
            assert (await refused(bob, "change-room", room="our-garden", archived=True))["code"] == "forbidden"
            assert (await refused(alice, "change-room", room="lobby", name="x"))["code"] == "forbidden"
            for event, question in (
                ("create", {"name": "Secret", "kind": "private"}),
                ("direct", {"people": [bob.you["id"]]}),
            ):
                answer = await refused(alice, event, **question)
                assert answer["code"] == "forbidden"
                assert "a name that was only typed proves nothing" in answer["message"]
            assert (await refused(alice, "people"))["code"] == "forbidden"
            assert (await refused(alice, "invite", room="our-garden", account=bob.you["id"]))["code"] == "forbidden"
            assert (await refused(alice, "join", room=mint_private()))["message"] == UNKNOWN
            roll = await asks(alice, "members", room="our-garden")
            assert [(each["name"], each["here"], each["online"]) for each in roll["members"]] == [
                ("alice", False, True),
                ("bob", True, True),
            ]
            await asks(alice, "mute", room="our-garden", on=True)
            lurker = await house.enter("lurker", "attic")
            assert (await refused(lurker, "mute", room="attic", on=True))["code"] == "not-found", "nobody said a word"
            await asks(lurker, "mute", room="our-garden", on=True)
            assert (await lurker.joins("our-garden"))["room"]["muted"] is True
            owner = (await house.server.house.operators.commands["owner-link"]({}))[1].rpartition("/")[2]
            async with town(house.server) as place:
                olga = await place.comes(owner, "Olga")
            inviting = await refused(alice, "create", name="Come all", people=[str(olga.id)])
            assert inviting["code"] == "forbidden"

    async def test_many_rooms_take_time(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "data") as house:
            alice = await house.enter("alice")
            for number in range(50):
                await makes(alice, f"Room {number}", "public")
            assert (await refused(alice, "create", name="One more"))["code"] == "too-fast"
            other = await house.enter("somebody else")
            assert (await refused(other, "create", name="One more"))["code"] == "too-fast"

    async def test_before_a_join_nothing_is_answered(self, connect: Connect) -> None:
        client = await connect(auth={"dialect": "full"})
        for event, question in (
            ("rooms", {}),
            ("people", {}),
            ("members", {"room": "lobby"}),
            ("create", {"name": "x"}),
            ("direct", {"people": ["x"]}),
            ("change-room", {"room": "lobby", "name": "x"}),
            ("invite", {"room": "lobby", "account": "x"}),
            ("remove", {"room": "lobby", "account": "x"}),
            ("mute", {"room": "lobby", "on": True}),
        ):
            assert (await refused(client, event, **question))["code"] == "not-joined"


async def test_a_restart_keeps_all(tmp_path: Path) -> None:
    async with team(tmp_path / "data") as house:
        alice, bob = await house.enters("Alice"), await house.enters("Bob")
        private = await makes(alice, "Plans", topic="What we plan", people=house.ids("Bob"))
        public = await makes(alice, "Old things", "public")
        await asks(alice, "change-room", room=public, archived=True)
        direct = (await asks(bob, "direct", people=house.ids("Alice")))["room"]["room"]
        await asks(alice, "invite", room=private, account=house.id("Bob"), grade="read")
        await asks(bob, "mute", room=private, on=True)
        before = await listed(alice), await listed(bob), await asks(alice, "members", room=private)
        people = house.people
    async with team(tmp_path / "data") as house:
        for person in people.values():
            person.url, person.http = house.place.server.url, house.place.http
        house.people = people
        alice, bob = await house.connects("Alice"), await house.connects("Bob")
        assert (await listed(alice), await listed(bob), await asks(alice, "members", room=private)) == before
        assert before[1][private]["muted"] is True
        assert before[0][public]["archived"] is True
        assert (await asks(alice, "direct", people=house.ids("Bob")))["room"]["room"] == direct
        await bob.joins(private)
        assert (await refused(bob, "message", room=private, client_id="1", content="x"))["code"] == "forbidden"
        eve = await house.enters("Eve")
        assert (await refused(eve, "join", room=private))["message"] == UNKNOWN
        assert (await refused(eve, "join", room=direct))["message"] == UNKNOWN


async def test_people_are_shown_to_whoever_is_here_for_good(tmp_path: Path) -> None:
    async with team(tmp_path / "data") as house:
        alice, guest = await house.enters("Alice"), await house.enters("Guest", Role.GUEST, "garden")
        house.people["Bob"] = await house.place.enters("Bob")
        shown = (await asks(alice, "people"))["people"]
        assert [(each["name"], each["online"]) for each in shown] == [("Alice", True), ("Bob", False)]
        assert (await refused(guest, "people"))["code"] == "forbidden"
        assert [each["room"] for each in (await asks(guest, "rooms"))["rooms"]] == []
        assert (await refused(guest, "create", name="Mine"))["message"] == (
            "Guests stay in the room that they were let into."
        )
        room = await makes(alice, "Plans")
        answer = await refused(alice, "invite", room=room, account=house.id("Guest"))
        assert answer["code"] == "forbidden"


@pytest.mark.parametrize("kind", ["private", "public"])
async def test_somebody_who_is_invited_while_they_come_in_hears_of_it(tmp_path: Path, kind: str) -> None:
    async with team(tmp_path / "data") as house:
        alice = await house.enters("Alice")
        house.people["Bob"] = await house.place.enters("Bob")
        room = await makes(alice, "Plans", kind)
        store = house.place.server.house.store
        reading, invited = asyncio.Event(), asyncio.Event()
        real = store.memberships

        async def slow(account: Any) -> Any:
            heads = await real(account)
            if not invited.is_set():
                reading.set()
                await invited.wait()
            return heads

        store.memberships = slow  # type: ignore[method-assign]  # a reader that takes its time
        coming = asyncio.create_task(house.connects("Bob"))
        await reading.wait()
        await asks(alice, "invite", room=room, account=house.id("Bob"))
        invited.set()
        bob = await coming
        await bob.fence()
        heard = [each["room"] for each in bob.heard("room")]
        assert heard == ([room] if kind == "private" else []), "a public one is found with the next connection"


async def _page(house: Team, name: str, room: str) -> tuple[int, str]:
    person = house.people[name]
    headers = {"Authorization": f"Bearer {person.token}", "Accept": "text/html"}
    async with house.place.http.get(f"{person.url}/r/{room}", headers=headers) as answer:
        return answer.status, (await answer.text()).replace(room, "…")


async def _count_rooms(house: Team, room: str) -> int:
    everything = house.place.server.house.rooms.recall_rooms()
    return sum(each.id == room for each in everything)


async def test_who_left_for_good_and_says_something_there_again_is_back(tmp_path: Path) -> None:
    """Over HTTP nobody joins first: saying something makes one a member, however lately one was one."""
    async with open_house(tmp_path / "data") as opened:
        house = opened.server.house
        garden, alice = RoomId("garden"), account_named("alice")
        for number in range(3):
            await house.log.append(alice, Draft(garden, ClientId(str(number)), "hello"), origin=None)
            assert [head.room for head in await house.store.memberships(alice)] == [garden]
            await house.rooms.dismiss(Room(garden, garden), alice.id, heir=None, now=0)
            assert await house.store.memberships(alice) == []


async def test_what_was_done_is_answered_so_though_its_notice_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal would have people do it again, and a second room would stand beside the first."""
    async with team(tmp_path / "data") as house:
        alice, bob = await house.enters("Alice"), await house.enters("Bob")
        plans = await makes(alice, "Plans", people=house.ids("Bob"))
        with monkeypatch.context() as busy:
            busy.setattr("chatzilla.store.log.WAITING_AT_MOST", 0)
            garden = await makes(alice, "Garden", "public")
            den = await makes(alice, "Den")
            assert (await asks(alice, "change-room", room=plans, topic="Ours"))["room"]["topic"] == "Ours"
            await asks(alice, "invite", room=den, account=house.id("Bob"))
            assert (await hears_of(bob, den))["name"] == "Den"
            await asks(alice, "remove", room=plans, account=house.id("Bob"))
            assert not (await alice.call("message", {"room": "lobby", "client_id": "1", "content": "hello"}))[0]
        assert {name for each in (await listed(alice)).values() if (name := each["name"]) != "lobby"} == {
            "Plans",
            "Garden",
            "Den",
        }
        assert plans not in await listed(bob)
        assert [row["content"] for row in (await alice.joins(plans))["messages"]] == ["Alice made this room."]
        assert not (await alice.joins(garden))["messages"]


async def test_whoever_is_removed_from_the_server_loses_every_room_though_no_notice_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with team(tmp_path / "data") as house:
        alice, bob = await house.enters("Alice"), await house.enters("Bob")
        dens = [await makes(bob, f"Den {number}", people=house.ids("Alice")) for number in range(3)]
        monkeypatch.setattr("chatzilla.store.log.WAITING_AT_MOST", 0)
        opened = house.place.server.house
        await opened.commands["remove-person"]({"person": "Bob"})
        rooms = {room.id: room for room in opened.rooms.recall_rooms()}
        assert [dict(rooms[RoomId(den)].grades) for den in dens] == [{house.id("Alice"): Grade.MODERATE}] * 3
        await alice.fence()


async def test_the_last_one_goes_and_the_room_is_archived_at_once_or_not_at_all(tmp_path: Path) -> None:
    async with team(tmp_path / "data") as house:
        alice = await house.enters("Alice")
        room = RoomId(await makes(alice, "Plans"))
        opened = house.place.server.house

        def stands() -> list[tuple[bool, list[str]]]:
            """In the database, and in memory."""
            (stored,) = [each for each in opened.rooms.recall_rooms() if each.id == room]
            return [(each.archived_at is None, list(each.grades)) for each in (stored, opened.directory.find(room))]

        with closing(sqlite3.connect(opened.database.path, isolation_level=None)) as stranger:
            stranger.execute(
                "CREATE TRIGGER holds BEFORE DELETE ON members BEGIN SELECT RAISE(ABORT, 'they stay'); END"
            )
            assert (await refused(alice, "remove", room=room, account=house.id("Alice")))["code"] == "internal"
            assert stands() == [(True, house.ids("Alice"))] * 2
            stranger.execute("DROP TRIGGER holds")
        await asks(alice, "remove", room=room, account=house.id("Alice"))
        assert stands() == [(False, [])] * 2
