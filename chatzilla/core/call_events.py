"""What travels in a call: what a participant asks the engine for, and what participants are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chatzilla.core.limits import Rate

if TYPE_CHECKING:
    from chatzilla.core.call import Call, Order, Participant, ParticipantId, Reason, Source

DESCRIPTION_LIMIT: Final = 64 * 1024
"""Characters of one session description."""

ANSWER_LIMIT: Final = 512 * 1024
"""Likewise of an answer to what somebody receives through the server: 50 people, with four sources each. Chromium (156)
takes 680 for a line."""

CANDIDATES_AT_MOST: Final = 50
"""Ways by which one side may be reached, in one negotiation."""

SIGNALLING: Final = Rate(per_second=20, burst=400)
"""How often one participant may signal. Whoever enters talks to everybody at once."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A server by which browsers find a way to each other (W3C WebRTC, 4.2.4)."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class IceServers:
    """All of them, and until when they let one in; in milliseconds since 1970."""

    servers: tuple[IceServer, ...]
    ends_at: int | None


# What an engine is asked for by a participant. Which of it an engine knows, it says itself.


@dataclass(frozen=True, slots=True)
class Description:
    """One side of a negotiation (RFC 8829)."""

    type: str
    """offer or answer."""
    sdp: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way by which one side may be reached (W3C WebRTC, 4.8.1)."""

    candidate: str
    mid: str | None
    line: int | None
    fragment: str | None


@dataclass(frozen=True, slots=True)
class Track:
    """What is sent on one line of a description."""

    mid: str
    source: Source


@dataclass(frozen=True, slots=True)
class Signal:
    """Something for another participant, from browser to browser."""

    to: ParticipantId
    description: Description | None = None
    candidate: Candidate | None = None
    ends: bool = False
    """No more candidates."""
    tracks: tuple[Track, ...] | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """An offer of what one sends, for the engine; and of all of it, each time."""

    offer: Description
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Trickle:
    """A candidate for the engine, of the connection on which one sends, or of the one on which one receives."""

    up: bool
    candidate: Candidate | None
    """None after the last one."""


@dataclass(frozen=True, slots=True)
class Ready:
    """One can receive; or, with an answer, agrees to what was offered under this number."""

    seq: int | None = None
    answer: Description | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """In which size one wants to receive a line; 0 is the smallest."""

    mid: str
    layer: int


@dataclass(frozen=True, slots=True)
class Restart:
    """The connection on which one receives has lost its way, and looks for another one."""


MediaRequest = Signal | Publish | Trickle | Ready | Quality | Restart


# What participants are told.


@dataclass(frozen=True, slots=True)
class Signalled:
    """Something from another participant."""

    sender: ParticipantId
    signal: Signal


@dataclass(frozen=True, slots=True)
class ParticipantChanged:
    change: str
    """joined, changed, reconnecting or left."""
    participant: Participant
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Moderated:
    """A moderator has done something to whoever is told; a page obeys."""

    order: Order
    source: Source | None
    by: Participant


@dataclass(frozen=True, slots=True)
class Superseded:
    """The same token entered somewhere else."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over, for whoever is told."""

    reason: Reason
    by: Participant | None = None


@dataclass(frozen=True, slots=True)
class CallChanged:
    """The call itself has changed."""

    call: Call


@dataclass(frozen=True, slots=True)
class Received:
    """What a line of an offer carries: a source of somebody."""

    mid: str
    participant: ParticipantId
    source: Source


@dataclass(frozen=True, slots=True)
class Offered:
    """The engine offers what one receives: all of it, each time."""

    seq: int
    offer: Description
    tracks: tuple[Received, ...]


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """What went through the engine is lost; or, with `reset`, it is there again, and one begins anew."""

    reset: bool


CallEvent = CallChanged | Offered | MediaChanged | ParticipantChanged | Signalled | Moderated | Superseded | CallEnded
