"""Engine.IO v4 under python-socketio: all sessions, and the requests that carry them.

A request is answered or refused within a bounded time, with a bounded body; what a session is, `channel` says.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web

from chatzilla.core.limits import Rate
from chatzilla.errors import BadRequest, Forbidden, Full, TooFast, TooLong, Unavailable, WrongType
from chatzilla.realtime import websocket
from chatzilla.realtime.channel import Channel, Frame, new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatzilla.realtime.websocket import WebSocket

logger = logging.getLogger(__name__)

LINES_A_SECOND: Final = 10
"""Lines of log about strangers' mistakes."""


PACKETS: Final = Rate(per_second=100.0, burst=5_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a session may take; sizes in bytes, times in seconds, 0 connections mean no limit. The defaults are those of
    the settings.

    `backlog` and `signal_backlog` are events that may wait for their turn, of what is said and of calls; `packets` is
    what one session may send, whatever it is; `attempts` how often it may ask to enter a namespace at once.
    """

    heartbeat: float = 10.0
    pong_within: float = 10.0
    payload: int = 1_000_000
    queue: int = 160 * 1024
    backlog: int = 1_000
    signal_backlog: int = 100
    packets: Rate = PACKETS
    attempts: int = 20
    upgrade_within: float = 10.0
    join_within: float = 20.0
    body_within: float = 10.0
    connections: int = 10_000
    connections_per_address: int = 500


class Listener(Protocol):
    """Who lives above the sessions."""

    def opened(self, channel: Channel) -> None: ...

    def received(self, channel: Channel, text: bytes) -> None:
        """A message has come, in UTF-8 unless its sender broke the rules.

        Raises:
            UnicodeDecodeError: it is no text.
            ValueError, RecursionError: it means nothing; the session is closed.
        """
        ...

    def attached(self, channel: Channel, data: bytes) -> None:
        """A binary message has come.

        Raises:
            ValueError: as above.
        """
        ...

    def closed(self, channel: Channel, reason: str) -> None: ...


class Engine:
    """All sessions, and the requests that carry them. python-socketio uses it as its `eio`."""

    async_mode = "aiohttp"

    def __init__(
        self,
        *,
        limits: Limits,
        admits_origin: Callable[[str | None, web.Request], bool],
        address_of: Callable[[web.Request], str],
        ticket_of: Callable[[web.Request], str | None] = lambda _: None,
        **_: object,
    ) -> None:
        self.limits = limits
        self.listener: Listener
        self.sockets: dict[str, Channel] = {}
        self._admits_origin = admits_origin
        self._address_of = address_of
        self._ticket_of = ticket_of
        self._addresses: Counter[str] = Counter()
        """Sessions from each address, those included that were closed and whose last words wait for a poll."""
        self._lines: Counter[str] = Counter()
        """WebSockets from each address, those included that are being closed, or refused."""
        self._farewells: dict[str, Channel] = {}
        self._transports: set[WebSocket] = set()
        self._all_gone = asyncio.Event()
        self._hearing = asyncio.Lock()
        """One body is heard in a turn of the event loop: each may hold a thousand packets."""
        self._complaints = 0
        self._draining = False

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where all of it runs. To ask asyncio takes a system call before Python 3.12, and each session asks."""
        return asyncio.get_running_loop()

    @cached_property
    def _hub(self) -> websocket.Hub:
        return websocket.Hub(self.loop)

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
            return self._shake_hands(request, sid)
        if transport != "polling":
            raise BadRequest("There is no such transport.")
        if request.method == "GET":
            body = self._begin_polling(request) if sid is None else await self._poll(sid, request)
        elif request.method == "POST" and sid is not None:
            body = await self._post(sid, request)
        else:
            raise BadRequest("This request means nothing here.")
        return web.Response(body=body, headers=headers, content_type="text/plain", charset="utf-8")

    async def drain(self, seconds: float) -> None:
        """Close every session that is still there, and give all transports this long to be gone; the rest is cut."""
        self._draining = True
        for channel in tuple(self.sockets.values()):  # whoever has entered no namespace was closed by none
            channel.close("the server stops")
        if self._transports or self._farewells:
            self._all_gone.clear()
            try:
                await asyncio.wait_for(self._all_gone.wait(), seconds)
            except TimeoutError:
                for socket in tuple(self._transports):
                    socket.transport.abort()
                for sid in tuple(self._farewells):
                    self._forget_farewell(sid)

    # What sessions call.

    def later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, action)

    def complain(self, line: str) -> None:
        """Log a stranger's mistake, but never more than a few lines a second."""
        if self._complaints == 0:
            self.later(1.0, self._count_again)
        self._complaints += 1
        if self._complaints <= LINES_A_SECOND:
            logger.warning("%s", line[:200])

    def keep_for_a_poll(self, channel: Channel) -> None:
        """The session was closed by us, and its last words wait for one more poll; until then it counts as there."""
        self._farewells[channel.sid] = channel
        self.later(self.limits.pong_within, lambda: self._forget_farewell(channel.sid))

    def said_farewell(self, channel: Channel) -> None:
        """Its last words were fetched."""
        self._forget_farewell(channel.sid)

    def _forget_farewell(self, sid: str) -> None:
        channel = self._farewells.pop(sid, None)
        if channel is not None:
            _count_off(self._addresses, channel.address)
        self._see_who_is_left()

    def _see_who_is_left(self) -> None:
        if not self._transports and not self._farewells:
            self._all_gone.set()

    def ended(self, channel: Channel, reason: str) -> None:
        del self.sockets[channel.sid]
        if channel.sid not in self._farewells:
            _count_off(self._addresses, channel.address)
        self.listener.closed(channel, reason)

    # What python-socketio calls, besides `sockets` and `handle_request`.

    def on(self, _event: str, _handler: object) -> None:
        """The listener is called directly; see `Listener`."""

    def attach(self, app: web.Application, path: str) -> None:
        app.router.add_route("*", f"/{path.strip('/')}/", self.handle_request)

    def generate_id(self) -> str:
        return new_id()

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

    def transport(self, sid: str) -> str:
        return self.sockets[sid].transport

    async def disconnect(self, sid: str) -> None:
        channel = self.sockets.get(sid)
        if channel is not None:
            channel.close("server disconnect")

    def start_background_task(self, target: Any, *args: Any) -> asyncio.Task[Any]:
        return self.loop.create_task(target(*args))

    def create_event(self) -> asyncio.Event:
        return asyncio.Event()

    async def sleep(self, seconds: float = 0) -> None:
        await asyncio.sleep(seconds)

    async def shutdown(self) -> None:
        """Nothing of ours runs in the background."""

    # Requests.

    def _open(self, request: web.Request, address: str) -> Channel:
        channel = Channel(self, address, self._ticket_of(request))
        self.sockets[channel.sid] = channel
        self._addresses[address] += 1
        self.listener.opened(channel)
        return channel

    def _check_room_for(self, address: str) -> None:
        """See whether one more session may be opened.

        Raises:
            TooFast, Full: over a limit.
        """
        if self._draining:
            raise Unavailable("The server is restarting. Try again in a moment.")
        self._check(len(self.sockets) + len(self._farewells), self._addresses, address)

    def _check(self, there: int, from_addresses: Counter[str], address: str) -> None:
        limits = self.limits
        if limits.connections and there >= limits.connections:
            raise Full("The server has as many connections as it takes. Try again later.")
        if limits.connections_per_address and from_addresses.get(address, 0) >= limits.connections_per_address:
            raise TooFast("There are too many connections from your address.", after=30)

    def _shake_hands(self, request: web.Request, sid: str | None) -> web.StreamResponse:
        known = None if sid is None else self._session(sid)
        address = self._address_of(request)
        if known is None:
            self._check_room_for(address)
        self._check(len(self._transports), self._lines, address)

        def owner(socket: WebSocket) -> websocket.Owner:
            self._transports.add(socket)
            self._lines[address] += 1
            socket.gone = lambda: self._forget_transport(socket, address)
            if known is not None:
                return known.knocked(socket)
            channel = self._open(request, address)
            channel.begin_on(socket)
            return channel

        limits = self.limits
        return websocket.accept(request, owner, self._hub, limit=limits.payload, queue=limits.queue)

    def _begin_polling(self, request: web.Request) -> bytes:
        address = self._address_of(request)
        self._check_room_for(address)
        return self._open(request, address).begin_polling()

    async def _poll(self, sid: str, request: web.Request) -> bytes:
        farewell = self._farewells.get(sid)
        if farewell is not None:
            return farewell.take_queue()
        channel = self._session(sid)
        if channel.transport != "polling":
            raise BadRequest("This session has moved to a WebSocket.")
        return await channel.poll(request)

    async def _post(self, sid: str, request: web.Request) -> bytes:
        channel = self._session(sid)
        if channel.transport != "polling":
            raise BadRequest("This session has moved to a WebSocket.")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise WrongType("A body comes as it is here, without a Content-Encoding.")  # half of one would be unpacked
        if (request.content_length or 0) > self.limits.payload:
            raise TooLong(f"A request may have {self.limits.payload:,} bytes at most.")
        channel.posts()
        try:
            await channel.may_be_read()
            body = await self._body(request)
            async with self._hearing:
                try:
                    if not channel.open:
                        raise BadRequest("There is no such session any more.")
                    channel.take_body(body)
                finally:
                    await asyncio.sleep(0)
        except (ValueError, RecursionError) as error:
            raise BadRequest("This body cannot be understood.") from error
        finally:
            channel.posted()
        return b"ok"

    async def _body(self, request: web.Request) -> bytes:
        """The body of a request, all of it.

        Raises:
            TooLong: it goes on beyond the limit.
            BadRequest: it does not come in time, or not whole.
        """
        try:
            async with asyncio.timeout(self.limits.body_within):
                return await _read_whole(request, self.limits.payload)
        except TimeoutError as error:
            raise BadRequest("The request's body did not come in time.") from error
        except (ConnectionError, web.RequestPayloadError) as error:
            raise BadRequest("The request's body did not come whole.") from error

    def _session(self, sid: str) -> Channel:
        try:
            return self.sockets[sid]
        except KeyError as error:
            raise BadRequest("There is no such session.") from error

    def _forget_transport(self, socket: WebSocket, address: str) -> None:
        self._transports.discard(socket)
        _count_off(self._lines, address)
        self._see_who_is_left()

    def _count_again(self) -> None:
        if self._complaints > LINES_A_SECOND:
            logger.warning("%d more mistakes like these were not logged", self._complaints - LINES_A_SECOND)
        self._complaints = 0


def _count_off(counted: Counter[str], address: str) -> None:
    """There is one less; nothing is kept of an address that has none."""
    counted[address] -= 1
    if not counted[address]:
        del counted[address]


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
