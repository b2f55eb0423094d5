"""The tutorial's contract to the letter, by today's python-socketio clients."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import socketio

from chatzilla.core.catchup import Span
from chatzilla.core.presence import NAMED_AT_MOST
from chatzilla.core.rooms import LOBBY
from tests.helpers.clients import CHAT, PATIENCE_SECONDS, Client
from tests.helpers.clock import ManualClock
from tests.helpers.house import open_house
from tests.helpers.raw import raw_connection

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Connect
    from tests.helpers.servers import Server


async def test_join_and_message_are_answered_with_two_values(connect: Connect) -> None:
    bob = await connect()
    assert await bob.call("join", "bob@example.com") == (True, "bob@example.com")
    assert await bob.call("message", "hello") == (True, "hello")


async def test_the_others_hear_sender_and_content_and_nothing_else(connect: Connect) -> None:
    bob, eve = await connect(), await connect()
    await bob.call("join", "bob@example.com")
    await bob.call("message", "hello")
    assert await eve.hears() == {"sender": "bob@example.com", "content": "hello"}
    await bob.hears_nothing()


async def test_a_simple_client_written_after_the_tutorial_works(server: Server) -> None:
    async with socketio.AsyncSimpleClient() as bob, socketio.AsyncSimpleClient() as alice:
        await bob.connect(server.url, namespace=CHAT)
        await alice.connect(server.url, namespace=CHAT)
        assert await bob.call("join", "bob@example.com") == (True, "bob@example.com")
        assert await alice.call("join", "alice@example.com") == (True, "alice@example.com")
        assert await bob.call("message", "hello") == (True, "hello")
        while (event := await alice.receive(timeout=5))[0] != "message":
            assert event[0] == "stats"
        assert event == ["message", {"sender": "bob@example.com", "content": "hello"}]


@pytest.mark.parametrize("transports", [("polling",), ("websocket",), ("polling", "websocket")])
async def test_every_transport_carries_it(connect: Connect, transports: tuple[str, ...]) -> None:
    bob, eve = await connect(transports=transports), await connect(transports=transports)
    assert await bob.call("join", "bob") == (True, "bob")
    for number in range(5):
        assert await bob.call("message", f"{number} 👍") == (True, f"{number} 👍")
    assert [(await eve.hears())["content"] for _ in range(5)] == [f"{number} 👍" for number in range(5)]


@pytest.mark.parametrize("transports", [("polling",), ("websocket",), ("polling", "websocket")])
async def test_a_burst_is_answered_whole_and_heard_in_order(connect: Connect, transports: tuple[str, ...]) -> None:
    bob, eve = await connect(transports=transports), await connect(transports=transports)
    await bob.call("join", "bob")
    answers = [asyncio.get_running_loop().create_future() for _ in range(120)]
    for number, answer in enumerate(answers):
        await bob.emit("message", str(number), answer=answer)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await asyncio.gather(*answers) == [(True, str(number)) for number in range(120)]
    assert [(await eve.hears())["content"] for _ in range(120)] == [str(number) for number in range(120)]


async def test_send_of_a_stock_client_is_a_chat_message(connect: Connect) -> None:
    bob, eve = await connect(), await connect()
    await bob.call("join", "bob")
    await bob.sio.send("sent", namespace=CHAT)
    assert await eve.hears() == {"sender": "bob", "content": "sent"}


async def test_a_name_is_answered_trimmed(connect: Connect) -> None:
    bob = await connect()
    assert await bob.call("join", "  bob@example.com ") == (True, "bob@example.com")


async def test_a_message_is_carried_as_it_was_written(connect: Connect) -> None:
    bob, eve = await connect(), await connect()
    await bob.call("join", "bob")
    for text in ("  spaces  ", "two\nlines", "<script>alert(1)</script>", "null", "\u202eright to left", "\x01"):
        assert await bob.call("message", text) == (True, text)
        assert (await eve.hears())["content"] == text


async def test_whoever_has_not_joined_hears_the_lobby_too(connect: Connect) -> None:
    eve, bob = await connect(), await connect()
    await bob.call("join", "bob")
    await bob.call("message", "hello")
    assert await eve.hears() == {"sender": "bob", "content": "hello"}
    assert await eve.hears("stats") == {"people": ["bob"]}


async def test_the_senders_other_tabs_hear_and_the_sending_one_does_not(connect: Connect) -> None:
    one, other = await connect(), await connect()
    for tab in (one, other):
        await tab.call("join", "bob")
    await one.call("message", "hello")
    assert await other.hears() == {"sender": "bob", "content": "hello"}
    await one.hears_nothing()


async def test_a_second_join_replaces_the_name(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_house(tmp_path / "data", clock=clock) as house:
        bob, eve = await house.connect(), await house.connect()
        await bob.call("join", "bob")
        assert await bob.call("join", "robert") == (True, "robert")
        await bob.call("message", "it is me")
        assert await eve.hears() == {"sender": "robert", "content": "it is me"}
        clock.advance(1)
        assert await eve.hears("stats") == {"people": ["robert"]}


class TestStats:
    """Who is there, as the tutorial's final app shows it."""

    async def test_each_person_is_there_once_however_many_tabs(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock) as house:
            eve = await house.connect()
            for name in ("bob", "alice", "bob", "Bob "):
                tab = await house.connect()
                await tab.call("join", name)
            clock.advance(1)
            assert await eve.hears("stats") == {"people": ["bob", "alice"]}

    async def test_a_person_is_gone_when_the_last_tab_closes(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock) as house:
            eve = await house.enter_simply("eve")
            tabs = [await house.enter_simply("bob") for _ in range(2)]
            clock.advance(1)
            assert await eve.hears("stats") == {"people": ["eve", "bob"]}
            await tabs[0].close()
            await eve.fence()
            clock.advance(1)
            assert {"people": ["eve"]} not in eve.heard("stats")
            await tabs[1].close()
            await eve.fence()
            clock.advance(1)
            assert await eve.hears("stats") == {"people": ["eve"]}

    async def test_they_are_told_once_a_second_at_most(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock) as house:
            eve = await house.enter_simply("eve")
            clock.advance(1)
            await eve.fence()
            assert len(eve.heard("stats")) == 1
            for number in range(10):
                await house.enter_simply(f"guest {number}")
            clock.advance(0.5)
            await eve.fence()
            told_at_most_once = eve.heard("stats")
            assert len(told_at_most_once) <= 1
            clock.advance(1)
            await eve.fence()
            assert len((told_at_most_once + eve.heard("stats"))[-1]["people"]) == 11

    async def test_a_hundred_people_are_named_at_most(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock) as house:
            eve = await house.connect()
            for number in range(NAMED_AT_MOST + 1):
                await house.enter_simply(f"guest {number}")
            clock.advance(1)
            people = (await eve.hears("stats"))["people"]
            assert len(set(people)) == len(people) == NAMED_AT_MOST

    async def test_they_have_one_key(self, connect: Connect) -> None:
        bob = await connect()
        await bob.call("join", "bob")
        assert await bob.hears("stats") == {"people": ["bob"]}

    async def test_nothing_else_is_heard_by_this_dialect(self, connect: Connect) -> None:
        eve, alice = await connect(), await connect(auth={"dialect": "full"})
        await eve.call("join", "eve")
        await alice.joins(name="alice")
        await alice.call("typing", {"room": "lobby"})
        await alice.says("lobby", "hello")
        await eve.hears()
        for event in ("presence", "typing", "room", "goodbye"):
            await eve.hears_nothing(event)


