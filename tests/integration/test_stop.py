"""SIGTERM with a hundred clients in the middle of a conversation: answered, stored, said goodbye, closed in time."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.helpers.clients import CHAT, PATIENCE_SECONDS
from tests.helpers.house import visiting
from tests.helpers.official import official
from tests.helpers.servers import Process
from tests.helpers.sockets import CLOSE, RawSocket, hang_up_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

EACH = 50
"""Clients of either transport."""

SAID = 40
"""Messages that each has on their way: more answers than one poll takes."""


class Talker:
    """A client that says its messages, and notes all that it is told until the end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.room = name.replace(" ", "-")  # each its own, so that there is not more to tell than the answers
        self.packets: list[str] = []
        self.end: object = None

    def opening(self) -> list[str]:
        auth = json.dumps({"dialect": "full"})
        join = json.dumps(["join", {"name": self.name, "room": self.room}])
        return [f"40{CHAT},{auth}", f"42{CHAT},0{join}"]

    def messages(self) -> list[str]:
        drafts = [
            {"room": self.room, "client_id": f"{self.name} {number}", "content": f"{self.name} {number}"}
            for number in range(1, SAID + 1)
        ]
        return [f"42{CHAT},{number}{json.dumps(['message', draft])}" for number, draft in enumerate(drafts, 1)]

    def answers(self) -> dict[int, Any]:
        """What each call was answered; each once."""
        found: dict[int, Any] = {}
        for packet in self.packets:
            if packet.startswith(head := f"43{CHAT},"):
                number, bracket, rest = packet.removeprefix(head).partition("[")
                assert int(number) not in found
                found[int(number)] = json.loads(bracket + rest)
        return found

    def accepted(self) -> list[str]:
        return [answer[1]["client_id"] for number, answer in self.answers().items() if number and answer[0]]


class SocketTalker(Talker):
    """On a WebSocket."""

    async def enter(self, port: int) -> None:
        self.raw = await RawSocket.open(port, "/socket.io/?EIO=4&transport=websocket")
        for packet in self.opening():
            await self.raw.say(packet)
        while f"43{CHAT},0[true" not in (packet := await self.raw.text()):
            assert not packet.startswith("44"), packet

    async def say(self) -> None:
        for packet in self.messages():
            await self.raw.say(packet)

    async def listen(self) -> None:
        while True:
            opcode, payload = await self.raw.frame()
            if opcode == CLOSE:
                self.end = int.from_bytes(payload[:2], "big")
                await self.raw.say(payload, CLOSE)
                await self.raw.is_over()
                return
            self.packets.append(payload.decode())


