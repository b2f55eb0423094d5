"""Engine.IO v4 under python-socketio: sessions on long-polling, on a WebSocket, or moving from one to the other.

    polling ──probe──▶ upgrading ──"5"──▶ websocket        opened on either side
       │                   │                  │
       └───────────────────┴──────────────────┴──▶ closed

Every state has a deadline: a session that does not answer pings, an upgrade that is not completed, a session that joins
no namespace, a request whose body does not come. What waits for a session is bounded in bytes, and so is what it may
send. What cannot be parsed closes the session that sent it, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from base64 import b64decode, b64encode
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web

from chatzilla.errors import BadRequest, Forbidden, Full, TooFast, TooLong, Unavailable
from chatzilla.realtime import websocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatzilla.realtime.websocket import WebSocket

logger = logging.getLogger(__name__)

_OPEN: Final = "0"
_CLOSE: Final = "1"
_PING: Final = "2"
_PONG: Final = "3"
_MESSAGE: Final = "4"
_UPGRADE: Final = "5"
_NOOP: Final = "6"
_SEPARATOR: Final = "\x1e"
_BASE64: Final = "b"
_PING_FRAME: Final = websocket.frame(_PING.encode())
_CLOSE_FRAME: Final = websocket.frame(_CLOSE.encode())

PACKETS_IN_A_BODY: Final = 1_000
PACKETS_IN_A_POLL: Final = 16
"""Packets that one poll is answered with: clients on python-engineio take no more, and fall silent."""

LINES_A_SECOND: Final = 10
"""Lines of log about strangers' mistakes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a session may take; sizes in bytes, times in seconds, 0 connections mean no limit."""

    heartbeat: float = 10.0
    pong_within: float = 10.0
    payload: int = 1_000_000
    queue: int = 128 * 1024
    upgrade_within: float = 10.0
    join_within: float = 20.0
    body_within: float = 10.0
    connections: int = 10_000
    connections_per_address: int = 500


class Listener(Protocol):
    """Who lives above the sessions."""

    def opened(self, channel: Channel) -> None: ...

    def received(self, channel: Channel, data: str | bytes) -> None:
        """A message has come.

        Raises:
            ValueError: it means nothing; the session is closed.
        """
        ...

    def closed(self, channel: Channel, reason: str) -> None: ...


class Frame:
    """One Engine.IO message, encoded once for every session that is sent it."""

    __slots__ = ("_body", "_framed")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._framed: bytes | None = None

    @property
    def text(self) -> str:
        """As a poll carries it."""
        return self._body.decode()

    @property
    def framed(self) -> bytes:
        """As a WebSocket carries it."""
        if self._framed is None:
            self._framed = websocket.frame(_MESSAGE.encode() + self._body)
        return self._framed