JUST_FITS = [("join", "n" * 254), ("message", "m" * 10_000), ("message", "👍" * 10_000)]

REFUSED = [
    ("join", ""),
    ("join", "  \n"),
    ("join", "n" * 255),
    ("join", "two\nlines"),
    ("join", "a\0b"),
    ("join", "a\ud800"),
    ("join", 5),
    ("join", 1.5),
    ("join", True),
    ("join", None),
    ("join", ["bob"]),
    ("join", b"bob"),
    ("message", ""),
    ("message", " \t\n"),
    ("message", "m" * 10_001),
    ("message", "👍" * 10_001),
    ("message", "a\0b"),
    ("message", "a\ud800b"),
    ("message", 5),
    ("message", -0.5),
    ("message", False),
    ("message", None),
    ("message", ["hello"]),
    ("message", b"hello"),
    ("no such event", "x"),
    ("history", "x"),
    ("leave", "lobby"),
    ("typing", None),
    ("on_message", "x"),
    ("__init__", "x"),
    ("trigger_event", "x"),
    ("", "x"),
]


class TestRefusals:
    """Refused in a sentence, never crashed; and the connection goes on."""

    @pytest.mark.parametrize("call", REFUSED, ids=lambda call: ascii(call)[:40])
    async def test_what_is_refused_is_refused_in_a_sentence(self, connect: Connect, call: tuple[str, object]) -> None:
        bob, eve = await connect(), await connect()
        await bob.call("join", "bob")
        accepted, sentence = await bob.call(*call)
        assert accepted is False
        assert isinstance(sentence, str)
        assert sentence.endswith(".")
        assert await bob.call("message", "still here") == (True, "still here")
        assert (await eve.hears())["content"] == "still here"

    @pytest.mark.parametrize("call", JUST_FITS, ids=["name", "text", "wide text"])
    async def test_what_just_fits_passes(self, connect: Connect, call: tuple[str, str]) -> None:
        bob = await connect()
        await bob.call("join", "bob")
        assert await bob.call(*call) == (True, call[1])

    async def test_a_message_before_join_is_refused_and_a_join_mends_it(self, connect: Connect) -> None:
        bob, eve = await connect(), await connect()
        accepted, sentence = await bob.call("message", "too early")
        assert accepted is False
        assert sentence.endswith(".")
        await bob.call("join", "bob")
        assert await bob.call("message", "in time") == (True, "in time")
        assert (await eve.hears())["content"] == "in time"

    async def test_a_refused_join_leaves_the_name_as_it_was(self, connect: Connect) -> None:
        bob, eve = await connect(), await connect()
        await bob.call("join", "bob")
        await bob.call("join", "   ")
        await bob.call("message", "hello")
        assert (await eve.hears())["sender"] == "bob"

    async def test_an_object_is_refused_in_an_object(self, connect: Connect) -> None:
        bob = await connect()
        await bob.call("join", "bob")
        accepted, refusal = await bob.call("message", {"content": "hello"})
        assert accepted is False
        assert set(refusal) == {"code", "message"}
        assert refusal["code"] == "bad-request"
        assert await bob.call("message", "still here") == (True, "still here")

    async def test_going_too_fast_is_refused_and_waiting_mends_it(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock, message_rate=1.0, message_burst=3) as house:
            bob = await house.enter_simply("bob")
            answers = [await bob.call("message", str(number)) for number in range(5)]
            assert [accepted for accepted, _ in answers] == [True, True, True, False, False]
            assert isinstance(answers[-1][1], str)
            clock.advance(1)
            assert await bob.call("message", "after a while") == (True, "after a while")

    async def test_the_rate_is_each_connections_own(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "data", clock=ManualClock(), message_rate=1.0, message_burst=1) as house:
            bob, alice = await house.enter_simply("bob"), await house.enter_simply("alice")
            assert (await bob.call("message", "one"))[0]
            assert not (await bob.call("message", "two"))[0]
            assert (await alice.call("message", "one"))[0]

    async def test_joining_over_and_over_is_refused_and_waiting_mends_it(self, tmp_path: Path) -> None:
        """At the rate of the full dialect; whoever joins once is never in its way."""
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock, call_rate=1.0, call_burst=3) as house:
            bob = await house.connect()
            answers = [await bob.call("join", f"bob {number}") for number in range(5)]
            assert [accepted for accepted, _ in answers] == [True, True, True, False, False]
            assert isinstance(answers[-1][1], str)
            assert await bob.call("message", "it is me") == (True, "it is me")
            await house.enter_simply("alice")
            assert (await house.server.house.store.history(LOBBY, Span(1))).messages[0].name == "bob 2"
            clock.advance(1)
            assert await bob.call("join", "robert") == (True, "robert")

    async def test_an_unknown_event_without_an_ack_is_harmless(self, connect: Connect) -> None:
        bob, eve = await connect(), await connect()
        await bob.call("join", "bob")
        await bob.emit("no such event", "x")
        await bob.emit("message")
        await bob.emit("message", {"deep": [[[]]]})
        assert await bob.call("message", "still here") == (True, "still here")
        assert (await eve.hears())["content"] == "still here"


