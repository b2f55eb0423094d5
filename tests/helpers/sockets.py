"""WebSockets and HTTP byte by byte, for what no client library would send."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import struct
from contextlib import suppress
from typing import Final, Self

from tests.helpers.clients import PATIENCE_SECONDS

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

MASK: Final = b"\x37\xfa\x21\x3d"


def frame(
    payload: bytes | str = b"", opcode: int = TEXT, *, final: bool = True, reserved: int = 0, mask: bytes | None = MASK
) -> bytes:
    """One frame as a client writes it (RFC 6455, 5.2)."""
    data = payload.encode() if isinstance(payload, str) else payload
    first = (0x80 if final else 0) | reserved | opcode
    masked = 0x80 if mask is not None else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, masked | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, masked | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, masked | 127, len(data))
    if mask is None:
        return head + data
    key = mask * (len(data) // 4 + 1)
    body = int.from_bytes(data, "big") ^ int.from_bytes(key[: len(data)], "big") if data else 0
    return head + mask + body.to_bytes(len(data), "big")


def handshake(path: str, **changed: str | None) -> bytes:
    """A handshake; headers may be changed, or left out with None. Underscores stand for dashes."""
    headers = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    for name, value in changed.items():
        header = name.replace("_", "-")
        if value is None:
            del headers[header]
        else:
            headers[header] = value
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join((*lines, "", "")).encode()


class RawSocket:
    """One TCP connection on which a test writes bytes and reads HTTP answers and WebSocket frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        _OPEN.add(self)

    @classmethod
    async def connect(cls, port: int, trusts: ssl.SSLContext | None = None) -> Self:
        """Connect; by TLS, to whom a client `trusts`."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=4_000_000, ssl=trusts))

    @classmethod
    async def open(cls, port: int, path: str, **changed: str | None) -> Self:
        """Connect and shake hands."""
        return await (await cls.connect(port)).shakes_hands(path, **changed)

    async def shakes_hands(self, path: str, **changed: str | None) -> Self:
        self.writer.write(handshake(path, **changed))
        status, _, _ = await self.answer()
        assert status == 101, status
        return self

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One HTTP answer: status, headers in lower case, body."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def say(self, payload: str | bytes, opcode: int = TEXT) -> None:
        await self.send(frame(payload, opcode))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the server: opcode and payload. It is whole and not masked."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            first, second = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80, "in one piece, without extensions"
            assert not second & 0x80, "a server does not mask"
            size = second
            if second == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif second == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(size)

    async def text(self) -> str:
        """The next text, past pings of Engine.IO, which are answered."""
        while True:
            opcode, payload = await self.frame()
            if opcode != TEXT:
                raise ConnectionResetError(f"frame {opcode:#x}: {payload!r}")
            if payload != b"2":
                return payload.decode()
            await self.say("3")

    async def binary(self) -> bytes:
        opcode, payload = await self.frame()
        assert opcode == BINARY, (opcode, payload)
        return payload

    async def closed_with(self) -> int:
        """Pass over everything up to the server's close frame; returns its code, and sees the end of the stream."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                break
        with suppress(ConnectionError):
            await self.send(frame(payload, CLOSE))
        await self.is_over()
        return int.from_bytes(payload[:2], "big")

    async def is_over(self) -> None:
        """Nothing more comes: the other side has closed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionError):
                assert await self.reader.read() == b""
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close the TCP connection in good order, without a WebSocket's goodbye."""
        _OPEN.discard(self)
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def reset(self) -> None:
        """Cut the connection, as a network does that is gone: RST, no FIN."""
        _OPEN.discard(self)
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()


_OPEN: Final[set[RawSocket]] = set()


async def hang_up_all() -> None:
    """Close what a test has left open; a test that fails leaves something."""
    for each in tuple(_OPEN):
        await each.hang_up()
