"""The transport by itself: Engine.IO sessions over real sockets, with limits as short as a test needs them."""

from __future__ import annotations

import asyncio
import functools
import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
from aiohttp import web

from chatzilla.errors import ChatError
from chatzilla.realtime.channel import Channel, Frame
from chatzilla.realtime.engine import Engine, Limits
from chatzilla.realtime.websocket import WebSocket
from chatzilla.web import middleware
from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.sockets import RawSocket, hang_up_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

SEPARATOR: Final = "\x1e"


class Echo:
    """Says back what it hears, and remembers who came and went."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.heard: list[str | bytes] = []
        self.reasons: dict[str, str] = {}
        self.changed = asyncio.Event()
        self.silent = False

    def opened(self, channel: Channel) -> None:
        self.channels.append(channel)

    def received(self, channel: Channel, text: bytes) -> None:
        self.heard.append(text.decode())
        self.changed.set()
        if not self.silent:
            channel.write(Frame(text))

    def attached(self, channel: Channel, data: bytes) -> None:
        self.heard.append(data)
        self.changed.set()
        if not self.silent:
            channel.write_binary(data)

    def closed(self, channel: Channel, reason: str) -> None:
        assert channel.sid not in self.reasons, "told twice"
        self.reasons[channel.sid] = reason
        self.changed.set()

    async def hears(self, count: int) -> None:
        """Wait until this many messages have come."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.heard) < count:
                self.changed.clear()
                await self.changed.wait()

    async def loses(self, sid: str) -> str:
        """Wait until a session is gone; returns why."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sid not in self.reasons:
                self.changed.clear()
                await self.changed.wait()
        return self.reasons[sid]


@dataclass
class EngineHouse:
    """A running engine, and what is above it."""

    engine: Engine
    echo: Echo
    runner: web.AppRunner
    port: int
    http: aiohttp.ClientSession
    pollings: list[Polling] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/engine/?EIO=4&transport="

    async def polling(self) -> Polling:
        """Open a session by long-polling."""
        status, text = await self.ask("GET", "polling")
        assert status == 200, text
        return Polling(self, json.loads(text[1:])["sid"])

    async def ask(self, method: str, rest: str, **options: Any) -> tuple[int, str]:
        """Send one request; `rest` follows `transport=`."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.http.request(method, self.address + rest, **options) as got:
            return got.status, await got.text()

    async def websocket(self, sid: str | None = None) -> RawSocket:
        """Open a WebSocket, for a session of its own or for one that there is."""
        return await RawSocket.open(
            self.port, "/engine/?EIO=4&transport=websocket" + ("" if sid is None else f"&sid={sid}")
        )

    async def websocket_session(self) -> tuple[RawSocket, str]:
        """Open a session on a WebSocket; returns its id too."""
        socket = await self.websocket()
        opened = await socket.text()
        assert opened[0] == "0", opened
        return socket, json.loads(opened[1:])["sid"]

    async def has_noticed(self) -> None:
        """Wait until the server knows that the client of a request under way is gone."""
        assert self.runner.server is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while all(each.transport for each in self.runner.server.connections):
                await asyncio.sleep(0)

    async def is_empty(self) -> None:
        """Wait until nothing of any session is left: neither entry, socket, request nor timer."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self.left():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"left behind: {self.left()}") from None

    def left(self) -> list[str]:
        """What there still is of sessions."""
        return left_in(self.engine)


def left_in(engine: Engine) -> list[str]:
    """What there still is of sessions in an engine: entries, sockets, timers. Last words may wait for a poll."""
    said = Counter(channel.address for channel in engine._farewells.values())
    found = [
        f"{name}: {list(kept)}"
        for name, kept in (
            ("sessions", engine.sockets),
            ("transports", engine._transports),
            ("addresses", engine._addresses - said),
            ("lines", engine._lines),
        )
        if kept
    ]
    loop: Any = asyncio.get_running_loop()
    for timer in loop._scheduled:
        action = timer._callback
        while isinstance(action, functools.partial):
            action = action.func
        owner = getattr(action, "__self__", None)
        if not timer.cancelled() and (
            type(owner).__module__.startswith("chatzilla.realtime") and not isinstance(owner, (Engine, WebSocket))
        ):
            found.append(f"timer: {action}")
    return found


@dataclass
class Polling:
    """One session on long-polling, driven request by request."""

    house: EngineHouse
    sid: str

    async def poll(self) -> tuple[int, str]:
        return await self.house.ask("GET", f"polling&sid={self.sid}")

    async def post(self, body: str | bytes, **options: Any) -> tuple[int, str]:
        return await self.house.ask("POST", f"polling&sid={self.sid}", data=body, **options)

    async def hears(self) -> list[str]:
        """The packets of one poll."""
        status, text = await self.poll()
        assert status == 200, text
        return text.split(SEPARATOR)

    async def waits(self) -> asyncio.Task[tuple[int, str]]:
        """Begin a poll, and return when the server has it."""
        task = asyncio.create_task(self.poll())
        channel = self.house.engine.sockets[self.sid]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while channel._poll is None:
                await asyncio.sleep(0)
        return task

    async def upgrade(self) -> RawSocket:
        """Move to a WebSocket, in the order in which clients do it."""
        socket = await self.house.websocket(self.sid)
        await socket.say("2probe")
        assert await socket.text() == "3probe"
        await socket.say("5")
        return socket

    async def is_gone(self) -> str:
        """Wait until the session is; returns why. Requests for it are then refused."""
        reason = await self.house.echo.loses(self.sid)
        assert (await self.post("4x"))[0] == 400
        return reason

    async def leave(self) -> None:
        assert (await self.post("1"))[0] == 200

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()


@web.middleware
async def in_numbers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer refusals by the status that the whole server gives them."""
    try:
        return await handler(request)
    except ChatError as refusal:
        return web.Response(status=middleware.status_of(type(refusal)), text=refusal.sentence)


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[tuple[web.AppRunner, int]]:
    """Serve an application on a free port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner, runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def engine_house(*, proxied: bool = False, **limits: Any) -> AsyncIterator[EngineHouse]:
    """Run an engine whose listener echoes; `proxied` believes what a request says of its address."""
    echo = Echo()
    engine = Engine(
        limits=Limits(**limits),
        admits_origin=lambda origin, _: origin != "https://evil.example",
        address_of=lambda request: request.headers.get("X-Address", "here") if proxied else "here",
    )
    engine.listener = echo
    app = web.Application(middlewares=[in_numbers])
    engine.attach(app, "engine")

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app.router.add_get("/hello", hello)
    async with running(app) as (runner, port), aiohttp.ClientSession() as http:
        house = EngineHouse(engine, echo, runner, port, http)
        try:
            yield house
        finally:
            await hang_up_all()
        for channel in tuple(engine.sockets.values()):
            channel.close("the test is over")
        await engine.drain(0.1)
