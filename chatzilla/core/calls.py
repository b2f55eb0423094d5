"""What somebody can do in a call: send and show, ask the engine that carries it, and keep order as a moderator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from chatzilla.core import policy
from chatzilla.core.audit import Done
from chatzilla.core.call import Call, Flags, Order, Participant, ParticipantId, Source
from chatzilla.core.call_events import CallChanged, Moderated, ParticipantChanged
from chatzilla.core.policy import Thing
from chatzilla.errors import BadRequest, Forbidden, NotFound, NotJoined

if TYPE_CHECKING:
    from chatzilla.core.audit import Deed
    from chatzilla.core.call import Seat
    from chatzilla.core.call_events import IceServers, MediaRequest
    from chatzilla.core.call_roster import Roster
    from chatzilla.core.people import Account
    from chatzilla.ports import Admission, CallBook, Relay

TRIAL_SECONDS: Final = 300
"""How long credentials hold with which somebody tries their connection before a call."""

_DONE: Final = {Order.MUTE: Done.MUTE, Order.UNPUBLISH: Done.UNPUBLISH, Order.KICK: Done.KICK_FROM_CALL}
"""As the audit list has it."""


class Calls:
    """The calls of this server, for whoever is in one."""

    def __init__(self, roster: Roster, book: CallBook, relay: Relay, admission: Admission) -> None:
        """Begin.

        Args:
            roster: has the calls.
            book: takes the entries of the audit list.
            relay: the servers by which browsers find each other.
            admission: says who may do what in a room.
        """
        self._roster = roster
        self._book = book
        self._relay = relay
        self._admission = admission

    def change(self, seat: Seat, flags: Flags) -> Participant:
        """Let the others know what one sends and shows.

        Raises:
            NotJoined: this connection is in no call.
            Forbidden: a subscriber does not send.
            Full: as many are seen and heard already as the call carries.
        """
        call, participant = self._present(seat)
        before = participant.shown
        self._roster.show(call, participant, flags)
        if participant.shown != before:
            self._roster.tell_others(call, participant, ParticipantChanged("changed", participant))
        return participant

    def ice(self, seat: Seat) -> IceServers:
        """Fresh credentials for the relay; short-lived ones for whoever only tries their connection.

        Raises:
            Unavailable: calls are switched off.
        """
        if seat.participant is not None:
            return self._relay.servers(seat.participant.id)
        self._roster.check_possible()
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
        return await call.media.handle(call, participant, request, lambda: self._roster.take_place(call, participant))

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
            self._roster.kick(call, other, moderator)
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
        self._roster.tell([other], Moderated(order, source, moderator))
        self._roster.tell_others(call, other, ParticipantChanged("changed", other))

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
        self._roster.changed(call)
        self._roster.tell(call.participants.values(), CallChanged(call))

    def end(self, seat: Seat) -> None:
        """End the call for everybody.

        Raises:
            NotJoined: this connection is in no call.
            Forbidden: this is not theirs to do.
        """
        call, moderator = self._moderator(seat)
        self._book.note(self._entry(seat, Done.END_CALL))
        self._roster.end(call, by=moderator)

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
