"""python-socketio's server on our own sessions.

Namespaces, their sessions and rooms stay python-socketio's, and any `AsyncNamespace` of its works here. One that is
`Direct`, as `/chat` and `/calls` are, is driven without a task for each event; others are run in order, one event of a
connection after the other. Parsing, connecting and disconnecting are ours: strict, always answered, and without ghosts.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import socketio
import socketio.exceptions
import socketio.packet

from chatzilla.realtime import packets
from chatzilla.realtime.engine import Engine
from chatzilla.realtime.queues import Queues

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from aiohttp import web

    from chatzilla.realtime.channel import Channel, Receiver
    from chatzilla.realtime.engine import Limits
    from chatzilla.realtime.packets import Packet

logger = logging.getLogger(__name__)

T = TypeVar("T")


@runtime_checkable
class Direct(Protocol):
    """A namespace whose handlers of `connect` and `disconnect` never wait, and which takes events itself."""

    namespace: str

    async def trigger_event(self, event: str, *args: Any) -> Any: ...

    async def receiver(self, sid: str) -> Receiver:
        """Who takes the events of a connection, which has just been let in."""
        ...


class Server(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio ships no types
    """The Socket.IO server: `engine.Listener` below, python-socketio above."""

    def __init__(
        self,
        *,
        limits: Limits,
        admits_origin: Callable[[str | None, web.Request], bool],
        address_of: Callable[[web.Request], str],
        ticket_of: Callable[[web.Request], str | None] = lambda _: None,
    ) -> None:
        super().__init__(
            client_manager=_Manager(),
            limits=limits,
            admits_origin=admits_origin,
            address_of=address_of,
            ticket_of=ticket_of,
        )
        self.eio: Engine
        self.eio.listener = self
        self.directs: dict[str, Direct] = {}
        """The namespaces that are driven without a task for each event."""
        self._attachments: dict[str, packets.Attachments] = {}
        """The binary packets whose attachments are still to come, by session."""
        self._sessions: dict[str, Any] = {}
        """What namespaces keep about the connections that have entered them, by the ids of these."""
        self._queues = Queues()

    # What the engine calls.

    def opened(self, channel: Channel) -> None:
        self.environ[channel.sid] = {"REMOTE_ADDR": channel.address}

    def received(self, channel: Channel, text: bytes) -> None:
        """Take one Socket.IO packet.

        Raises:
            UnicodeDecodeError: it is no text.
            ValueError, RecursionError: it is none; the connection is closed.
        """
        if self._attachments and channel.sid in self._attachments:
            raise ValueError("an attachment was to come")
        head = packets.EVENT_HEAD.match(text)
        if head is not None:  # as nearly all of them are
            namespace, ident = head.groups()
            receive = channel.receivers.get(namespace)
            if receive is not None:
                receive(text[head.end() :], None if ident is None else int(ident), len(text))
                return
        packet = packets.parse(text.decode())
        if packet.kind == packets.CONNECT:
            self._connect(channel, packet)
        elif packet.kind == packets.DISCONNECT:
            if self._queues.waiting(channel.sid) >= self.eio.limits.backlog:
                raise ValueError("too much at once")
            self._run(channel, packet.namespace, self._leave(channel, packet.namespace, self.reason.CLIENT_DISCONNECT))
        elif packet.attachments:
            direct = packet.namespace in self.directs
            self._attachments[channel.sid] = packets.Attachments(packet, len(text), keep=not direct)
        else:
            self._take(channel, packet, packet.data, len(text))

    def closed(self, channel: Channel, reason: str) -> None:
        self._attachments.pop(channel.sid, None)
        for namespace in tuple(self.manager.get_namespaces()):
            if self._sid(channel, namespace) is not None:
                self._run(channel, namespace, self._leave(channel, namespace, reason))
        self.environ.pop(channel.sid, None)

    def channel_of(self, sid: str, namespace: str) -> Channel:
        """The connection behind an id that python-socketio knows."""
        return self.eio.sockets[self.manager.eio_sid_from_sid(sid, namespace)]

    # How packets travel.

    def _take(self, channel: Channel, packet: Packet, data: list[object], size: int) -> None:
        """Hand an event or an ack, which came in so many bytes, to its namespace."""
        sid = self._sid(channel, packet.namespace)
        if self._queues.waiting(channel.sid) >= self.eio.limits.backlog:
            raise ValueError("too much at once")
        if sid is None and not self._queues.waiting(channel.sid):
            raise ValueError("not in this namespace")
        if packet.kind in (packets.ACK, packets.BINARY_ACK):
            if packet.id not in self.manager.callbacks.get(sid, ()):
                return  # nobody asked, or no longer waits
            self._queues.add(channel.sid, self._handle_ack(channel.sid, packet.namespace, packet.id, data))
        elif packet.namespace in self.directs:
            receive = channel.receivers.get(packet.namespace.encode())
            if receive is not None:
                receive(data, packet.id, size)
        else:
            self._run(channel, packet.namespace, self._handle(channel, packet, data))

    def attached(self, channel: Channel, data: bytes) -> None:
        """Take one attachment of the last packet.

        Raises:
            ValueError: it has none, or has them all.
        """
        waiting = self._attachments.get(channel.sid)
        if waiting is None:
            raise ValueError("an attachment of nothing")
        if waiting.add(data):
            del self._attachments[channel.sid]
            self._take(channel, waiting.packet, waiting.whole(), waiting.size)

    def _connect(self, channel: Channel, packet: Packet) -> None:
        if channel.attempts():
            raise ValueError("too many attempts to enter a namespace")
        if packet.namespace not in self.namespace_handlers and packet.namespace not in self.handlers:
            self._send(channel, packets.CONNECT_ERROR, packet.namespace, {"message": "Invalid namespace"})
            return
        self._run(channel, packet.namespace, self._enter(channel, packet.namespace, packet.data))

    async def _enter(self, channel: Channel, namespace: str, auth: object) -> None:
        """Let a connection into a namespace, or tell it why not."""
        if not channel.open:
            return  # it went before its turn came, so nothing would ever take it out again
        sid = await self.manager.pre_connect(channel.sid, namespace)
        if sid is None:
            self._send(channel, packets.CONNECT_ERROR, namespace, {"message": "Already in this namespace"})
            return
        try:
            environ = self.environ.get(channel.sid, {})
            accepted = await self._ask("connect", namespace, sid, environ, auth)
            refusal: object = {"message": "Connection rejected by server"}
        except socketio.exceptions.ConnectionRefusedError as error:
            accepted, refusal = False, error.error_args
        except Exception:
            reference = secrets.token_hex(4)
            logger.exception("connecting to %s failed, reference %s", namespace, reference)
            accepted, refusal = False, {"message": "internal", "data": {"code": "internal", "message": reference}}
        if accepted is False:
            self._sessions.pop(sid, None)
            await self.manager.disconnect(sid, namespace, ignore_queue=True)
            self._send(channel, packets.CONNECT_ERROR, namespace, refusal)
            return
        await self.manager.connect(sid, namespace)
        if namespace in self.directs:
            channel.receivers[namespace.encode()] = await self.directs[namespace].receiver(sid)
        channel.joined()
        self._send(channel, packets.CONNECT, namespace, {"sid": sid})

    async def _ask(self, event: str, namespace: str, *arguments: object) -> object:
        """Let a namespace take part; False says no to a connection, and so does ConnectionRefusedError."""
        direct = self.directs.get(namespace)
        if direct is not None:  # without the looks at its handlers that the library takes
            return await direct.trigger_event(event, *arguments)
        return await self._trigger_event(event, namespace, *arguments)

    async def _leave(self, channel: Channel, namespace: str, reason: str) -> None:
        """Take a connection out of a namespace, whatever its handler does."""
        sid = self._sid(channel, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            return  # it is not there, or on its way out already
        self.manager.pre_disconnect(sid, namespace)
        channel.receivers.pop(namespace.encode(), None)
        try:
            await self._ask("disconnect", namespace, sid, reason)
        except Exception:
            logger.exception("disconnecting from %s failed", namespace)
        finally:
            self._sessions.pop(sid, None)
            await self.manager.disconnect(sid, namespace, ignore_queue=True)
            if channel.open and not any(self._sid(channel, other) for other in self.manager.get_namespaces()):
                channel.left()

    async def _handle(self, channel: Channel, packet: Packet, data: list[object]) -> None:
        """Run one event of a namespace of python-socketio's own kind, and answer it."""
        sid = self._sid(channel, packet.namespace)
        name = data[0]
        if sid is None or not isinstance(name, str) or name in self.reserved_events:
            return
        result = await self._trigger_event(name, packet.namespace, sid, *data[1:])
        if packet.id is not None and result is not self.not_handled:
            values = list(result) if isinstance(result, tuple) else [] if result is None else [result]
            answer = socketio.packet.Packet(packets.ACK, values, packet.namespace, packet.id)
            await self._send_packet(channel.sid, answer)

    def _run(self, channel: Channel, namespace: str, work: Coroutine[Any, Any, None]) -> None:
        """Do something for a connection: at once in a direct namespace, else after all that came before it."""
        if namespace in self.directs:
            _run_now(work)
            return
        self._queues.add(channel.sid, work)

    def _send(self, channel: Channel, kind: int, namespace: str, data: object) -> None:
        channel.write(packets.packet(kind, namespace, data))

    def _sid(self, channel: Channel, namespace: str) -> str | None:
        sid: str | None = self.manager.sid_from_eio_sid(channel.sid, namespace)
        return sid

    # What users of python-socketio call, done in our way.

    async def get_session(self, sid: str, namespace: str | None = None) -> Any:
        """What is kept about a connection: also for whoever is told of its end, when its channel is gone."""
        if self.manager.eio_sid_from_sid(sid, namespace or "/") is None:
            raise KeyError(sid)
        return self._sessions.setdefault(sid, {})

    async def save_session(self, sid: str, session: Any, namespace: str | None = None) -> None:
        if self.manager.eio_sid_from_sid(sid, namespace or "/") is None:
            raise KeyError(sid)
        self._sessions[sid] = session

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:  # noqa: ARG002  # python-socketio's
        """Show a connection out of a namespace."""
        where = namespace or "/"
        if self.manager.is_connected(sid, where):
            channel = self.channel_of(sid, where)
            await self._send_packet(channel.sid, socketio.packet.Packet(packets.DISCONNECT, namespace=where))
            await self._leave(channel, where, self.reason.SERVER_DISCONNECT)

    def register_namespace(self, namespace_handler: Any) -> None:
        super().register_namespace(namespace_handler)
        if isinstance(namespace_handler, Direct):
            self.directs[namespace_handler.namespace] = namespace_handler

    def _engineio_server_class(self) -> type[Engine]:
        return Engine


class _Manager(socketio.AsyncManager):  # type: ignore[misc]  # python-socketio ships no types
    """python-socketio's bookkeeping, which knows where a connection is without looking through all rooms."""

    def __init__(self) -> None:
        super().__init__()
        self._rooms_of: dict[tuple[str, str], set[str]] = {}

    def basic_enter_room(self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None) -> None:
        if room == sid and namespace in self.server.directs:
            return  # a room of its own for each of ten thousand connections, which `get_participants` does without
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        if room is not None:
            self._rooms_of.setdefault((namespace, sid), set()).add(room)

    def get_participants(self, namespace: str, room: object) -> Iterator[tuple[str, str]]:
        alone = self.rooms.get(namespace, {}).get(None, {}).get(room) if isinstance(room, str) else None
        if alone is not None:
            yield str(room), alone
        else:
            yield from super().get_participants(namespace, room)

    def basic_disconnect(self, sid: str, namespace: str, **_: object) -> None:
        for room in (*self._rooms_of.pop((namespace, sid), ()), None):
            self.basic_leave_room(sid, namespace, room)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]


def _run_now(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that does not wait for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a direct namespace must not wait")
