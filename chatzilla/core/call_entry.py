"""Who may enter a call, and how: by what they hold and are in the room, or by the key of the place that they had.

All is asked again after the engine has made ready: much may happen meanwhile.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core.call import Call, Flags, Participant, ParticipantId, Pass, Wish
from chatzilla.core.call_events import ParticipantChanged
from chatzilla.core.policy import Act
from chatzilla.core.rights import CallRole
from chatzilla.core.tokens import LIFETIME_SECONDS, NOT_VALID
from chatzilla.errors import Conflict, Forbidden, Full, NotFound, NotJoined, SignInNeeded, Unavailable

if TYPE_CHECKING:
    from chatzilla.core.call import Seat
    from chatzilla.core.call_events import IceServers
    from chatzilla.core.call_roster import Roster
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.tokens import Tokens
    from chatzilla.ports import Admission, Clock, Relay

logger = logging.getLogger(__name__)

RESUME: Final = "call-resume"
"""The purpose of the key by which a participant comes back."""

NOT_KNOWN: Final = "This call does not know you any more. Join again."


@dataclass(frozen=True, slots=True)
class Entered:
    """What somebody is given who enters a call."""

    call: Call
    participant: Participant
    others: tuple[Participant, ...]
    ice: IceServers
    resume: str


class CallEntry:
    """Lets people into calls."""

    def __init__(self, roster: Roster, tokens: Tokens, relay: Relay, admission: Admission, clock: Clock) -> None:
        """Begin.

        Args:
            roster: has the calls.
            tokens: signs the keys by which participants come back.
            relay: the servers by which browsers find each other.
            admission: says who may do what in a room.
            clock: what time it is.
        """
        self._roster = roster
        self._tokens = tokens
        self._relay = relay
        self._admission = admission
        self._clock = clock

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
        call = self._roster.of(room)
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
        self._roster.check_going_on()
        if seat.participant is not None and seat.call is not None:
            if seat.call.room != room:
                raise Conflict("You are in another call. Leave it first.")
            return self._entered(seat.call, seat.participant)
        self._check_room(seat, room)
        call = self._roster.of(room) or self._roster.begin(seat, room)
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
            self._roster.abandon(call)
            raise
        self._roster.admit(call, participant, seat)
        return self._entered(call, participant)

    async def resume(self, seat: Seat, room: RoomId, key: object, flags: Flags) -> Entered:
        """Come back as the participant that one was.

        Raises:
            NotFound: nobody waits for the bearer of this key: the call is over, or they are not in it any more.
            Forbidden: the key is somebody else's.
            Conflict: this connection is in another call.
        """
        self._roster.check_going_on()
        try:
            claims = self._tokens.unseal(RESUME, key)
        except SignInNeeded as refusal:
            raise NotFound(NOT_KNOWN) from refusal
        found = self._waiting(claims)
        if found is None or found[0].room != room:
            raise NotFound(NOT_KNOWN)
        call, participant = found
        if participant.account.id != seat.holder.account.id:
            raise Forbidden("This is somebody else's place in the call.")
        if seat.participant is not None and seat.participant is not participant:
            raise Conflict("You are in a call already. Leave it first.")
        self._check_room(seat, room)
        await call.media.resume(call, participant)
        if call.participants.get(participant.id) is not participant or seat.ended:
            raise NotFound(NOT_KNOWN)
        self._roster.take_back(call, participant, seat)
        try:
            self._roster.show(call, participant, flags)
        except (Forbidden, Full):
            self._roster.show(call, participant, Flags(audio=False, video=False))  # they come back to watch and listen
        self._roster.tell_others(call, participant, ParticipantChanged("changed", participant))
        self._roster.changed(call)
        logger.info("participant %s is back in call %s", participant.id, call.id)
        return self._entered(call, participant)

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
        if any(key in call.barred for key in participant.keys):
            raise Forbidden("You were removed from this call.")
        if call.locked and not participant.may_moderate:
            raise Forbidden("This call is locked: nobody can enter it now.")
        staying = [each for each in call.participants.values() if each.ticket != participant.ticket]
        if len(staying) >= call.limits.people:
            raise Full(f"This call has {call.limits.people} people, which is as many as it takes.")
        if participant.publishes:
            call.check_place(staying)

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

    def _waiting(self, claims: dict[str, Any]) -> tuple[Call, Participant] | None:
        """The call that a key is for, and its bearer's place there."""
        found = self._roster.find(claims.get("call", ""), claims.get("sub", ""))
        if found is None:
            return None
        call, participant = found
        theirs = (participant.account.id, participant.ticket, call.room)
        return found if theirs == (claims.get("account"), claims.get("ticket"), claims.get("room")) else None

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
