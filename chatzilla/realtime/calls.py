"""The `/calls` namespace: what `docs/protocol.md` says of calls, and nothing more.

It lives beside `/chat` on the same session, and answers in its way (see `namespace`), one event after the other. A
connection sits in one call at most. Losing it tears nothing down.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chatzilla import wire_calls
from chatzilla.core.call import Flags, Pass, Seat, Ticket, ticket_of
from chatzilla.core.call_events import SIGNALLING
from chatzilla.core.connections import PUT_OUT
from chatzilla.core.limits import Allowance, Rate
from chatzilla.core.lookalikes import LOOKS_LIKE
from chatzilla.errors import Forbidden, SignInNeeded, TooFast
from chatzilla.realtime import packets
from chatzilla.realtime.line import Line
from chatzilla.realtime.namespace import Entrant, Namespace, waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chatzilla.core.bans import Ban
    from chatzilla.core.call_entry import CallEntry
    from chatzilla.core.call_events import CallEvent, MediaRequest
    from chatzilla.core.call_roster import Roster
    from chatzilla.core.calls import Calls
    from chatzilla.core.people import Account
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.core.signin import Bearer, SignIns
    from chatzilla.core.tokens import SignInId
    from chatzilla.ports import Clock
    from chatzilla.realtime.channel import Channel, Frame

CALLS: Final = "/calls"

SILENCE: Final = "ping timeout"
"""Why a connection ended that was silent."""


@dataclass(slots=True, eq=False)
class Visitor(Entrant[Seat]):
    """One connection to `/calls`. What is kept about it is its seat."""

    namespace: ClassVar[str] = CALLS


class Seats:
    """Implements `ports.Stage` over the connections of this process."""

    def __init__(self) -> None:
        self._visitors: dict[ConnectionId, Visitor] = {}

    def admit(self, visitor: Visitor) -> None:
        """A connection has come."""
        self._visitors[visitor.session.connection] = visitor

    def forget(self, visitor: Visitor) -> None:
        """A connection is gone; harmless twice."""
        self._visitors.pop(visitor.session.connection, None)

    def all(self) -> tuple[Visitor, ...]:
        return tuple(self._visitors.values())

    def tell(self, connections: Iterable[ConnectionId], event: CallEvent) -> None:
        name, payload = wire_calls.encode_event(event)
        frame = packets.event(CALLS, name, payload)
        for ident in connections:
            visitor = self._visitors.get(ident)
            if visitor is not None:
                self._write(visitor, frame)

    def _write(self, visitor: Visitor, frame: Frame) -> None:
        """Give one connection one frame, or let it go when it cannot take more. Its participant may come back."""
        if visitor.channel.open and not visitor.channel.write(frame):
            # Closing it tells the others, and whoever tells must not be told in between.
            asyncio.get_running_loop().call_soon(
                partial(visitor.dismiss, "too-fast", "Your connection is too slow. You will be reconnected.")
            )


class CallsNamespace(Namespace[Visitor]):
    """Calls, for whoever has a token."""

    def __init__(
        self,
        roster: Roster,
        entry: CallEntry,
        calls: Calls,
        seats: Seats,
        sign_ins: SignIns,
        clock: Clock,
        *,
        asking: Rate,
    ) -> None:
        handlers = {
            "join": waiting(wire_calls.decode_join, self.on_join),
            "leave": waiting(wire_calls.decode_nothing, self.on_leave),
            "state": waiting(wire_calls.decode_state, self.on_state),
            "ice": waiting(wire_calls.decode_nothing, self.on_ice),
            "signal": waiting(wire_calls.decode_signal, self.on_media),
            "publish": waiting(wire_calls.decode_publish, self.on_media),
            "candidate": waiting(wire_calls.decode_candidate, self.on_media),
            "ready": waiting(wire_calls.decode_ready, self.on_media),
            "quality": waiting(wire_calls.decode_quality, self.on_media),
            "restart": waiting(wire_calls.decode_restart, self.on_media),
            "moderate": waiting(wire_calls.decode_moderate, self.on_moderate),
            "lock": waiting(wire_calls.decode_lock, self.on_lock),
            "end": waiting(wire_calls.decode_nothing, self.on_end),
            "peek": waiting(wire_calls.decode_peek, self.on_peek),
        }
        super().__init__(CALLS, handlers)
        self._leave = handlers["leave"]
        self._roster = roster
        self._entry = entry
        self._calls = calls
        self._seats = seats
        self._sign_ins = sign_ins
        self._clock = clock
        self._asking = asking

    # Coming and going.

    def let_in(self, sid: ConnectionId, channel: Channel, auth: Mapping[str, Any]) -> Visitor:
        """Take in a connection.

        Raises:
            SignInNeeded, TooFast, Forbidden: it brought nothing that says who it is, or what it brought is not valid.
        """
        seat = Seat(
            sid,
            channel.address,
            self._pass_of(auth, channel),
            asking=Allowance(self._asking, self._clock),
            signals=Allowance(SIGNALLING, self._clock),
        )
        visitor = Visitor(seat, Line(self.server.eio.limits.signal_backlog), channel)
        self._seats.admit(visitor)
        return visitor

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
            holder = self._entry.pass_of(key)  # whose token is over, and whose call is not
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

    def let_out(self, visitor: Visitor, reason: str, /) -> None:
        """A connection is gone; its participant is waited for, unless the last that it said was that they leave."""
        seat = visitor.session
        self._seats.forget(visitor)
        if visitor.has_asked(self._leave):
            self._roster.leave(seat)
        self._roster.lost(seat, silent=reason == SILENCE)

    # What can be called.

    async def on_join(self, seat: Seat, request: wire_calls.JoinCall) -> Mapping[str, Any]:
        """Enter the call of a room, or come back to it."""
        seat.asking.spend()
        if request.resume is not None:
            flags = Flags(request.wish.audio, request.wish.video)
            return wire_calls.encode_entered(await self._entry.resume(seat, request.room, request.resume, flags))
        return wire_calls.encode_entered(await self._entry.join(seat, request.room, request.wish))

    async def on_leave(self, seat: Seat, _: None) -> Mapping[str, Any]:
        """Leave the call."""
        self._roster.leave(seat)
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
        return wire_calls.encode_peek(self._entry.call_in(seat, room))

    # What ends connections from within.

    def close(self, message: str) -> None:
        """Let everybody go in a way after which they come back to their calls."""
        for visitor in self._seats.all():
            visitor.dismiss("unavailable", message)

    def end_sign_ins(self, ended: Iterable[SignInId]) -> None:
        """Close every connection that stands on a sign-in which is over; its participant is out of the call."""
        gone = frozenset(ended)
        self._roster.end_sign_ins(gone)
        for visitor in self._seats.all():
            if visitor.session.holder.sign_in in gone:
                visitor.dismiss("sign-in", "You have been signed out.", reconnect=False)

    def enforce(self, ban: Ban) -> None:
        """Put everybody out of calls whom a ban keeps out, and close their connections where it is of the server."""
        if ban.account is not None:
            self._roster.put_out(ban.account, ban.room)  # also whoever is reconnecting just now
        for visitor in self._seats.all():
            account, address = visitor.session.holder.account, visitor.session.address
            if self._sign_ins.bans.against(account, address, ban.room) is not ban:
                continue
            self._roster.put_out(account.id, ban.room)
            if ban.room is None:
                visitor.dismiss("forbidden", ban.sentence, reconnect=False)

    def end_rights(self, ended: Iterable[str]) -> None:
        """Close every connection that came by one of these rights; its participant is out of the call."""
        gone = frozenset(map(ticket_of, ended))
        self._roster.end_tickets(gone)
        for visitor in self._seats.all():
            if visitor.session.holder.ticket in gone:
                visitor.dismiss("forbidden", PUT_OUT, reconnect=False)


def _pass(bearer: Bearer, token: object) -> Pass:
    """What somebody holds. A right is one ticket, and so is a sign-in; a typed name's token is its own."""
    right = bearer.right
    if right is not None:
        return Pass(right.account, ticket_of(right.id), right.sign_in, right.room, right.role)
    if bearer.standing is not None:
        return Pass(bearer.account, Ticket(f"sign-in {bearer.standing}"), bearer.standing)
    digest = hashlib.sha256(str(token).encode()).hexdigest()
    return Pass(bearer.account, Ticket(f"token {digest[:32]}"))
