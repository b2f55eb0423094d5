"""What `/chat` and `/calls` have in common: a namespace that takes its events itself, and answers every one.

    received ─▶ read, at once ─▶ in its connection's line ─▶ begun ─▶ settled, now or later ─▶ answered

An answer is a success, a refusal with a stable code, or `internal` with a reference to the log. Events go by a table of
handlers, so a client cannot call what merely has the right name. Who may enter, and what an event does, the namespaces
say. Whoever has entered is what python-socketio keeps as the session of the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypeVar

import socketio
import socketio.exceptions

from chatzilla import wire
from chatzilla.core.rooms import ConnectionId
from chatzilla.core.session import GONE
from chatzilla.errors import ChatError, NotJoined, Unavailable, UnknownEvent
from chatzilla.realtime import packets
from chatzilla.realtime.line import Event, Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from chatzilla.realtime.channel import Channel, Receiver
    from chatzilla.realtime.server import Server

logger = logging.getLogger(__name__)

RESTARTING: Final = "The server is restarting. Try again in a moment."

Answer = tuple[bool, object]

Outcome = object
"""What an event came to: an `Answer`, the exception that says why not, or what its namespace makes an answer of."""


class Kept(Protocol):
    """What the core keeps about one connection."""

    ended: bool
    """Whether it is gone."""


K = TypeVar("K", bound=Kept)
E = TypeVar("E", bound="Entrant[Any]")


@dataclass(slots=True, eq=False)
class Entrant(Generic[K]):
    """One connection in a namespace: what is kept about it, whose turn it is on it, and what it is on."""

    namespace: ClassVar[str]

    session: K
    line: Line
    channel: Channel

    def has_asked(self, handler: Handler[Any]) -> bool:
        """Whether an event of this kind has come from it and is not answered yet."""
        return any(isinstance(event, Asked) and event.handler is handler for event in self.line.events)

    def dismiss(self, code: str, message: str, *, reconnect: bool = True) -> None:
        """Close it of our own accord: it is told why, and whether it may come back. Harmless twice."""
        dismiss(self.channel, self.namespace, code, message, reconnect=reconnect)


@dataclass(frozen=True, slots=True)
class Handler(Generic[E]):
    """How an event is read, at once, and what is done when its turn comes.

    Reading at once means that of what was sent only what is needed waits. `act` settles its event, now or later, or
    raises. An event that is `alone` asks the store, or changes it otherwise than through the log.
    """

    decode: Callable[[object], Any]
    act: Callable[[E, Any, Asked[E]], None]
    alone: bool = False


def waiting(decode: Callable[[object], Any], work: Callable[[Any, Any], Awaitable[object]]) -> Handler[Any]:
    """A handler that has to wait for something: what it returns for a session and a request is the success."""

    def act(entrant: Entrant[Any], request: object, asked: Asked[Any]) -> None:
        asked.run(partial(work, entrant.session, request))

    return Handler(decode, act, alone=True)


class Simple(Protocol):
    """A request that knows in what words it was made; see `Asked`."""

    @property
    def simple(self) -> bool: ...


class Asked(Event, Generic[E]):
    """One event of a client, on its way to an answer."""

    __slots__ = ("ack", "entrant", "handler", "namespace", "outcome", "request", "simple", "size")

    def __init__(  # one for each thing that is known of an event
        self,
        namespace: Namespace[E],
        entrant: E,
        handler: Handler[E],
        request: Any,
        simple: bool | None,
        ack: int | None,
        size: int,
    ) -> None:
        self.line = entrant.line
        self.alone = handler.alone
        self.done = False
        self.namespace = namespace
        self.entrant = entrant
        self.handler = handler
        self.request = request
        self.simple = simple
        """Whether it carried a text, as in the tutorial, or an object; None if neither. A refusal has its shape."""
        self.ack = ack
        """The number under which an answer is asked for, if one is."""
        self.size = size
        """Bytes that it came in."""
        self.outcome: Outcome = None

    def begin(self) -> None:
        channel = self.entrant.channel
        if channel.behind:  # whoever does not read their answers gets no more of them
            self.later(channel.when_read)
            return
        try:
            if self.namespace.closing:
                raise Unavailable(RESTARTING)
            if self.entrant.session.ended:
                raise NotJoined(GONE)
            self.handler.act(self.entrant, self.request, self)
        except Exception as error:  # noqa: BLE001  # `answer` gives it, and logs what nobody foresaw
            self.settle(error)

    def later(self, when: Callable[[Callable[[], None]], None]) -> None:
        """Begin it again when something has come to pass, and nothing of its connection before that."""
        self.line.hold()
        when(self._begin_after_all)

    def _begin_after_all(self) -> None:
        self.begin()
        self.line.go_on()

    def run(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do what has to wait for something, unless its connection is gone by then; what it returns is the success."""

        async def running() -> Answer:
            if self.entrant.session.ended:
                raise NotJoined(GONE)
            return True, await work()

        asyncio.get_running_loop().create_task(running()).add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[Answer]) -> None:
        self.settle(Unavailable(RESTARTING) if task.cancelled() else task.exception() or task.result())

    def settle(self, outcome: Outcome) -> None:
        """Say once what it came to."""
        self.outcome = outcome
        self.line.finished(self)

    def answer(self) -> None:
        namespace, channel = self.namespace, self.entrant.channel
        namespace.running -= 1
        if namespace.closing and not namespace.running:
            namespace.quiet.set()
        channel.answered(self.size)
        answer = namespace.answer_to(self)
        if self.ack is not None and channel.open:
            channel.write_soon(packets.answer(namespace.namespace, self.ack, answer))
        self.outcome = None  # a refusal has a traceback, which leads back here


