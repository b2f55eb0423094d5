"""Whoever does not read is let go with a goodbye, and nobody else notices."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from chatzilla.realtime import websocket
from chatzilla.realtime.engine import Limits
from tests.helpers.callers import BOTH, Party
from tests.helpers.clients import CHAT, PATIENCE_SECONDS
from tests.helpers.clock import ManualClock
from tests.helpers.engines import SEPARATOR
from tests.helpers.house import OpenHouse, open_house
from tests.helpers.raw import RawConnection, opened_websocket, raw_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from chatzilla.realtime.channel import Channel
    from chatzilla.realtime.connection import Connection
    from tests.helpers.clients import Client

TEXT = "x" * 9_900


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenHouse]:
    monkeypatch.setattr(websocket, "CLOSING_SECONDS", 0.2)
    async with open_house(tmp_path / "data", synchronous="normal") as opened:
        yield opened


@pytest.fixture
async def still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenHouse]:
    """One in which nothing is told of its own accord, which would let go whoever is behind."""
    monkeypatch.setattr(websocket, "CLOSING_SECONDS", 0.2)
    async with open_house(tmp_path / "data", clock=ManualClock(), synchronous="normal") as opened:
        yield opened


async def flood_until_gone(house: OpenHouse, talker: Client, present: int) -> int:
    """Talk until the server has let somebody go; returns how much it took."""
    for round_ in range(500):
        await house.fill([TEXT] * 20, author="talker")
        await talker.fence()
        if house.server.house.delivery.listeners("lobby") < present:  # type: ignore[arg-type]  # a room's id
            return (round_ + 1) * 20
    raise AssertionError("the slow reader was never let go")


async def no_longer_served(house: OpenHouse, slow: RawConnection) -> None:
    """Wait until the server has given up the socket of this client."""
    sockets = house.server.house.server.eio._transports

    def served() -> bool:
        return any(each.transport.get_extra_info("peername") == slow.address for each in sockets)

    async with asyncio.timeout(3):
        while served():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def slow_reader(house: OpenHouse) -> AsyncIterator[RawConnection]:
    async with raw_connection(house.server.url, {"dialect": "full"}, narrow=True) as slow:
        await slow.call("join", {"name": "slow"}, ack=1)
        slow.stop_reading()
        yield slow


async def test_a_slow_reader_is_let_go_and_the_others_hear_everything(house: OpenHouse) -> None:
    bob = await house.enter("bob")
    async with slow_reader(house):
        said = await flood_until_gone(house, bob, present=2)
        assert [(await bob.hears())["seq"] for _ in range(said)] == list(range(1, said + 1))
        assert (await bob.says("lobby", "still here"))["seq"] == said + 1


async def test_its_session_and_presence_vanish_with_it(house: OpenHouse) -> None:
    bob = await house.enter("bob")
    async with slow_reader(house):
        await flood_until_gone(house, bob, present=2)
        here = (await bob.joins())["here"]
        assert (here["count"], [person["name"] for person in here["people"]]) == (1, ["bob"])
        gone: set[str] = set()
        while "slow" not in gone:
            gone |= {person["name"] for person in (await bob.hears("presence"))["went"]}
        assert len(house.server.house.delivery._connections) == 1


async def test_its_socket_is_closed_too(house: OpenHouse) -> None:
    """The server does not wait for ever for a client that reads nothing: neither socket nor queue stay behind."""
    bob = await house.enter("bob")
    async with slow_reader(house) as slow:
        await flood_until_gone(house, bob, present=2)
        await no_longer_served(house, slow)


async def test_one_that_never_polls_is_let_go_too(house: OpenHouse) -> None:
    bob = await house.enter("bob")
    async with aiohttp.ClientSession() as session:
        address = f"{house.server.url}/socket.io/?EIO=4&transport=polling"
        async with session.get(address) as opened:
            sid = (await opened.text()).partition('"sid":"')[2].partition('"')[0]
        async with session.post(f"{address}&sid={sid}", data=f"40{CHAT},") as entered:
            assert entered.status == 200
        await bob.fence()
        said = await flood_until_gone(house, bob, present=2)
        assert said <= 200, "it waits for a poll in bounded memory"
    assert [(await bob.hears())["seq"] for _ in range(said)] == list(range(1, said + 1))


async def test_one_that_upgraded_and_then_reads_nothing_leaves_no_socket_behind(house: OpenHouse) -> None:
    """The socket to close is the WebSocket that it has now, not the one of its first request."""
    bob = await house.enter("bob")
    async with raw_upgraded(house.server.url) as slow:
        slow.stop_reading()
        await flood_until_gone(house, bob, present=2)
        await no_longer_served(house, slow)


async def test_one_that_reads_no_answers_gets_no_more_of_them_and_loses_none(still: OpenHouse) -> None:
    """What waits for it stays small however much it asks for; and when it reads, all of it comes, in order."""
    bob = await still.enter("bob", "parlour")
    await still.fill([TEXT] * 20, author="talker")
    async with slow_reader(still) as slow:
        connection = connection_of(still, "slow")
        for number in range(150):
            await slow.emit("history", {"room": "lobby"}, ack=number + 2)
        await falls_behind(connection.channel)
        for _ in range(20):
            await bob.fence()
        assert connection.line.waiting > 100, "what it asked for is not begun"
        assert waiting_for(still, slow) < 160 * 1024 + 20 * 11_000
        slow.read_on()
        answers = [await slow.answer(number + 2) for number in range(150)]
        assert {accepted for accepted, _ in answers} == {True}
        assert (await slow.call("message", {"room": "lobby", "client_id": "1", "content": "hi"}, ack=999))[0] is True


async def test_what_it_says_meanwhile_keeps_its_order(still: OpenHouse) -> None:
    """It is said when the answers before it have been read, and what was asked after it comes after it."""
    bob = await still.enter("bob")
    await still.fill([TEXT] * 20, room="archive", author="talker")
    async with slow_reader(still) as slow:
        await slow.emit("join", {"room": "archive"}, ack=0)
        for number in range(1, 31):
            await slow.emit("history", {"room": "archive"}, ack=3 * number)
            await slow.emit(
                "message", {"room": "lobby", "client_id": f"{number}", "content": f"{number}"}, ack=3 * number + 1
            )
            await slow.emit("no-such-event", ack=3 * number + 2)
        await falls_behind(connection_of(still, "slow").channel)
        slow.read_on()
        answered: list[int] = []
        while len(answered) < 90:
            frame = await slow.frame()
            if frame.startswith(f"43{CHAT},"):
                answered.append(int(frame[len(CHAT) + 3 :].partition("[")[0]))
        assert answered == [0, *range(3, 92)]
        assert [(await bob.hears())["content"] for _ in range(30)] == [f"{number}" for number in range(1, 31)]


async def test_one_that_asks_on_without_reading_is_let_go(tmp_path: Path) -> None:
    """It is not read any more, so it says no word and answers no ping."""
    settings: dict[str, Any] = {"clock": ManualClock(), "heartbeat": 0.4, "queue_kb": 16}
    async with open_house(tmp_path / "data", **settings) as house, slow_reader(house) as slow:
        sid = connection_of(house, "slow").channel.sid
        asking = asyncio.create_task(ask_on(slow))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sid in house.server.house.server.eio.sockets:
                assert waiting_for(house, slow) < 100 * 1024
                await asyncio.sleep(0.01)
        asking.cancel()
        bob = await house.enter("bob")
        assert (await bob.says("lobby", "still here"))["seq"] == 1


async def test_pings_are_not_answered_without_end(still: OpenHouse) -> None:
    """A ping of the WebSocket's own is answered at once; while that is not read, nothing else is heard either."""
    async with slow_reader(still) as slow:
        channel = connection_of(still, "slow").channel
        pinging = asyncio.create_task(ping_on(slow))
        await falls_behind(channel)
        pinging.cancel()
        assert channel.socket is not None
        assert not channel.socket.transport.is_reading()
        assert waiting_for(still, slow) < 160 * 1024 + websocket.READ_BUFFER
        slow.read_on()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while channel.behind:
                await slow.websocket.receive()
        assert channel.socket.transport.is_reading()


