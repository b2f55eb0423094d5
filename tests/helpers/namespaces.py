"""A Socket.IO server with namespaces of python-socketio's own kind, driven packet by packet."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import socketio
from aiohttp import web

from chatzilla.realtime.engine import Limits
from chatzilla.realtime.server import Server
from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.engines import in_numbers, left_in, running
from tests.helpers.sockets import RawSocket, hang_up_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Stock(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio ships no types
    """A namespace as anybody would write it; `gate` holds back whoever asks to be slow."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self.story: list[Any] = []
        self.gate = asyncio.Event()
        self.here: list[str] = []
        self.entered = asyncio.Event()
        self.fails_at_the_end = False
        self.session_at_the_end: Any = None

    async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any) -> None:  # noqa: ARG002  # python-socketio's
        self.story.append(("connect", auth))
        self.entered.set()
        wish = auth.get("wish") if isinstance(auth, dict) else None
        if wish == "refuse":
            raise socketio.exceptions.ConnectionRefusedError("Not you.", {"code": "sign-in"})
        if wish == "raise":
            raise RuntimeError("the store is down")
        if wish == "slow":
            await self.gate.wait()
        if auth is not None and wish != "slow":
            await self.save_session(sid, {"auth": auth})
        self.here.append(sid)

    async def on_disconnect(self, sid: str, reason: str) -> None:
        self.session_at_the_end = await self.get_session(sid)
        self.story.append(("disconnect", reason))
        self.here.remove(sid)
        if self.fails_at_the_end:
            raise RuntimeError("cannot even say goodbye")

    async def on_echo(self, sid: str, *arguments: Any) -> tuple[Any, ...]:  # noqa: ARG002
        self.story.append(("echo", *arguments))
        return arguments

    async def on_pause(self, sid: str, value: Any) -> Any:  # noqa: ARG002
        await self.gate.wait()
        self.story.append(("pause", value))
        return value

    async def on_session(self, sid: str) -> Any:
        return await self.get_session(sid)

    async def on_enter(self, sid: str, room: str) -> None:
        await self.enter_room(sid, room)

    async def on_leave(self, sid: str, room: str) -> None:
        await self.leave_room(sid, room)

    async def on_say(self, sid: str, room: str, value: Any) -> None:
        await self.emit("said", value, room=room, skip_sid=sid)

    async def on_fail(self, sid: str) -> None:  # noqa: ARG002
        raise RuntimeError("failed")


@dataclass
class Sockets:
    """A running server."""

    server: Server
    root: Stock
    custom: Stock
    port: int

    async def open(self) -> Wire:
        raw = await RawSocket.open(self.port, "/socket.io/?EIO=4&transport=websocket")
        opened = await raw.text()
        return Wire(raw, json.loads(opened[1:])["sid"])

    async def enter(self, namespace: str = "/", auth: Any = None) -> Wire:
        """Open a connection that is in a namespace."""
        wire = await self.open()
        await wire.connect(namespace, auth)
        answer = await wire.packet()
        assert answer.startswith("40"), answer
        return wire

    def left(self) -> list[str]:
        """What there still is of connections, here and in python-socketio."""
        manager = self.server.manager
        found = left_in(self.server.eio)
        for name, kept in (
            ("rooms", manager.rooms),
            ("rooms of", manager._rooms_of),
            ("callbacks", manager.callbacks),
            ("connecting", manager.pending_connect),
            ("disconnecting", manager.pending_disconnect),
            ("environ", self.server.environ),
            ("attachments", self.server._attachments),
            ("sessions", self.server._sessions),
            ("queues", self.server._queues._tails),
            ("here", [*self.root.here, *self.custom.here]),
        ):
            if kept:
                found.append(f"{name}: {list(kept)}")
        return found

    async def is_empty(self) -> None:
        """Wait until nobody is left, and nothing of anybody."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS / 3):
                while self.left():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"left behind: {self.left()}") from None


@dataclass
class Wire:
    """One connection, packet by packet."""

    raw: RawSocket
    sid: str

    async def send(self, packet: str, *attachments: bytes) -> None:
        await self.raw.say("4" + packet)
        for each in attachments:
            await self.raw.say(each, 2)

    async def connect(self, namespace: str = "/", auth: Any = None) -> None:
        head = "" if namespace == "/" else f"{namespace},"
        await self.send(f"0{head}" + ("" if auth is None else json.dumps(auth)))

    async def packet(self) -> str:
        return await self.raw.text()

    async def call(self, ident: int, *event: Any, namespace: str = "/") -> Any:
        """Emit and return the values of the ack; nothing else may come first."""
        head = "" if namespace == "/" else f"{namespace},"
        await self.send(f"2{head}{ident}{json.dumps(event)}")
        answer = await self.packet()
        assert answer.startswith(f"43{head}{ident}["), answer
        return json.loads(answer[len(f"43{head}{ident}") :])

    async def leave(self) -> None:
        await self.raw.hang_up()


@asynccontextmanager
async def stock_server(**limits: Any) -> AsyncIterator[Sockets]:
    """Run a server with the namespaces `/` and `/custom`; at its end, nobody may be left in it."""
    server = Server(limits=Limits(**limits), admits_origin=lambda *_: True, address_of=lambda _: "here")
    root, custom = Stock("/"), Stock("/custom")
    server.register_namespace(root)
    server.register_namespace(custom)
    app = web.Application(middlewares=[in_numbers])
    server.attach(app)
    async with running(app) as (_, port):
        sockets = Sockets(server, root, custom, port)
        try:
            yield sockets
            for each in (root, custom):
                each.gate.set()
            await hang_up_all()
            await sockets.is_empty()
        finally:
            for each in (root, custom):
                each.gate.set()
            await hang_up_all()
