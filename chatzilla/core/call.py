"""What a call is: its people, what they may do in it, and what of it outlives the process."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, NewType

from chatzilla.core.rights import CallRole
from chatzilla.errors import Forbidden, Full

if TYPE_CHECKING:
    from collections.abc import Iterable

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


BARRED_AT_MOST: Final = 200
"""People and tickets that one call remembers as put out."""

REMEMBERED_AT_MOST: Final = 200
"""People whose names a call keeps for its notice."""

NAMED_IN_ROOM: Final = 20
"""People of a call who are named to the room."""

_BY_RIGHT: Final = "right "


def ticket_of(right: str) -> Ticket:
    """What a right is compared by."""
    return Ticket(f"{_BY_RIGHT}{right}")


def ticket_key(ticket: Ticket) -> str:
    """What a call remembers a ticket by that lets nobody in any more."""
    return f"ticket {ticket}"


def right_in(ticket: Ticket) -> str | None:
    """The id of the right that somebody was let in by, if it was one."""
    return ticket.removeprefix(_BY_RIGHT) if ticket.startswith(_BY_RIGHT) else None


class Source(enum.StrEnum):
    """What somebody sends."""

    MICROPHONE = "microphone"
    CAMERA = "camera"
    SCREEN = "screen"
    SCREEN_AUDIO = "screen-audio"


SHOWN: Final = {"audio": Source.MICROPHONE, "video": Source.CAMERA, "screen": Source.SCREEN, "hand": None}
"""What others see of somebody, and which source each is about."""


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

    @property
    def shown(self) -> tuple[bool, bool, bool, bool]:
        """What others see of them."""
        return self.audio, self.video, self.screen, self.hand

    @property
    def keys(self) -> tuple[str, str]:
        """What a call remembers them by when they are put out."""
        return f"account {self.account.id}", ticket_key(self.ticket)

    def stop_waiting(self) -> None:
        """They are back, or are not waited for any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


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

    def check_place(self, among: Iterable[Participant]) -> None:
        """See that one more could be seen and heard beside these.

        Raises:
            Full: nobody could.
        """
        most = self.limits.publishers
        if sum(each.publishes for each in among) >= most:
            raise Full(f"{most} people can be seen and heard in this call, and they are. You can watch and listen.")

    def take_place(self, participant: Participant) -> bool:
        """Give somebody one of the places of those who are seen or heard, and say whether they had none.

        Raises:
            Forbidden: a subscriber does not send.
            Full: all places are taken.
        """
        if not participant.may_publish:
            raise Forbidden("You can watch and listen in this call, and not be seen or heard.")
        if participant.publishes:
            return False
        self.check_place(self.besides(participant))
        participant.publishes = True
        return True

    def bar(self, *keys: str) -> None:
        """Remember these as put out, in place of the earliest where they are too many."""
        self.barred |= dict.fromkeys(keys)
        while len(self.barred) > BARRED_AT_MOST:
            del self.barred[next(iter(self.barred))]

    def note_name(self, account: Account) -> None:
        """Keep the name of somebody who enters, for the notice."""
        if account.id in self.names:
            return
        if len(self.names) < REMEMBERED_AT_MOST:
            self.names[account.id] = account.name
        else:
            self.others += 1


@dataclass(frozen=True, slots=True)
class Summary:
    """A call, as its room is told of it."""

    since: int
    locked: bool
    count: int
    people: tuple[Account, ...]


def summary_of(call: Call) -> Summary:
    """A call, likewise, as it is now."""
    people = {each.account.id: each.account for each in call.participants.values()}
    return Summary(call.since, call.locked, len(call.participants), tuple(islice(people.values(), NAMED_IN_ROOM)))


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