EMOJI = "\U0001f44d" * 10_000


def said(number: int, text: str) -> str:
    """A message of the full dialect, as a packet."""
    return f'42{CHAT},{number}["message",{{"room":"lobby","client_id":"{number}","content":"{text}"}}]'


async def test_one_that_posts_and_never_polls_is_let_go(tmp_path: Path) -> None:
    """Its answers wait for a poll. When there are too many, what it posts is not read, whatever it answers to pings."""
    settings: dict[str, Any] = {"clock": ManualClock(), "heartbeat": 0.5, "synchronous": "normal"}
    async with open_house(tmp_path / "data", **settings) as house, aiohttp.ClientSession() as session:
        engine = house.server.house.server.eio
        address = f"{house.server.url}/socket.io/?EIO=4&transport=polling"
        async with session.get(address) as opened:
            sid = (await opened.text()).partition('"sid":"')[2].partition('"')[0]
        channel = engine.sockets[sid]
        body = SEPARATOR.join([f'40{CHAT},{{"dialect":"full"}}', *[f"42{CHAT},{n}[5]" for n in range(900)]])
        began, held, statuses = time.monotonic(), 0, [200]
        while statuses[-1] == 200:
            async with session.post(f"{address}&sid={sid}", data=body) as posted:
                statuses.append(posted.status)
            body = SEPARATOR.join(["3", *(said(number, EMOJI) for number in range(20))])
            held = max(held, channel._queued + channel.asked)
        assert time.monotonic() - began < PATIENCE_SECONDS, "a heartbeat, and the time for its answer"
        assert held < 2 * 1_000_000 + 200 * 1024
        assert sid not in engine.sockets
        assert house.server.house.chat.running == 0, "what waited for its turn is over, too"
        bob = await house.enter("bob")
        assert (await bob.says("lobby", "still here"))["seq"] >= 1


