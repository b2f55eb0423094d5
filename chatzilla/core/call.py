"""What a call is: its people, what they may do in it, and what of it outlives the process."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NewType

from chatzilla.core.rights import CallRole

if TYPE_CHECKING:
    from chatzilla.core.limits import Allowance
    from chatzilla.core.pace import Pacer
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.core.tokens import SignInId
    from chatzilla.ports import Media, Timer

CallId = NewType("CallId", str)
ParticipantId = NewType("ParticipantId", str)
Ticket = NewType("Ticket", str)
"""What somebody was let in by, as it is compared: the same token twice is the same ticket."""


_BY_RIGHT: Final = "right "


def ticket_of(right: str) -> Ticket:
    """What a right is compared by."""
    return Ticket(f"{_BY_RIGHT}{right}")


def right_in(ticket: Ticket) -> str | None:
    """The id of the right that somebody was let in by, if it was one."""
    return ticket.removeprefix(_BY_RIGHT) if ticket.startswith(_BY_RIGHT) else None


class Source(enum.StrEnum):
    """What somebody sends."""

    MICROPHONE = "microphone"
    CAMERA = "camera"
    SCREEN = "screen"
    SCREEN_AUDIO = "screen-audio"


class Order(enum.StrEnum):
    """What a moderator can do to somebody."""

    MUTE = "mute"
    UNPUBLISH = "unpublish"
    KICK = "kick"


class Reason(enum.StrEnum):
    """Why somebody is not in a call any more."""

    LEFT = "left"
    LOST = "lost"
    KICKED = "kicked"
    SUPERSEDED = "superseded"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to send when they enter."""

    audio: bool = False
    video: bool = False


@dataclass(frozen=True, slots=True)
class Flags:
    """What somebody sends or shows now; None leaves it as it is."""

    audio: bool | None = None
    video: bool | None = None
    screen: bool | None = None
    hand: bool | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """How large a camera's picture is up to a number of people; bits and frames are per second."""

    people: int
    width: int
    height: int
    frame_rate: int
    bitrate: int


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What an engine carries in one call."""

    people: int
    publishers: int
    """Those who may be seen or heard; the others see and hear."""
    video: tuple[Picture, ...]
    most: int
    """People that the engine carries whatever anybody says."""
    audio_bitrate: int | None = None
    """What somebody may send of each sound; None is as they like."""
    video_bitrate: int | None = None
    """Likewise of each picture."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What somebody holds who knocks: who they are, and how far that goes."""

    account: Account
    ticket: Ticket
    sign_in: SignInId | None = None
    """The sign-in that it stands on, and ends with."""
    room: RoomId | None = None
    """The one room whose call it opens; None is every room that the person may enter."""
    role: CallRole | None = None
    """The role that it gives; None is what the person is in the room."""


@dataclass(slots=True, eq=False)
class Seat:
    """One connection: who sits there, and how much more it may ask now."""

    connection: ConnectionId
    address: str
    holder: Pass
    asking: Allowance
    signals: Allowance
    call: Call | None = None
    participant: Participant | None = None
    ended: bool = False
    """The connection is gone."""


@dataclass(slots=True, eq=False)
class Participant:
    """Somebody in a call."""

    id: ParticipantId
    account: Account
    role: CallRole
    ticket: Ticket
    joined_at: int
    """Milliseconds since 1970."""
    sign_in: SignInId | None = None
    audio: bool = False
    video: bool = False
    screen: bool = False
    hand: bool = False
    publishes: bool = False
    """Whether they hold one of the places of those who are seen or heard."""
    seat: Seat | None = None
    timer: Timer | None = None
    """Runs while they are reconnecting."""

    @property
    def here(self) -> bool:
        return self.seat is not None

    @property
    def may_publish(self) -> bool:
        return self.role is not CallRole.SUBSCRIBER

    @property
    def may_share_screen(self) -> bool:
        return self.role is not CallRole.SUBSCRIBER

    @property
    def may_moderate(self) -> bool:
        return self.role is CallRole.MODERATOR


@dataclass(slots=True, eq=False)
class Call:
    """One call: its people, in the order in which they came, and its rules."""

    id: CallId
    room: RoomId
    began_by: Account
    since: int
    """Milliseconds since 1970."""
    media: Media
    limits: CallLimits
    pacer: Pacer
    participants: dict[ParticipantId, Participant] = field(default_factory=dict)
    locked: bool = False
    barred: dict[str, None] = field(default_factory=dict)
    """Accounts and tickets that were put out, the earliest first."""
    names: dict[AccountId, str] = field(default_factory=dict)
    """Everybody who was ever in it."""
    others: int = 0
    """How many more, beyond those whose names are kept."""
    heard_of: int = 0
    """When it was last known to go on; in milliseconds since 1970."""
    over: bool = False

    @property
    def publishers(self) -> int:
        return sum(each.publishes for each in self.participants.values())

    def besides(self, participant: Participant) -> list[Participant]:
        return [each for each in self.participants.values() if each is not participant]


@dataclass(frozen=True, slots=True)
class Summary:
    """A call, as its room is told of it."""

    since: int
    locked: bool
    count: int
    people: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What of a call outlives the process."""

    id: CallId
    room: RoomId
    engine: str
    began_by: Account
    since: int
    heard_of: int
    locked: bool
    barred: tuple[str, ...]
    names: tuple[tuple[AccountId, str], ...]
    others: int
    people: tuple[PersonRecord, ...]


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A participant, likewise."""

    id: ParticipantId
    account: Account
    role: CallRole
    ticket: Ticket
    joined_at: int
    sign_in: SignInId | None
    publishes: bool


def record_of(call: Call) -> CallRecord:
    """A call as the book has it."""
    return CallRecord(
        call.id,
        call.room,
        call.media.name,
        call.began_by,
        call.since,
        call.heard_of,
        call.locked,
        tuple(call.barred),
        tuple(call.names.items()),
        call.others,
        tuple(
            PersonRecord(each.id, each.account, each.role, each.ticket, each.joined_at, each.sign_in, each.publishes)
            for each in call.participants.values()
        ),
    )
