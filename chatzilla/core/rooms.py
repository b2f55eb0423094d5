"""Where people talk. A room exists when somebody asks for it, and is stored with its first message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NewType

from chatzilla.core import people
from chatzilla.core.policy import Act
from chatzilla.errors import BadRequest, Full, NotFound

if TYPE_CHECKING:
    from chatzilla.core.catchup import Backlog
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.presence import Here, Presence
    from chatzilla.core.session import Session
    from chatzilla.ports import Ports

RoomId = NewType("RoomId", str)
ConnectionId = NewType("ConnectionId", str)

NO_SUCH_ROOM: Final = "There is no such room, or it is not yours to see."
"""All that a stranger is told of a private room."""

LOBBY: Final = RoomId("lobby")
"""The room that always exists."""

ROOMS_PER_CONNECTION: Final = 200
"""Rooms that one connection hears at once."""

ROOMS_REMEMBERED: Final = 400
"""Rooms that one connection is known to belong to; what it visits beyond that is not noted for its person."""

_FORM = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class Kind(StrEnum):
    """What a room is."""

    PUBLIC = "public"
    """Open to everybody who may be on the server. The lobby is one."""
    PRIVATE = "private"
    """For its members, who were invited."""
    DIRECT = "direct"
    """For the two or few people that it was made for, and for ever these."""


class Grade(StrEnum):
    """What somebody was given in a room."""

    READ = "read"
    POST = "post"
    MODERATE = "moderate"


@dataclass(frozen=True, slots=True)
class RoomHead:
    """A room as a room list shows it: `head` is the number of its newest change."""

    room: RoomId
    name: str
    head: int
    last: int
    """The place of its newest message; 0 where there is none."""
    read: int | None = None
    """The place up to which a person has read, where that is known."""
    muted: bool | None = None
    """Whether a person does not want to be told of it, likewise."""
    kind: Kind = Kind.PUBLIC
    topic: str = ""
    archived: bool = False
    locked: bool = False
    people: tuple[Account, ...] = ()
    """Whose direct room it is."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What somebody is given who enters a room."""

    account: Account
    room: RoomHead
    here: Here
    backlog: Backlog
    epoch: str
    may: tuple[str, ...]
    """What they may there; see `Directory.rights`."""


def parse_room(raw: object) -> RoomId:
    """Accept a room's id; ids are unique ignoring case, so the lower-case form is the id.

    Raises:
        BadRequest: it is not 1 to 64 of `A-Za-z0-9_-`.
    """
    if isinstance(raw, str) and _FORM.fullmatch(raw):
        return RoomId(raw.lower())
    raise BadRequest("A room's id is 1 to 64 letters, digits, hyphens or underscores.")


def join(ports: Ports, presence: Presence, session: Session, account: Account, room: RoomId) -> None:
    """Put a connection into a room, under an account: it hears the room and is seen there from now on.

    Raises:
        NotJoined: the connection is gone, so nothing would ever take it out again.
        NotFound, TooFast: there is no such room for this person; see `Directory.check`.
        Forbidden: the room is not for this person, or their name looks like another one that is in use.
        Full: the connection is in as many rooms as it may be.
    """
    session.check_going_on()
    ports.directory.check(account, Act.ENTER, room, address=session.address)
    if room not in session.rooms and len(session.rooms) >= ROOMS_PER_CONNECTION:
        raise Full(f"A connection can be in {ROOMS_PER_CONNECTION} rooms at once; leave one first.")
    people.introduce(ports, presence, session, account)
    session.rooms.add(room)
    ports.audience.subscribe(session.connection, room)
    presence.arrive(room, account, session.connection)


async def enter(
    ports: Ports,
    presence: Presence,
    session: Session,
    account: Account,
    room: RoomId,
    *,
    cursor: int | None,
    epoch: str | None,
) -> Entrance:
    """Join a room and read what was missed: subscribe first, then read, so that nothing falls in between.

    Raises:
        NotFound, TooFast, Forbidden, Full: see `join`. `NotFound` too for somebody who was removed meanwhile.
        NotJoined: the connection is gone, now or when the store has answered.
        Unavailable: the store cannot be read now; the connection is then what and where it was before.
    """
    joined_before, account_before = room in session.rooms, session.account
    join(ports, presence, session, account, room)
    try:
        backlog = await ports.store.backlog(room, account, cursor=cursor, epoch=epoch)
        member_of = await _show_rooms(ports, session, account)
        session.check_going_on()
        if room not in session.rooms:
            raise NotFound(NO_SUCH_ROOM)
    except BaseException:
        if not joined_before:
            leave(ports, presence, session, room, watching=room in (session.member_of or ()))
        if account_before is None:
            session.account = None
            session.unnamed = True
            presence.names.release(session.connection)
            ports.audience.identify(session.connection, None)
        raise
    account = session.account or account  # their role may have changed meanwhile
    head, rights = ports.directory.dress(backlog.room), ports.directory.rights(account, room)
    ports.audience.watch(session.connection, head)
    if room not in member_of and note_member(session, room):
        ports.log.enrol(account, room)
        for other in ports.audience.others_of(session.connection):
            ports.audience.watch(other, head)
    return Entrance(account, head, presence.here(room), backlog, ports.store.epoch, rights)


def leave(ports: Ports, presence: Presence, session: Session, room: RoomId, *, watching: bool = True) -> None:
    """Stop hearing a room on this connection; the person stays a member. Harmless where it was not joined.

    With `watching`, the connection goes on hearing that the room moves.
    """
    if room not in session.rooms:
        return
    session.rooms.discard(room)
    watching = watching and room in (session.member_of or ())
    ports.audience.unsubscribe(session.connection, room, watching=watching)
    if session.account is not None:
        presence.depart(room, session.account, session.connection)


def part(ports: Ports, presence: Presence, session: Session) -> None:
    """The connection is gone: leave every room it was in. Harmless twice."""
    session.ended = True
    presence.names.release(session.connection)
    for room in tuple(session.rooms):
        leave(ports, presence, session, room, watching=False)


def expel(ports: Ports, presence: Presence, account: AccountId, room: RoomId) -> None:
    """Let somebody hear nothing of a room from here on, on none of their connections, nor in its call; tell them so."""
    for session in ports.audience.sessions_of(account):
        leave(ports, presence, session, room, watching=False)
        ports.audience.unsubscribe(session.connection, room, watching=False)
        (session.member_of or set()).discard(room)
    ports.put_out_of_calls(account, room)
    ports.audience.tell_gone(room, account)


def note_member(session: Session, room: RoomId) -> bool:
    """Note that a room is one of this person's; returns whether there was room for it."""
    if session.member_of is None or len(session.member_of) >= ROOMS_REMEMBERED:
        return False
    session.member_of.add(room)
    return True


async def _show_rooms(ports: Ports, session: Session, account: Account) -> set[RoomId]:
    """Tell a connection, once, of the rooms that its person belongs to."""
    if session.member_of is None:
        heads = await ports.store.memberships(account)
        if not {room.id for room in ports.directory.of(account.id)} <= {head.room for head in heads}:
            heads = await ports.store.memberships(account)  # somebody was invited while they were read
        theirs = [ports.directory.dress(head) for head in heads if ports.directory.admits(account, head.room)]
        session.member_of = {head.room for head in theirs}
        for head in theirs:
            ports.audience.watch(session.connection, head)
    return session.member_of