@pytest.mark.parametrize("polling", [False, True])
async def test_what_waits_for_the_store_is_bounded_in_bytes_and_nothing_of_it_is_lost(
    still: OpenHouse, monkeypatch: pytest.MonkeyPatch, polling: bool
) -> None:
    """A burst larger than may wait is read as it is answered; neither refused nor cut."""
    gate, house = asyncio.Event(), still.server.house
    backlog = house.store.backlog

    async def slowly(*arguments: Any, **more: Any) -> Any:
        await gate.wait()
        return await backlog(*arguments, **more)

    transports = ("polling",) if polling else ("websocket",)
    client = await still.connect(auth={"dialect": "full"}, transports=transports)
    await client.joins(name="ann")
    [connection] = house.delivery._connections.values()
    monkeypatch.setattr(house.store, "backlog", slowly)
    loop = asyncio.get_running_loop()
    answers = [loop.create_future() for _ in range(200)]

    async def burst() -> None:
        await client.emit("join", {"room": "lobby"})
        for number, answer in enumerate(answers):
            draft = {"room": "lobby", "client_id": f"{number}", "content": EMOJI[:4_500]}
            await client.emit("message", draft, answer=answer)
            if number % 16 == 15:  # as many as fit into a body
                await client.sio.eio.queue.join()

    saying = asyncio.create_task(burst())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not connection.channel.full:
            await asyncio.sleep(0)
    for _ in range(200):  # as many turns as it would take to read on
        await asyncio.sleep(0.001)
    assert connection.channel.asked < 2 * 1_000_000
    assert not any(answer.done() for answer in answers)
    gate.set()
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        accepted = await asyncio.gather(*answers)
        await saying
    assert [values[1]["seq"] for values in accepted] == list(range(1, 201))
    await client.fence()
    assert (connection.channel.asked, connection.channel.full) == (0, False)


