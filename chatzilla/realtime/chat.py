"""The `/chat` namespace: what `docs/protocol.md` 1 says, and nothing more.

Every call is answered, whatever it was: a success, a refusal with a stable code, or `internal` with a reference to
the log. Events go by the table in `ChatNamespace`, so a client cannot call what merely has the right name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import socketio
import socketio.exceptions

from chatzilla import wire
from chatzilla.core import messages, people, rooms
from chatzilla.core.limits import Allowance, Rate
from chatzilla.core.messages import Message
from chatzilla.core.rooms import LOBBY, ConnectionId
from chatzilla.core.session import GONE, Session
from chatzilla.errors import (
    BadRequest,
    ChatError,
    Forbidden,
    NotFound,
    NotJoined,
    SignInNeeded,
    TooFast,
    Unavailable,
    UnknownEvent,
)
from chatzilla.logs import PEER
from chatzilla.realtime import packets
from chatzilla.realtime.connection import CHAT, Connection, Dialect
from chatzilla.realtime.desk import Desk
from chatzilla.realtime.line import Event, Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from chatzilla.core.catchup import Span
    from chatzilla.core.limits import Paces
    from chatzilla.core.messages import Change
    from chatzilla.core.presence import Presence
    from chatzilla.core.reading import Reading
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.signin import Bearer, SignIns
    from chatzilla.ports import Ports
    from chatzilla.realtime.channel import Channel, Receiver
    from chatzilla.realtime.delivery import Delivery

logger = logging.getLogger(__name__)

Answer = tuple[bool, object]


Outcome = object
"""What a call came to: an `Answer`, a message that was stored, or the exception that says why not."""

Settle = Callable[[Outcome], None]
"""Told once what a call came to."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a client can call: how it is read, at once, and what is done when its turn comes.

    Reading at once means that of what was sent only what is needed waits. `act` settles its call, now or later, or
    raises. A call that is `alone` asks the store, or changes it otherwise than through the log.
    """

    decode: Callable[[object], Any]
    act: Callable[[Connection, Any, Settle], None]
    alone: bool = False


class _Asked(Event):
    """One call of a client, on its way to an answer."""

    __slots__ = ("ack", "call", "connection", "desk", "kind", "outcome", "request", "size")

    def __init__(  # one for each thing that is known of a call
        self,
        desk: ChatNamespace,
        connection: Connection,
        call: Call,
        request: Any,
        kind: type,
        ack: int | None,
        size: int,
    ) -> None:
        self.line = connection.line
        self.alone = call.alone
        self.done = False
        self.desk = desk
        self.connection = connection
        self.call = call
        self.request = request
        self.kind = kind
        """The type of what the client sent: a refusal has its shape."""
        self.ack = ack
        self.size = size
        """Bytes that it came in."""
        self.outcome: Outcome = None

    def begin(self) -> None:
        channel = self.connection.channel
        if channel.behind:  # whoever does not read their answers gets no more of them
            self.line.hold()
            channel.when_read(self._begin_after_all)
            return
        try:
            if self.desk.closing:
                raise Unavailable(RESTARTING)
            if self.connection.session.ended:
                raise NotJoined(GONE)
            self.call.act(self.connection, self.request, self.settle)
        except Exception as error:  # noqa: BLE001  # `answer` gives it, and logs what nobody foresaw
            self.settle(error)

    def _begin_after_all(self) -> None:
        self.begin()
        self.line.go_on()

    def settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.done = True
        self.line.finished(self)

    def answer(self) -> None:
        self.desk.give(self)
        self.outcome = None  # a refusal has a traceback, which leads back here


def _ignore(_payload: object) -> None:
    """Read nothing."""


def _know_nothing(_connection: Connection, _request: None, _settle: Settle) -> None:
    raise UnknownEvent("There is no such event here.")


def _refuse(_connection: Connection, refusal: Exception, _settle: Settle) -> None:
    raise refusal


_UNKNOWN: Final = Call(_ignore, _know_nothing)
"""What is called by a name that means nothing."""

_UNREADABLE: Final = Call(_ignore, _refuse)
"""What is called in a way that cannot be read."""


COPIES_KEPT: Final = 16
"""Pages, and lists of who is there, that are kept as JSON: whoever is answered by the same one is given that."""

RESTARTING: Final = "The server is restarting. Try again in a moment."

TYPING: Final = Rate(per_second=1, burst=3)


class ChatNamespace(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio ships no types
    """Text in rooms, for clients of both dialects."""

    def __init__(
        self,
        ports: Ports,
        presence: Presence,
        reading: Reading,
        delivery: Delivery,
        sign_ins: SignIns,
        paces: Paces,
    ) -> None:
        super().__init__(CHAT)
        self._ports = ports
        self._presence = presence
        self._reading = reading
        self._delivery = delivery
        self._sign_ins = sign_ins
        self._paces = paces
        self._message = Call(wire.decode_message, self.on_message)
        self._calls = {
            "join": Call(wire.decode_join, self.on_join, alone=True),
            "leave": Call(wire.decode_room, self.on_leave),
            "message": self._message,
            "edit": Call(wire.decode_edit, self.on_change),
            "delete": Call(wire.decode_delete, self.on_change),
            "read": Call(wire.decode_read, self.on_read),
            "history": Call(wire.decode_history, self.on_history, alone=True),
            "typing": Call(wire.decode_room, self.on_typing),
        }
        for event, (decode, act) in Desk(ports, presence, sign_ins).errands.items():
            self._calls[event] = Call(decode, partial(self._run_errand, act), alone=True)
        self._copies = packets.Copies(COPIES_KEPT)
        self.closing = False
        """Whether nothing may begin any more."""
        self._running = 0
        self._quiet = asyncio.Event()

    @property
    def events(self) -> tuple[str, ...]:
        """What a client can call."""
        return tuple(self._calls)

    async def trigger_event(self, event: str, *args: Any) -> None:
        """Take part in a connection's beginning and end; the library asks for these two, clients never do."""
        if event == "connect":
            sid, _, auth = args
            await self._connect(ConnectionId(sid), auth)
        elif event == "disconnect":
            sid, reason = args
            self._disconnect(ConnectionId(sid), str(reason))

    def receiver(self, sid: str) -> Receiver:
        """Who takes the events of a connection that has just been let in."""
        connection = self._delivery.connection(ConnectionId(sid))
        if connection is None:
            raise RuntimeError("a connection that was not let in sends events")
        return partial(self._receive, connection)

    def _receive(self, connection: Connection, told: bytes | list[Any], ack: int | None, size: int) -> None:
        """Let one event stand in its connection's line."""
        channel = connection.channel
        if not channel.open:
            return
        line = connection.line
        if line.waiting >= line.at_most:
            connection.dismiss("too-fast", "Too much at once. You will be reconnected.")
            return
        message = wire.read_message(told) if isinstance(told, bytes) else None
        if message is not None:
            asked = _Asked(self, connection, self._message, message, str if message.simple else dict, ack, size)
        else:
            event = packets.read_event(told) if isinstance(told, bytes) else told
            asked = _Asked(self, connection, *self._read(event), ack, size)
        self._running += 1
        channel.asks(size)
        line.take(asked)

    def _read(self, event: list[Any]) -> tuple[Call, Any, type]:
        """Read what is called, with what, and of what type that was; a refusal is a call, too."""
        name, payload = event[0], event[1] if len(event) > 1 else None
        call = self._calls.get(name, _UNKNOWN) if isinstance(name, str) else _UNKNOWN
        try:
            return call, call.decode(payload), type(payload)
        except ChatError as refusal:
            return _UNREADABLE, packets.bare(refusal), type(payload)
        except Exception as error:  # noqa: BLE001  # `answer` logs what nobody foresaw; the connection goes on
            return _UNREADABLE, error, type(payload)

    async def finish(self, seconds: float) -> None:
        """Begin nothing more, and give what has begun this long to be answered."""
        self.closing = True
        if self._running:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), seconds)

    def on_join(self, connection: Connection, request: wire.JoinRequest, settle: Settle) -> None:
        """Enter a room; in the tutorial's words, be somebody in the lobby."""
        session = connection.session
        session.asking.spend()
        if self._sign_ins.mode.closed and not session.by_token:
            raise SignInNeeded("Sign in first: this server is not open to everybody.")
        if request.simple and connection.dialect is Dialect.TUTORIAL and not session.by_token:
            if request.account is None:
                raise BadRequest("Say who you are: a join needs a name.")
            rooms.join(self._ports, self._presence, session, request.account, request.room)
            settle((True, request.account.name))
            return
        if not request.simple:
            self._speak_full(connection)
        _run(connection.session, partial(self._enter, connection, request), settle)

    def on_leave(self, connection: Connection, room: RoomId, settle: Settle) -> None:
        """Stop hearing a room."""
        connection.session.asking.spend()
        rooms.leave(self._ports, self._presence, connection.session, room)
        settle((True, {}))

    def on_message(self, connection: Connection, request: wire.MessageRequest, settle: Settle) -> None:
        """Say something. The next event may begin as soon as this one has its place in the log."""
        if connection.dialect is Dialect.TUTORIAL and not request.simple:
            raise BadRequest("A message has to be text.")
        if self._delivery.is_behind(request.draft.room):
            self._post_later(connection, request.draft.room, partial(self.on_message, connection, request), settle)
            return
        messages.post(self._ports, connection.session, request.draft).then(settle)

    def on_change(self, connection: Connection, change: Change, settle: Settle) -> None:
        """Edit or delete a message. Like saying something, it keeps nobody waiting."""
        if self._delivery.is_behind(change.target.room):
            self._post_later(connection, change.target.room, partial(self.on_change, connection, change), settle)
            return

        def changed(outcome: Outcome) -> None:
            if isinstance(outcome, NotFound | Forbidden):  # no such message, or somebody else's
                outcome = self._ports.directory.vain.judged(connection.session.address, outcome)
            settle((True, wire.encode_message(outcome)) if isinstance(outcome, Message) else outcome)

        messages.change(self._ports, connection.session, change).then(changed)

    def _post_later(self, connection: Connection, room: RoomId, act: Callable[[Settle], None], settle: Settle) -> None:
        """Let what is said in a room wait until most of what was said there is told."""

        def go_on() -> None:
            try:
                if self.closing:
                    raise Unavailable(RESTARTING)
                connection.session.check_going_on()
                act(settle)
            except Exception as error:  # noqa: BLE001  # as in `_Asked.begin`
                settle(error)
            connection.line.go_on()

        connection.line.hold()
        self._delivery.when_told(room, go_on)

    def on_read(self, connection: Connection, request: tuple[RoomId, int], settle: Settle) -> None:
        """Take in how far a person has read."""
        self._reading.read(connection.session, *request)
        settle((True, {}))

    def on_history(self, connection: Connection, request: tuple[RoomId, Span], settle: Settle) -> None:
        """Read what was said earlier."""
        _run(connection.session, partial(self._read_history, connection, *request), settle)

    def _run_errand(
        self,
        act: Callable[[Session, Any], Awaitable[wire.Json]],
        connection: Connection,
        request: object,
        settle: Settle,
    ) -> None:
        """Do something about rooms and members."""

        async def done() -> Answer:
            return True, await act(connection.session, request)

        _run(connection.session, done, settle)

    def on_typing(self, connection: Connection, room: RoomId, settle: Settle) -> None:
        """Let the others see that somebody is writing."""
        messages.typing(self._ports, connection.session, room)
        settle((True, {}))

    async def _connect(self, sid: ConnectionId, auth: object) -> None:
        """Take in a connection.

        Raises:
            ConnectionRefusedError: it brought a token that is not valid, or none where one is asked for; or it is not
                wanted here.
        """
        wanted: Mapping[str, Any] = auth if isinstance(auth, dict) else {}
        clock, channel = self._ports.clock, self.server.channel_of(sid, CHAT)
        full = wanted.get("dialect") == "full"
        bearer = self._bearer(wanted.get("token"), channel, needed=full and self._sign_ins.mode.closed)
        account = None if bearer is None else bearer.account
        session = Session(
            sid,
            posting=self._paces.posting(account, channel.address),
            asking=self._paces.asking(),
            typing=Allowance(TYPING, clock),
            address=channel.address,
            account=account,
            by_token=account is not None,
            sign_in=None if bearer is None else bearer.standing,
            right=None if bearer is None else bearer.right,
        )
        connection = Connection(
            session=session,
            dialect=Dialect.FULL if full else Dialect.TUTORIAL,
            line=Line(self.server.eio.limits.backlog),
            channel=channel,
        )
        await self.save_session(sid, connection)
        self._delivery.admit(connection)
        kept_out = self._sign_ins.bans.against(account, channel.address, LOBBY)
        hears = not self._sign_ins.mode.closed and session.right is None and kept_out is None
        if connection.dialect is Dialect.TUTORIAL and hears:
            self._ports.audience.subscribe(sid, LOBBY)
        logger.info("connection %s opened from %s", sid, channel.address, extra={PEER: channel.address})

    def _bearer(self, token: object, channel: Channel, *, needed: bool) -> Bearer | None:
        """Who connects: by the token that they give, else by the cookie of their browser.

        Raises:
            ConnectionRefusedError: the token is not valid, or there is neither and one of them is needed; or whoever
                it is is banned.
        """
        try:
            if token is not None:
                return self._sign_ins.enters(token, channel.address)
            if channel.ticket is not None:
                with contextlib.suppress(SignInNeeded, TooFast):  # a cookie that is over is as good as none
                    return self._sign_ins.who(channel.ticket, channel.address)
            if needed:
                raise SignInNeeded("Sign in first: this server is not open to everybody.")
            self._sign_ins.bans.check(None, channel.address)
        except (SignInNeeded, TooFast, Forbidden) as refusal:
            data = wire.encode_refusal(refusal)
            raise socketio.exceptions.ConnectionRefusedError(refusal.sentence, data) from refusal
        return None

    def _disconnect(self, sid: ConnectionId, reason: str) -> None:
        connection = self._delivery.connection(sid)
        if connection is None:
            return
        rooms.part(self._ports, self._presence, connection.session)
        self._delivery.forget(connection)
        logger.info("connection %s closed: %s", sid, reason, extra={PEER: connection.channel.address})

    def give(self, asked: _Asked) -> None:
        """Answer one call, if the client asked for an answer."""
        self._running -= 1
        if self.closing and not self._running:
            self._quiet.set()
        channel = asked.connection.channel
        channel.answered(asked.size)
        outcome = asked.outcome
        if isinstance(outcome, Message):
            answer: Answer = True, wire.encode_posted(outcome) if asked.kind is dict else outcome.content
        else:
            answer = self._answer_of(asked)
        if asked.ack is not None and channel.open:
            channel.write_soon(packets.answer(CHAT, asked.ack, answer))

    def _answer_of(self, asked: _Asked) -> Answer:
        """What a client is told about what its call came to, unless that is a message of its own."""
        outcome, kind = asked.outcome, asked.kind
        if not isinstance(outcome, BaseException):
            answer: Answer = outcome  # type: ignore[assignment]  # see `Outcome`
            return answer
        if isinstance(outcome, asyncio.CancelledError):
            outcome = Unavailable(RESTARTING)
        refusal = outcome if isinstance(outcome, ChatError) else _unforeseen(outcome)
        shaped_as_object = kind is dict or (asked.connection.dialect is Dialect.FULL and kind is not str)
        return False, wire.encode_refusal(refusal) if shaped_as_object else refusal.sentence

    async def _enter(self, connection: Connection, request: wire.JoinRequest) -> Answer:
        session = connection.session
        entrance = await rooms.enter(
            self._ports,
            self._presence,
            session,
            people.who_speaks(session, request.account),
            request.room,
            cursor=request.cursor,
            epoch=request.epoch,
        )
        if request.simple:
            return True, entrance.account.name
        right = session.right
        token = self._sign_ins.token_of(entrance.account, session.sign_in) if right is None else right.token
        answer = wire.encode_entrance(entrance, token, self._copies.of)
        answer["room"] |= self._delivery.call_of(request.room)
        return True, answer

    async def _read_history(self, connection: Connection, room: RoomId, span: Span) -> Answer:
        connection.session.asking.spend()
        return True, wire.encode_page(await messages.history(self._ports, connection.session, room, span))

    def _speak_full(self, connection: Connection) -> None:
        """From its first `join` with an object, a connection hears what it has joined and nothing else."""
        if connection.dialect is Dialect.TUTORIAL:
            if LOBBY not in connection.session.rooms:
                self._ports.audience.unsubscribe(connection.session.connection, LOBBY, watching=False)
            self._delivery.speak_full(connection)


def _run(session: Session, work: Callable[[], Awaitable[Answer]], settle: Settle) -> None:
    """Do what has to wait for something, unless its connection is gone when its turn comes."""

    async def run() -> Answer:
        session.check_going_on()
        return await work()

    def done(task: asyncio.Task[Answer]) -> None:
        settle(asyncio.CancelledError() if task.cancelled() else task.exception() or task.result())

    asyncio.get_running_loop().create_task(run()).add_done_callback(done)


def _unforeseen(error: BaseException) -> ChatError:
    """Log what nobody foresaw, and say no more about it than where to find it."""
    reference = secrets.token_hex(4)
    logger.error("an event failed, reference %s", reference, exc_info=error)
    return ChatError(f"Something went wrong here. The operator finds it as {reference}.")
