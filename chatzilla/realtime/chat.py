"""The `/chat` namespace: what `docs/protocol.md` 1 says, and nothing more.

Every call is answered, whatever it was: a success, a refusal with a stable code, or `internal` with a reference to
the log. Events go by the table in `ChatNamespace`, so a client cannot call what merely has the right name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

import socketio
import socketio.exceptions

from chatzilla import wire
from chatzilla.core import messages, people, rooms
from chatzilla.core.limits import Allowance, Rate
from chatzilla.core.messages import ClientId, Draft, Message
from chatzilla.core.rooms import LOBBY, ConnectionId
from chatzilla.core.session import Session
from chatzilla.errors import ChatError, NotJoined, SignInNeeded, Unavailable, UnknownEvent
from chatzilla.realtime import packets
from chatzilla.realtime.delivery import CHAT, Connection, Dialect
from chatzilla.realtime.line import Line, Outcome

if TYPE_CHECKING:
    from chatzilla.core.presence import Presence
    from chatzilla.core.tokens import Tokens
    from chatzilla.ports import Ports
    from chatzilla.realtime.delivery import Delivery

logger = logging.getLogger(__name__)

Answer = tuple[bool, object]
Handler = Callable[[Connection, object], "Answer | asyncio.Future[Message]"]
Reader = Callable[[Connection, object], Coroutine[Any, Any, Answer]]

WAITING_AT_MOST: Final = 1_000
"""Events of one connection that may wait for their turn."""

TYPING: Final = Rate(per_second=1, burst=3)


class ChatNamespace(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio ships no types
    """Text in rooms, for clients of both dialects."""

    def __init__(
        self,
        ports: Ports,
        presence: Presence,
        delivery: Delivery,
        tokens: Tokens,
        *,
        posting: Rate,
    ) -> None:
        super().__init__(CHAT)
        self._ports = ports
        self._presence = presence
        self._delivery = delivery
        self._tokens = tokens
        self._posting = posting
        self._events: dict[str, Handler] = {
            "leave": self.on_leave,
            "message": self.on_message,
            "typing": self.on_typing,
        }
        self._readers: dict[str, Reader] = {
            "join": self.on_join,
            "history": self.on_history,
        }
        self._running = 0
        self._closing = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def events(self) -> tuple[str, ...]:
        """What a client can call."""
        return (*self._events, *self._readers)

    async def trigger_event(self, event: str, *args: Any) -> None:
        """Take part in a connection's beginning and end; the library asks for these two, clients never do."""
        if event == "connect":
            sid, _, auth = args
            await self._connect(ConnectionId(sid), auth)
        elif event == "disconnect":
            sid, reason = args
            self._disconnect(ConnectionId(sid), str(reason))

    def receive(self, sid: str, event: str, arguments: list[object], ack: int | None) -> None:
        """Let one event stand in its connection's line."""
        connection = self._delivery.connection(ConnectionId(sid))
        if connection is None or not connection.channel.open:
            return
        if connection.line.waiting >= WAITING_AT_MOST:
            self._delivery.dismiss(connection, "too-fast", "Too much at once. You will be reconnected.")
            return
        payload = arguments[0] if arguments else None
        self._running += 1
        self._quiet.clear()
        connection.line.take(
            lambda: self._begin(connection, event, payload),
            lambda outcome: self._give(connection, ack, payload, outcome),
            alone=event in self._readers,
        )

    async def finish(self, seconds: float) -> None:
        """Begin nothing more, and give what has begun this long to be answered."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), seconds)

    async def on_join(self, connection: Connection, payload: object) -> Answer:
        """Enter a room; in the tutorial's words, be somebody in the lobby."""
        if not isinstance(payload, dict) and connection.dialect is Dialect.TUTORIAL:
            return self._join_as_in_the_tutorial(connection, payload)
        if isinstance(payload, str):
            payload = {"name": payload}
            entrance = await self._enter(connection, wire.decode_join(payload))
            return True, entrance.account.name
        request = wire.decode_join(payload)
        self._speak_full(connection)
        entrance = await self._enter(connection, request)
        return True, wire.encode_entrance(entrance, self._tokens.mint(entrance.account))

    def on_leave(self, connection: Connection, payload: object) -> Answer:
        """Stop hearing a room."""
        rooms.leave(self._ports, self._presence, connection.session, wire.decode_room(payload))
        return True, {}

    def on_message(self, connection: Connection, payload: object) -> asyncio.Future[Message]:
        """Say something. The next event may begin as soon as this one has its place in the log."""
        if isinstance(payload, str) or connection.dialect is Dialect.TUTORIAL:
            draft = Draft(LOBBY, ClientId(str(uuid.uuid4())), messages.parse_content(payload))
        else:
            draft = wire.decode_draft(payload)
        return messages.post(self._ports, connection.session, draft)

    async def on_history(self, connection: Connection, payload: object) -> Answer:
        """Read what was said earlier."""
        room, span = wire.decode_history(payload)
        page = await messages.history(self._ports, connection.session, room, span)
        return True, wire.encode_page(page)

    def on_typing(self, connection: Connection, payload: object) -> Answer:
        """Let the others see that somebody is writing."""
        messages.typing(self._ports, connection.session, wire.decode_room(payload))
        return True, {}

    async def _connect(self, sid: ConnectionId, auth: object) -> None:
        """Take in a connection.

        Raises:
            ConnectionRefusedError: it brought a token that is not valid.
        """
        wanted: Mapping[str, Any] = auth if isinstance(auth, dict) else {}
        clock = self._ports.clock
        session = Session(sid, posting=Allowance(self._posting, clock), typing=Allowance(TYPING, clock))
        if wanted.get("token") is not None:
            try:
                session.account = self._tokens.bearer(wanted["token"])
            except SignInNeeded as refusal:
                data = wire.encode_refusal(refusal)
                raise socketio.exceptions.ConnectionRefusedError(refusal.sentence, data) from refusal
            session.by_token = True
        connection = Connection(
            session=session,
            dialect=Dialect.FULL if wanted.get("dialect") == "full" else Dialect.TUTORIAL,
            line=Line(),
            channel=self.server.channel_of(sid, CHAT),
        )
        await self.save_session(sid, connection)
        self._delivery.admit(connection)
        if connection.dialect is Dialect.TUTORIAL:
            self._ports.audience.subscribe(sid, LOBBY)
        logger.info("connection %s opened from %s", sid, connection.channel.address)

    def _disconnect(self, sid: ConnectionId, reason: str) -> None:
        connection = self._delivery.connection(sid)
        if connection is None:
            return
        rooms.part(self._ports, self._presence, connection.session)
        self._delivery.forget(connection)
        logger.info("connection %s closed: %s", sid, reason)

    def _begin(self, connection: Connection, event: str, payload: object) -> Outcome:
        """Start one event: what it came to, or a future while it is under way. It never raises."""
        try:
            if self._closing:
                raise Unavailable("The server is restarting. Try again in a moment.")
            if connection.session.ended:
                raise NotJoined("This connection has ended.")
            if event in self._readers:
                return asyncio.get_running_loop().create_task(self._readers[event](connection, payload))
            handle = self._events.get(event)
            if handle is None:
                raise UnknownEvent("There is no such event here.")
            return handle(connection, payload)
        except Exception as error:  # noqa: BLE001  # `_give` answers it, and logs what nobody foresaw
            return error

    def _give(self, connection: Connection, ack: int | None, payload: object, outcome: Outcome) -> None:
        """Answer one event, if the client asked for an answer."""
        self._running -= 1
        if not self._running:
            self._quiet.set()
        answer = self._answer_of(connection, payload, outcome)
        if ack is not None:
            self._delivery.write(connection, packets.answer(CHAT, ack, answer))

    def _answer_of(self, connection: Connection, payload: object, outcome: Outcome) -> Answer:
        """What a client is told about what its call came to."""
        if isinstance(outcome, asyncio.Future):
            if outcome.cancelled():
                outcome = Unavailable("The server is restarting. Try again in a moment.")
            else:
                outcome = outcome.exception() or outcome.result()
        if isinstance(outcome, Message):
            return True, wire.encode_posted(outcome) if isinstance(payload, dict) else outcome.content
        if not isinstance(outcome, Exception):
            answer: Answer = outcome
            return answer
        refusal = outcome if isinstance(outcome, ChatError) else _unforeseen(outcome)
        shaped_as_object = isinstance(payload, dict) or (
            connection.dialect is Dialect.FULL and not isinstance(payload, str)
        )
        return False, wire.encode_refusal(refusal) if shaped_as_object else refusal.sentence

    def _join_as_in_the_tutorial(self, connection: Connection, name: object) -> Answer:
        """Be somebody in the lobby; a second name replaces the first."""
        session = connection.session
        account = people.who_speaks(session, name) if session.by_token else people.account_named(name)
        rooms.join(self._ports, self._presence, session, account, LOBBY)
        return True, account.name

    async def _enter(self, connection: Connection, request: wire.JoinRequest) -> rooms.Entrance:
        account = people.who_speaks(connection.session, request.name)
        return await rooms.enter(
            self._ports,
            self._presence,
            connection.session,
            account,
            request.room,
            cursor=request.cursor,
            epoch=request.epoch,
        )

    def _speak_full(self, connection: Connection) -> None:
        """From its first `join` with an object, a connection hears what it has joined and nothing else."""
        if connection.dialect is Dialect.TUTORIAL:
            if LOBBY not in connection.session.rooms:
                self._ports.audience.unsubscribe(connection.session.connection, LOBBY, watching=False)
            connection.dialect = Dialect.FULL


def _unforeseen(error: Exception) -> ChatError:
    """Log what nobody foresaw, and say no more about it than where to find it."""
    reference = secrets.token_hex(4)
    logger.error("an event failed, reference %s", reference, exc_info=error)
    return ChatError(f"Something went wrong here. The operator finds it as {reference}.")
