"""Whoever does not read is let go with a goodbye, and nobody else notices."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from chatzilla.realtime import websocket
from tests.helpers.clients import CHAT
from tests.helpers.house import OpenHouse, open_house
from tests.helpers.raw import RawConnection, opened_websocket, raw_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.helpers.clients import Client

TEXT = "x" * 9_900


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenHouse]:
    monkeypatch.setattr(websocket, "CLOSING_SECONDS", 0.2)
    async with open_house(tmp_path / "data", synchronous="normal") as opened:
        yield opened


async def flood_until_gone(house: OpenHouse, talker: Client, present: int) -> int:
    """Talk until the server has let somebody go; returns how much it took."""
    for round_ in range(100):
        await house.fill([TEXT] * 100, author="talker")
        await talker.fence()
        if house.server.house.delivery.listeners("lobby") < present:  # type: ignore[arg-type]  # a room's id
            return (round_ + 1) * 100
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
