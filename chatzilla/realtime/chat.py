"""The `/chat` namespace: what `docs/protocol.md` 1 says, and nothing more.

How an event gets its answer, `namespace` says; here is what can be called, what it does, and how both dialects put it.
"""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from chatzilla import wire
from chatzilla.core import messages, people, rooms
from chatzilla.core.limits import Allowance, Rate
from chatzilla.core.messages import Message
from chatzilla.core.rooms import LOBBY, ConnectionId
from chatzilla.core.session import Session
from chatzilla.errors import BadRequest, Forbidden, NotFound, SignInNeeded, TooFast
from chatzilla.logs import PEER
from chatzilla.realtime import packets
from chatzilla.realtime.connection import CHAT, Connection, Dialect
from chatzilla.realtime.desk import Desk
from chatzilla.realtime.line import Line
from chatzilla.realtime.namespace import Answer, Asked, Handler, Namespace, Outcome, waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chatzilla.core.catchup import Span
    from chatzilla.core.limits import Paces
    from chatzilla.core.messages import Change
    from chatzilla.core.presence import Presence
    from chatzilla.core.reading import Reading
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.signin import Bearer, SignIns
    from chatzilla.errors import ChatError
    from chatzilla.ports import Ports
    from chatzilla.realtime.channel import Channel
    from chatzilla.realtime.delivery import Delivery

logger = logging.getLogger(__name__)

COPIES_KEPT: Final = 16
"""Pages, and lists of who is there, that are kept as JSON: whoever is answered by the same one is given that."""

TYPING: Final = Rate(per_second=1, burst=3)

Call = Asked[Connection]
"""An event of a connection to `/chat`, on its way to an answer."""


