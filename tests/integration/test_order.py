"""Order: one connection's events are begun and answered in the order in which they were sent."""

from __future__ import annotations

import asyncio
import functools
import json
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.clients import CHAT, PATIENCE_SECONDS
from tests.helpers.house import OpenHouse, open_house
from tests.helpers.raw import RawConnection, raw_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.helpers.clients import Client


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[OpenHouse]:
    async with open_house(tmp_path / "data") as opened:
        yield opened


def draft(number: int | str, room: str = "lobby") -> dict[str, str]:
    return {"room": room, "client_id": str(number), "content": str(number)}


async def emitted(client: Client, calls: list[tuple[Any, ...]]) -> list[tuple[int, tuple[Any, ...]]]:
    """Emit all calls without waiting; returns (number of the call, ack) in the order in which acks arrive."""
    arrived: list[tuple[int, tuple[Any, ...]]] = []
    answers = []

    def note(number: int, answer: asyncio.Future[tuple[Any, ...]]) -> None:
        arrived.append((number, answer.result()))

    for number, call in enumerate(calls):
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(functools.partial(note, number))
        answers.append(answer)
        await client.emit(*call, answer=answer)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*answers)
    await asyncio.sleep(0)
    return arrived


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something that needs no time of its own has happened."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def writer_held(house: OpenHouse) -> AsyncIterator[None]:
    """Hold the writer inside a batch of its own, so that everything sent in the block shares the next one."""
    log = house.server.house.log
    stranger = sqlite3.connect(house.server.house.database.path, isolation_level=None)
    try:
        stranger.execute("BEGIN IMMEDIATE")
        holding = asyncio.create_task(house.fill(["held"], room="elsewhere"))
        await until(lambda: log._under_way > 0 and log._batches.empty())
        try:
            yield
        finally:
            stranger.execute("ROLLBACK")
        await holding
    finally:
        stranger.close()


async def numbers_on(raw: RawConnection, total: int, own: range | tuple[int, ...]) -> list[tuple[str, int]]:
    """What this connection is given, as ("ack" or "event", `changed`), until it has been given so many numbers."""
    stream: list[tuple[str, int]] = []
    while len(stream) < total:
        kind, _, body = (await raw.frame()).partition(f"{CHAT},")
        if kind == "43":
            ident, _, values = body.partition("[")
            if int(ident) in own:
                stream.append(("ack", json.loads("[" + values)[1]["changed"]))
        elif kind == "42" and (event := json.loads(body))[0] == "message":
            stream.append(("event", event[1]["changed"]))
    return stream


def holes(stream: list[tuple[str, int]]) -> list[int]:
    """The events that came while a lower number was missing: at each of them a client would have to ask again."""
    known: set[int] = set()
    found = []
    for kind, number in stream:
        if kind == "event" and not known.issuperset(range(1, number)):
            found.append(number)
        known.add(number)
    return found


@pytest.mark.parametrize("transports", [("websocket",), ("polling",)])
async def test_what_one_sends_without_waiting_arrives_and_is_answered_in_order(
    house: OpenHouse, transports: tuple[str, ...]
) -> None:
    alice = await house.connect(transports=transports, auth={"dialect": "full"})
    await alice.joins(name="alice")
    bob, simple = await house.enter("bob"), await house.connect()
    arrived = await emitted(alice, [("message", draft(number)) for number in range(300)])
    assert [number for number, _ in arrived] == list(range(300))
    assert [ack[1]["seq"] for _, ack in arrived] == list(range(1, 301))
    assert [(await bob.hears())["seq"] for _ in range(300)] == list(range(1, 301))
    assert [(await simple.hears())["content"] for _ in range(300)] == [str(number) for number in range(300)]


async def test_a_message_sent_right_after_a_join_carries_the_name(house: OpenHouse) -> None:
    bob, alice = await house.enter("bob"), await house.connect(auth={"dialect": "full"})
    arrived = await emitted(
        alice, [("join", {"name": "alice"}), ("message", draft("hello")), ("leave", {"room": "lobby"})]
    )
    assert [(number, ack[0]) for number, ack in arrived] == [(0, True), (1, True), (2, True)]
    assert (await bob.hears())["name"] == "alice"


async def test_a_tutorial_message_sent_right_after_a_join_carries_the_name(house: OpenHouse) -> None:
    eve, bob = await house.connect(), await house.connect()
    arrived = await emitted(
        bob, [("join", "bob"), ("message", "one"), ("join", "robert"), ("message", "two"), ("message", "")]
    )
    assert [ack[0] for _, ack in arrived] == [True, True, True, True, False]
    assert [number for number, _ in arrived] == [0, 1, 2, 3, 4]
    assert [await eve.hears() for _ in range(2)] == [
        {"sender": "bob", "content": "one"},
        {"sender": "robert", "content": "two"},
    ]


async def test_a_message_after_leaving_is_refused_though_both_were_sent_at_once(house: OpenHouse) -> None:
    alice, bob = await house.enter("alice"), await house.enter("bob")
    arrived = await emitted(
        alice, [("message", draft(1)), ("leave", {"room": "lobby"}), ("message", draft(2)), ("join", {})]
    )
    assert [ack[0] for _, ack in arrived] == [True, True, False, True]
    assert (await bob.hears())["content"] == "1"
    await bob.hears_nothing()


