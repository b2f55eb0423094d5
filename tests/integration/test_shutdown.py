"""Stopping well: answered, said goodbye, closed; and nothing that was acknowledged is ever lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.helpers.clients import CHAT, PATIENCE_SECONDS
from tests.helpers.house import open_house, visiting
from tests.helpers.raw import RawConnection, raw_connection
from tests.helpers.servers import Process
from tests.helpers.sockets import CLOSE, RawSocket, frame

if TYPE_CHECKING:
    from pathlib import Path


def draft(number: int) -> dict[str, str]:
    return {"room": "lobby", "client_id": str(number), "content": str(number)}


async def test_everything_in_flight_is_answered_and_stored_before_the_goodbye(tmp_path: Path) -> None:
    frames: list[str] = []
    async with open_house(tmp_path / "data") as house, raw_connection(house.server.url, {"dialect": "full"}) as alice:
        await alice.call("join", {"name": "alice"}, ack=0)
        for number in range(1, 101):
            await alice.emit("message", draft(number), ack=number)
        while (frame := await alice.frame()) != f"43{CHAT},1" and not frame.startswith(f"43{CHAT},1["):
            pass
        leaving = asyncio.create_task(house.server.house.farewell())
        frames.append(frame)
        with pytest.raises(ConnectionResetError):
            while True:
                frames.append(await alice.frame())
        await leaving
    answers = [json.loads(frame[frame.index("[") :]) for frame in frames if frame.startswith(f"43{CHAT},")]
    accepted = [answer[1]["client_id"] for answer in answers if answer[0]]
    refused = [answer[1]["code"] for answer in answers if not answer[0]]
    assert accepted == [str(number) for number in range(1, len(accepted) + 1)]
    assert set(refused) <= {"unavailable"}
    goodbyes = [frame for frame in frames if frame.startswith(f'42{CHAT},["goodbye"')]
    assert len(goodbyes) == 1
    assert not [frame for frame in frames[frames.index(goodbyes[0]) :] if frame.startswith("43")]
    async with open_house(tmp_path / "data") as house:
        stored = (await (await house.enter("bob")).joins(cursor=0))["messages"]
        assert [row["client_id"] for row in stored][: len(accepted)] == accepted


async def test_the_goodbye_says_why_and_that_one_may_come_back(tmp_path: Path) -> None:
    async with open_house(tmp_path / "data") as house:
        clients = [await house.enter("alice"), await house.connect(), await house.connect(transports=("polling",))]
        await house.server.house.farewell()
        for client in clients:
            goodbye = await client.hears("goodbye")
            assert set(goodbye) == {"code", "message", "reconnect"}
            assert (goodbye["code"], goodbye["reconnect"]) == ("unavailable", True)
            assert goodbye["message"].endswith(".")
            await asyncio.wait_for(client.gone.wait(), 5)


async def test_an_ordinary_client_comes_back_by_itself(tmp_path: Path) -> None:
    """The connection is closed below the namespace: after a namespace DISCONNECT, clients would stay away."""
    async with open_house(tmp_path / "data") as house, raw_connection(house.server.url) as bob:
        await house.server.house.farewell()
        frames = []
        with pytest.raises(ConnectionResetError):
            while True:
                frames.append(await bob.frame())
        assert not [frame for frame in frames if frame.startswith("41")]


async def test_farewell_is_harmless_twice(tmp_path: Path) -> None:
    async with open_house(tmp_path / "data") as house:
        alice = await house.enter("alice")
        await asyncio.gather(house.server.house.farewell(), house.server.house.farewell())
        await alice.hears("goodbye")
        assert alice.heard("goodbye") == []


async def post_until_the_end(raw: RawConnection, name: str, acknowledged: list[str]) -> list[str]:
    """Post one by one, noting what was acknowledged; returns every frame until the server closed."""
    frames: list[str] = []
    number, saying = 0, True
    with contextlib.suppress(ConnectionResetError):
        while True:
            if saying:
                number += 1
                said = f"{name} {number}"
                with contextlib.suppress(aiohttp.ClientConnectionResetError):  # it closes; what it sent can be read
                    await raw.emit("message", {"room": "lobby", "client_id": said, "content": said}, ack=number)
            frames.append(await raw.frame())
            saying = frames[-1].startswith(f"43{CHAT},{number}[")
            if saying and frames[-1].startswith(f"43{CHAT},{number}[true"):
                acknowledged.append(said)
    return frames


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_what_was_acknowledged_is_there_after_the_end(tmp_path: Path, signum: signal.Signals) -> None:
    process = await Process(tmp_path / "data", environ={"CHATZILLA_MESSAGE_RATE": "0"}).start()
    acknowledged: list[str] = []
    try:
        async with AsyncExitStack() as stack:
            posting = []
            for who in range(4):
                raw = await stack.enter_async_context(raw_connection(process.url, {"dialect": "full"}))
                _, answer = await raw.call("join", {"name": f"poster {who}"}, ack=0)
                posting.append(asyncio.create_task(post_until_the_end(raw, f"poster {who}", acknowledged)))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(acknowledged) < 40:
                    await asyncio.sleep(0.01)
            began = time.monotonic()
            status = await process.stop(signum)
            took = time.monotonic() - began
            streams = await asyncio.gather(*posting)
        if signum is not signal.SIGKILL:
            assert status == 0, process.log.read_text()
            assert took < 5
            for frames in streams:
                assert sum(frame.startswith(f'42{CHAT},["goodbye"') for frame in frames) == 1
        await process.start()
        async with visiting(process.url) as house:
            reader = await house.connect(auth={"dialect": "full"})
            rows: list[dict[str, Any]] = []
            cursor, more = 0, True
            while more:
                page = await reader.joins(name="reader", cursor=cursor, epoch=answer["epoch"])
                assert "reset" not in page
                rows += page["messages"]
                cursor, more = page["cursor"], page["more"]
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        stored = [row["content"] for row in rows]
        assert set(acknowledged) <= set(stored)
        assert len(set(stored)) == len(stored)
    finally:
        await process.stop()


async def test_a_hundred_are_answered_and_let_go_in_good_order(tmp_path: Path) -> None:
    """On both transports, each with words on their way that the disk keeps waiting."""
    half = 50
    async with (
        open_house(tmp_path / "data") as house,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        asyncio.timeout(3 * PATIENCE_SECONDS),
    ):
        port = int(house.server.url.rpartition(":")[2])
        address = f"{house.server.url}/socket.io/?EIO=4&transport=polling"
        sockets = [await RawSocket.open(port, "/socket.io/?EIO=4&transport=websocket") for _ in range(half)]
        for number, each in enumerate(sockets):
            await each.send(frame(f"40{CHAT},") + frame(f'42{CHAT},1["join","socket {number}"]'))
        while len(house.server.house.delivery._connections) < half:
            await asyncio.sleep(0)
        polls = []
        for number in range(half):
            async with http.get(address) as opened:
                sid = (await opened.text()).partition('"sid":"')[2].partition('"')[0]
            body = f'40{CHAT},\x1e42{CHAT},1["join","poll {number}"]'
            async with http.post(f"{address}&sid={sid}", data=body) as entered:
                assert entered.status == 200
            polls.append(sid)
        with closing(sqlite3.connect(house.server.house.database.path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            for each in sockets:
                await each.send(frame(f'42{CHAT},2["message","last words"]'))
            for sid in polls:
                async with http.post(f"{address}&sid={sid}", data=f'42{CHAT},2["message","last words"]') as posted:
                    assert posted.status == 200
            while house.server.house.chat.running < 2 * half:
                await asyncio.sleep(0)
            listening = [asyncio.create_task(all_of_a_poll(http, f"{address}&sid={sid}")) for sid in polls]
            listening += [asyncio.create_task(all_of_a_socket(each)) for each in sockets]
            going = asyncio.create_task(house.server.house.farewell())
            while not house.server.house.chat.closing:
                await asyncio.sleep(0)
            await sockets[0].send(frame(f'42{CHAT},3["message","too late"]'))
            while house.server.house.chat.running == 2 * half:
                await asyncio.sleep(0)
            stranger.execute("ROLLBACK")
        began = time.monotonic()
        heard = await asyncio.gather(*listening)
        await going
        assert time.monotonic() - began < 5
        assert all(f'43{CHAT},2[true,"last words"]' in each and '["goodbye",' in each for each in heard)
        assert all(each.endswith("closed 1000") for each in heard[half:])
        assert f'43{CHAT},3[false,"The server is restarting.' in heard[half], "nothing begins any more"
        async with http.get(address) as opened:
            assert (opened.status, opened.headers["Retry-After"]) == (503, "5")


async def all_of_a_poll(http: aiohttp.ClientSession, address: str) -> str:
    """Poll until there is no such session any more."""
    heard = ""
    while True:
        async with http.get(address) as polled:
            if polled.status != 200:
                return heard
            heard += await polled.text()


async def all_of_a_socket(socket: RawSocket) -> str:
    """Read until the other side closes, and close as well."""
    heard = ""
    with contextlib.suppress(ConnectionResetError):
        while True:
            opcode, payload = await socket.frame()
            if opcode == CLOSE:
                await socket.send(frame(payload, CLOSE))
                await socket.is_over()
                return f"{heard}closed {int.from_bytes(payload[:2], 'big')}"
            heard += payload.decode()
    return heard


async def test_an_idle_server_stops_at_once(tmp_path: Path) -> None:
    process = await Process(tmp_path / "data").start()
    async with visiting(process.url) as house:
        clients = [await house.enter("alice"), await house.connect(transports=("polling",))]
        began = time.monotonic()
        assert await process.stop() == 0
        assert time.monotonic() - began < 3
        for client in clients:
            await asyncio.wait_for(client.gone.wait(), 5)
