"""The network in small does to one packet what it was told, and nothing to the others."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from tests.helpers.sockets import RawSocket, frame, handshake
from tests.torture.proxy import Proxy, Rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SWITCHING: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
EVENT: Final = re.compile("42event")
ARRIVED_SECONDS: Final = 0.2


class Peer:
    """A server that shakes hands with one client, remembers what it reads, and writes what it is told."""

    def __init__(self) -> None:
        self.read = asyncio.Queue[bytes]()
        self.met = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHING)
        self.met.set()
        try:
            while chunk := await reader.read(65_536):
                self.read.put_nowait(chunk)
        except OSError:
            pass
        self.read.put_nowait(b"")
        writer.close()


@asynccontextmanager
async def network() -> AsyncIterator[tuple[Peer, Proxy, RawSocket]]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    proxy = await Proxy(lambda: int(server.sockets[0].getsockname()[1])).start()
    client = await RawSocket.connect(proxy.port)
    try:
        await client.send(handshake("/"))
        assert (await client.answer())[0] == 101
        await peer.met.wait()
        yield peer, proxy, client
    finally:
        await client.hang_up()
        await proxy.stop()
        server.close()


async def test_one_event_is_dropped_and_later_ones_pass() -> None:
    async with network() as (peer, proxy, client):
        proxy.down.rules.append(Rule(EVENT, "drop"))
        for packet in ("42other", "42event 1", "42event 2"):
            peer.writer.write(frame(packet, mask=None))
        assert [await client.text(), await client.text()] == ["42other", "42event 2"]
        assert proxy.happened == 1


async def test_a_request_comes_twice() -> None:
    async with network() as (peer, proxy, client):
        proxy.up.rules.append(Rule(EVENT, "twice"))
        await client.say("42event")
        heard = b""
        while len(heard) < 2 * len(frame("42event")):
            heard += await peer.read.get()
        assert heard == frame("42event") * 2


@pytest.mark.parametrize("part", [0.0, 0.5])
async def test_a_connection_is_cut_before_or_inside_a_packet(part: float) -> None:
    async with network() as (peer, proxy, client):
        proxy.down.rules.append(Rule(EVENT, "cut", part))
        whole = frame("42event", mask=None)
        peer.writer.write(whole + whole)
        assert await client.reader.read() == whole[: int(part * len(whole))]
        assert await peer.read.get() == b""


async def test_a_hole_keeps_what_comes_and_the_end_too() -> None:
    async with network() as (peer, proxy, client):
        proxy.up.shut()
        await client.say("42event")
        await client.hang_up()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.read.get(), ARRIVED_SECONDS)
        proxy.up.reopen()
        assert [await peer.read.get(), await peer.read.get()] == [frame("42event"), b""]