class Channel:
    """One Engine.IO session: an id, and whatever transport it has now."""

    __slots__ = (
        "_deadline",
        "_due",
        "_engine",
        "_knocking",
        "_poll",
        "_queue",
        "_queued",
        "_timer",
        "_upgrade",
        "_waits_for_pong",
        "address",
        "attempts",
        "open",
        "sid",
        "socket",
        "state",
    )

    def __init__(self, engine: Engine, address: str) -> None:
        self._engine = engine
        self.sid = secrets.token_urlsafe(15)
        self.address = address
        self.open = True
        self.attempts = 0
        """How often it has asked to enter a namespace."""
        self.state: dict[str, Any] | None = None
        """What python-socketio keeps about the session."""
        self.socket: WebSocket | None = None
        """The transport, unless it is long-polling."""
        self._knocking: _Upgrade | None = None
        """The one WebSocket that may ask to become the transport."""
        self._upgrade: _Upgrade | None = None
        """The same, from its probe on."""
        self._queue: list[str] | None = None
        self._queued = 0
        self._poll: asyncio.Future[None] | None = None
        self._waits_for_pong = False
        self._due = asyncio.get_running_loop().time() + engine.limits.heartbeat
        """When the next ping is to be sent, or the answer to the last one is late."""
        self._timer = asyncio.get_running_loop().call_at(self._due, self._ping)
        self._deadline: asyncio.TimerHandle | None = engine.later(engine.limits.join_within, self._give_up_waiting)

    @property
    def transport(self) -> str:
        """The name of the transport, as the protocol has it."""
        return "polling" if self.socket is None else "websocket"

    @property
    def queue_limit(self) -> int:
        """Bytes that may wait for it; beyond, it reads too slowly."""
        return self._engine.limits.queue

    def joined(self) -> None:
        """It has entered a namespace, so it may stay."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # Out.

    def write(self, frame: Frame) -> bool:
        """Send a message.

        Returns:
            False when too much waits already: whoever is there does not read.
        """
        if self.socket is not None:
            return self.socket.write(frame.framed) <= self._engine.limits.queue
        self._enqueue(_MESSAGE + frame.text)
        return self._queued <= self._engine.limits.queue

    def write_soon(self, frame: Frame) -> None:
        """Send a message at the end of this turn of the event loop, in one write with others that do the same."""
        if self.socket is not None:
            self.socket.write_soon(frame.framed)
        else:
            self._enqueue(_MESSAGE + frame.text)

    def write_binary(self, data: bytes) -> None:
        """Send a binary message, which belongs to a Socket.IO packet that was sent just before."""
        if self.socket is not None:
            self.socket.write(websocket.binary_frame(data))
        else:
            self._enqueue(_BASE64 + b64encode(data).decode())

    def close(self, reason: str, last_words: Frame | None = None) -> None:
        """Close from our side, in a way after which clients come back by themselves. Harmless twice.

        Args:
            reason: for the listener and the log.
            last_words: the last thing that the client hears, if it listens.
        """
        if not self.open:
            return
        if last_words is not None:
            self.write(last_words)
        if self.socket is not None:
            self.socket.write(_CLOSE_FRAME)
            self.socket.close()
        else:
            self._enqueue(_CLOSE)
            self._engine.keep_for_a_poll(self)
        self._end(reason)

    # In, by whichever transport.

    def take(self, packet: str) -> None:
        """Handle one packet from the client.

        Raises:
            ValueError: it is none.
        """
        kind, data = packet[:1], packet[1:]
        if kind == _MESSAGE:
            self._engine.listener.received(self, data)
        elif packet == _PONG:
            self._waits_for_pong = False
        elif packet == _CLOSE:
            self._answer_poll(_NOOP)
            if self.socket is not None:
                self.socket.close()
            self._end("client disconnect")
        else:
            raise ValueError("not an Engine.IO packet")

    def take_body(self, body: bytes) -> None:
        """Handle the packets of a POST.

        Raises:
            ValueError: one of them is none; the session is closed.
        """
        try:
            packets = body.decode().split(_SEPARATOR)
            if len(packets) > PACKETS_IN_A_BODY:
                raise ValueError("too many packets in a body")
            for packet in packets:
                if not self.open:
                    break
                if packet.startswith(_BASE64):
                    self._engine.listener.received(self, b64decode(packet[1:], validate=True))
                else:
                    self.take(packet)
        except (ValueError, RecursionError) as error:
            self._misunderstood(error)
            raise

    # What its WebSocket calls: this is a `websocket.Owner`.

    def text(self, text: str) -> None:
        try:
            self.take(text)
        except (ValueError, RecursionError) as error:
            self._misunderstood(error)

    def binary(self, data: bytes) -> None:
        try:
            self._engine.listener.received(self, data)
        except (ValueError, RecursionError) as error:
            self._misunderstood(error)

    def lost(self, reason: str) -> None:
        self._end(reason)

    def begin_on(self, socket: WebSocket) -> None:
        """Begin on a WebSocket, without a poll before."""
        self.socket = socket
        socket.write(websocket.frame(self._handshake(upgrades=[]).encode()))

    # Long-polling.

    def begin_polling(self) -> str:
        """Begin, and return what the first request is answered."""
        return self._handshake(upgrades=["websocket"])

    async def poll(self, request: web.Request) -> str:
        """Wait until there is something to tell, and return it.

        Raises:
            BadRequest: a poll is under way already, or this one was given up. Either way something may have been
                told to nobody, so the session ends, and its client comes back and asks for what it missed.
        """
        if self._poll is not None:
            self._answer_poll(_CLOSE)
            self._end("transport error")
            raise BadRequest("Another poll of this session was under way.")
        if self._upgrade is not None:
            return _NOOP
        if self._waits_for_pong and asyncio.get_running_loop().time() >= self._due:
            self._timer.cancel()
            self._expect_pong()  # the timer would find it in a moment, but this poll came first
            raise BadRequest("This session did not answer in time.")
        if not self._queue:
            self._poll = asyncio.get_running_loop().create_future()
            try:
                await self._poll
            except asyncio.CancelledError:
                self._end("transport error")
                raise
            finally:
                self._poll = None
        if request.transport is None or request.transport.is_closing():
            self._end("transport error")
            raise BadRequest("This poll was given up.")
        return self.take_queue()

    def take_queue(self) -> str:
        """What waits, in one body; what does not fit waits for the next poll."""
        packets = self._queue or [_NOOP]
        size = taken = 0
        for packet in packets:
            size += len(packet) + 1
            if taken == PACKETS_IN_A_POLL or (taken and size > self._engine.limits.payload):
                break
            if taken and packet == _CLOSE:
                break  # alone in its body: the JavaScript client forgets the messages that stand before a close
            taken += 1
        self._queue = packets[taken:]
        self._queued = sum(map(len, self._queue))
        if not self.open and not self._queue:
            self._engine.said_farewell(self)
        return _SEPARATOR.join(packets[:taken])

    # Moving to a WebSocket.

    def knocked(self, socket: WebSocket) -> websocket.Owner:
        """A WebSocket asks to become the transport; it belongs to the upgrade until it is."""
        upgrade = _Upgrade(self._engine, self, socket)
        if self.socket is not None or self._knocking is not None or not self.open:
            upgrade.refuse()
        else:
            self._knocking = upgrade
        return upgrade

    def probed(self, upgrade: _Upgrade) -> None:
        """The probe was answered: end the waiting poll, and hold everything else for the new transport."""
        self._upgrade = upgrade
        self._answer_poll(_NOOP)

    def not_upgraded(self, upgrade: _Upgrade) -> None:
        """It came to nothing; the polls go on."""
        if self._upgrade is upgrade:
            self._upgrade = None
        if self._knocking is upgrade:
            self._knocking = None

    def upgraded_to(self, socket: WebSocket) -> None:
        """From here on, the WebSocket is the transport."""
        self._upgrade = self._knocking = None
        self.socket = socket
        socket.owner = self
        for packet in self._queue or ():
            if packet.startswith(_BASE64):
                socket.write(websocket.binary_frame(b64decode(packet[1:])))
            elif packet != _NOOP:
                socket.write(websocket.frame(packet.encode()))
        self._queue = None
        self._queued = 0

    def _handshake(self, *, upgrades: list[str]) -> str:
        limits = self._engine.limits
        return _OPEN + json.dumps(
            {
                "sid": self.sid,
                "upgrades": upgrades,
                "pingInterval": int(limits.heartbeat * 1000),
                "pingTimeout": int(limits.pong_within * 1000),
                "maxPayload": limits.payload,
            },
            separators=(",", ":"),
        )

    def _enqueue(self, packet: str) -> None:
        if self._queue is None:
            self._queue = []
        self._queue.append(packet)
        self._queued += len(packet)
        if self._poll is not None and not self._poll.done() and self._upgrade is None:
            self._poll.set_result(None)

    def _answer_poll(self, packet: str) -> None:
        """End the waiting poll with a packet of its own."""
        if self._poll is not None and not self._poll.done():
            self._queue = [packet, *(self._queue or [])]
            self._poll.set_result(None)

    def _ping(self) -> None:
        """Ask for a sign of life."""
        self._waits_for_pong = True
        if self.socket is not None:
            self.socket.write(_PING_FRAME)
        else:
            self._enqueue(_PING)
        self._at(self._due + self._engine.limits.pong_within, self._expect_pong)

    def _expect_pong(self) -> None:
        """The time for an answer is over: was there one?"""
        limits = self._engine.limits
        if not self._waits_for_pong:
            self._at(self._due + max(0.0, limits.heartbeat - limits.pong_within), self._ping)
            return
        if self.socket is not None:
            self.socket.transport.abort()
        self._end("ping timeout")

    def _at(self, due: float, action: Callable[[], None]) -> None:
        self._due = due
        self._timer = asyncio.get_running_loop().call_at(due, action)

    def _give_up_waiting(self) -> None:
        """It was let in and never said what for."""
        self._deadline = None
        self.close("no namespace was joined")

    def _misunderstood(self, error: Exception) -> None:
        """The client sent what cannot be understood: it is closed, with one line in the log."""
        self._engine.complain(f"connection {self.sid} from {self.address} is closed: {error}")
        if self.socket is not None:
            self.socket.close(websocket.PROTOCOL_ERROR)
            self.socket.transport.close()
        self._end("parse error")

    def _end(self, reason: str) -> None:
        """The session is over; everybody who has to know is told, once."""
        if not self.open:
            return
        self.open = False
        self._timer.cancel()
        self.joined()
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)
        if self._knocking is not None:
            self._knocking.refuse()
        self._engine.ended(self, reason)


class _Upgrade:
    """A WebSocket that asks to become a session's transport: a `websocket.Owner` until it is, or until it fails."""

    def __init__(self, engine: Engine, channel: Channel, socket: WebSocket) -> None:
        self._channel = channel
        self._socket = socket
        self._deadline = engine.later(engine.limits.upgrade_within, self.refuse)
        self._probed = False

    def text(self, text: str) -> None:
        if text == _PING + "probe" and not self._probed and self._channel.open:
            self._probed = True
            self._socket.write(websocket.frame((_PONG + "probe").encode()))
            self._channel.probed(self)
        elif text == _UPGRADE and self._probed:
            self._deadline.cancel()
            self._channel.upgraded_to(self._socket)
        else:
            self.refuse()

    def binary(self, _data: bytes) -> None:
        self.refuse()

    def lost(self, _reason: str) -> None:
        self._deadline.cancel()
        self._channel.not_upgraded(self)

    def refuse(self) -> None:
        """Close the WebSocket; the session stays what it was."""
        self._deadline.cancel()
        self._channel.not_upgraded(self)
        self._socket.close()


