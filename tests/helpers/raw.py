"""A WebSocket on which a test writes and reads every frame itself, for what no ordinary client would do."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.helpers.clients import CHAT, PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class RawConnection:
    """One WebSocket that has joined `/chat`, frame by frame."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket
        connection = websocket._response.connection
        assert connection is not None
        assert isinstance(connection.transport, asyncio.Transport)
        self._transport = connection.transport
        self._reading = True

    async def send(self, frame: str) -> None:
        await self.websocket.send_str(frame)

    async def emit(self, event: object, *arguments: object, ack: int | None = None) -> None:
        await self.send(f"42{CHAT},{'' if ack is None else ack}{json.dumps([event, *arguments])}")

    async def frame(self) -> str:
        """The next frame; pings are answered and passed over."""
        while True:
            message = await asyncio.wait_for(self.websocket.receive(), PATIENCE_SECONDS)
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise ConnectionResetError(f"the server closed: {message.type.name} {message.data}")
            if message.data != "2":
                return str(message.data)
            await self.websocket.send_str("3")

    async def answer(self, ack: int) -> Any:
        """The values of this ack; what comes before it is passed over."""
        while True:
            frame = await self.frame()
            if frame.startswith(head := f"43{CHAT},{ack}["):
                return json.loads(frame[len(head) - 1 :])

    async def call(self, event: object, *arguments: object, ack: int) -> Any:
        await self.emit(event, *arguments, ack=ack)
        return await self.answer(ack)

    @property
    def address(self) -> tuple[str, int]:
        """Our end of the socket, as the server sees it."""
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    def stop_reading(self) -> None:
        """Leave everything that the server sends from now on in the network."""
        self._transport.pause_reading()
        self._reading = False

    def read_on(self) -> None:
        self._transport.resume_reading()
        self._reading = True

    def drop(self) -> None:
        """Close the socket at once, without a word."""
        self._transport.abort()

    async def leave(self) -> None:
        """Close: politely, unless nobody would read the answer."""
        if self._reading:
            await self.websocket.close()
        else:
            self.drop()


@asynccontextmanager
async def opened_websocket(address: str, *, narrow: bool = False) -> AsyncIterator[RawConnection]:
    """Open a WebSocket; `narrow` gives it the smallest receive buffer there is."""

    def small_socket(info: Any) -> socket.socket:
        sock = socket.socket(info[0], info[1], info[2])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return sock

    connector = aiohttp.TCPConnector(socket_factory=small_socket if narrow else None)
    async with aiohttp.ClientSession(connector=connector) as session:
        raw = RawConnection(await session.ws_connect(address, autoclose=False, autoping=False))
        try:
            yield raw
        finally:
            await raw.leave()
            # One that was dropped is still held by its answer, and whoever collects them together finds it unclosed.
            raw.websocket._response.close()


@asynccontextmanager
async def raw_connection(url: str, auth: object = None, *, narrow: bool = False) -> AsyncIterator[RawConnection]:
    """Open a WebSocket and enter `/chat`."""
    async with opened_websocket(f"{url}/socket.io/?EIO=4&transport=websocket", narrow=narrow) as raw:
        assert (await raw.frame()).startswith("0{")
        await raw.send(f"40{CHAT}," + ("" if auth is None else json.dumps(auth)))
        welcome = await raw.frame()
        assert welcome.startswith(f"40{CHAT},"), welcome
        yield raw