async def test_answers_of_all_kinds_keep_the_order_of_the_calls(house: OpenHouse) -> None:
    alice = await house.enter("alice")
    kinds: list[tuple[Any, ...]] = []
    for number in range(20):
        kinds += [
            ("message", draft(number)),
            ("typing", {"room": "lobby"}),
            ("history", {"room": "lobby", "limit": 1}),
            ("no such event", {}),
            ("join", {"room": "garden", "cursor": 0}),
            ("message", draft(f"garden {number}", "garden")),
            ("leave", {"room": "garden"}),
            ("message", {}),
        ]
    arrived = await emitted(alice, kinds)
    assert [number for number, _ in arrived] == list(range(len(kinds)))
    expected = [True, True, True, False, True, True, True, False] * 20
    assert [ack[0] for _, ack in arrived] == expected


async def test_a_history_asked_for_right_after_a_message_holds_it(house: OpenHouse) -> None:
    """One connection's events take effect in order: what was said before is there to be read."""
    alice = await house.enter("alice")
    for number in range(10):
        (_, said), (_, read) = await emitted(
            alice, [("message", draft(number)), ("history", {"room": "lobby", "limit": 1})]
        )
        assert said[1]["seq"] == number + 1
        assert [row["seq"] for row in read[1]["messages"]] == [number + 1]


async def test_a_join_sent_right_after_a_message_counts_it(house: OpenHouse) -> None:
    alice = await house.enter("alice")
    for number in range(10):
        (_, said), (_, joined) = await emitted(alice, [("message", draft(number)), ("join", {"cursor": number})])
        assert joined[1]["cursor"] == said[1]["changed"] == number + 1


async def test_one_connection_is_not_held_up_by_another(house: OpenHouse) -> None:
    alice, bob = await house.enter("alice"), await house.enter("bob")
    async with writer_held(house):
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        await alice.emit("message", draft(1), answer=answer)
        assert (await bob.call("typing", {"room": "lobby"}))[0]
        assert (await bob.call("history", {"room": "lobby"}))[0]
        assert not answer.done()
    assert (await answer)[0]


async def test_two_senders_see_no_hole_and_their_own_acks_in_order(house: OpenHouse) -> None:
    """Acks of a batch are written before its events, so a client that counts both never sees a hole."""
    said = 150
    full, url = {"dialect": "full"}, house.server.url
    async with raw_connection(url, full) as alice, raw_connection(url, full) as bob:
        await alice.call("join", {"name": "alice"}, ack=0)
        await bob.call("join", {"name": "bob"}, ack=0)
        for number in range(1, said + 1):
            await alice.emit("message", draft(number), ack=number)
            await bob.emit("message", draft(number), ack=number)
        streams = [await numbers_on(raw, 2 * said, range(1, said + 1)) for raw in (alice, bob)]
    for stream in streams:
        assert sorted(number for _, number in stream) == list(range(1, 2 * said + 1))
        assert holes(stream) == []
        for kind in ("ack", "event"):
            numbers = [number for which, number in stream if which == kind]
            assert numbers == sorted(numbers)


@pytest.mark.parametrize("between", ["history", "typing", "leave", "no such event"])
async def test_acks_of_a_batch_come_before_its_events_whatever_was_asked_in_between(
    house: OpenHouse, between: str
) -> None:
    async with raw_connection(house.server.url, {"dialect": "full"}) as alice:
        await alice.call("join", {"name": "alice"}, ack=0)
        bob, eve = await house.enter("bob"), await house.enter("eve")
        async with writer_held(house):
            await alice.emit("message", draft(1), ack=1)
            await alice.emit(between, {"room": "garden" if between == "leave" else "lobby"}, ack=2)
            await alice.emit("message", draft(2), ack=3)
            await until(lambda: house.server.house.chat.running == 3)
            for _ in range(3):  # whatever may be read or begun by now, has been
                await eve.call("history", {"room": "lobby"})
            await bob.emit("message", draft(3))
            await until(lambda: house.server.house.chat.running == 4)
        assert holes(await numbers_on(alice, 3, (1, 3))) == []


async def test_everybody_hears_one_order_however_many_speak(house: OpenHouse) -> None:
    speakers = [await house.enter(f"speaker {number}") for number in range(6)]
    listeners = [await house.enter(f"listener {number}") for number in range(3)]
    await asyncio.gather(
        *(
            speaker.says("lobby", f"{who} {number}", f"{number}")
            for number in range(30)
            for who, speaker in enumerate(speakers)
        )
    )
    heard = []
    for listener in listeners:
        await listener.fence()
        heard.append(listener.heard())
    assert [event["seq"] for event in heard[0]] == list(range(1, 181))
    assert heard[1] == heard[2] == heard[0]
    for who in range(6):
        own = [event["content"] for event in heard[0] if event["content"].startswith(f"{who} ")]
        assert own == [f"{who} {number}" for number in range(30)]
