"""What lies under python-socketio's namespaces, and the only place that touches it.

python-socketio sends by a task for each recipient, and so can neither promise an order nor a bound. Here a packet
is encoded once and put into each connection's Engine.IO queue, at once and in order; a queue that grows beyond
its bound belongs to a client that does not read, and is closed. The attributes used are those of the pinned
versions; the protocol tests guard each bump.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import engineio.packet
import engineio.payload
import socketio
import socketio.packet
from engineio.async_drivers.aiohttp import WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp import StreamReader, web

    from chatzilla.core.rooms import ConnectionId

CHAT: Final = "/chat"

QUEUED_AT_MOST: Final = 1_000
"""Packets that may wait for one connection."""

CLOSING_SECONDS: Final = 5.0
"""How long a client that does not read may keep its socket after it was told goodbye."""

_TRANSPORT: Final = "chatzilla_transport"
"""Where an Engine.IO connection keeps the asyncio transport of its WebSocket."""

# A client on long-polling sends a burst in one request; the library's 16 would throw the rest away.
engineio.payload.Payload.max_decode_packets = 1_000


class Frame:
    """One packet, encoded once for everybody who hears it in the same words."""

    __slots__ = ("packet",)

    def __init__(self, packet: socketio.packet.Packet) -> None:
        self.packet = engineio.packet.Packet(engineio.packet.MESSAGE, packet.encode())

    @classmethod
    def event(cls, name: str, payload: object) -> Self:
        return cls(socketio.packet.Packet(socketio.packet.EVENT, data=[name, payload], namespace=CHAT))

    @classmethod
    def answer(cls, ack: int, values: Iterable[object]) -> Self:
        """The acknowledgement of a client's call."""
        return cls(socketio.packet.Packet(socketio.packet.ACK, data=list(values), namespace=CHAT, id=ack))


class Wire:
    """The way out to one connection."""

    __slots__ = ("_socket", "open")

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.open = True
        """False from the moment at which the server has decided to close."""

    def write(self, frame: Frame) -> bool:
        """Queue a frame.

        Returns:
            False when the client reads too slowly to be given more.
        """
        if self._socket.queue.qsize() >= QUEUED_AT_MOST:
            return False
        self._socket.queue.put_nowait(frame.packet)
        return True

    async def close(self, goodbye: Frame, *, discard: bool = False) -> None:
        """Say goodbye and close, in a way after which clients come back by themselves.

        Args:
            goodbye: the last thing that the client hears.
            discard: drop what is queued, for a client that would not read it.
        """
        queue: asyncio.Queue[Any] = self._socket.queue
        if discard:
            with contextlib.suppress(asyncio.QueueEmpty):
                while True:
                    queue.get_nowait()
                    queue.task_done()
        queue.put_nowait(goodbye.packet)
        await self._socket.close(wait=False)
        transport = getattr(self._socket, _TRANSPORT, None)
        if discard and transport is not None:
            asyncio.get_running_loop().call_later(CLOSING_SECONDS, transport.abort)


class _WebSocket(WebSocket):  # type: ignore[misc]  # python-engineio ships no types
    """Engine.IO's WebSocket, which lets its connection know what it runs on."""

    async def __call__(self, environ: dict[str, Any]) -> Any:
        connection = self.handler.__self__
        setattr(connection, _TRANSPORT, environ["aiohttp.request"].transport)
        return await super().__call__(environ)


class Receiver(Protocol):
    """A namespace as the server here drives it."""

    async def receive(self, sid: str, event: str, arguments: list[object], ack: int | None) -> None: ...


class Server(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio ships no types
    """python-socketio's server, mended where a message, an answer or an end would be lost."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        library = self.eio._async  # noqa: SLF001  # there is no other door

        def translate(request: web.Request) -> dict[str, Any]:
            environ: dict[str, Any] = library["translate_request"](request)
            return environ | {"wsgi.input": _WholeBody(request.content)}

        self.eio._async = {**library, "translate_request": translate, "websocket": _WebSocket}  # noqa: SLF001

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: object) -> None:  # noqa: A002
        """Hand a client's call to its namespace, which answers in order.

        The library would look for a handler by the event's name, `connect` and `disconnect` among them, and run
        each in a task of its own.
        """
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        receiver: Receiver | None = self.namespace_handlers.get(namespace)
        if receiver is None or not self.manager.is_connected(sid, namespace):
            return
        arguments = data if isinstance(data, list) else []
        name = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        await receiver.receive(sid, name, arguments[1:], id)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        await super()._handle_eio_disconnect(eio_sid, reason)
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None:
            # An open poll would wait out its time, and a writer would keep the WebSocket open. At the end of this
            # turn, so that the library's own CLOSE still goes first.
            asyncio.get_running_loop().call_soon(socket.queue.put_nowait, None)


class _WholeBody:
    """A request's body that is read to its announced end; the library would take what has arrived so far."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content

    async def read(self, length: int) -> bytes:
        return await self._content.readexactly(length)


def open_server(*, heartbeat: float, admits_origin: Callable[[str | None, web.Request], bool]) -> Server:
    """A Socket.IO server under aiohttp.

    Args:
        heartbeat: seconds between pings, and seconds to wait for the answer.
        admits_origin: judges the Origin header of a handshake.
    """
    return Server(
        async_mode="aiohttp",
        ping_interval=heartbeat,
        ping_timeout=heartbeat,
        cors_allowed_origins=lambda origin, environ: admits_origin(origin, environ["aiohttp.request"]),
        cors_credentials=False,
    )


def wire_of(server: Server, connection: ConnectionId) -> Wire:
    """The way out to a connection that has just come."""
    eio_sid = server.manager.eio_sid_from_sid(connection, CHAT)
    return Wire(server.eio.sockets[eio_sid])