class ChatNamespace(Namespace[Connection]):
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
        handlers: dict[str, Handler[Connection]] = {
            "join": Handler(wire.decode_join, self.on_join, alone=True),
            "leave": Handler(wire.decode_room, self.on_leave),
            "message": Handler(wire.decode_message, self.on_message),
            "edit": Handler(wire.decode_edit, self.on_change),
            "delete": Handler(wire.decode_delete, self.on_change),
            "read": Handler(wire.decode_read, self.on_read),
            "history": waiting(wire.decode_history, self.on_history),
            "typing": Handler(wire.decode_room, self.on_typing),
        }
        for event, errand in Desk(ports, presence, sign_ins).errands.items():
            handlers[event] = waiting(*errand)
        super().__init__(CHAT, handlers, frequent="message", read_frequent=wire.read_message)
        self._ports = ports
        self._presence = presence
        self._reading = reading
        self._delivery = delivery
        self._sign_ins = sign_ins
        self._paces = paces
        self._copies = packets.Copies(COPIES_KEPT)

    # Coming and going.

    def let_in(self, sid: ConnectionId, channel: Channel, auth: Mapping[str, Any]) -> Connection:
        """Take in a connection.

        Raises:
            SignInNeeded, TooFast: it brought a token that is not valid, or none where one is asked for.
            Forbidden: it is not wanted here.
        """
        full = auth.get("dialect") == "full"
        bearer = self._bearer(auth.get("token"), channel, needed=full and self._sign_ins.mode.closed)
        account = None if bearer is None else bearer.account
        session = Session(
            sid,
            posting=self._paces.posting(account, channel.address),
            asking=self._paces.asking(),
            typing=Allowance(TYPING, self._ports.clock),
            address=channel.address,
            account=account,
            by_token=account is not None,
            sign_in=None if bearer is None else bearer.standing,
            right=None if bearer is None else bearer.right,
        )
        line = Line(self.server.eio.limits.backlog)
        connection = Connection(session, line, channel, Dialect.FULL if full else Dialect.TUTORIAL)
        self._delivery.admit(connection)
        kept_out = self._sign_ins.bans.against(account, channel.address, LOBBY)
        hears = not self._sign_ins.mode.closed and session.right is None and kept_out is None
        if connection.dialect is Dialect.TUTORIAL and hears:
            self._ports.audience.subscribe(sid, LOBBY)
        logger.info("connection %s opened from %s", sid, channel.address, extra={PEER: channel.address})
        return connection

    def _bearer(self, token: object, channel: Channel, *, needed: bool) -> Bearer | None:
        """Who connects: by the token that they give, else by the cookie of their browser.

        Raises:
            SignInNeeded, TooFast: the token is not valid, or there is neither and one of them is needed.
            Forbidden: whoever it is is banned.
        """
        if token is not None:
            return self._sign_ins.enters(token, channel.address)
        if channel.ticket is not None:
            with contextlib.suppress(SignInNeeded, TooFast):  # a cookie that is over is as good as none
                return self._sign_ins.who(channel.ticket, channel.address)
        if needed:
            raise SignInNeeded("Sign in first: this server is not open to everybody.")
        self._sign_ins.bans.check(None, channel.address)
        return None

    def let_out(self, connection: Connection, reason: str) -> None:
        """A connection is gone, and with it whom it made be there."""
        session = connection.session
        rooms.part(self._ports, self._presence, session)
        self._delivery.forget(connection)
        logger.info("connection %s closed: %s", session.connection, reason, extra={PEER: connection.channel.address})

    # What can be called.

    def on_join(self, connection: Connection, request: wire.JoinRequest, call: Call) -> None:
        """Enter a room; in the tutorial's words, be somebody in the lobby."""
        session = connection.session
        session.asking.spend()
        if self._sign_ins.mode.closed and not session.by_token:
            raise SignInNeeded("Sign in first: this server is not open to everybody.")
        if request.simple and connection.dialect is Dialect.TUTORIAL and not session.by_token:
            if request.account is None:
                raise BadRequest("Say who you are: a join needs a name.")
            rooms.join(self._ports, self._presence, session, request.account, request.room)
            call.settle((True, request.account.name))
            return
        if not request.simple:
            self._speak_full(connection)
        call.run(partial(self._enter, session, request))

    def on_leave(self, connection: Connection, room: RoomId, call: Call) -> None:
        """Stop hearing a room."""
        connection.session.asking.spend()
        rooms.leave(self._ports, self._presence, connection.session, room)
        call.settle((True, {}))

    def on_message(self, connection: Connection, request: wire.MessageRequest, call: Call) -> None:
        """Say something. The next event may begin as soon as this one has its place in the log."""
        if connection.dialect is Dialect.TUTORIAL and not request.simple:
            raise BadRequest("A message has to be text.")
        room = request.draft.room
        if self._delivery.is_behind(room):  # what is said there waits until most of what was said is told
            call.later(partial(self._delivery.when_told, room))
            return
        messages.post(self._ports, connection.session, request.draft).then(call.settle)

    def on_change(self, connection: Connection, change: Change, call: Call) -> None:
        """Edit or delete a message. Like saying something, it keeps nobody waiting."""
        room = change.target.room
        if self._delivery.is_behind(room):
            call.later(partial(self._delivery.when_told, room))
            return

        def changed(outcome: Outcome) -> None:
            if isinstance(outcome, NotFound | Forbidden):  # no such message, or somebody else's
                outcome = self._ports.directory.vain.judged(connection.session.address, outcome)
            call.settle((True, wire.encode_message(outcome)) if isinstance(outcome, Message) else outcome)

        messages.change(self._ports, connection.session, change).then(changed)

    def on_read(self, connection: Connection, request: tuple[RoomId, int], call: Call) -> None:
        """Take in how far a person has read."""
        self._reading.read(connection.session, *request)
        call.settle((True, {}))

    async def on_history(self, session: Session, request: tuple[RoomId, Span]) -> wire.Json:
        """Read what was said earlier."""
        session.asking.spend()
        return wire.encode_page(await messages.history(self._ports, session, *request))

    def on_typing(self, connection: Connection, room: RoomId, call: Call) -> None:
        """Let the others see that somebody is writing."""
        messages.typing(self._ports, connection.session, room)
        call.settle((True, {}))

    async def _enter(self, session: Session, request: wire.JoinRequest) -> object:
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
            return entrance.account.name
        right = session.right
        token = self._sign_ins.token_of(entrance.account, session.sign_in) if right is None else right.token
        answer = wire.encode_entrance(entrance, token, self._copies.of)
        answer["room"] |= self._delivery.call_of(request.room)
        return answer

    def _speak_full(self, connection: Connection) -> None:
        """From its first `join` with an object, a connection hears what it has joined and nothing else."""
        if connection.dialect is Dialect.TUTORIAL:
            if LOBBY not in connection.session.rooms:
                self._ports.audience.unsubscribe(connection.session.connection, LOBBY, watching=False)
            self._delivery.speak_full(connection)

    # How it is answered.

    def answer_to(self, call: Call) -> Answer:
        """What a client is told about what it called; of its own message it is told the place, or its own words."""
        said = call.outcome
        if isinstance(said, Message):
            return True, said.content if call.simple else wire.encode_posted(said)
        return super().answer_to(call)

    def refusal_to(self, call: Call, refusal: ChatError) -> object:
        """A refusal in the shape of its call's argument; where that was neither text nor object, in its dialect's."""
        simple = call.entrant.dialect is Dialect.TUTORIAL if call.simple is None else call.simple
        return refusal.sentence if simple else super().refusal_to(call, refusal)