class Engine:
    """All sessions, and the requests that carry them. python-socketio uses it as its `eio`."""

    async_mode = "aiohttp"

    def __init__(
        self,
        *,
        limits: Limits,
        admits_origin: Callable[[str | None, web.Request], bool],
        address_of: Callable[[web.Request], str],
        **_: object,
    ) -> None:
        self.limits = limits
        self.listener: Listener
        self.sockets: dict[str, Channel] = {}
        self._admits_origin = admits_origin
        self._address_of = address_of
        self._addresses: Counter[str] = Counter()
        self._farewells: dict[str, Channel] = {}
        self._transports: set[WebSocket] = set()
        self._all_gone = asyncio.Event()
        self._complaints = 0
        self._draining = False

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer one request to the Engine.IO path.

        Raises:
            Forbidden: a page of another origin.
            BadRequest: whatever the protocol does not know.
            TooLong, TooFast, Full: over a limit.
        """
        origin = request.headers.get("Origin")
        if not self._admits_origin(origin, request):
            raise Forbidden("Pages of this origin may not connect.")
        headers = {"Cache-Control": "no-store"}
        if origin is not None:
            headers |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if request.method == "OPTIONS":
            headers |= {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "Content-Type"}
            return web.Response(status=204, headers=headers)
        query = request.query
        if query.get("EIO") != "4" or "j" in query:
            raise BadRequest("Only version 4 of the Engine.IO protocol is spoken here.")
        transport, sid = query.get("transport"), query.get("sid")
        if transport == "websocket" and request.method == "GET":
            return await self._shake_hands(request, sid)
        if transport != "polling":
            raise BadRequest("There is no such transport.")
        if request.method == "GET":
            body = self._begin_polling(request) if sid is None else await self._poll(sid, request)
        elif request.method == "POST" and sid is not None:
            body = await self._post(sid, request)
        else:
            raise BadRequest("This request means nothing here.")
        return web.Response(text=body, headers=headers)

    async def drain(self, seconds: float) -> None:
        """Give the transports that were closed this long to be gone; the rest is cut."""
        self._draining = True
        if self._transports or self._farewells:
            self._all_gone.clear()
            try:
                await asyncio.wait_for(self._all_gone.wait(), seconds)
            except TimeoutError:
                for socket in tuple(self._transports):
                    socket.transport.abort()

    # What sessions call.

    def later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, action)

    def complain(self, line: str) -> None:
        """Log a stranger's mistake, but never more than a few lines a second."""
        if self._complaints == 0:
            self.later(1.0, self._count_again)
        self._complaints += 1
        if self._complaints <= LINES_A_SECOND:
            logger.warning("%s", line[:200])

    def keep_for_a_poll(self, channel: Channel) -> None:
        """The session was closed by us, and its last words wait for one more poll."""
        self._farewells[channel.sid] = channel
        self.later(self.limits.pong_within, lambda: self._forget_farewell(channel.sid))

    def said_farewell(self, channel: Channel) -> None:
        """Its last words were fetched."""
        self._forget_farewell(channel.sid)

    def _forget_farewell(self, sid: str) -> None:
        self._farewells.pop(sid, None)
        self._see_who_is_left()

    def _see_who_is_left(self) -> None:
        if not self._transports and not self._farewells:
            self._all_gone.set()

    def ended(self, channel: Channel, reason: str) -> None:
        del self.sockets[channel.sid]
        self._addresses[channel.address] -= 1
        if not self._addresses[channel.address]:
            del self._addresses[channel.address]
        self.listener.closed(channel, reason)

    # What python-socketio calls, besides `sockets` and `handle_request`.

    def on(self, _event: str, _handler: object) -> None:
        """The listener is called directly; see `Listener`."""

    def attach(self, app: web.Application, path: str) -> None:
        app.router.add_route("*", f"/{path.strip('/')}/", self.handle_request)

    def generate_id(self) -> str:
        return secrets.token_urlsafe(15)

    async def send(self, sid: str, data: str | bytes) -> None:
        channel = self.sockets.get(sid)
        if channel is None:
            return
        if isinstance(data, bytes):
            channel.write_binary(data)
        elif not channel.write(Frame(data.encode())):
            channel.close("reads too slowly")

    async def send_packet(self, sid: str, packet: Any) -> None:
        await self.send(sid, packet.data)

    async def get_session(self, sid: str) -> dict[str, Any]:
        channel = self.sockets[sid]
        if channel.state is None:
            channel.state = {}
        return channel.state

    def transport(self, sid: str) -> str:
        return self.sockets[sid].transport

    async def disconnect(self, sid: str) -> None:
        channel = self.sockets.get(sid)
        if channel is not None:
            channel.close("server disconnect")

    def start_background_task(self, target: Any, *args: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(target(*args))

    def create_event(self) -> asyncio.Event:
        return asyncio.Event()

    async def sleep(self, seconds: float = 0) -> None:
        await asyncio.sleep(seconds)

    async def shutdown(self) -> None:
        """Nothing of ours runs in the background."""

    # Requests.

    def _open(self, request: web.Request) -> Channel:
        channel = Channel(self, self._address_of(request))
        self.sockets[channel.sid] = channel
        self._addresses[channel.address] += 1
        self.listener.opened(channel)
        return channel

    def _check_room_for(self, request: web.Request) -> None:
        """See whether one more session may be opened.

        Raises:
            TooFast, Full: over a limit.
        """
        if self._draining:
            raise Unavailable("The server is restarting. Try again in a moment.")
        address = self._address_of(request)
        limits = self.limits
        if limits.connections and len(self.sockets) >= limits.connections:
            raise Full("The server has as many connections as it takes. Try again later.")
        if limits.connections_per_address and self._addresses[address] >= limits.connections_per_address:
            raise TooFast("There are too many connections from your address.")

    async def _shake_hands(self, request: web.Request, sid: str | None) -> web.StreamResponse:
        known = None if sid is None else self._session(sid)
        if known is None:
            self._check_room_for(request)

        def owner(socket: WebSocket) -> websocket.Owner:
            self._transports.add(socket)
            socket.gone = lambda: self._forget_transport(socket)
            if known is not None:
                return known.knocked(socket)
            channel = self._open(request)
            channel.begin_on(socket)
            return channel

        return await websocket.accept(request, owner, limit=self.limits.payload)

    def _begin_polling(self, request: web.Request) -> str:
        self._check_room_for(request)
        return self._open(request).begin_polling()

    async def _poll(self, sid: str, request: web.Request) -> str:
        farewell = self._farewells.get(sid)
        if farewell is not None:
            return farewell.take_queue()
        channel = self._session(sid)
        if channel.transport != "polling":
            raise BadRequest("This session has moved to a WebSocket.")
        return await channel.poll(request)

    async def _post(self, sid: str, request: web.Request) -> str:
        channel = self._session(sid)
        if channel.transport != "polling":
            raise BadRequest("This session has moved to a WebSocket.")
        if (request.content_length or 0) > self.limits.payload:
            raise TooLong(f"A request may have {self.limits.payload:,} bytes at most.")
        try:
            async with asyncio.timeout(self.limits.body_within):
                body = await _read_whole(request, self.limits.payload)
        except TimeoutError as error:
            raise BadRequest("The request's body did not come in time.") from error
        except (ConnectionError, web.RequestPayloadError) as error:
            raise BadRequest("The request's body did not come whole.") from error
        try:
            if not channel.open:
                raise BadRequest("There is no such session any more.")
            channel.take_body(body)
        except (ValueError, RecursionError) as error:
            raise BadRequest("This body cannot be understood.") from error
        return "ok"

    def _session(self, sid: str) -> Channel:
        try:
            return self.sockets[sid]
        except KeyError as error:
            raise BadRequest("There is no such session.") from error

    def _forget_transport(self, socket: WebSocket) -> None:
        self._transports.discard(socket)
        self._see_who_is_left()

    def _count_again(self) -> None:
        if self._complaints > LINES_A_SECOND:
            logger.warning("%d more mistakes like these were not logged", self._complaints - LINES_A_SECOND)
        self._complaints = 0


async def _read_whole(request: web.Request, limit: int) -> bytes:
    """Read a body to its end.

    Raises:
        TooLong: it goes on beyond the limit.
    """
    parts = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limit:
            raise TooLong(f"A request may have {limit:,} bytes at most.")
        parts.append(part)
    return b"".join(parts)
