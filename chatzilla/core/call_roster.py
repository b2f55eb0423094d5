"""The roster of calls: which ones go on, who is in them, and what becomes of them when a connection is lost.

A room has one call at most. Whoever enters becomes a participant, whose id is ours and outlives every connection:

    here ──connection lost──▶ reconnecting ──resumed──▶ here
      └──────────── left, removed, superseded, or not back in time ────────────▶ gone

How media travels is an engine's matter, behind the port `Media`; the roster here is the same for all of them, and
knows nothing of sockets either. What has to outlive the process (which calls there are, who is in them, who was put
out) is kept in a book, so that after a restart everybody is found as they were, reconnecting.

A call goes on when nothing can be stored: the book is best effort, and the notice at a call's end is tried again.

Nobody is asked here whether they may: who enters is judged by `call_entry`, and what is done in a call by `calls`.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Final

from chatzilla.core.call import SHOWN, Call, CallId, Flags, Participant, Reason, record_of, summary_of, ticket_key
from chatzilla.core.call_events import CallEnded, ParticipantChanged, Superseded
from chatzilla.core.call_limits import AS_EVERYWHERE
from chatzilla.core.call_notice import Notices
from chatzilla.core.limits import Rate, Shared
from chatzilla.core.pace import Pacer
from chatzilla.errors import Full, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chatzilla.core.call import ParticipantId, Seat, Ticket
    from chatzilla.core.call_events import CallEvent
    from chatzilla.core.call_limits import RoomLimits
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.signin import SignIns
    from chatzilla.core.tokens import SignInId
    from chatzilla.ports import Audience, CallBook, Clock, Log, Media, Stage

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 20.0
"""How long a participant whose connection is lost may take to come back."""

GRACE_AFTER_SILENCE_SECONDS: Final = 15.0
"""The same where the connection was silent before it was given up: they have been away for two heartbeats already."""

CALLS_AT_MOST: Final = 500
"""Calls that a server carries at once."""

BEGINNING: Final = Rate(per_second=0.2, burst=20)
"""How often calls may be begun from one address: each leaves a notice in a room."""

ROOM_PACE_SECONDS: Final = 1.0
"""How often a room is told of its call, at most."""

NO_CALLS: Final = "Calls are not possible on this server now."


class Roster:
    """All calls of this server."""

    def __init__(
        self,
        clock: Clock,
        log: Log,
        stage: Stage,
        audience: Audience,
        book: CallBook,
        engines: Sequence[Media],
        limits: Mapping[RoomId, RoomLimits],
    ) -> None:
        """Begin with no calls.

        Args:
            clock: what time it is.
            log: takes the notices.
            stage: tells participants.
            audience: tells rooms.
            book: keeps what outlives the process.
            engines: what can carry media, the preferred one first; none where calls are switched off.
            limits: what is different about calls in some rooms.
        """
        self._clock = clock
        self._notices = Notices(clock, log, book)
        self._stage = stage
        self._audience = audience
        self._book = book
        self._engines = tuple(engines)
        self._limits = limits
        self._calls: dict[RoomId, Call] = {}
        self._beginning = Shared(BEGINNING, clock)
        self._stopping = False

    # The life of the server.

    def start(self, sign_ins: SignIns) -> None:
        """Find the calls that there were, with everybody reconnecting who may still come back."""
        for record in self._book.recall():
            engine = next((each for each in self._engines if each.name == record.engine), None)
            people = [each for each in record.people if each.sign_in is None or sign_ins.lasts(each.sign_in)]
            if engine is None or record.room in self._calls or not people:
                self._notices.tell(record)
                continue
            call = self._made(record.room, record.began_by, engine, record.since, ident=record.id)
            call.locked, call.others, call.heard_of = record.locked, record.others, record.heard_of
            call.barred, call.names = dict.fromkeys(record.barred), dict(record.names)
            for each in people:
                participant = Participant(
                    each.id,
                    each.account,
                    each.role,
                    each.ticket,
                    each.joined_at,
                    each.sign_in,
                    publishes=each.publishes,
                )
                call.participants[each.id] = participant
                self._wait_for(call, participant, GRACE_SECONDS)
            self._tell_room(call)

    def stop(self) -> None:
        """Leave everything as it stands: whoever is in a call comes back to it. Harmless twice."""
        if self._stopping:
            return
        self._stopping = True
        self._notices.stop()
        for call in self._calls.values():
            call.heard_of = self._clock.wall_ms()
            self._keep(call)
            call.pacer.stop()
            for participant in call.participants.values():
                participant.stop_waiting()

    def check_going_on(self) -> None:
        """See that the server is not about to stop.

        Raises:
            Unavailable: it is.
        """
        if self._stopping:
            raise Unavailable("The server is restarting. Try again in a moment.")

    def check_possible(self) -> None:
        """See that there can be calls here.

        Raises:
            Unavailable: they are switched off.
        """
        if not self._engines:
            raise Unavailable(NO_CALLS)

    # Which there are.

    def of(self, room: RoomId) -> Call | None:
        """The call of a room, be it one that somebody is about to begin."""
        return self._calls.get(room)

    def present(self, room: RoomId) -> Sequence[Participant]:
        """Who is in the call of a room."""
        call = self._calls.get(room)
        return () if call is None else tuple(call.participants.values())

    def find(self, call: CallId, participant: ParticipantId) -> tuple[Call, Participant] | None:
        """Somebody who is in a call, by the ids of both."""
        for each in self._calls.values():
            if each.id == call and participant in each.participants:
                return each, each.participants[participant]
        return None

    # Coming.

    def begin(self, seat: Seat, room: RoomId) -> Call:
        """Begin a call; it is there for others when its first participant is in it.

        Raises:
            Unavailable: there is no engine that could carry it now.
            Full: there are too many calls.
            TooFast: too many begin from this address.
        """
        engine = next((each for each in self._engines if each.healthy), None)
        if engine is None:
            raise Unavailable(NO_CALLS)
        if len(self._calls) >= CALLS_AT_MOST:
            raise Full("This server carries as many calls as it can.")
        self._beginning.of(seat.address).spend()
        return self._made(room, seat.holder.account, engine, self._clock.wall_ms())

    def abandon(self, call: Call) -> None:
        """Whoever was about to enter does not; a call that nobody is in is none."""
        if not call.participants and not call.over:
            self._drop(call)

    def admit(self, call: Call, participant: Participant, seat: Seat) -> None:
        """Somebody is in a call from now on. The same token again: the newer one wins."""
        for each in tuple(call.participants.values()):
            if each.ticket == participant.ticket:
                self._take_out(call, each, Reason.SUPERSEDED, Superseded())
        self._sit(call, participant, seat)
        call.participants[participant.id] = participant
        call.note_name(participant.account)
        self.tell_others(call, participant, ParticipantChanged("joined", participant))
        self.changed(call)
        logger.info("participant %s joined call %s in room %s", participant.id, call.id, call.room)

    def take_back(self, call: Call, participant: Participant, seat: Seat) -> None:
        """A participant is reached by another connection from now on."""
        if participant.seat is seat:
            return
        if participant.seat is not None:
            self._stand_up(participant, Superseded())
        self._sit(call, participant, seat)

    def take_place(self, call: Call, participant: Participant) -> None:
        """Take one of the places of those who are seen or heard; whoever has one keeps it until they leave.

        Raises:
            Forbidden: a subscriber does not send.
            Full: all places are taken.
        """
        if call.take_place(participant):
            self._keep(call)

    def show(self, call: Call, participant: Participant, flags: Flags) -> None:
        """Let somebody send or show something, as far as they may.

        Raises:
            Forbidden, Full: as `take_place`; Forbidden also where the engine says so.
        """
        if flags.audio or flags.video or flags.screen:
            self.take_place(call, participant)
        for name, source in SHOWN.items():
            value = getattr(flags, name)
            if value is None:
                continue
            if value and source is not None and not getattr(participant, name):
                call.media.allow(call, participant, source)
            setattr(participant, name, value)

    # Going.

    def leave(self, seat: Seat) -> None:
        """Leave the call; harmless for whoever is in none."""
        if seat.call is not None and seat.participant is not None:
            self._remove(seat.call, seat.participant, Reason.LEFT)

    def lost(self, seat: Seat, *, silent: bool) -> None:
        """A connection is gone; its participant is kept for a while. Harmless twice.

        Args:
            seat: the connection.
            silent: whether it was given up because nothing came any more.
        """
        seat.ended = True
        call, participant = seat.call, seat.participant
        if call is None or participant is None or self._stopping:
            return
        self._stand_up(participant)
        call.heard_of = self._clock.wall_ms()
        self._wait_for(call, participant, GRACE_AFTER_SILENCE_SECONDS if silent else GRACE_SECONDS)
        self.tell_others(call, participant, ParticipantChanged("reconnecting", participant))

    def kick(self, call: Call, other: Participant, moderator: Participant) -> None:
        """Put a person out, on every device; or one device of one's own."""
        if other.account.id == moderator.account.id:
            self._remove(call, other, Reason.KICKED, by=moderator)
            return
        for each in tuple(call.participants.values()):
            if each.account.id == other.account.id:
                self._bar(call, each)
                self._remove(call, each, Reason.KICKED, by=moderator)

    def put_out(self, account: AccountId, room: RoomId | None = None) -> None:
        """Somebody may not be in a room any more, or nowhere: they are out of its call, and stay out of it."""
        for call in tuple(self._calls.values()):
            if room is None or call.room == room:
                for participant in tuple(call.participants.values()):
                    if participant.account.id == account:
                        self._bar(call, participant)
                        self._remove(call, participant, Reason.KICKED)

    def end_sign_ins(self, ended: Iterable[SignInId]) -> None:
        """Sign-ins are over, and whoever is in a call by one of them is out."""
        gone = set(ended)
        for call in tuple(self._calls.values()):
            for participant in tuple(call.participants.values()):
                if participant.sign_in in gone:
                    self._remove(call, participant, Reason.KICKED)

    def end_tickets(self, ended: Iterable[Ticket]) -> None:
        """Whoever is in a call by one of these is out, and it lets nobody into that call again."""
        gone = frozenset(ended)
        for call in tuple(self._calls.values()):
            for participant in tuple(call.participants.values()):
                if participant.ticket in gone:
                    self._shut_out(call, ticket_key(participant.ticket))
                    self._remove(call, participant, Reason.KICKED)

    def end(self, call: Call, *, by: Participant | None = None) -> None:
        """End a call for everybody."""
        last = by or next(iter(call.participants.values()))
        for participant in tuple(call.participants.values()):
            del call.participants[participant.id]
            participant.stop_waiting()
            self._stand_up(participant, CallEnded(Reason.ENDED, by))
            call.media.leave(call, participant)
        call.heard_of = self._clock.wall_ms()
        self._finish(call, last)

    def close(self, room: RoomId) -> None:
        """End the call of a room, if there is one, for everybody."""
        call = self._calls.get(room)
        if call is not None and call.participants:
            self.end(call)

    # Telling.

    def changed(self, call: Call) -> None:
        """The call, or who is in it, has changed."""
        self._keep(call)
        call.pacer.touch()

    def tell_others(self, call: Call, participant: Participant, event: CallEvent) -> None:
        """Tell everybody in a call but one."""
        self.tell(call.besides(participant), event)

    def tell(self, participants: Iterable[Participant], event: CallEvent) -> None:
        """Tell those who are here; who is reconnecting finds it when they are back."""
        self._stage.tell([each.seat.connection for each in participants if each.seat is not None], event)

    # How it is done.

    def _made(self, room: RoomId, began_by: Account, engine: Media, since: int, *, ident: CallId | None = None) -> Call:
        pacer = Pacer(self._clock, lambda: ROOM_PACE_SECONDS, lambda: self._tell_room(call))
        limits = self._limits.get(room, AS_EVERYWHERE).hold(engine.limits)
        ident = ident or CallId(secrets.token_urlsafe(9))
        call = Call(ident, room, began_by, since, engine, limits, pacer, heard_of=since)
        self._calls[room] = call
        return call

    def _sit(self, call: Call, participant: Participant, seat: Seat) -> None:
        """From now on the participant is reached by this connection."""
        participant.stop_waiting()
        participant.seat = seat
        participant.account = seat.holder.account
        seat.call, seat.participant = call, participant

    def _stand_up(self, participant: Participant, words: Superseded | CallEnded | None = None) -> None:
        """The participant is reached by no connection; the one that it had may be told why."""
        seat, participant.seat = participant.seat, None
        if seat is not None:
            seat.call = seat.participant = None
            if words is not None:
                self._stage.tell([seat.connection], words)

    def _wait_for(self, call: Call, participant: Participant, seconds: float) -> None:
        participant.timer = self._clock.call_later(seconds, lambda: self._remove(call, participant, Reason.LOST))

    def _bar(self, call: Call, participant: Participant) -> None:
        self._shut_out(call, *participant.keys)

    def _shut_out(self, call: Call, *keys: str) -> None:
        call.bar(*keys)
        self._keep(call)

    def _remove(self, call: Call, participant: Participant, reason: Reason, *, by: Participant | None = None) -> None:
        """Somebody is not in the call any more; the last one ends it."""
        words = CallEnded(reason, by) if reason is Reason.KICKED else None
        self._take_out(call, participant, reason, words)
        if call.participants:
            self.changed(call)
        else:
            self._finish(call, participant)

    def _take_out(
        self, call: Call, participant: Participant, reason: Reason, words: Superseded | CallEnded | None
    ) -> None:
        if call.participants.pop(participant.id, None) is None:
            return
        participant.stop_waiting()
        if participant.seat is not None:
            call.heard_of = self._clock.wall_ms()
        self._stand_up(participant, words)
        call.media.leave(call, participant)
        self.tell_others(call, participant, ParticipantChanged("left", participant, reason))
        logger.info("participant %s is out of call %s: %s", participant.id, call.id, reason.value)

    def _finish(self, call: Call, last: Participant) -> None:
        """Nobody is in the call any more: it is over, and the room keeps a notice of it."""
        self._drop(call)
        logger.info("call %s in room %s is over; last was %s", call.id, call.room, last.id)
        self._notices.tell(record_of(call))
        self._audience.tell_call(call.room, None)

    def _drop(self, call: Call) -> None:
        call.over = True
        call.pacer.stop()
        if self._calls.get(call.room) is call:
            del self._calls[call.room]
        call.media.end(call)

    def _keep(self, call: Call) -> None:
        if call.participants and not call.over:
            self._book.keep(record_of(call))

    def _tell_room(self, call: Call) -> None:
        if not call.over:
            self._audience.tell_call(call.room, summary_of(call))