class PollingTalker(Talker):
    """On long-polling."""

    async def enter(self, url: str, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.address = f"{url}/socket.io/?EIO=4&transport=polling"
        self.address += "&sid=" + json.loads((await self.poll())[0][1:])["sid"]
        await self.post(self.opening())
        while not any(f"43{CHAT},0[true" in packet for packet in await self.poll()):
            pass

    async def poll(self) -> list[str]:
        async with self.http.get(self.address) as got:
            text = await got.text()
            assert got.status == 200, text
            return text.split("\x1e")

    async def post(self, packets: list[str]) -> None:
        async with self.http.post(self.address, data="\x1e".join(packets)) as got:
            assert got.status == 200, await got.text()

    async def say(self) -> None:
        await self.post(self.messages())

    async def listen(self) -> None:
        while not self.end:
            packets = await self.poll()
            self.packets += packets
            self.end = any('["goodbye"' in packet for packet in packets)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    environ = {"CHATZILLA_MESSAGE_RATE": "0", "CHATZILLA_CALL_RATE": "0"}
    started = await Process(tmp_path / "data", environ=environ).start()
    yield started
    await hang_up_all()
    await started.stop(signal.SIGKILL)


@pytest.mark.parametrize("hold_seconds", [0.0, 1.0], ids=["quick store", "slow store"])
async def test_a_hundred_clients_in_flight_are_answered_and_closed(process: Process, hold_seconds: float) -> None:
    [path] = process.data.glob("*.db")
    sockets = [SocketTalker(f"socket {number}") for number in range(EACH)]
    pollers = [PollingTalker(f"poller {number}") for number in range(EACH)]
    talkers: list[SocketTalker | PollingTalker] = [*sockets, *pollers]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        await asyncio.gather(*(each.enter(process.port) for each in sockets))
        await asyncio.gather(*(each.enter(process.url, http) for each in pollers))
        lock = sqlite3.connect(path, isolation_level=None)
        if hold_seconds:
            lock.execute("BEGIN IMMEDIATE")
        await asyncio.gather(*(each.say() for each in talkers))
        listening = [asyncio.create_task(each.listen()) for each in talkers]
        began = time.monotonic()
        stopping = asyncio.create_task(process.stop())
        if hold_seconds:
            asyncio.get_running_loop().call_later(hold_seconds, lock.execute, "COMMIT")
        status = await stopping
        took = time.monotonic() - began
        ends = await asyncio.gather(*listening, return_exceptions=True)
        lock.close()
    assert status == 0, process.log.read_text()[-2_000:]
    assert took <= 5
    broken = [f"{talker.name}: {end!r}" for talker, end in zip(talkers, ends, strict=True) if end is not None]
    assert not broken, f"{len(broken)} were not closed well: {broken[:5]}"
    assert {each.end for each in sockets} == {1000}
    for each in talkers:
        goodbyes = [packet for packet in each.packets if packet.startswith(f'42{CHAT},["goodbye"')]
        assert len(goodbyes) == 1, each.name
        assert sorted(set(each.answers()) - {0}) == list(range(1, SAID + 1)), f"{each.name} was not answered"
        behind = each.packets[each.packets.index(goodbyes[0]) + 1 :]
        assert behind == [], "nothing follows a goodbye"
        refused = [answer[1]["code"] for number, answer in each.answers().items() if number and not answer[0]]
        assert set(refused) <= {"unavailable"}
    accepted = [said for each in talkers for said in each.accepted()]
    assert len(accepted) == 2 * EACH * SAID, "everything was taken before the end began"
    await process.start()
    async with visiting(process.url) as house:
        reader = await house.connect(auth={"dialect": "full"})
        rows: list[Any] = []
        for each in talkers:
            page = await reader.joins(each.room, name="reader", cursor=0)
            assert not page["more"]
            rows += page["messages"]
            await reader.call("leave", {"room": each.room})
    stored = [row["client_id"] for row in rows]
    assert len(set(stored)) == len(stored)
    assert set(accepted) <= set(stored)
    assert await process.stop() == 0


async def test_a_client_between_two_polls_hears_the_goodbye_too(process: Process) -> None:
    """The server waits a moment for its next poll, as it does for a WebSocket's last frame."""
    async with aiohttp.ClientSession() as http:
        talker = PollingTalker("between")
        await talker.enter(process.url, http)
        stopping = asyncio.create_task(process.stop())
        async with asyncio.timeout(3):
            while "dismissed: unavailable" not in process.log.read_text():
                await asyncio.sleep(0.01)
        await talker.listen()
        assert any("goodbye" in packet for packet in talker.packets)
        assert await stopping == 0


async def test_whoever_has_entered_nothing_is_closed_in_good_order_too(process: Process) -> None:
    """On a WebSocket, in a poll, and between the two: nobody has to be cut off, and nobody has to be waited for."""
    alone = await RawSocket.open(process.port, "/socket.io/?EIO=4&transport=websocket")
    assert (await alone.text()).startswith("0{")
    async with aiohttp.ClientSession() as http:
        address = f"{process.url}/socket.io/?EIO=4&transport=polling"
        polls = []
        for _ in range(2):
            async with http.get(address) as got:
                sid = json.loads((await got.text())[1:])["sid"]
            polls.append(asyncio.create_task(_poll(http, f"{address}&sid={sid}")))
        moving = await RawSocket.open(process.port, f"/socket.io/?EIO=4&transport=websocket&sid={sid}")
        await moving.say("2probe")
        assert await moving.text() == "3probe"
        assert await polls.pop() == "6"
        assert await process.stop() == 0
        assert await asyncio.gather(*polls) == ["6"]
    assert await alone.closed_with() == 1000
    assert await moving.closed_with() == 1000


async def _poll(http: aiohttp.ClientSession, address: str) -> str:
    async with http.get(address) as got:
        return await got.text()


PYTHON_CLIENT = """
import asyncio, sys, socketio

async def main(url, *transports):
    client = socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=0.3)
    client.on("connect", lambda: print("connect", flush=True), namespace="/chat")
    await client.connect(url, namespaces=["/chat"], transports=transports)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="+".join)
async def test_clients_of_both_libraries_come_back_by_themselves(process: Process, transports: list[str]) -> None:
    """After a stop and a start: also the Python client, which would take a packet CLOSE for the end."""
    command = sys.executable, "-c", PYTHON_CLIENT, process.url, *transports
    python = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert python.stdout is not None
    try:
        async with official(process.url, transports=transports) as script:
            assert await asyncio.wait_for(python.stdout.readline(), PATIENCE_SECONDS) == b"connect\n"
            await script.tells("connect")
            if len(transports) > 1:
                await script.tells("upgrade")
            assert await process.stop() == 0
            await process.start()
            assert await asyncio.wait_for(python.stdout.readline(), PATIENCE_SECONDS) == b"connect\n"
            await script.tells("connect")
    finally:
        python.kill()
        await python.wait()
