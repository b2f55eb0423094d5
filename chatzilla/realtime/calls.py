"""The `/calls` namespace: what `docs/protocol.md` says of calls, and nothing more.

It lives beside `/chat` on the same connection, and works in its way: every call of a client is answered, in order, and
refused with a stable code where it is. A connection sits in one call at most. Losing it tears nothing down.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import socketio
import socketio.exceptions

from chatzilla import wire, wire_calls
from chatzilla.core.call import Flags, Pass, Seat, Ticket, ticket_of
from chatzilla.core.call_events import SIGNALLING
from chatzilla.core.connections import PUT_OUT
from chatzilla.core.limits import Allowance, Rate
from chatzilla.core.lookalikes import LOOKS_LIKE
from chatzilla.core.rooms import ConnectionId
from chatzilla.errors import ChatError, Forbidden, NotJoined, SignInNeeded, TooFast, Unavailable, UnknownEvent
from chatzilla.logs import PEER
from chatzilla.realtime import packets
from chatzilla.realtime.line import Event, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from chatzilla.core.bans import Ban
    from chatzilla.core.call_events import CallEvent, MediaRequest
    from chatzilla.core.calls import Calls
    from chatzilla.core.people import Account
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.signin import Bearer, SignIns
    from chatzilla.core.tokens import SignInId
    from chatzilla.ports import Clock
    from chatzilla.realtime.channel import Channel, Frame, Receiver
    from chatzilla.realtime.server import Server

logger = logging.getLogger(__name__)

CALLS: Final = "/calls"

SILENCE: Final = "ping timeout"
"""Why a connection ended that was silent."""

Answer = tuple[bool, object]


@dataclass(slots=True, eq=False)
class Visitor:
    """One connection as this door knows it."""

    seat: Seat
    channel: Channel
    line: Line


class Seats:
    """Implements `ports.Stage` over the connections of this process."""

    def __init__(self) -> None:
        self._visitors: dict[ConnectionId, Visitor] = {}

    def admit(self, visitor: Visitor) -> None:
        """A connection has come."""
        self._visitors[visitor.seat.connection] = visitor

    def visitor(self, ident: ConnectionId) -> Visitor | None:
        return self._visitors.get(ident)

    def forget(self, ident: ConnectionId) -> None:
        """A connection is gone; harmless twice."""
        self._visitors.pop(ident, None)

    def all(self) -> tuple[Visitor, ...]:
        return tuple(self._visitors.values())

    def tell(self, connections: Iterable[ConnectionId], event: CallEvent) -> None:
        name, payload = wire_calls.encode_event(event)
        frame = packets.event(CALLS, name, payload)
        for ident in connections:
            visitor = self._visitors.get(ident)
            if visitor is not None:
                self._write(visitor, frame)

    def dismiss(self, visitor: Visitor, code: str, message: str, *, reconnect: bool = True) -> None:
        """Close a connection of our own accord: it is told why, and whether it may come back. Harmless twice."""
        goodbye = packets.event(CALLS, "goodbye", wire.encode_goodbye(code, message, reconnect=reconnect))
        visitor.channel.close(f"dismissed: {code}", goodbye)

    def _write(self, visitor: Visitor, frame: Frame) -> None:
        """Give one connection one frame, or let it go when it cannot take more. Its participant may come back."""
        if visitor.channel.open and not visitor.channel.write(frame):
            # Closing it tells the others, and whoever tells must not be told in between.
            asyncio.get_running_loop().call_soon(
                partial(self.dismiss, visitor, "too-fast", "Your connection is too slow. You will be reconnected.")
            )


@dataclass(frozen=True, slots=True)
class _Verb:
    """What a client can call: how it is read, at once, and what is done when its turn comes."""

    decode: Callable[[object], Any]
    act: Callable[[Seat, Any], Coroutine[Any, Any, Mapping[str, Any]]]


class _Asked(Event):
    """One call of a client, on its way to an answer. Nothing else of its connection begins before it is done."""

    __slots__ = ("ack", "answered", "desk", "request", "size", "verb", "visitor")

    def __init__(
        self, desk: CallsNamespace, visitor: Visitor, verb: _Verb | None, request: object, ack: int | None, size: int
    ) -> None:
        super().__init__(visitor.line, alone=True)
        self.desk = desk
        self.visitor = visitor
        self.verb = verb
        self.request = request
        """What was read, or why it could not be."""
        self.ack = ack
        self.size = size
        """Bytes that it came in."""
        self.answered: Answer = (False, {})

    def begin(self) -> None:
        channel = self.visitor.channel
        if channel.behind:  # whoever does not read their answers gets no more of them
            channel.when_read(self.begin)
            return
        asyncio.get_running_loop().create_task(self._answer()).add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Answer]) -> None:
        if task.cancelled():
            self.answered = False, wire.encode_refusal(Unavailable("The server is restarting. Try again in a moment."))
        else:
            self.answered = task.result()
        self.finish()

    async def _answer(self) -> Answer:
        try:
            if self.desk.closing:
                raise Unavailable("The server is restarting. Try again in a moment.")
            if self.visitor.seat.ended:
                raise NotJoined("This connection has ended.")
            if self.verb is None:
                raise UnknownEvent("There is no such event here.")
            if isinstance(self.request, Exception):
                raise self.request
            return True, await self.verb.act(self.visitor.seat, self.request)
        except ChatError as refusal:
            return False, wire.encode_refusal(refusal)
        except Exception:
            reference = secrets.token_hex(4)
            logger.exception("an event of a call failed, reference %s", reference)
            unforeseen = ChatError(f"Something went wrong here. The operator finds it as {reference}.")
            return False, wire.encode_refusal(unforeseen)

    def answer(self) -> None:
        self.desk.give(self)


class CallsNamespace(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio ships no types
    """Calls, for whoever has a token."""

    server: Server

    def __init__(self, calls: Calls, seats: Seats, sign_ins: SignIns, clock: Clock, *, asking: Rate) -> None:
        super().__init__(CALLS)
        self._calls = calls
        self._seats = seats
        self._sign_ins = sign_ins
        self._clock = clock
        self._asking = asking
        self._verbs = {
            "join": _Verb(wire_calls.decode_join, self.on_join),
            "leave": _Verb(wire_calls.decode_nothing, self.on_leave),
            "state": _Verb(wire_calls.decode_state, self.on_state),
            "ice": _Verb(wire_calls.decode_nothing, self.on_ice),
            "signal": _Verb(wire_calls.decode_signal, self.on_media),
            "publish": _Verb(wire_calls.decode_publish, self.on_media),
            "candidate": _Verb(wire_calls.decode_candidate, self.on_media),
            "ready": _Verb(wire_calls.decode_ready, self.on_media),
            "quality": _Verb(wire_calls.decode_quality, self.on_media),
            "restart": _Verb(wire_calls.decode_restart, self.on_media),
            "moderate": _Verb(wire_calls.decode_moderate, self.on_moderate),
            "lock": _Verb(wire_calls.decode_lock, self.on_lock),
            "end": _Verb(wire_calls.decode_nothing, self.on_end),
            "peek": _Verb(wire_calls.decode_peek, self.on_peek),
        }
        self.closing = False
        """Whether nothing may begin any more."""
        self._running = 0
        self._quiet = asyncio.Event()

    @property
    def events(self) -> tuple[str, ...]:
        """What a client can call."""
        return tuple(self._verbs)

    async def trigger_event(self, event: str, *args: Any) -> None:
        """Take part in a connection's beginning and end; the library asks for these two, clients never do."""
        if event == "connect":
            sid, _, auth = args
            self._connect(ConnectionId(sid), auth)
        elif event == "disconnect":
            sid, reason = args
            self._disconnect(ConnectionId(sid), str(reason))

    def receiver(self, sid: str) -> Receiver:
        """Who takes the events of a connection that has just been let in."""
        visitor = self._seats.visitor(ConnectionId(sid))
        if visitor is None:
            raise RuntimeError("a connection that was not let in sends events")
        return partial(self._receive, visitor)

    def _receive(self, visitor: Visitor, told: bytes | list[Any], ack: int | None, size: int) -> None:
        """Let one event stand in its connection's line."""
        event = packets.read_event(told) if isinstance(told, bytes) else told
        channel = visitor.channel
        if not channel.open:
            return
        if visitor.line.waiting >= visitor.line.at_most:
            self._seats.dismiss(visitor, "too-fast", "Too much at once. You will be reconnected.")
            return
        name, payload = event[0], event[1] if len(event) > 1 else None
        verb = self._verbs.get(name) if isinstance(name, str) else None
        self._running += 1
        channel.asks(size)
        visitor.line.take(_Asked(self, visitor, verb, _read(verb, payload), ack, size))

    def give(self, asked: _Asked) -> None:
        """Answer one call, if the client asked for an answer."""
        self._running -= 1
        if self.closing and not self._running:
            self._quiet.set()
        channel = asked.visitor.channel
        channel.answered(asked.size)
        if asked.ack is not None and channel.open:
            channel.write_soon(packets.answer(CALLS, asked.ack, asked.answered))

    async def finish(self, seconds: float) -> None:
        """Begin nothing more, and give what has begun this long to be answered."""
        self.closing = True
        if self._running:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), seconds)

    def close(self, message: str) -> None:
        """Let everybody go in a way after which they come back to their calls."""
        for visitor in self._seats.all():
            self._seats.dismiss(visitor, "unavailable", message)

    def end_sign_ins(self, ended: Iterable[SignInId]) -> None:
        """Close every connection that stands on a sign-in which is over; its participant is out of the call."""
        gone = frozenset(ended)
        self._calls.end_sign_ins(gone)
        for visitor in self._seats.all():
            if visitor.seat.holder.sign_in in gone:
                self._seats.dismiss(visitor, "sign-in", "You have been signed out.", reconnect=False)

    def enforce(self, ban: Ban) -> None:
        """Put everybody out of calls whom a ban keeps out, and close their connections where it is of the server."""
        if ban.account is not None:
            self._calls.put_out(ban.account, ban.room)  # also whoever is reconnecting just now
        for visitor in self._seats.all():
            account, address = visitor.seat.holder.account, visitor.seat.address
            if self._sign_ins.bans.against(account, address, ban.room) is not ban:
                continue
            self._calls.put_out(account.id, ban.room)
            if ban.room is None:
                self._seats.dismiss(visitor, "forbidden", ban.sentence, reconnect=False)

    def end_rights(self, ended: Iterable[str]) -> None:
        """Close every connection that came by one of these rights; its participant is out of the call."""
        gone = frozenset(map(ticket_of, ended))
        self._calls.end_tickets(gone)
        for visitor in self._seats.all():
            if visitor.seat.holder.ticket in gone:
                self._seats.dismiss(visitor, "forbidden", PUT_OUT, reconnect=False)

    async def on_join(self, seat: Seat, request: wire_calls.JoinCall) -> Mapping[str, Any]:
        """Enter the call of a room, or come back to it."""
        seat.asking.spend()
        if request.resume is not None:
            flags = Flags(request.wish.audio, request.wish.video)
            return wire_calls.encode_entered(await self._calls.resume(seat, request.room, request.resume, flags))
        return wire_calls.encode_entered(await self._calls.join(seat, request.room, request.wish))

    async def on_leave(self, seat: Seat, _: None) -> Mapping[str, Any]:
        """Leave the call."""
        self._calls.leave(seat)
        return {}

    async def on_state(self, seat: Seat, flags: Flags) -> Mapping[str, Any]:
        """Let the others know what one sends and shows."""
        seat.asking.spend()
        return wire_calls.encode_participant(self._calls.change(seat, flags))

    async def on_ice(self, seat: Seat, _: None) -> Mapping[str, Any]:
        """Give fresh credentials for the relay."""
        seat.asking.spend()
        return wire_calls.encode_ice(self._calls.ice(seat))

    async def on_media(self, seat: Seat, request: MediaRequest) -> Mapping[str, Any]:
        """Hand over what is for the engine that carries the call."""
        seat.signals.spend()
        return await self._calls.handle(seat, request)

    async def on_moderate(self, seat: Seat, request: wire_calls.Moderate) -> Mapping[str, Any]:
        """Mute somebody, take away what they send, or remove them."""
        seat.asking.spend()
        await self._calls.moderate(seat, *request)
        return {}

    async def on_lock(self, seat: Seat, locked: bool) -> Mapping[str, Any]:
        """Let nobody in any more, or again."""
        seat.asking.spend()
        self._calls.lock(seat, locked=locked)
        return {}

    async def on_end(self, seat: Seat, _: None) -> Mapping[str, Any]:
        """End the call for everybody."""
        self._calls.end(seat)
        return {}

    async def on_peek(self, seat: Seat, room: RoomId) -> Mapping[str, Any]:
        """Tell who is in the call of a room."""
        seat.asking.spend()
        return wire_calls.encode_peek(self._calls.call_in(seat, room))

    def _connect(self, sid: ConnectionId, auth: object) -> None:
        """Take in a connection.

        Raises:
            ConnectionRefusedError: it brought nothing that says who it is, or what it brought is not valid.
        """
        channel = self.server.channel_of(sid, CALLS)
        try:
            holder = self._pass_of(auth if isinstance(auth, dict) else {}, channel)
        except (SignInNeeded, TooFast, Forbidden) as refusal:
            data = wire.encode_refusal(refusal)
            raise socketio.exceptions.ConnectionRefusedError(refusal.sentence, data) from refusal
        seat = Seat(
            sid,
            channel.address,
            holder,
            asking=Allowance(self._asking, self._clock),
            signals=Allowance(SIGNALLING, self._clock),
        )
        self._seats.admit(Visitor(seat, channel, Line(self.server.eio.limits.signal_backlog)))
        logger.info("connection %s to calls opened from %s", sid, channel.address, extra={PEER: channel.address})

    def _pass_of(self, auth: Mapping[str, Any], channel: Channel) -> Pass:
        """Who connects: by the token that they give, else by the cookie of their browser, else by the key of a place.

        Raises:
            SignInNeeded, TooFast: none of it is there and valid.
            Forbidden: they are banned, or are called like somebody who is signed in here.
        """
        token, key = auth.get("token"), auth.get("resume")
        try:
            if token is None and channel.ticket is None:
                raise SignInNeeded("Sign in first: a call needs to know who you are.")
            if token is None:
                return _pass(self._sign_ins.who(channel.ticket, channel.address), channel.ticket)
            bearer = self._sign_ins.enters(token, channel.address)
            if bearer.right is not None and bearer.sign_in is None:
                self._check_name(bearer.account)
            return _pass(bearer, token)
        except (SignInNeeded, TooFast):
            if key is None:
                raise
            holder = self._calls.pass_of(key)  # whose token is over, and whose call is not
            if holder.sign_in is not None and not self._sign_ins.lasts(holder.sign_in):
                raise
            self._sign_ins.bans.check(holder.account, channel.address)
            return holder

    def _check_name(self, account: Account) -> None:
        """See that an application calls nobody by a name that is somebody's here; the chat asks that as well.

        Raises:
            Forbidden: it does.
        """
        if self._sign_ins.holder(account.name) not in (None, account.id):
            raise Forbidden(LOOKS_LIKE)

    def _disconnect(self, sid: ConnectionId, reason: str) -> None:
        visitor = self._seats.visitor(sid)
        if visitor is None:
            return
        self._seats.forget(sid)
        self._calls.lost(visitor.seat, silent=reason == SILENCE)
        logger.info("connection %s to calls closed: %s", sid, reason, extra={PEER: visitor.channel.address})


def _read(verb: _Verb | None, payload: object) -> object:
    """What a call asks for, or why it cannot be understood."""
    if verb is None:
        return None
    try:
        return verb.decode(payload)
    except ChatError as refusal:
        return packets.bare(refusal)
    except Exception as error:  # noqa: BLE001  # `_answer` logs what nobody foresaw; the connection goes on
        return error


def _pass(bearer: Bearer, token: object) -> Pass:
    """What somebody holds. A right is one ticket, and so is a sign-in; a typed name's token is its own."""
    right = bearer.right
    if right is not None:
        return Pass(right.account, ticket_of(right.id), right.sign_in, right.room, right.role)
    if bearer.standing is not None:
        return Pass(bearer.account, Ticket(f"sign-in {bearer.standing}"), bearer.standing)
    digest = hashlib.sha256(str(token).encode()).hexdigest()
    return Pass(bearer.account, Ticket(f"token {digest[:32]}"))
