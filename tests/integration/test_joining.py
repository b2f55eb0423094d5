"""The full dialect: who one is, which rooms one hears, and how one leaves."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import socketio

from chatzilla.core.people import account_named
from chatzilla.core.rooms import ROOMS_PER_CONNECTION
from chatzilla.core.tokens import LIFETIME_SECONDS
from tests.helpers.clients import CHAT, Client
from tests.helpers.clock import ManualClock
from tests.helpers.house import open_house
from tests.helpers.raw import raw_connection

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Connect, Lobby
    from tests.helpers.servers import Server

FULL = {"dialect": "full"}


async def refused_connection(url: str, auth: object) -> dict[str, Any]:
    """Connect where it is refused; returns what the client is told."""
    sio = socketio.AsyncClient(reconnection=False)
    told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    sio.on("connect_error", told.set_result, namespace=CHAT)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await sio.connect(url, namespaces=[CHAT], auth=auth, transports=["websocket"], wait_timeout=2)
    await sio.disconnect()
    return dict(await asyncio.wait_for(told, 2))


class TestTheAnswer:
    """What `join` answers."""

    async def test_it_has_these_keys_and_no_others(self, connect: Connect) -> None:
        alice = await connect(auth=FULL)
        answer = await alice.joins(name="Alice")
        assert set(answer) == {"you", "room", "here", "messages", "cursor", "epoch", "more"}
        assert set(answer["you"]) == {"id", "name", "verified", "role", "token"}
        assert (answer["you"]["name"], answer["you"]["verified"]) == ("Alice", False)
        assert answer["room"] == {
            "room": "lobby",
            "name": "lobby",
            "kind": "public",
            "topic": "",
            "head": 0,
            "last": 0,
            "may": ["post"],
        }
        assert answer["here"] == {"count": 1, "people": [{"id": answer["you"]["id"], "name": "Alice"}]}
        assert (answer["messages"], answer["cursor"], answer["more"]) == ([], 0, False)
        assert isinstance(answer["epoch"], str)
        assert answer["epoch"]

    async def test_the_room_is_the_lobby_unless_it_says_otherwise(self, connect: Connect) -> None:
        alice = await connect(auth=FULL)
        accepted, answer = await alice.call("join", {"name": "alice"})
        assert accepted
        assert answer["room"]["room"] == "lobby"

    async def test_joining_again_is_harmless(self, lobby: Lobby) -> None:
        alice, bob = await lobby("alice"), await lobby("bob")
        first = await alice.joins()
        assert first["here"]["count"] == 2
        await bob.says("lobby", "once")
        assert (await alice.hears())["content"] == "once"
        await alice.hears_nothing()

    async def test_a_name_is_needed_once_and_not_again(self, connect: Connect) -> None:
        alice = await connect(auth=FULL)
        accepted, refusal = await alice.call("join", {})
        assert (accepted, refusal["code"]) == (False, "not-joined")
        await alice.joins(name="alice")
        assert (await alice.joins("garden"))["you"]["name"] == "alice"

    async def test_unknown_keys_are_ignored(self, connect: Connect) -> None:
        alice = await connect(auth=FULL | {"colour": "red"})
        await alice.joins(name="alice", colour="red", reset=True, you={"id": "x"})
        answer = await alice.call(
            "message", {"room": "lobby", "client_id": "1", "content": "hello", "seq": 9, "sender": "eve", "colour": {}}
        )
        assert answer[0]
        assert answer[1]["seq"] == 1
        for event in ("history", "typing", "leave"):
            assert (await alice.call(event, {"room": "lobby", "colour": "red"}))[0]

    async def test_a_connection_is_one_person(self, lobby: Lobby) -> None:
        alice = await lobby("alice")
        accepted, refusal = await alice.call("join", {"name": "bob"})
        assert (accepted, refusal["code"]) == (False, "conflict")
        assert (await alice.says("lobby", "hello"))["seq"] == 1

    async def test_a_string_is_answered_as_in_the_tutorial(self, connect: Connect) -> None:
        alice = await connect(auth=FULL)
        assert await alice.call("join", "alice") == (True, "alice")
        assert await alice.call("message", "hello") == (True, "hello")
        accepted, sentence = await alice.call("message", " ")
        assert not accepted
        assert isinstance(sentence, str)

    async def test_nothing_is_heard_before_a_join(self, connect: Connect, lobby: Lobby) -> None:
        silent, bob = await connect(auth=FULL), await lobby("bob")
        await bob.says("lobby", "hello")
        for event in ("message", "presence", "stats", "room"):
            await silent.hears_nothing(event)

    async def test_a_connection_can_be_in_so_many_rooms_and_no_more(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "data", call_rate=0.0) as house:
            alice = await house.enter("alice")
            for number in range(ROOMS_PER_CONNECTION - 1):
                await alice.joins(f"room{number}")
            accepted, refusal = await alice.call("join", {"room": "one-more"})
            assert (accepted, refusal["code"]) == (False, "full")
            await alice.joins("room7")
            await alice.call("leave", {"room": "room7"})
            await alice.joins("one-more")


class TestRoomIds:
    """1 to 64 of `A-Za-z0-9_-`, unique ignoring case."""

    async def test_rooms_are_the_same_ignoring_case(self, connect: Connect) -> None:
        alice, bob = await connect(auth=FULL), await connect(auth=FULL)
        assert (await alice.joins("Garden", name="alice"))["room"]["room"] == "garden"
        await bob.joins("gARDEN", name="bob")
        await alice.says("GARDEN", "hello")
        heard = await bob.hears()
        assert (heard["room"], heard["content"], heard["id"]) == ("garden", "hello", "garden:1")

    @pytest.mark.parametrize("room", ["a", "_", "-", "0", "A-b_9", "x" * 64])
    async def test_these_are_ids(self, connect: Connect, room: str) -> None:
        alice = await connect(auth=FULL)
        assert (await alice.joins(room, name="alice"))["room"]["room"] == room.lower()

    @pytest.mark.parametrize("room", ["", "x" * 65, "a b", "a.b", "a/b", "é", "ﬀ", "room\n", "\n", "١", "a:b"])
    async def test_these_are_not(self, connect: Connect, room: str) -> None:
        alice = await connect(auth=FULL)
        accepted, refusal = await alice.call("join", {"name": "alice", "room": room})
        assert (accepted, refusal["code"]) == (False, "bad-request")

    async def test_rooms_number_and_tell_their_messages_apart(self, lobby: Lobby) -> None:
        alice, bob = await lobby("alice"), await lobby("bob", "garden")
        await alice.joins("garden")
        assert (await alice.says("lobby", "here"))["seq"] == 1
        assert (await alice.says("garden", "there"))["seq"] == 1
        assert (await bob.hears())["content"] == "there"
        await bob.hears_nothing()


class TestTokens:
    """The token of `you` opens a reconnection for this person, and for nobody else."""

    async def test_it_brings_back_the_person_without_a_name(self, connect: Connect) -> None:
        first = await connect(auth=FULL)
        you = (await first.joins(name="Alice"))["you"]
        again = await connect(auth=FULL | {"token": you["token"]})
        back = (await again.joins())["you"]
        assert (back["id"], back["name"]) == (you["id"], "Alice")

    async def test_the_own_name_beside_it_is_accepted_in_any_spelling(self, connect: Connect) -> None:
        first = await connect(auth=FULL)
        token = (await first.joins(name="Alice"))["you"]["token"]
        again = await connect(auth=FULL | {"token": token})
        assert (await again.joins(name="aLiCE"))["you"]["name"] == "Alice"

    async def test_another_name_beside_it_is_forbidden(self, connect: Connect) -> None:
        first = await connect(auth=FULL)
        token = (await first.joins(name="alice"))["you"]["token"]
        again = await connect(auth=FULL | {"token": token})
        accepted, refusal = await again.call("join", {"name": "bob"})
        assert (accepted, refusal["code"]) == (False, "forbidden")
        assert (await again.joins())["you"]["name"] == "alice"

    async def test_the_tutorial_dialect_obeys_it_too(self, connect: Connect) -> None:
        first = await connect(auth=FULL)
        token = (await first.joins(name="alice"))["you"]["token"]
        again = await connect(auth={"token": token})
        accepted, sentence = await again.call("join", "bob")
        assert not accepted
        assert isinstance(sentence, str)
        assert await again.call("join", "alice") == (True, "alice")

    async def test_it_survives_a_restart_of_the_server(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "data") as house:
            you = (await house.enter("alice")).you
        async with open_house(tmp_path / "data") as house:
            again = await house.connect(auth=FULL | {"token": you["token"]})
            assert (await again.joins())["you"]["id"] == you["id"]

    async def test_an_expired_one_is_refused(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock) as house:
            token = (await house.enter("alice")).you["token"]
            clock.advance(LIFETIME_SECONDS)
            told = await refused_connection(house.server.url, FULL | {"token": token})
            assert told["data"]["code"] == "sign-in"
            assert told["message"] == told["data"]["message"]

    @pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", 5, True, {}, ["x"], "\ud800", "é"], ids=ascii)
    async def test_what_is_no_token_is_refused(self, server: Server, token: object) -> None:
        told = await refused_connection(server.url, FULL | {"token": token})
        assert told["data"]["code"] == "sign-in"

    async def test_a_forged_one_is_refused(self, server: Server) -> None:
        now, alice = int(time.time()), account_named("alice")
        claims = {"iss": "chatzilla", "sub": alice.id, "kind": "open", "name": "alice", "iat": now, "exp": now + 60}
        for forged in (jwt.encode(claims, "guess" * 10, "HS256"), jwt.encode(claims, "", "none")):
            told = await refused_connection(server.url, FULL | {"token": forged})
            assert told["data"]["code"] == "sign-in"

    async def test_one_of_another_installation_is_refused(self, server: Server, tmp_path: Path) -> None:
        async with open_house(tmp_path / "elsewhere") as house:
            token = (await house.enter("alice")).you["token"]
        told = await refused_connection(server.url, FULL | {"token": token})
        assert told["data"]["code"] == "sign-in"

    @pytest.mark.parametrize("auth", [None, {}, {"token": None}, {"dialect": 5}, {"dialect": ["full"]}])
    async def test_any_other_payload_speaks_the_tutorial_dialect(self, server: Server, auth: object) -> None:
        async with raw_connection(server.url, auth) as bob:
            assert await bob.call("join", "bob", ack=1) == [True, "bob"]
            assert await bob.call("message", "hello", ack=2) == [True, "hello"]


class TestLeaving:
    """`leave` ends the hearing; the rest stays."""

    async def test_who_left_hears_nothing_more_and_cannot_speak(self, lobby: Lobby) -> None:
        alice, bob = await lobby("alice"), await lobby("bob")
        assert await alice.call("leave", {"room": "lobby"}) == (True, {})
        await bob.says("lobby", "hello")
        await alice.hears_nothing()
        accepted, refusal = await alice.call("message", {"room": "lobby", "client_id": "1", "content": "x"})
        assert (accepted, refusal["code"]) == (False, "not-joined")

    async def test_it_is_harmless_twice_and_where_nobody_joined(self, lobby: Lobby) -> None:
        alice = await lobby("alice")
        for room in ("lobby", "lobby", "never-seen"):
            assert await alice.call("leave", {"room": room}) == (True, {})

    async def test_it_concerns_this_connection_alone(self, lobby: Lobby) -> None:
        one, other, bob = await lobby("alice"), await lobby("alice"), await lobby("bob")
        await one.call("leave", {"room": "lobby"})
        await bob.says("lobby", "hello")
        assert (await other.hears())["content"] == "hello"

    async def test_one_can_come_back_and_catch_up(self, lobby: Lobby) -> None:
        alice, bob = await lobby("alice"), await lobby("bob")
        await alice.call("leave", {"room": "lobby"})
        await bob.says("lobby", "missed")
        answer = await alice.joins(cursor=0)
        assert [row["content"] for row in answer["messages"]] == ["missed"]
        await bob.says("lobby", "heard")
        assert (await alice.hears())["content"] == "heard"


class TestMixedDialects:
    """Both dialects in one room, and one connection that changes over."""

    async def test_each_hears_the_other_in_its_own_words(self, connect: Connect, lobby: Lobby) -> None:
        simple, alice = await connect(), await lobby("alice")
        await simple.call("join", "bob")
        await simple.call("message", "from the tutorial")
        heard = await alice.hears()
        assert (heard["name"], heard["content"], heard["seq"]) == ("bob", "from the tutorial", 1)
        assert heard["client_id"]
        await alice.says("lobby", "from the full dialect")
        assert await simple.hears() == {"sender": "alice", "content": "from the full dialect"}

    async def test_a_full_connection_speaks_by_a_string_too(self, connect: Connect, lobby: Lobby) -> None:
        simple, alice = await connect(), await lobby("alice")
        assert await alice.call("message", "hello") == (True, "hello")
        assert await simple.hears() == {"sender": "alice", "content": "hello"}

    async def test_what_is_said_in_other_rooms_stays_there(self, connect: Connect, lobby: Lobby) -> None:
        simple, alice = await connect(), await lobby("alice", "garden")
        await alice.says("garden", "hello")
        await simple.hears_nothing()

    async def test_an_object_join_elsewhere_ends_the_hearing_of_the_lobby(self, connect: Connect, lobby: Lobby) -> None:
        eve, bob = await connect(), await lobby("bob")
        await eve.joins("garden", name="eve")
        await bob.says("lobby", "hello")
        await eve.hears_nothing()
        await eve.joins("lobby")
        await bob.says("lobby", "again")
        assert (await eve.hears())["seq"] == 2

    async def test_who_had_joined_the_lobby_goes_on_hearing_it(self, connect: Connect, lobby: Lobby) -> None:
        eve, bob = await connect(), await lobby("bob")
        await eve.call("join", "eve")
        await eve.joins("garden")
        await bob.says("lobby", "hello")
        assert set(await eve.hears()) > {"id", "seq", "changed"}

    async def test_after_an_object_join_refusals_are_objects(self, connect: Connect) -> None:
        eve = await connect()
        await eve.joins(name="eve")
        accepted, refusal = await eve.call("typing")
        assert not accepted
        assert refusal["code"] == "bad-request"

    async def test_a_refused_object_join_changes_nothing(self, connect: Connect, lobby: Lobby) -> None:
        eve, bob = await connect(), await lobby("bob")
        assert not (await eve.call("join", {"name": "eve", "room": "no room"}))[0]
        await bob.says("lobby", "hello")
        assert await eve.hears() == {"sender": "bob", "content": "hello"}


class TestComingAgainOnOneSocket:
    """A socket may leave `/chat` and enter it again; what it was before does not stick to it."""

    async def test_who_enters_again_is_nobody_yet(self, server: Server, lobby: Lobby) -> None:
        bob = await lobby("bob")
        async with raw_connection(server.url, FULL) as alice:
            await alice.call("join", {"name": "alice"}, ack=1)
            await alice.send(f"41{CHAT},")
            await alice.send(f'40{CHAT},{{"dialect":"full"}}')
            accepted, refusal = await alice.call("message", {"room": "lobby", "client_id": "1", "content": "x"}, ack=2)
            assert (accepted, refusal["code"]) == (False, "not-joined")
        assert (await bob.joins())["here"]["people"] == [{"id": bob.you["id"], "name": "bob"}]

    async def test_entering_twice_leaves_no_ghost(self, server: Server, lobby: Lobby) -> None:
        bob = await lobby("bob")
        async with raw_connection(server.url, FULL) as alice:
            await alice.call("join", {"name": "alice"}, ack=1)
            await alice.send(f'40{CHAT},{{"dialect":"full"}}')
            await alice.call("join", {"name": "mallory"}, ack=2)
        async with raw_connection(server.url) as later:
            await later.call("join", "later", ack=1)
        here = (await bob.joins())["here"]
        assert {person["name"] for person in here["people"]} <= {"bob", "later"}
        assert server.house.delivery.listeners("lobby") <= 2  # type: ignore[arg-type]  # bob, and one that is closing


async def test_a_person_is_seen_by_a_client_of_either_kind(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_house(tmp_path / "data", clock=clock) as house:
        simple, alice = await house.enter_simply("bob"), await house.enter("alice")
        clock.advance(1)
        assert await simple.hears("stats") == {"people": ["bob", "alice"]}
        told = await alice.hears("presence")
        assert {person["name"] for person in told["came"]} == {"bob", "alice"}
        late = await Client(house.server.url).connect(auth=FULL)
        assert (await late.joins(name="carol"))["here"]["count"] == 3
        await late.close()