class Namespace(socketio.AsyncNamespace, Generic[E]):  # type: ignore[misc]  # python-socketio ships no types
    """A namespace whose clients are answered, in order; a `server.Direct` one."""

    namespace: str
    server: Server

    def __init__(
        self,
        name: str,
        handlers: Mapping[str, Handler[E]],
        *,
        frequent: str | None = None,
        read_frequent: Callable[[bytes], Simple | None] = lambda _: None,
    ) -> None:
        """Begin with nobody.

        Args:
            name: of the namespace.
            handlers: what a client can call.
            frequent: the event that nearly all of them are.
            read_frequent: reads that one in one step from its JSON. What it returns None for is read by the way of all
                events, which finds out what it is, and refuses it.
        """
        super().__init__(name)
        self._handlers = handlers
        self._frequent = _UNKNOWN if frequent is None else handlers[frequent]
        self._read_frequent = read_frequent
        self.closing = False
        """Whether nothing may begin any more."""
        self.running = 0
        """Events that are not answered yet."""
        self.quiet = asyncio.Event()
        """Set when there are none any more, once it is closing."""

    def let_in(self, sid: ConnectionId, channel: Channel, auth: Mapping[str, Any]) -> E:
        """Take in a connection, by what it brought with it.

        Raises:
            ChatError: it may not enter.
        """
        raise NotImplementedError

    def let_out(self, entrant: E, reason: str) -> None:
        """A connection is gone, for whatever reason."""
        raise NotImplementedError

    @property
    def events(self) -> tuple[str, ...]:
        """What a client can call."""
        return tuple(self._handlers)

    # What the server calls.

    async def trigger_event(self, event: str, *args: Any) -> None:
        """Take part in a connection's beginning and end; the library asks for these two, clients never do.

        Raises:
            ConnectionRefusedError: it may not enter.
        """
        if event == "connect":
            sid, _, auth = args
            channel = self.server.channel_of(sid, self.namespace)
            try:
                entrant = self.let_in(ConnectionId(sid), channel, auth if isinstance(auth, dict) else {})
            except ChatError as refusal:
                data = wire.encode_refusal(refusal)
                raise socketio.exceptions.ConnectionRefusedError(refusal.sentence, data) from refusal
            await self.save_session(sid, entrant)
        elif event == "disconnect":
            sid, reason = args
            self.let_out(await self.get_session(sid), str(reason))

    async def receiver(self, sid: str) -> Receiver:
        """Who takes the events of a connection that has just been let in."""
        return partial(self._receive, await self.get_session(sid))

    def _receive(self, entrant: E, told: bytes | list[Any], ack: int | None, size: int) -> None:
        """Let one event stand in its connection's line."""
        channel = entrant.channel
        if not channel.open:
            return
        line = entrant.line
        if line.waiting >= line.at_most:
            entrant.dismiss("too-fast", "Too much at once. You will be reconnected.")
            return
        request = self._read_frequent(told) if isinstance(told, bytes) else None
        if request is not None:
            asked = Asked(self, entrant, self._frequent, request, request.simple, ack, size)
        else:
            event = packets.read_event(told) if isinstance(told, bytes) else told
            asked = Asked(self, entrant, *self._read(event), ack, size)
        self.running += 1
        channel.asks(size)
        line.take(asked)

    def _read(self, event: list[Any]) -> tuple[Handler[E], Any, bool | None]:
        """Read what is called, with what, and in what words; a refusal has a handler, too."""
        name, payload = event[0], event[1] if len(event) > 1 else None
        handler = self._handlers.get(name, _UNKNOWN) if isinstance(name, str) else _UNKNOWN
        simple = True if isinstance(payload, str) else False if isinstance(payload, dict) else None
        try:
            return handler, handler.decode(payload), simple
        except ChatError as refusal:
            return _UNREADABLE, packets.bare(refusal), simple
        except Exception as error:  # noqa: BLE001  # `answer_to` logs what nobody foresaw; the connection goes on
            return _UNREADABLE, error, simple

    # The way out.

    def answer_to(self, asked: Asked[E]) -> Answer:
        """What a client is told about what its event came to."""
        outcome = asked.outcome
        if not isinstance(outcome, BaseException):
            answer: Answer = outcome  # type: ignore[assignment]  # see `Outcome`
            return answer
        return False, self.refusal_to(asked, outcome if isinstance(outcome, ChatError) else self._unforeseen(outcome))

    def refusal_to(self, _asked: Asked[E], refusal: ChatError) -> object:
        """How a client is told that it is refused."""
        return wire.encode_refusal(refusal)

    def _unforeseen(self, error: BaseException) -> ChatError:
        """Log what nobody foresaw, and say no more about it than where to find it."""
        reference = secrets.token_hex(4)
        logger.error("an event of %s failed, reference %s", self.namespace, reference, exc_info=error)
        return ChatError(f"Something went wrong here. The operator finds it as {reference}.")

    async def finish(self, seconds: float) -> None:
        """Begin nothing more, and give what has begun this long to be answered."""
        self.closing = True
        if self.running:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.quiet.wait(), seconds)


def dismiss(channel: Channel, namespace: str, code: str, message: str, *, reconnect: bool) -> None:
    """Close a connection of our own accord, with a `goodbye` in one of its namespaces."""
    goodbye = packets.event(namespace, "goodbye", wire.encode_goodbye(code, message, reconnect=reconnect))
    channel.close(f"dismissed: {code}", goodbye)


def _ignore(_payload: object) -> None:
    """Read nothing."""


def _know_nothing(_entrant: Entrant[Any], _request: None, _asked: Asked[Any]) -> None:
    raise UnknownEvent("There is no such event here.")


def _refuse(_entrant: Entrant[Any], refusal: Exception, _asked: Asked[Any]) -> None:
    raise refusal


_UNKNOWN: Handler[Any] = Handler(_ignore, _know_nothing)
"""For what is called by a name that means nothing."""

_UNREADABLE: Handler[Any] = Handler(_ignore, _refuse)
"""For what is called in a way that cannot be read."""
