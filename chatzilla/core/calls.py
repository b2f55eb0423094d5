"""Calls: who is in one, what they may do there, and what becomes of them when a connection is lost.

A room has one call at most. Whoever enters becomes a participant, whose id is ours and outlives every connection:

    here ──connection lost──▶ reconnecting ──resumed──▶ here
      └──────────── left, removed, superseded, or not back in time ────────────▶ gone

How media travels is an engine's matter, behind the port `Media`; the roster here is the same for all of them, and
knows nothing of sockets either. What has to outlive the process (which calls there are, who is in them, who was put
out) is kept in a book, so that after a restart everybody is found as they were, reconnecting.

A call goes on when nothing can be stored: the book is best effort, and the notice at a call's end is tried again.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core import policy
from chatzilla.core.audit import Done
from chatzilla.core.call import (
    Call,
    CallId,
    Flags,
    Order,
    Participant,
    ParticipantId,
    Pass,
    Reason,
    Source,
    Summary,
    Wish,
    record_of,
)
from chatzilla.core.call_events import CallChanged, CallEnded, Moderated, ParticipantChanged, Superseded
from chatzilla.core.call_limits import AS_EVERYWHERE
from chatzilla.core.call_notice import Notices
from chatzilla.core.limits import Rate, Shared
from chatzilla.core.pace import Pacer
from chatzilla.core.policy import Act, Thing
from chatzilla.core.rights import CallRole
from chatzilla.core.tokens import LIFETIME_SECONDS, NOT_VALID
from chatzilla.errors import BadRequest, Conflict, Forbidden, Full, NotFound, NotJoined, SignInNeeded, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chatzilla.core.audit import Deed
    from chatzilla.core.call import Seat, Ticket
    from chatzilla.core.call_events import CallEvent, IceServers, MediaRequest
    from chatzilla.core.call_limits import RoomLimits
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.signin import SignIns
    from chatzilla.core.tokens import SignInId, Tokens
    from chatzilla.ports import Admission, Audience, CallBook, Clock, Log, Media, Relay, Stage

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 20.0
"""How long a participant whose connection is lost may take to come back."""

GRACE_AFTER_SILENCE_SECONDS: Final = 15.0
"""The same where the connection was silent before it was given up: they have been away for two heartbeats already."""

CALLS_AT_MOST: Final = 500
"""Calls that a server carries at once."""

BEGINNING: Final = Rate(per_second=0.2, burst=20)
"""How often calls may be begun from one address: each leaves a notice in a room."""

BARRED_AT_MOST: Final = 200
"""People and tickets that one call remembers as put out."""

REMEMBERED_AT_MOST: Final = 200
"""People whose names a call keeps for its notice."""

NAMED_IN_ROOM: Final = 20
"""People of a call who are named to the room."""

ROOM_PACE_SECONDS: Final = 1.0
"""How often a room is told of its call, at most."""

TRIAL_SECONDS: Final = 300
"""How long credentials hold with which somebody tries their connection before a call."""

NO_CALLS: Final = "Calls are not possible on this server now."

RESUME: Final = "call-resume"
"""The purpose of the key by which a participant comes back."""


_DONE: Final = {Order.MUTE: Done.MUTE, Order.UNPUBLISH: Done.UNPUBLISH, Order.KICK: Done.KICK_FROM_CALL}
"""As the audit list has it."""

_SHOWN: Final = {"audio": Source.MICROPHONE, "video": Source.CAMERA, "screen": Source.SCREEN, "hand": None}
"""What others see of somebody, and which source each is about."""


@dataclass(frozen=True, slots=True)
class Entered:
    """What somebody is given who enters a call."""

    call: Call
    participant: Participant
    others: tuple[Participant, ...]
    ice: IceServers
    resume: str


class Calls:
    """All calls of this server."""

    def __init__(
        self,
        clock: Clock,
        log: Log,
        stage: Stage,
        audience: Audience,
        book: CallBook,
        tokens: Tokens,
        relay: Relay,
        admission: Admission,
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
            tokens: signs the keys by which participants come back.
            relay: the servers by which browsers find each other.
            admission: says who may do what in a room.
            engines: what can carry media, the preferred one first; none where calls are switched off.
            limits: what is different about calls in some rooms.
        """
        self._clock = clock
        self._notices = Notices(clock, log, book)
        self._stage = stage
        self._audience = audience
        self._book = book
        self._tokens = tokens
        self._relay = relay
        self._engines = tuple(engines)
        self._limits = limits
        self._admission = admission
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
                if participant.timer is not None:
                    participant.timer.cancel()

    # What a connection can ask.

    def pass_of(self, key: object) -> Pass:
        """The pass of a participant who comes back with their key, where what they came by has run out meanwhile.

        Raises:
            SignInNeeded: the key is none, its time is over, or nobody waits for its bearer.
        """
        claims = self._tokens.unseal(RESUME, key)
        found = self._waiting(claims)
        if found is None:
            raise SignInNeeded(NOT_VALID)
        call, participant = found
        return Pass(participant.account, participant.ticket, participant.sign_in, call.room, participant.role)

    def call_in(self, seat: Seat, room: RoomId) -> Call | None:
        """The call of a room, for whoever wants to know before they enter.

        Raises:
            Forbidden: the room is not for this person.
        """
        self._check_room(seat, room)
        call = self._calls.get(room)
        return call if call is not None and call.participants else None

    async def join(self, seat: Seat, room: RoomId, wish: Wish) -> Entered:
        """Enter the call of a room; begin it if there is none. Asking again is harmless.

        Raises:
            Forbidden: the room is not for this person, the call is locked, or they were removed from it.
            Conflict: this connection is in another call.
            Full: the call has as many people, or as many who are seen and heard, as it carries.
            TooFast: too many calls begin from this address.
            Unavailable: there is no engine that could carry it now.
        """
        self._check_going_on()
        if seat.participant is not None and seat.call is not None:
            if seat.call.room != room:
                raise Conflict("You are in another call. Leave it first.")
            return self._entered(seat.call, seat.participant)
        self._check_room(seat, room)
        call = self._calls.get(room) or self._begin(seat, room)
        role = self._role(seat, call)
        wish = wish if role is not CallRole.SUBSCRIBER else Wish()
        participant = Participant(
            ParticipantId(secrets.token_urlsafe(9)),
            seat.holder.account,
            role,
            seat.holder.ticket,
            self._clock.wall_ms(),
            seat.holder.sign_in,
            audio=wish.audio,
            video=wish.video,
            publishes=wish.audio or wish.video,
        )
        try:
            self._check_entry(call, seat, participant)
            await call.media.open(call)
            await call.media.join(call, participant)
            try:
                self._check_entry(call, seat, participant)  # much may have happened meanwhile
            except BaseException:
                call.media.leave(call, participant)
                raise
        except BaseException:
            if not call.participants and not call.over:
                self._drop(call)
            raise
        self._supersede(call, seat.holder.ticket)
        self._sit(call, participant, seat)
        call.participants[participant.id] = participant
        self._note_name(call, participant.account)
        self._tell_others(call, participant, ParticipantChanged("joined", participant))
        self._changed(call)
        logger.info("participant %s joined call %s in room %s", participant.id, call.id, room)
        return self._entered(call, participant)

    async def resume(self, seat: Seat, room: RoomId, key: object, flags: Flags) -> Entered:
        """Come back as the participant that one was.

        Raises:
            NotFound: nobody waits for the bearer of this key: the call is over, or they are not in it any more.
            Forbidden: the key is somebody else's.
            Conflict: this connection is in another call.
        """
        self._check_going_on()
        try:
            claims = self._tokens.unseal(RESUME, key)
        except SignInNeeded as refusal:
            raise NotFound("This call does not know you any more. Join again.") from refusal
        found = self._waiting(claims)
        if found is None or found[0].room != room:
            raise NotFound("This call does not know you any more. Join again.")
        call, participant = found
        if participant.account.id != seat.holder.account.id:
            raise Forbidden("This is somebody else's place in the call.")
        if seat.participant is not None and seat.participant is not participant:
            raise Conflict("You are in a call already. Leave it first.")
        self._check_room(seat, room)
        await call.media.resume(call, participant)
        if call.participants.get(participant.id) is not participant or seat.ended:
            raise NotFound("This call does not know you any more. Join again.")
        if participant.seat is not seat:
            if participant.seat is not None:
                self._stand_up(participant, Superseded())
            self._sit(call, participant, seat)
        try:
            self._set(call, participant, flags)
        except (Forbidden, Full):
            self._set(call, participant, Flags(audio=False, video=False))  # they come back to watch and listen
        self._tell_others(call, participant, ParticipantChanged("changed", participant))
        self._changed(call)
        logger.info("participant %s is back in call %s", participant.id, call.id)
        return self._entered(call, participant)

    def leave(self, seat: Seat) -> None:
        """Leave the call; harmless for whoever is in none."""
        if seat.call is not None and seat.participant is not None:
            self._remove(seat.call, seat.participant, Reason.LEFT)

    def change(self, seat: Seat, flags: Flags) -> Participant:
        """Let the others know what one sends and shows.

        Raises:
            NotJoined: this connection is in no call.
            Forbidden: a subscriber does not send.
            Full: as many are seen and heard already as the call carries.
        """
        call, participant = self._present(seat)
        before = _shown(participant)
        self._set(call, participant, flags)
        if _shown(participant) != before:
            self._tell_others(call, participant, ParticipantChanged("changed", participant))
        return participant

    def ice(self, seat: Seat) -> IceServers:
        """Fresh credentials for the relay; short-lived ones for whoever only tries their connection.

        Raises:
            Unavailable: calls are switched off.
        """
        if seat.participant is not None:
            return self._relay.servers(seat.participant.id)
        if not self._engines:
            raise Unavailable(NO_CALLS)
        return self._relay.servers(seat.holder.account.id, seconds=TRIAL_SECONDS)

    async def handle(self, seat: Seat, request: MediaRequest) -> dict[str, Any]:
        """Hand to the engine what is for it.

        Raises:
            NotJoined: this connection is in no call.
            NotFound: it is about somebody who is not in the call.
            Forbidden: it goes beyond what the participant may do.
            BadRequest: the engine does not know it.
        """
        call, participant = self._present(seat)
        return await call.media.handle(call, participant, request, lambda: self._take_place(call, participant))

    async def moderate(self, seat: Seat, target: ParticipantId, order: Order, source: Source | None) -> None:
        """Mute somebody, take what they send away, or remove them.

        Raises:
            NotJoined: this connection is in no call.
            Forbidden: this is not theirs to do.
            NotFound: there is no such participant.
            TooFast: they did too much of this lately; see `Scribe`.
        """
        call, moderator = self._moderator(seat)
        other = call.participants.get(target)
        if other is None:
            raise self._admission.vain.judged(seat.address, NotFound("There is nobody like that in this call."))
        if other is moderator:
            raise BadRequest("For yourself, there are simpler ways.")
        above = policy.stands(moderator.account, other.account) is Thing.BELOW
        if other.may_moderate and not above:
            raise self._admission.vain.judged(seat.address, Forbidden("They are a moderator, as you are."))
        entry = self._entry(seat, _DONE[order], other.account)
        if order is Order.KICK:
            self._book.note(entry)
            self._kick(call, other, moderator)
            return
        await call.media.moderate(call, other, order, source)
        self._book.note(entry)
        if other.id not in call.participants:
            return  # gone meanwhile
        if order is Order.MUTE:
            source = source or Source.MICROPHONE
        for each in Source if source is None else (source,):
            if each is Source.MICROPHONE:
                other.audio = False
            elif each is Source.CAMERA:
                other.video = False
            elif each is Source.SCREEN:
                other.screen = False
        if other.seat is not None:
            self._stage.tell([other.seat.connection], Moderated(order, source, moderator))
        self._tell_others(call, other, ParticipantChanged("changed", other))

    def lock(self, seat: Seat, *, locked: bool) -> None:
        """Let nobody in any more, or again.

        Raises:
            NotJoined: this connection is in no call.
            Forbidden: this is not theirs to do.
        """
        call, _ = self._moderator(seat)
        if call.locked is not locked:
            self._book.note(self._entry(seat, Done.LOCK_CALL if locked else Done.UNLOCK_CALL))
        call.locked = locked
        self._changed(call)
        self._tell(call.participants.values(), CallChanged(call))

    def end(self, seat: Seat) -> None:
        """End the call for everybody.

        Raises:
            NotJoined: this connection is in no call.
            Forbidden: this is not theirs to do.
        """
        call, moderator = self._moderator(seat)
        self._book.note(self._entry(seat, Done.END_CALL))
        self._end(call, by=moderator)

    # What happens to connections and people.

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
        self._tell_others(call, participant, ParticipantChanged("reconnecting", participant))

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
                    self._shut_out(call, _ticket_key(participant.ticket))
                    self._remove(call, participant, Reason.KICKED)

    def close(self, room: RoomId) -> None:
        """End the call of a room, if there is one, for everybody."""
        call = self._calls.get(room)
        if call is not None and call.participants:
            self._end(call)

    def present(self, room: RoomId) -> Sequence[Participant]:
        """Who is in the call of a room."""
        call = self._calls.get(room)
        return () if call is None else tuple(call.participants.values())

    # How it is done.

    def _check_going_on(self) -> None:
        if self._stopping:
            raise Unavailable("The server is restarting. Try again in a moment.")

    def _check_room(self, seat: Seat, room: RoomId) -> None:
        if seat.holder.room is not None and seat.holder.room != room:
            raise Forbidden("You were let into another room.")
        self._admission.check(seat.holder.account, Act.ENTER, room, address=seat.address)

    def _check_entry(self, call: Call, seat: Seat, participant: Participant) -> None:
        """See that somebody may enter now."""
        if call.over:
            raise Unavailable("The call ended just now. Try again.")
        if seat.ended:
            raise NotJoined("This connection has ended.")
        if _account_key(participant.account) in call.barred or _ticket_key(participant.ticket) in call.barred:
            raise Forbidden("You were removed from this call.")
        if call.locked and not participant.may_moderate:
            raise Forbidden("This call is locked: nobody can enter it now.")
        staying = [each for each in call.participants.values() if each.ticket != participant.ticket]
        if len(staying) >= call.limits.people:
            raise Full(f"This call has {call.limits.people} people, which is as many as it takes.")
        if participant.publishes:
            self._check_place(call, staying)

    def _check_place(self, call: Call, among: Iterable[Participant]) -> None:
        most = call.limits.publishers
        if sum(each.publishes for each in among) >= most:
            raise Full(f"{most} people can be seen and heard in this call, and they are. You can watch and listen.")

    def _take_place(self, call: Call, participant: Participant) -> None:
        """Take one of the places of those who are seen or heard; whoever has one keeps it until they leave.

        Raises:
            Forbidden: a subscriber does not send.
            Full: all places are taken.
        """
        if not participant.may_publish:
            raise Forbidden("You can watch and listen in this call, and not be seen or heard.")
        if not participant.publishes:
            self._check_place(call, call.besides(participant))
            participant.publishes = True
            self._keep(call)

    def _role(self, seat: Seat, call: Call) -> CallRole:
        """What somebody is in a call."""
        holder, account = seat.holder, seat.holder.account
        if holder.role is not None:
            return holder.role
        if self._admission.may(account, Act.MODERATE_CALL, call.room):
            return CallRole.MODERATOR
        if not self._admission.may(account, Act.POST, call.room):
            return CallRole.SUBSCRIBER
        # Whoever begins a call is its host. A name that was only typed proves nothing later; the same token does.
        begins = not call.participants and call.began_by == account
        hosts = account.verified and call.began_by.id == account.id
        returns = any(each.ticket == holder.ticket and each.may_moderate for each in call.participants.values())
        return CallRole.MODERATOR if begins or hosts or returns else CallRole.PUBLISHER

    def _begin(self, seat: Seat, room: RoomId) -> Call:
        """Begin a call; it is there for others when its first participant is in it."""
        engine = next((each for each in self._engines if each.healthy), None)
        if engine is None:
            raise Unavailable(NO_CALLS)
        if len(self._calls) >= CALLS_AT_MOST:
            raise Full("This server carries as many calls as it can.")
        self._beginning.of(seat.address).spend()
        return self._made(room, seat.holder.account, engine, self._clock.wall_ms())

    def _made(self, room: RoomId, began_by: Account, engine: Media, since: int, *, ident: CallId | None = None) -> Call:
        pacer = Pacer(self._clock, lambda: ROOM_PACE_SECONDS, lambda: self._tell_room(call))
        limits = self._limits.get(room, AS_EVERYWHERE).hold(engine.limits)
        ident = ident or CallId(secrets.token_urlsafe(9))
        call = Call(ident, room, began_by, since, engine, limits, pacer, heard_of=since)
        self._calls[room] = call
        return call

    def _entry(self, seat: Seat, act: Done, person: Account | None = None) -> Deed:
        """The entry of what a moderator is about to do in a call."""
        call, moderator = self._moderator(seat)
        scribe = self._admission.scribe
        return scribe.entry(moderator.account, act, person, room=call.room, address=seat.address)

    def _present(self, seat: Seat) -> tuple[Call, Participant]:
        if seat.call is None or seat.participant is None:
            raise NotJoined("Join the call first.")
        return seat.call, seat.participant

    def _moderator(self, seat: Seat) -> tuple[Call, Participant]:
        call, participant = self._present(seat)
        if not participant.may_moderate:
            raise self._admission.vain.judged(seat.address, Forbidden("Only a moderator of the call does that."))
        return call, participant

    def _waiting(self, claims: dict[str, Any]) -> tuple[Call, Participant] | None:
        """The call that a key is for, and its bearer's place there."""
        for call in self._calls.values():
            if call.id == claims.get("call"):
                participant = call.participants.get(claims.get("sub", ""))
                if participant is not None and (participant.account.id, participant.ticket, call.room) == (
                    claims.get("account"),
                    claims.get("ticket"),
                    claims.get("room"),
                ):
                    return call, participant
        return None

    def _entered(self, call: Call, participant: Participant) -> Entered:
        claims = {
            "sub": participant.id,
            "call": call.id,
            "room": call.room,
            "account": participant.account.id,
            "ticket": participant.ticket,
        }
        return Entered(
            call,
            participant,
            tuple(call.besides(participant)),
            self._relay.servers(participant.id),
            self._tokens.seal(RESUME, claims, LIFETIME_SECONDS),
        )

    def _sit(self, call: Call, participant: Participant, seat: Seat) -> None:
        """From now on the participant is reached by this connection."""
        if participant.timer is not None:
            participant.timer.cancel()
            participant.timer = None
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

    def _supersede(self, call: Call, ticket: Ticket) -> None:
        """The same token again: the newer one wins."""
        for participant in tuple(call.participants.values()):
            if participant.ticket == ticket:
                self._take_out(call, participant, Reason.SUPERSEDED, Superseded())

    def _set(self, call: Call, participant: Participant, flags: Flags) -> None:
        if flags.audio or flags.video or flags.screen:
            self._take_place(call, participant)
        for name, source in _SHOWN.items():
            value = getattr(flags, name)
            if value is None:
                continue
            if value and source is not None and not getattr(participant, name):
                call.media.allow(call, participant, source)
            setattr(participant, name, value)

    def _kick(self, call: Call, other: Participant, moderator: Participant) -> None:
        """Put a person out, on every device; or one device of one's own."""
        if other.account.id == moderator.account.id:
            self._remove(call, other, Reason.KICKED, by=moderator)
            return
        for each in tuple(call.participants.values()):
            if each.account.id == other.account.id:
                self._bar(call, each)
                self._remove(call, each, Reason.KICKED, by=moderator)

    def _bar(self, call: Call, participant: Participant) -> None:
        self._shut_out(call, _account_key(participant.account), _ticket_key(participant.ticket))

    def _shut_out(self, call: Call, *keys: str) -> None:
        call.barred |= dict.fromkeys(keys)
        while len(call.barred) > BARRED_AT_MOST:
            del call.barred[next(iter(call.barred))]
        self._keep(call)

    def _remove(self, call: Call, participant: Participant, reason: Reason, *, by: Participant | None = None) -> None:
        """Somebody is not in the call any more; the last one ends it."""
        words = CallEnded(reason, by) if reason is Reason.KICKED else None
        self._take_out(call, participant, reason, words)
        if call.participants:
            self._changed(call)
        else:
            self._finish(call, participant)

    def _take_out(
        self, call: Call, participant: Participant, reason: Reason, words: Superseded | CallEnded | None
    ) -> None:
        if call.participants.pop(participant.id, None) is None:
            return
        if participant.timer is not None:
            participant.timer.cancel()
            participant.timer = None
        if participant.seat is not None:
            call.heard_of = self._clock.wall_ms()
        self._stand_up(participant, words)
        call.media.leave(call, participant)
        self._tell_others(call, participant, ParticipantChanged("left", participant, reason))
        logger.info("participant %s is out of call %s: %s", participant.id, call.id, reason.value)

    def _end(self, call: Call, *, by: Participant | None = None) -> None:
        last = by or next(iter(call.participants.values()))
        for participant in tuple(call.participants.values()):
            del call.participants[participant.id]
            if participant.timer is not None:
                participant.timer.cancel()
                participant.timer = None
            self._stand_up(participant, CallEnded(Reason.ENDED, by))
            call.media.leave(call, participant)
        call.heard_of = self._clock.wall_ms()
        self._finish(call, last)

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

    def _note_name(self, call: Call, account: Account) -> None:
        if account.id in call.names:
            return
        if len(call.names) < REMEMBERED_AT_MOST:
            call.names[account.id] = account.name
        else:
            call.others += 1

    def _changed(self, call: Call) -> None:
        """The call, or who is in it, has changed."""
        self._keep(call)
        call.pacer.touch()

    def _keep(self, call: Call) -> None:
        if call.participants and not call.over:
            self._book.keep(record_of(call))

    def _tell_room(self, call: Call) -> None:
        if not call.over:
            self._audience.tell_call(call.room, _summary(call))

    def _tell_others(self, call: Call, participant: Participant, event: CallEvent) -> None:
        self._tell(call.besides(participant), event)

    def _tell(self, participants: Iterable[Participant], event: CallEvent) -> None:
        self._stage.tell([each.seat.connection for each in participants if each.seat is not None], event)


def _summary(call: Call) -> Summary:
    people = {each.account.id: each.account for each in call.participants.values()}
    return Summary(call.since, call.locked, len(call.participants), tuple(islice(people.values(), NAMED_IN_ROOM)))


def _shown(participant: Participant) -> tuple[bool, bool, bool, bool]:
    return participant.audio, participant.video, participant.screen, participant.hand


def _account_key(account: Account) -> str:
    return f"account {account.id}"


def _ticket_key(ticket: Ticket) -> str:
    return f"ticket {ticket}"
