"""Calls from browser to browser: every browser sends to every other one, and the server relays their descriptions.

Media never comes here, so there is nothing to mute; but no description gets to anybody unseen. A description that sends
what its author may not send is refused, so nobody ever agrees to receive it. Nothing is relayed between calls.

Nothing is kept that a restart could lose: a call between browsers goes on while the server is away.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core.call import CallLimits, Picture, Source
from chatzilla.core.call_events import CANDIDATES_AT_MOST, Signalled
from chatzilla.errors import BadRequest, Forbidden, NotFound, TooFast, Unavailable
from chatzilla.media import sdp

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatzilla.core.call import Call, Order, Participant, ParticipantId
    from chatzilla.core.call_events import MediaRequest, Track
    from chatzilla.media.sdp import Session
    from chatzilla.ports import Stage

PICTURES: Final = (
    Picture(2, 640, 480, 24, 600_000),
    Picture(4, 480, 360, 20, 350_000),
    Picture(6, 320, 240, 15, 150_000),
    Picture(12, 320, 240, 10, 100_000),
)
"""What a camera sends to each of the others: a browser encodes its picture anew for every one of them."""

_KIND: Final = {
    Source.MICROPHONE: "audio",
    Source.CAMERA: "video",
    Source.SCREEN: "video",
    Source.SCREEN_AUDIO: "audio",
}
_OF_SCREEN: Final = {Source.SCREEN, Source.SCREEN_AUDIO}


class Mesh:
    """Implements `ports.Media`: relays, and looks at what it relays."""

    name = "mesh"
    healthy = True

    def __init__(self, stage: Stage, *, people: int, publishers: int) -> None:
        self.limits = CallLimits(people, publishers, PICTURES)
        self._stage = stage
        self._candidates: dict[ParticipantId, Counter[ParticipantId]] = {}
        """How many candidates somebody has sent to somebody since their last description."""

    async def open(self, call: Call) -> None:
        """There is nothing to make ready."""

    def end(self, call: Call) -> None:
        """There is nothing to undo."""

    async def join(self, call: Call, participant: Participant) -> None:
        """There is nothing to make ready."""

    def leave(self, call: Call, participant: Participant) -> None:
        self._candidates.pop(participant.id, None)
        for other in call.participants:
            if other in self._candidates:
                self._candidates[other].pop(participant.id, None)

    async def handle(
        self, call: Call, participant: Participant, request: MediaRequest, take_place: Callable[[], None]
    ) -> dict[str, Any]:
        other = call.participants.get(request.to)
        if other is None or other is participant:
            raise NotFound("There is nobody like that in this call.")
        counted = self._candidates.setdefault(participant.id, Counter())
        if request.description is not None:
            session = sdp.read(request.description.sdp)
            check(session, participant, request.tracks)
            if any(line.sends for line in session.lines):
                take_place()
        if other.seat is None:
            raise Unavailable("They are reconnecting. Tell them again when they are back.")
        if request.description is not None:
            counted[other.id] = session.candidates
        elif request.candidate is not None:
            if counted[other.id] >= CANDIDATES_AT_MOST:
                raise TooFast(f"One negotiation has {CANDIDATES_AT_MOST} candidates at most.")
            counted[other.id] += 1
        self._stage.tell([other.seat.connection], Signalled(participant.id, request))
        return {}

    async def moderate(self, call: Call, target: Participant, order: Order, source: Source | None) -> None:
        """Whoever is told obeys; the server has nothing in its hands but to let nobody in."""


def check(session: Session, participant: Participant, tracks: tuple[Track, ...] | None) -> None:
    """See that somebody sends no more than they may.

    Raises:
        Forbidden: they do.
        BadRequest: what is said of the tracks does not fit the description.
    """
    if not participant.may_publish and any(line.sends for line in session.lines):
        raise Forbidden("You can watch and listen in this call, and not be seen or heard.")
    most = 2 if participant.may_share_screen else 1
    if session.sending("audio") > most or session.sending("video") > most:
        raise Forbidden("That is more than one person sends.")
    if tracks is None:
        return
    kinds = {line.mid: line.kind for line in session.lines}
    if len({track.mid for track in tracks}) != len(tracks) or len({track.source for track in tracks}) != len(tracks):
        raise BadRequest("A line, and a source, is named once.")
    for track in tracks:
        if kinds.get(track.mid) != _KIND[track.source]:
            raise BadRequest("There is no such line in this description.")
        if track.source in _OF_SCREEN and not participant.may_share_screen:
            raise Forbidden("You cannot share a screen in this call.")
