"""Calls from browser to browser: every browser sends to every other one, and the server relays their descriptions.

Media never comes here, so there is nothing to mute; but no description gets to anybody unseen. A description that sends
what its author may not send is refused, so nobody ever agrees to receive it. Nothing is relayed between calls.

Nothing is kept that a restart could lose: a call between browsers goes on while the server is away.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core.call import CallLimits, Picture
from chatzilla.core.call_events import CANDIDATES_AT_MOST, Description, Signal, Signalled
from chatzilla.errors import BadRequest, NotFound, TooFast, Unavailable
from chatzilla.media import sdp

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatzilla.core.call import Call, Order, Participant, ParticipantId, Source
    from chatzilla.core.call_events import MediaRequest
    from chatzilla.ports import Stage

PICTURES: Final = (
    Picture(2, 640, 480, 24, 600_000),
    Picture(4, 480, 360, 20, 350_000),
    Picture(6, 320, 240, 15, 150_000),
    Picture(12, 320, 240, 10, 100_000),
)
"""What a camera sends to each of the others: a browser encodes its picture anew for every one of them."""

PEOPLE_AT_MOST: Final = 12
"""More than browsers bear; see `docs/calls.md`."""


class Mesh:
    """Implements `ports.Media`: relays, and looks at what it relays."""

    name = "mesh"
    healthy = True

    def __init__(self, stage: Stage, *, people: int, publishers: int) -> None:
        self.limits = CallLimits(people, publishers, PICTURES, PEOPLE_AT_MOST)
        self._stage = stage
        self._candidates: dict[ParticipantId, Counter[ParticipantId]] = {}
        """How many candidates somebody has sent to somebody since their last description."""

    async def start(self) -> None:
        """There is nothing to begin."""

    async def close(self) -> None:
        """There is nothing to end."""

    async def open(self, call: Call) -> None:
        """There is nothing to make ready."""

    def end(self, call: Call) -> None:
        """There is nothing to undo."""

    async def join(self, call: Call, participant: Participant) -> None:
        """There is nothing to make ready."""

    async def resume(self, call: Call, participant: Participant) -> None:
        """Media never left, so there is nothing to begin anew."""

    def leave(self, call: Call, participant: Participant) -> None:
        self._candidates.pop(participant.id, None)
        for other in call.participants:
            if other in self._candidates:
                self._candidates[other].pop(participant.id, None)

    async def handle(
        self, call: Call, participant: Participant, request: MediaRequest, take_place: Callable[[], None]
    ) -> dict[str, Any]:
        if not isinstance(request, Signal):
            raise BadRequest("This call goes from browser to browser; its participants signal to each other.")
        other = call.participants.get(request.to)
        if other is None or other is participant:
            raise NotFound("There is nobody like that in this call.")
        counted = self._candidates.setdefault(participant.id, Counter())
        if request.description is not None:
            session = sdp.read(request.description.sdp)
            sdp.check(session, participant, request.tracks)
            if any(line.sends for line in session.lines):
                take_place()
        if other.seat is None:
            raise Unavailable("They are reconnecting. Tell them again when they are back.")
        if request.description is not None:
            counted[other.id] = session.candidates
            limits = call.limits
            described = sdp.with_limits(request.description.sdp, audio=limits.audio_bitrate, video=limits.video_bitrate)
            request = replace(request, description=Description(request.description.type, described))
        elif request.candidate is not None:
            if counted[other.id] >= CANDIDATES_AT_MOST:
                raise TooFast(f"One negotiation has {CANDIDATES_AT_MOST} candidates at most.")
            counted[other.id] += 1
        self._stage.tell([other.seat.connection], Signalled(participant.id, request))
        return {}

    async def moderate(self, call: Call, target: Participant, order: Order, source: Source | None) -> None:
        """Whoever is told obeys; the server has nothing in its hands but to let nobody in."""

    def allow(self, call: Call, participant: Participant, source: Source) -> None:
        """Nothing was taken."""
