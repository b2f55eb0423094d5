"""What lies under python-socketio's namespaces, and the only place that touches it.

python-socketio sends by a task for each recipient, and so can neither promise an order nor a bound. Here a packet
is encoded once and put into each connection's Engine.IO queue, at once and in order; a queue that grows beyond
its bound belongs to a client that does not read, and is closed. The attributes used are those of the pinned
versions; the protocol tests guard each bump.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import engineio.packet
import engineio.payload
import socketio
import socketio.packet

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from chatzilla.core.rooms import ConnectionId

CHAT: Final = "/chat"

QUEUED_AT_MOST: Final = 1_000
"""Packets that may wait for one connection."""

CLOSING_SECONDS: Final = 5.0
"""How long a client that does not read may keep its socket after it was told goodbye."""

# A client on long-polling sends a burst in one request; the library's 16 would throw the rest away.
engineio.payload.Payload.max_decode_packets = 1_000


class Frame:
    """One event, encoded once for everybody who hears it in the same words."""

    __slots__ = ("packet",)

    def __init__(self, event: str, payload: object) -> None:
        encoded = socketio.packet.Packet(socketio.packet.EVENT, data=[event, payload], namespace=CHAT).encode()
        self.packet = engineio.packet.Packet(engineio.packet.MESSAGE, encoded)


class Wire:
    """The way out to one connection."""

    __slots__ = ("_request", "_socket", "open")

    def __init__(self, socket: Any, request: web.Request) -> None:
        self._socket = socket
        self._request = request
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
        if discard and self._request.transport is not None:
            asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._request.transport.abort)


class Server(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio ships no types
    """python-socketio's server, with one thing mended: what waits for a connection learns that it has ended."""

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        await super()._handle_eio_disconnect(eio_sid, reason)
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None:
            # An open poll would wait out its time, and a writer would keep the WebSocket open. At the end of this
            # turn, so that the library's own CLOSE still goes first.
            asyncio.get_running_loop().call_soon(socket.queue.put_nowait, None)


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


def wire_of(server: Server, connection: ConnectionId, request: web.Request) -> Wire:
    """The way out to a connection that has just come."""
    eio_sid = server.manager.eio_sid_from_sid(connection, CHAT)
    return Wire(server.eio.sockets[eio_sid], request)
