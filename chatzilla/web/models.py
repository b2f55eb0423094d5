"""What `/api/v1` takes and gives, each shape once: requests are checked by it, answers are made by it, and the OpenAPI
document is generated from it.

What is taken here has the right shape. What a shape cannot say, such as that a name has to show something, the rules of
`core` say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatzilla.core.addresses import ADDRESS_LIMIT
from chatzilla.core.bans import LONGEST_BAN_MS
from chatzilla.core.catchup import PAGE_ROWS
from chatzilla.core.links import LONGEST_MS, USES_AT_MOST
from chatzilla.core.membership import DIRECT_AT_MOST, MEMBERS_AT_MOST, TOPIC_LIMIT
from chatzilla.core.membership import NAME_LIMIT as ROOM_NAME_LIMIT
from chatzilla.core.messages import CLIENT_ID_LIMIT, TEXT_LIMIT
from chatzilla.core.people import NAME_LIMIT
from chatzilla.core.policy import Role
from chatzilla.core.programs import DAYS_AT_MOST, LABEL_LIMIT, USUAL_DAYS
from chatzilla.core.rooms import Grade, Kind
from chatzilla.core.signin import SignInMode
from chatzilla.errors import ChatError
from chatzilla.wire import HISTORY_ROWS, LARGEST_NUMBER, Json

if TYPE_CHECKING:
    from collections.abc import Iterator

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


def shaped(kind: type[S], answer: Json) -> S:
    """An answer of `wire` in the shape that the document promises; keys that the shape does not have stay at home."""
    return msgspec.convert(answer, kind)


def given(value: T | UnsetType) -> T | None:
    """What was asked for, if it was."""
    return None if isinstance(value, UnsetType) else value


def codes(kind: type[ChatError] = ChatError) -> Iterator[str]:
    """The codes of a refusal and of all below it."""
    yield kind.code
    for child in kind.__subclasses__():
        yield from codes(child)


# Parts of paths, and of shapes.

RoomName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", description="A room's id; upper and lower case are one.", examples=["lobby"]
    ),
]
MessageName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9_-]{1,64}:[1-9][0-9]{0,15}$",
        description="A message's id: its room and place.",
        examples=["lobby:1"],
    ),
]
EmailAddress = Annotated[str, Meta(min_length=3, max_length=ADDRESS_LIMIT, examples=["bob@example.com"])]
Ident = Annotated[str, Meta(min_length=1, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]
Place = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]
Moment = Annotated[int, Meta(ge=0, description="Milliseconds since 1970, by the server's clock.")]
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_LIMIT, description="What is said, as plain text.")]
ClientId = Annotated[
    str,
    Meta(
        pattern=rf"^[ -~]{{1,{CLIENT_ID_LIMIT}}}$",
        description="An id of the client's own making, such as a UUID, under which sending it again is harmless.",
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT)]
Topic = Annotated[str, Meta(max_length=TOPIC_LIMIT, description="What it is for; an empty one is none.")]


class Problem(msgspec.Struct, kw_only=True):
    """Why something was refused (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: Annotated[str, Meta(description="A sentence for people.")]
    code: Annotated[
        str, Meta(extra_json_schema={"enum": sorted(codes())}, description="For programs: it stays as it is.")
    ]


# People.


class Person(msgspec.Struct, kw_only=True):
    """Somebody, as others see them."""

    id: str
    name: str
    verified: Annotated[bool, Meta(description="There where it is true.")] | UnsetType = UNSET


class Holder(msgspec.Struct, kw_only=True):
    """Somebody, with what they are here."""

    id: str
    name: str
    verified: bool
    role: Role
    room: Annotated[str, Meta(description="The one room that a guest was let into.")] | None


class Me(msgspec.Struct, kw_only=True):
    """Who calls, and what they may do."""

    you: Holder
    sign_in: SignInMode
    invites: Annotated[list[Role], Meta(description="The roles that they may invite to.")]
    gives: Annotated[list[Role], Meta(description="The roles that they may give to people.")]
    makes: Annotated[list[Literal["hook", "bot", "token"]], Meta(description="What else they may make.")]


class SecretAndName(msgspec.Struct, kw_only=True):
    """A link that is used."""

    secret: Annotated[str, Meta(pattern=r"^[!-~]{1,128}$", description="What the link ends with.")]
    name: Annotated[str, Meta(max_length=NAME_LIMIT, description="Of somebody new.")] | None = None


class You(Holder, kw_only=True):
    """Somebody who has come in, with the token that says so."""

    token: str


class Welcome(msgspec.Struct, kw_only=True):
    """Somebody has come in."""

    you: You


class Nothing(msgspec.Struct):
    """An object in which nothing is asked."""


# Links and sign-ins.


class LinkTerms(msgspec.Struct, kw_only=True):
    """What a link is to be: an invitation, or, with `account`, a sign-in for that person."""

    role: Role = Role.MEMBER
    room: Annotated[RoomName, Meta(description="The room that it leads to; a guest stays in it.")] | None = None
    hours: Annotated[int, Meta(ge=1, le=LONGEST_MS // 3_600_000)] = 7 * 24
    uses: Annotated[int, Meta(ge=1, le=USES_AT_MOST)] = 1
    account: Annotated[Ident, Meta(description='A person\'s id, or "me": whom it signs in.')] | None = None
    email: Annotated[EmailAddress, Meta(description="Whom it invites, where people come in by mail.")] | None = None


class Link(msgspec.Struct, kw_only=True):
    """A link that can be used, without its secret."""

    id: str
    kind: Annotated[str, Meta(extra_json_schema={"enum": ["invitation", "sign-in"]})]
    role: Role
    room: str | None
    person: Annotated[Person, Meta(description="Whom it signs in.")] | None
    maker: Annotated[Person, Meta(description="Nobody where the operator made it.")] | None
    made_at: Moment
    ends_at: Moment
    uses: Count
    used: Count
    email: Annotated[str, Meta(description="The address that it invites, which comes in by mail.")] | None


class Links(msgspec.Struct, kw_only=True):
    links: list[Link]


class QrCode(msgspec.Struct, kw_only=True):
    """A QR code as the path of an SVG."""

    size: int
    path: str


class MadeLink(msgspec.Struct, kw_only=True):
    """A link with its address, which no other answer has."""

    link: Link
    url: str
    qr: QrCode
    mailed: Annotated[bool, Meta(description="Whether the address is told of its invitation.")] | UnsetType = UNSET


class SignIn(msgspec.Struct, kw_only=True):
    """A browser or program that is signed in."""

    id: str
    person: Holder
    made_at: Moment
    seen_at: Annotated[Moment, Meta(description="When it was last used, to five minutes.")]
    ends_at: Moment
    agent: Annotated[str, Meta(description="What it calls itself; of a program's token, what it is for.")]
    program: Annotated[bool, Meta(description="Whether it is the token of a program.")]
    current: Annotated[bool, Meta(description="Whether it is the one that asks.")]


class SignIns(msgspec.Struct, kw_only=True):
    sign_ins: list[SignIn]


class WhoseSignIns(msgspec.Struct, kw_only=True):
    account: (
        Annotated[Ident, Meta(description="Whose; the caller's own, but for the one that asks, unless said.")]
        | UnsetType
    ) = UNSET


# Rooms.


class Room(msgspec.Struct, kw_only=True):
    """A room as the caller sees it."""

    room: Annotated[str, Meta(description="Its id.")]
    name: str
    kind: Kind
    topic: str
    head: Annotated[Count, Meta(description="The number of its newest change.")]
    last: Annotated[Count, Meta(description="The place of its newest message; 0 where there is none.")]
    archived: Annotated[bool, Meta(description="There where it is true.")] | UnsetType = UNSET
    locked: Annotated[bool, Meta(description="There where it is true.")] | UnsetType = UNSET
    people: Annotated[list[Person], Meta(description="Whose direct room it is.")] | UnsetType = UNSET
    read: Annotated[Count, Meta(description="The place up to which the caller has read.")] | UnsetType = UNSET
    muted: Annotated[bool, Meta(description="Whether the caller does not want to be told of it.")] | UnsetType = UNSET
    may: Annotated[list[str], Meta(description="What the caller may do there.")] | UnsetType = UNSET
    member: Annotated[bool, Meta(description="Whether it is one of the caller's.")] | UnsetType = UNSET


class Rooms(msgspec.Struct, kw_only=True):
    rooms: list[Room]
    makes: Annotated[list[Kind], Meta(description="The kinds of rooms that the caller may make.")]


class OneRoom(msgspec.Struct, kw_only=True):
    room: Room


class NewRoom(msgspec.Struct, kw_only=True):
    """A room that is wanted."""

    name: Annotated[str, Meta(min_length=1, max_length=ROOM_NAME_LIMIT, examples=["Plans for the garden"])]
    kind: Literal["public", "private"] = "public"
    topic: Topic | None = None
    people: Annotated[list[Ident], Meta(max_length=MEMBERS_AT_MOST, description="Whom to invite at once.")] = []
    client_id: ClientId | UnsetType = UNSET


class RoomChange(msgspec.Struct, kw_only=True):
    """What is to be different about a room."""

    name: Annotated[str, Meta(min_length=1, max_length=ROOM_NAME_LIMIT)] | UnsetType = UNSET
    topic: Topic | UnsetType = UNSET
    archived: Annotated[bool, Meta(description="Whether nothing is said there any more.")] | UnsetType = UNSET


class WithWhom(msgspec.Struct, kw_only=True):
    """With whom somebody wants to talk."""

    people: Annotated[list[Ident], Meta(min_length=1, max_length=DIRECT_AT_MOST)]


class Member(msgspec.Struct, kw_only=True):
    """Somebody in a room."""

    id: str
    name: str
    verified: Annotated[bool, Meta(description="There where it is true.")] | UnsetType = UNSET
    grade: Annotated[Grade, Meta(description="What they may there.")]
    here: Annotated[bool, Meta(description="Whether they are in the room now.")]
    online: Annotated[bool, Meta(description="Whether they are connected at all.")]


class Members(msgspec.Struct, kw_only=True):
    """Who is in a room, the first of them by name."""

    count: Count
    members: list[Member]


class Membership(msgspec.Struct, kw_only=True):
    """What somebody is to be in a room."""

    grade: Annotated[Grade, Meta(description="As it is, or else `post`, unless said.")] | UnsetType = UNSET


class Somebody(msgspec.Struct, kw_only=True):
    """Somebody who has signed in."""

    id: str
    name: str
    verified: Annotated[bool, Meta(description="There where it is true.")] | UnsetType = UNSET
    online: Annotated[bool, Meta(description="Whether they are connected now.")]


class People(msgspec.Struct, kw_only=True):
    people: list[Somebody]


# Keeping order.


class Roles(msgspec.Struct, kw_only=True):
    people: list[Holder]


class NewRole(msgspec.Struct, kw_only=True):
    role: Literal["owner", "admin", "member", "guest", "bot"]


class OnePerson(msgspec.Struct, kw_only=True):
    person: Holder


class WhoseBans(msgspec.Struct, kw_only=True):
    room: Annotated[RoomName, Meta(description="Only those of this room.")] | UnsetType = UNSET


class NewBan(msgspec.Struct, kw_only=True):
    """Whom to keep out: an account, or an address."""

    account: Ident | None = None
    address: Annotated[str, Meta(max_length=64, examples=["192.0.2.7"])] | None = None
    room: Annotated[RoomName, Meta(description="Out of which; of the whole server unless said.")] | None = None
    hours: Annotated[int, Meta(ge=1, le=LONGEST_BAN_MS // 3_600_000, description="For good unless said.")] | None = None


class Named(msgspec.Struct, kw_only=True):
    id: str | None
    name: str


class Ban(msgspec.Struct, kw_only=True):
    """Somebody who is kept out, or an address."""

    id: str
    kind: Annotated[str, Meta(extra_json_schema={"enum": ["account", "address"]})]
    account: str | None
    address: Annotated[str, Meta(description="For owners and admins alone.")] | None
    name: str
    room: Annotated[str, Meta(description="Nothing where it is the whole server.")] | None
    maker: Annotated[Named, Meta(description="Nobody where the operator made it.")] | None
    made_at: Moment
    ends_at: Annotated[Moment, Meta(description="Nothing where it is for good.")] | None


class Bans(msgspec.Struct, kw_only=True):
    bans: list[Ban]


class Kick(msgspec.Struct, kw_only=True):
    room: RoomName
    account: Ident


class Kicked(msgspec.Struct, kw_only=True):
    connections: Annotated[Count, Meta(description="How many they had in the room.")]


class Purge(msgspec.Struct, kw_only=True):
    account: Ident
    room: Annotated[RoomName, Meta(description="Everywhere unless said.")] | None = None


class Purged(msgspec.Struct, kw_only=True):
    messages: Count
    more: Annotated[bool, Meta(description="Whether there are more: ask again.")]


class Lock(msgspec.Struct, kw_only=True):
    room: RoomName
    on: bool


class Before(msgspec.Struct, kw_only=True):
    before: Annotated[Count, Meta(description="The number of an entry.")] | UnsetType = UNSET


class Entry(msgspec.Struct, kw_only=True):
    """Something that was done."""

    no: Count
    at: Moment
    actor: Annotated[Named, Meta(description="Nobody where it was the operator.")] | None
    act: str
    person: Named | None
    room: str | None
    details: dict[str, Any]


class Audit(msgspec.Struct, kw_only=True):
    entries: list[Entry]
    more: bool


# Messages.


class Message(msgspec.Struct, kw_only=True):
    """The newest state of one message."""

    id: str
    room: str
    seq: Annotated[Place, Meta(description="Its place in the room, for ever.")]
    changed: Annotated[Place, Meta(description="The number of its newest change.")]
    kind: Annotated[str, Meta(description="`text`: somebody said it.")]
    client_id: str
    sender: Annotated[str, Meta(description="The author's id.")]
    name: Annotated[str, Meta(description="The author's name when it was said.")]
    content: str
    sent_at: Moment
    edited_at: Moment | UnsetType = UNSET
    deleted: Annotated[bool, Meta(description="There where it was taken back; the text is then gone.")] | UnsetType = (
        UNSET
    )
    removed: Annotated[bool, Meta(description="There where it was a moderator who did that.")] | UnsetType = UNSET


class Messages(msgspec.Struct, kw_only=True):
    """A part of a room's history, in the order of `seq`. A page ends at 100 messages or 128 KB."""

    messages: list[Message]
    more: Annotated[bool, Meta(description="Whether there is more in the direction asked for.")]
    next: Annotated[str, Meta(description="Where that is.")] | None


class Part(msgspec.Struct, kw_only=True):
    """Which part of a history; without any, the newest."""

    before: Annotated[Place, Meta(description="What was said before this `seq`.")] | UnsetType = UNSET
    after: Annotated[Place, Meta(description="What was said after this `seq`.")] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=PAGE_ROWS)] = HISTORY_ROWS


class NewMessage(msgspec.Struct, kw_only=True):
    """Something to say."""

    content: Text
    client_id: ClientId | UnsetType = UNSET


class NewText(msgspec.Struct, kw_only=True):
    content: Text


class Posted(msgspec.Struct, kw_only=True):
    """A message is on disk, under these numbers."""

    id: str
    seq: Place
    changed: Place
    sent_at: Moment
    client_id: str


# Programs.

Days = Annotated[int, Meta(ge=1, le=DAYS_AT_MOST, description="How long the token lasts.")]
Secret = Annotated[str, Meta(min_length=1, max_length=256, description="What the hook's address ends with.")]


class Token(msgspec.Struct, kw_only=True):
    """The token of a program, without the token."""

    id: str
    label: Annotated[str, Meta(description="What it is for.")]
    person: Annotated[Holder, Meta(description="Who a program is that has it.")]
    made_at: Moment
    seen_at: Annotated[Moment, Meta(description="When it was last used, to five minutes.")]
    ends_at: Moment


class Tokens(msgspec.Struct, kw_only=True):
    tokens: list[Token]


class NewToken(msgspec.Struct, kw_only=True):
    """A token that is wanted."""

    label: Annotated[str, Meta(min_length=1, max_length=LABEL_LIMIT, description="What it is for, in a line.")]
    bot: Annotated[Ident, Meta(description="The bot that it is for; else it is for the caller.")] | UnsetType = UNSET
    days: Days = USUAL_DAYS


class MadeToken(msgspec.Struct, kw_only=True):
    """A token that was made, and the token itself, which no other answer has."""

    token: Token
    secret: Annotated[str, Meta(description="The token.")]


class Bot(msgspec.Struct, kw_only=True):
    """Somebody that is a program."""

    id: str
    name: str
    verified: bool
    tokens: Annotated[int, Meta(ge=0, description="How many it has that last.")]
    seen_at: Annotated[Moment, Meta(description="When one was last used, to five minutes.")] | None


class Bots(msgspec.Struct, kw_only=True):
    bots: list[Bot]


class NewBot(msgspec.Struct, kw_only=True):
    """A bot that is wanted."""

    name: Name
    days: Days = USUAL_DAYS


class MadeBot(msgspec.Struct, kw_only=True):
    """A bot that was made, and its token, which no other answer has."""

    bot: Bot
    secret: Annotated[str, Meta(description="The token.")]


class Hook(msgspec.Struct, kw_only=True):
    """An address that speaks in one room, without the address."""

    id: str
    name: str
    room: str
    maker: Annotated[Person, Meta(description="Nobody where the operator made it.")] | None
    made_at: Moment


class Hooks(msgspec.Struct, kw_only=True):
    hooks: list[Hook]


class NewHook(msgspec.Struct, kw_only=True):
    """A hook that is wanted."""

    name: Annotated[Name, Meta(description="Under which it speaks.")]
    room: RoomName


class MadeHook(msgspec.Struct, kw_only=True):
    """A hook that was made, and its address, which no other answer has."""

    hook: Hook
    url: str