class TestReservedNames:
    """A client cannot run what only the server may: `connect` and `disconnect` are no events."""

    @pytest.mark.parametrize(
        "event",
        [
            ["connect"],
            ["connect", None],
            ["connect", "x"],
            ["connect", {}],
            ["connect", {"aiohttp.request": {}}, {"dialect": "full", "token": "x"}],
            ["disconnect"],
            ["disconnect", "client disconnect"],
            ["disconnect", {}],
            ["connect_error", "x"],
        ],
        ids=str,
    )
    async def test_a_reserved_name_is_refused_and_changes_nothing(self, server: Server, event: list[object]) -> None:
        async with raw_connection(server.url) as bob:
            assert await bob.call("join", "bob", ack=1) == [True, "bob"]
            accepted, refusal = await bob.call(*event, ack=2)
            assert accepted is False
            assert refusal
            assert await bob.call("message", "still me", ack=3) == [True, "still me"]
        eve = await Client(server.url).connect()
        await eve.call("join", "eve")
        await eve.close()

    async def test_nobody_listens_unseen_after_a_feigned_disconnect(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock) as house, raw_connection(house.server.url) as bob:
            await bob.call("join", "bob", ack=1)
            await bob.emit("disconnect", "x")
            await bob.call("no such event", ack=2)
            eve = await house.enter_simply("eve")
            clock.advance(1)
            assert await eve.hears("stats") == {"people": ["bob", "eve"]}

    @pytest.mark.parametrize("frame", ["[5]", "[null]", "[{}]", "[[]]", '[true,"x"]', "[1.5,{}]"])
    async def test_an_event_whose_name_is_no_text_is_refused(self, server: Server, frame: str) -> None:
        async with raw_connection(server.url) as bob:
            await bob.send(f"42{CHAT},1{frame}")
            accepted, _ = await bob.answer(1)
            assert accepted is False
            assert await bob.call("join", "bob", ack=2) == [True, "bob"]


async def test_a_polled_message_whose_body_arrives_in_pieces_is_not_lost(server: Server) -> None:
    """A request body may come in any number of network packets; its text is one."""
    host, port = server.url.removeprefix("http://").split(":")
    eve = await Client(server.url).connect()
    bob = await Client(server.url).connect(transports=("polling",))
    await bob.call("join", "bob")
    body = f'42{CHAT},["message","{"x" * 5_000}"]'.encode()
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /socket.io/?EIO=4&transport=polling&sid={bob.sio.eio.sid} HTTP/1.1\r\nHost: {host}:{port}\r\n"
    writer.write(f"{head}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:100])
    await eve.fence()
    writer.write(body[100:])
    assert b" 200 " in await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)
    writer.close()
    await writer.wait_closed()
    await bob.fence()
    await eve.fence()
    assert eve.heard() == [{"sender": "bob", "content": "x" * 5_000}]
    await bob.close()
    await eve.close()
