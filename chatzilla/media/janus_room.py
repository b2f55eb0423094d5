"""A call as Janus has it: its people, what each sends and receives there, and by which handles."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatzilla.core.call import Call, Participant, ParticipantId, Source
    from chatzilla.core.call_events import Offered
    from chatzilla.media.janus_api import JanusSession, Jsep

Feed = tuple[str, str]
"""A line of what somebody sends: Janus' name for the whole of it, and the line's."""


@dataclass(slots=True, eq=False)
class Peer:
    """A participant, as Janus has them."""

    call: Call
    participant: Participant
    up: int | None = None
    feed: str = ""
    """Their name in Janus, a new one for each connection up: an old one may still be taken."""
    count: int = 0
    published: bool = False
    live: bool = False
    """Whether the connection up stands: before that, Janus gives nobody what they send."""
    sends: dict[str, Source] = field(default_factory=dict)
    """What each line of theirs carries."""
    down: int | None = None
    receives: set[Feed] = field(default_factory=set)
    """What they are subscribed to, by Janus' own words."""
    silent: set[Feed] = field(default_factory=set)
    """What of it was off when it was offered last, so that they do not listen to it."""
    lines: dict[str, Feed] = field(default_factory=dict)
    """What each line of what they receive carries."""
    left_out: int = 0
    """How often, one time after the other, Janus has left something out that was asked for."""
    asking: asyncio.Task[None] | None = None
    """Asks for it again, when its time has come."""
    ready: bool = False
    began: float = 0.0
    """When they said so, by the event loop's time."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """What they send has come, or will not."""
    restart: bool = False
    """Whether the connection down has to look for another way."""
    seq: int = 0
    offer: Offered | None = None
    """What waits for an answer."""
    answer: asyncio.Future[Jsep] | None = None
    vain: int = 0
    syncing: asyncio.Task[None] | None = None
    stale: bool = False
    """Whether what they receive may not be what it should be."""
    muted: set[Source] = field(default_factory=set)
    """What a moderator has muted or taken away."""

    def rest(self) -> None:
        """Do nothing more for them, now or later."""
        for task in (self.syncing, self.asking):
            if task is not None:
                task.cancel()

    def anew(self) -> Peer:
        """The same participant, of whom there is nothing in Janus."""
        return Peer(self.call, self.participant, count=self.count, seq=self.seq, muted=self.muted)


@dataclass(slots=True, eq=False)
class Room:
    """A call, as Janus has it."""

    call: Call
    made: bool = False
    making: asyncio.Lock = field(default_factory=asyncio.Lock)
    peers: dict[ParticipantId, Peer] = field(default_factory=dict)


async def create(session: JanusSession, handle: int, room: str, key: str, **more: Any) -> None:
    """Have Janus make a room that ends with it; `key` is the `admin_key` of its VideoRoom.

    Raises:
        JanusError: it refuses.
        Unavailable: it is gone, or does not answer.
    """
    body = {"request": "create", "room": room, "admin_key": key, "permanent": False, "is_private": False}
    await session.message(handle, body | more)


async def destroy(session: JanusSession, handle: int, room: str, key: str) -> None:
    """Have Janus end a room, with all that there is of it; raises what `create` does."""
    body = {"request": "destroy", "room": room, "admin_key": key, "permanent": False}
    await session.message(handle, body)


async def attempt(session: JanusSession, handle: int, key: str, mark: str) -> None:
    """See that Janus would carry a call: that it answers says no more than that it knows one of two secrets.

    Raises:
        JanusError: it would not.
        Unavailable: it is gone, or does not answer.
    """
    room = f"trial-{secrets.token_urlsafe(9)}"
    await create(session, handle, room, key, description=mark)
    await destroy(session, handle, room, key)