@pytest.mark.parametrize("event", ["join", "message", "rooms", "no-such-event", "history"])
async def test_of_what_cannot_be_read_nothing_is_kept(
    still: OpenHouse, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    """What waits for its turn is small, and does not lead back to all that was sent."""
    gate, store = asyncio.Event(), still.server.house.store
    backlog = store.backlog

    async def slowly(*arguments: Any, **more: Any) -> Any:
        await gate.wait()
        return await backlog(*arguments, **more)

    async with raw_connection(still.server.url, {"dialect": "full"}) as raw:
        await raw.call("join", {"name": "ann"}, ack=1)
        line = connection_of(still, "ann").line
        monkeypatch.setattr(store, "backlog", slowly)
        await raw.emit("join", {"room": "garden"})
        await raw.emit(event, {"name": 5, "room": [], "deep": [["needle 4711"]]}, ack=2)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while line.waiting < 2:
                await asyncio.sleep(0)
        kept = [each for each in gc.get_objects() if type(each) is list and each == ["needle 4711"]]
        assert kept == []
        gate.set()
        await raw.answer(2)


@asynccontextmanager
async def far_behind(still: OpenHouse) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A long-polling session that has asked for five pages, and reads none so far; its requests go to the address."""
    await still.fill([TEXT] * 20, author="talker")
    async with aiohttp.ClientSession() as session:
        address = f"{still.server.url}/socket.io/?EIO=4&transport="
        async with session.get(f"{address}polling") as opened:
            sid = (await opened.text()).partition('"sid":"')[2].partition('"')[0]
        channel = still.server.house.server.eio.sockets[sid]
        asked = [f'42{CHAT},{number}["history",{{"room":"lobby"}}]' for number in range(5)]
        body = SEPARATOR.join([f'40{CHAT},{{"dialect":"full"}}', f'42{CHAT},99["join",{{"name":"poll"}}]', *asked])
        async with session.post(f"{address}polling&sid={sid}", data=body) as posted:
            assert posted.status == 200
        await falls_behind(channel)
        yield session, f"{address}{{}}&sid={sid}"
        assert not channel.behind


FIVE_PAGES = ["99", "0", "1", "2", "3", "4"]


async def test_one_that_polls_again_is_answered_on(still: OpenHouse) -> None:
    async with far_behind(still) as (session, address), asyncio.timeout(PATIENCE_SECONDS):
        answered: list[str] = []
        while len(answered) < 6:
            async with session.get(address.format("polling")) as polled:
                packets = (await polled.text()).split(SEPARATOR)
            answered += [each[8:].partition("[")[0] for each in packets if each.startswith(f"43{CHAT},")]
        assert answered == FIVE_PAGES


async def test_one_that_moves_to_a_websocket_is_answered_on_there(still: OpenHouse) -> None:
    async with far_behind(still) as (_, address), opened_websocket(address.format("websocket")) as raw:
        await raw.send("2probe")
        assert await raw.frame() == "3probe"
        await raw.send("5")
        answered: list[str] = []
        while len(answered) < 6:
            packet = await raw.frame()
            if packet.startswith(f"43{CHAT},"):
                answered.append(packet[8:].partition("[")[0])
        assert answered == FIVE_PAGES


@pytest.mark.parametrize("asked", [1, Limits().signal_backlog + 1])
async def test_calls_wait_as_well_and_too_many_are_too_many(still: OpenHouse, asked: int) -> None:
    """Both doors of a connection write to the same client."""
    async with far_behind(still) as (session, address):
        account = connection_of(still, "poll").session.account
        assert account is not None
        token = still.server.house.sign_ins.token_of(account, None)
        peek = '42/calls,7["peek",{"room":"lobby"}]'
        body = SEPARATOR.join([f'40/calls,{{"token":"{token}"}}', *([peek] * asked)])
        posting = asyncio.create_task(session.post(address.format("polling"), data=body))
        channel = connection_of(still, "poll").channel
        async with asyncio.timeout(PATIENCE_SECONDS):
            while channel._may_say_more is None:
                await asyncio.sleep(0)
        assert not still.server.house.seats.all(), "what comes while it is behind is not read"
        heard, status = "", 200
        async with asyncio.timeout(PATIENCE_SECONDS):
            while status == 200 and "43/calls,7[true," not in heard:
                async with session.get(address.format("polling")) as polled:
                    status = polled.status
                    heard += await polled.text()
            assert (await posting).status == 200
        assert ('42/calls,["goodbye"' in heard) is (asked > Limits().signal_backlog)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while still.server.house.calls_door.running:
                await asyncio.sleep(0)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_one_that_reads_nothing_of_its_call_is_let_go_from_it(still: OpenHouse, transport: str) -> None:
    """What others signal to it waits in bounded memory, and nobody else in the call misses anything."""
    long = {**BOTH, "sdp": BOTH["sdp"] + "a=x-padding:longer\r\n" * 3_000}
    people = Party(still.server, still.stack)
    alice, bob = await people.enters("alice"), await people.enters("bob")
    await alice.hears_of("joined")
    enters = [f'40/calls,{{"token":"{await people.token("slow")}"}}', '42/calls,1["join",{"room":"lobby"}]']
    async with reads_nothing(still, transport, enters) as waiting:
        slow = await alice.hears_of("joined")
        for number in range(60):
            assert waiting() <= 160 * 1024 + len(long["sdp"]) + 2_000
            await alice.call("signal", {"to": slow["id"], "description": long})
            await alice.signals(bob, long)
            assert (await bob.hears("signal"))["from"] == alice.id, number
            if len(still.server.house.seats.all()) == 2:
                break
        assert (await alice.hears_of("reconnecting"))["id"] == slow["id"]
        await bob.hears_nothing("goodbye", "signal")


@asynccontextmanager
async def reads_nothing(house: OpenHouse, transport: str, packets: list[str]) -> AsyncIterator[Callable[[], int]]:
    """A client that sends these packets and reads nothing after them; yields how many bytes wait for it."""
    address = f"{house.server.url}/socket.io/?EIO=4&transport={transport}"
    if transport == "websocket":
        async with opened_websocket(address, narrow=True) as raw:
            for packet in packets:
                await raw.send(packet)
            raw.stop_reading()
            yield partial(waiting_for, house, raw)
            await no_longer_served(house, raw)
    else:
        async with aiohttp.ClientSession() as session:
            async with session.get(address) as opened:
                sid = (await opened.text()).partition('"sid":"')[2].partition('"')[0]
            async with session.post(f"{address}&sid={sid}", data=SEPARATOR.join(packets)) as posted:
                assert posted.status == 200
            channel = house.server.house.server.eio.sockets[sid]
            yield lambda: channel._queued
            assert sid not in house.server.house.server.eio.sockets
            async with session.get(f"{address}&sid={sid}") as polled:
                assert '42/calls,["goodbye",{"code":"too-fast"' in await polled.text()


def connection_of(house: OpenHouse, name: str) -> Connection:
    """The connection of whoever has joined by this name."""
    [found] = [
        each
        for each in house.server.house.delivery._connections.values()
        if each.session.account is not None and each.session.account.name == name
    ]
    return found


async def ask_on(slow: RawConnection) -> None:
    with suppress(ConnectionError):
        while True:
            await slow.emit("no-such-event", ack=1)
            await slow.send("3")


async def ping_on(slow: RawConnection) -> None:
    while True:
        await slow.websocket.ping(b"x" * 125)


def waiting_for(house: OpenHouse, slow: RawConnection) -> int:
    """Bytes that the server keeps for it."""
    sockets = house.server.house.server.eio._transports
    return sum(
        each.transport.get_write_buffer_size()
        for each in sockets
        if each.transport.get_extra_info("peername") == slow.address
    )


async def falls_behind(channel: Channel) -> None:
    """Wait until more waits for it than may."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not channel.behind:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def raw_upgraded(url: str) -> AsyncIterator[RawConnection]:
    """Enter `/chat` by long-polling and upgrade to a WebSocket, by hand and on different sockets."""
    address = f"{url}/socket.io/?EIO=4&transport="
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as polling:
        async with polling.get(address + "polling") as opened:
            sid = (await opened.text()).partition('"sid":"')[2].partition('"')[0]
        async with polling.post(f"{address}polling&sid={sid}", data=f"40{CHAT},") as entered:
            assert entered.status == 200
        async with polling.get(f"{address}polling&sid={sid}") as polled:
            assert f"40{CHAT}," in await polled.text()
    async with opened_websocket(f"{address}websocket&sid={sid}", narrow=True) as raw:
        await raw.send("2probe")
        assert await raw.frame() == "3probe"
        await raw.send("5")
        assert (await raw.call("join", "slow", ack=1)) == [True, "slow"]
        yield raw
