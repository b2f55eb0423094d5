"""Making rooms, and who is in them. Every verb takes the person who acts, so that any door can call it.

A change is checked, stored, known to the directory and told, in this order, and one change at a time. What people
should see of it is a message as well, of the kind "notice", so that whoever was away finds it in its place.

Private and direct rooms are for people who have signed in: a typed name proves nothing, and whoever types it next would
read what was meant for somebody else.
"""

from __future__ import annotations

import logging
import re
import secrets
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from chatzilla.core import policy, rooms
from chatzilla.core.audit import Done
from chatzilla.core.directory import Room, direct_between, is_hidden, mint_private
from chatzilla.core.messages import notify
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.rooms import LOBBY, Grade, Kind, RoomHead, RoomId
from chatzilla.core.succession import heir_in_words, take_out
from chatzilla.core.text import is_visible, parse_line
from chatzilla.errors import BadRequest, Conflict, Forbidden, Full, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chatzilla.core.audit import Deed
    from chatzilla.core.messages import ClientId
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.presence import Presence
    from chatzilla.core.rooms import ConnectionId
    from chatzilla.ports import Ports

logger = logging.getLogger(__name__)

NAME_LIMIT: Final = 80
TOPIC_LIMIT: Final = 250
"""Characters (code points)."""

ROOMS_PER_PERSON: Final = 1_000
"""Rooms that one person may make; direct ones are counted apart, by the same number."""

ROOMS_AT_MOST: Final = 100_000
"""Rooms that are not ordinary ones."""

MEMBERS_AT_MOST: Final = 500
"""Members of a private room."""

DIRECT_AT_MOST: Final = 8
"""People in a direct room."""

MEMBERS_SHOWN: Final = 500
ROOMS_LISTED: Final = 500
PEOPLE_SHOWN: Final = 1_000

ADDRESSES_TRIED: Final = 20
"""Addresses that are tried for a public room before it gets a random one."""

_SLUG_LIMIT: Final = 48

NOT_STORED: Final = "There is no such room yet: it begins with its first message."

NOBODY: Final = "There is nobody like that among those who have signed in."

_THINGS: Final = {Kind.PUBLIC: Thing.ROOM, Kind.PRIVATE: Thing.PRIVATE_ROOM, Kind.DIRECT: Thing.DIRECT_ROOM}

_WORDS: Final = {
    Kind.PUBLIC: "You cannot make rooms here.",
    Kind.PRIVATE: "Private rooms are for people who have signed in: a name that was only typed proves nothing.",
    Kind.DIRECT: "Direct messages are for people who have signed in: a name that was only typed proves nothing.",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A room that somebody wants."""

    name: str
    kind: Kind = Kind.PUBLIC
    topic: str = ""
    people: tuple[AccountId, ...] = ()
    """Whom to invite at once."""
    client_id: ClientId | None = None
    """By which it is known when it is asked for again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be different about a room; None is as it was."""

    name: str | None = None
    topic: str | None = None
    archived: bool | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a room."""

    account: Account
    grade: Grade
    here: bool
    """Whether they are in the room now."""
    online: bool
    """Whether they are connected at all."""


@dataclass(frozen=True, slots=True)
class Roll:
    """Who is in a room, the first of them by name."""

    count: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A room that somebody may see, and whether it is one of theirs."""

    head: RoomHead
    member: bool


def parse_name(raw: object) -> str:
    """Accept a room's name.

    Raises:
        BadRequest, TooLong: it is no line of text that shows something.
    """
    name = parse_line(raw, "a room's name", NAME_LIMIT)
    if not any(is_visible(character) for character in name):
        raise BadRequest("A room's name needs something that can be seen.")
    return name


def parse_topic(raw: object) -> str:
    """Accept a topic; an empty one is none.

    Raises:
        BadRequest, TooLong: it is no line of text.
    """
    return "" if isinstance(raw, str) and not raw.strip() else parse_line(raw, "a topic", TOPIC_LIMIT)


def kinds_for(account: Account) -> list[Kind]:
    """The kinds of rooms that somebody may make."""
    return [kind for kind, thing in _THINGS.items() if policy.may(account.role, Act.CREATE, thing)]


async def create(ports: Ports, account: Account, plan: Plan, *, address: str | None = None) -> tuple[RoomHead, bool]:
    """Make a room. It is stored at once; whoever makes it moderates it, if they have signed in.

    Whoever asks again by the same `client_id` is answered with the room of the first time, as it stands now.

    Returns:
        The room, and whether it is new.

    Raises:
        Forbidden: it is not theirs to make.
        NotFound: one of the people is nobody; or this is asked again, and the room is not theirs any more.
        Conflict: they asked for a room of another kind by this `client_id`.
        TooFast: too many rooms from this person or address.
        Full: there are too many rooms, of theirs or altogether, or too many people.
        Unavailable: it could not be stored.
    """
    directory = ports.directory
    _check_kind(account, plan.kind)
    if plan.people and not account.verified:
        raise Forbidden("People are invited by people who have signed in.")
    people = [_invited(ports, person) for person in dict.fromkeys(plan.people) if person != account.id]
    if len(people) >= MEMBERS_AT_MOST:
        raise Full(f"A private room has {MEMBERS_AT_MOST} members at most.")
    grades = {account.id: Grade.MODERATE} if account.verified else {}
    if plan.kind is Kind.PRIVATE:
        grades |= {person.id: Grade.POST for person in people}
    directory.spend(account, address)
    async with directory.changing:
        known = directory.wished(account.id, plan.client_id)
        if known is not None:
            return await _again(ports, account, known, plan), False
        _check_room_for(ports, account, direct=False)
        made = Room(LOBBY, plan.name, plan.kind, plan.topic, account.id, grades=grades, client_id=plan.client_id)
        entries = [_entry(ports, account, Done.CREATE_ROOM, address=address, kind=plan.kind.value)]
        entries += [_entry(ports, account, Done.INVITE, person) for person in people]
        room = await _settle(ports, made, [person.id for person in people], entries)
    for person in (account, *people):
        await _bring(ports, person, room)
    await notify(ports, account, room.id, f"{account.name} made this room.")
    return await _head(ports, account, room.id), True


async def _again(ports: Ports, account: Account, known: Room, plan: Plan) -> RoomHead:
    """The room that was asked for before: its name and topic may be others by now, but not its kind."""
    if known.kind is not plan.kind:
        raise Conflict("This client_id was used for a room of another kind.")
    ports.directory.check(account, Act.READ, known.id)
    return await _head(ports, account, known.id)


async def direct(
    ports: Ports, account: Account, people: Iterable[AccountId], *, address: str | None = None
) -> RoomHead:
    """Find the direct room of these people and oneself, or make it: there is never a second one.

    Raises:
        BadRequest: nobody else, or too many.
        Forbidden, NotFound, TooFast, Full, Unavailable: see `create`.
    """
    directory = ports.directory
    _check_kind(account, Kind.DIRECT)
    wanted = {account.id, *people}
    if len(wanted) < 2:
        raise BadRequest("Say to whom: a direct message goes to somebody else.")
    if len(wanted) > DIRECT_AT_MOST:
        raise BadRequest(f"A direct message goes to {DIRECT_AT_MOST - 1} people at most; make a private room instead.")
    others = [_invited(ports, person) for person in sorted(wanted - {account.id})]
    for other in others:
        if not policy.may(other.role, Act.CREATE, Thing.DIRECT_ROOM):
            raise Forbidden(f"{other.name} is a guest, and guests stay in the room that they were let into.")
    ident = direct_between(wanted)
    if directory.get(ident) is None:
        directory.spend(account, address)
        async with directory.changing:
            if directory.get(ident) is None:  # still: two of them may have asked at once
                _check_room_for(ports, account, direct=True)
                name = ", ".join(sorted(person.name for person in (account, *others)))[:TOPIC_LIMIT]
                room = Room(
                    ident, name, Kind.DIRECT, creator=account.id, grades=dict.fromkeys(sorted(wanted), Grade.POST)
                )
                await directory.register.create_room(room, (), ports.clock.wall_ms())
                directory.keep(room)
                for person in (account, *others):
                    await _bring(ports, person, room)
    return await _head(ports, account, ident)


async def change(ports: Ports, account: Account, ident: RoomId, wish: Wish, *, address: str | None = None) -> RoomHead:
    """Give a room another name or topic, archive it or open it again. Wanting what is there changes nothing.

    Raises:
        NotFound: there is no such room for them, or it is not stored yet.
        TooFast: too many vain tries came from this address.
        Forbidden: it is not theirs to do.
        Unavailable: it could not be stored.
    """
    directory = ports.directory
    async with directory.changing:
        if wish.name is not None or wish.topic is not None:
            directory.check(account, Act.RENAME, ident, address=address)
        if wish.archived is not None:
            directory.check(account, Act.ARCHIVE, ident, address=address)
            if ident == LOBBY:
                raise Forbidden("The lobby always stays open.")
        before = directory.find(ident)
        after = before
        if wish.name is not None:
            after = replace(after, name=wish.name)
        if wish.topic is not None:
            after = replace(after, topic=wish.topic)
        if wish.archived is not None and wish.archived != (before.archived_at is not None):
            after = replace(after, archived_at=ports.clock.wall_ms() if wish.archived else None)
        if after != before:
            entries = [_entry(ports, account, act, room=ident, address=address) for act in _acts(before, after)]
            if not await directory.register.change_room(after, deeds=entries):
                raise NotFound(NOT_STORED)
            directory.keep(after)
            ports.audience.tell_room(directory.dress(RoomHead(ident, ident, 0, 0)))
    for words in _changes(account, before, after):
        await notify(ports, account, ident, words)
    return await _head(ports, account, ident)


async def invite(
    ports: Ports,
    account: Account,
    ident: RoomId,
    person: AccountId,
    grade: Grade | None = None,
    *,
    address: str | None = None,
) -> None:
    """Make a room somebody's, or say what they may there. A grade other than "post" is for moderators to give.

    Raises:
        NotFound: there is no such room for them, or nobody like that.
        TooFast: too many vain tries came from this address.
        Forbidden: it is not theirs to do.
        Conflict: the room would have nobody who moderates it.
        Full: the room has as many members as it may.
        Unavailable: it could not be stored.
    """
    directory = ports.directory
    async with directory.changing:
        directory.check(account, Act.ADMIT, ident, address=address)
        invited = _invited(ports, person)
        room = directory.find(ident)
        held = room.grades.get(person)
        wanted = grade or held or Grade.POST
        if grade is not None and wanted != (held or Grade.POST):
            directory.check(account, Act.GRADE, ident)
            if wanted is Grade.READ and policy.rank(invited.role) > directory.rank_there(account, ident):
                raise Forbidden(f"{invited.name} stands above you on this server.")
        _check_admission(ports, room, invited, wanted)
        stored = wanted if room.hidden or wanted is not Grade.POST else None
        if held != stored or not room.hidden:
            entries, regraded = [], wanted != (held or Grade.POST)
            if held is None and (room.hidden or not regraded):
                entries.append(_entry(ports, account, Done.INVITE, invited, room=ident))
            if regraded:
                entries.append(_entry(ports, account, Done.GRADE, invited, room=ident, grade=wanted.value))
            now = ports.clock.wall_ms()
            if not await directory.register.grade(ident, invited, stored, now, deeds=entries):
                raise NotFound(NOT_STORED)
            directory.keep(room.graded(person, stored))
        await _bring(ports, invited, room)
        if held != stored:
            ports.audience.tell_standing(ident, person, may=directory.rights(invited, ident))
    if room.hidden and held is None:
        await notify(ports, account, ident, f"{account.name} invited {invited.name}.")


async def remove(
    ports: Ports,
    presence: Presence,
    account: Account,
    ident: RoomId,
    person: AccountId,
    *,
    address: str | None = None,
) -> None:
    """Take a room from somebody, or leave it for good. From here on they hear nothing of it, on none of their
    connections, and that holds before this returns.

    A private room is never left without a moderator while somebody is there who can be one; the last one who goes
    archives it.

    Raises:
        NotFound: there is no such room for them, or nobody like that in it.
        TooFast: too many vain tries came from this address.
        Forbidden: it is not theirs to do.
        Unavailable: it could not be stored.
    """
    directory = ports.directory
    async with directory.changing:
        leaving = person == account.id
        _check_removal(ports, account, ident, leaving=leaving, address=address)
        before = directory.find(ident)
        if before.hidden and person not in before.grades:
            raise NotFound("There is nobody like that in this room.")
        removed = directory.person(person)
        entries = [] if leaving else [_entry(ports, account, Done.REMOVE_MEMBER, removed, room=ident)]
        after, heir = await take_out(ports, presence, before, person, by=account, entries=entries)
    if before.hidden and after.grades:
        name = removed.name if removed is not None else "somebody"
        words = f"{account.name} left." if leaving else f"{account.name} removed {name}."
        await notify(ports, account, ident, words + heir_in_words(heir))


async def members(
    ports: Ports, presence: Presence, account: Account, ident: RoomId, *, address: str | None = None
) -> Roll:
    """Who is in a room: in a private or direct one, its members; in a public one, whoever was there or is there now.

    Raises:
        NotFound: there is no such room for them.
        TooFast: too many vain tries came from this address.
        Forbidden: it is not theirs to see.
        Unavailable: the store cannot be read now.
    """
    directory = ports.directory
    directory.check(account, Act.READ, ident, address=address)
    here = presence.here(ident).people
    room = directory.find(ident)
    if room.hidden:
        known = {each.id: each for each in map(directory.person, room.grades) if each is not None}
        count = len(known)
    else:
        stored, count = await ports.store.members(ident, limit=MEMBERS_SHOWN)
        known = {each.id: each for each in stored}
        if len(known) == count:
            known |= {each.id: each for each in here}
            count = len(known)
    here_now = {each.id for each in here}
    found = [
        Member(
            each,
            directory.grade_of(each, ident),
            here=each.id in here_now,
            online=each.id in here_now or bool(ports.audience.sessions_of(each.id)),
        )
        for each in known.values()
    ]
    found.sort(key=lambda member: (member.account.name.casefold(), member.account.id))
    return Roll(count, tuple(found[:MEMBERS_SHOWN]))


async def mute(
    ports: Ports,
    account: Account,
    ident: RoomId,
    *,
    on: bool,
    origin: ConnectionId | None = None,
    address: str | None = None,
) -> None:
    """Want to be told of a room no more, or again; the person's other connections know at once.

    Raises:
        NotFound: there is no such room for them, or it is not stored yet.
        TooFast: too many vain tries came from this address.
        Forbidden: the room is not theirs.
        Unavailable: it could not be stored.
    """
    ports.directory.check(account, Act.READ, ident, address=address)
    if not await ports.directory.register.mute(ident, account, on, ports.clock.wall_ms()):
        raise NotFound(NOT_STORED)
    ports.audience.tell_standing(ident, account.id, muted=on, origin=origin)


async def listing(ports: Ports, account: Account) -> list[Listed]:
    """Every room that somebody may see, their own first.

    Raises:
        Unavailable: the store cannot be read now.
    """
    found = await ports.store.rooms(account, limit=ROOMS_LISTED)
    return [
        Listed(ports.directory.dress(head), member)
        for head, member in found
        if ports.directory.admits(account, head.room)
    ]


def people(ports: Ports, account: Account, everybody: Iterable[Account]) -> list[tuple[Account, bool]]:
    """Everybody who has signed in for good, by name, and whether they are connected now.

    Raises:
        Forbidden: not for guests, nor for whoever typed a name.
    """
    policy.check(account, Act.SEE_PEOPLE, Thing.OTHER)
    shown = sorted((each for each in everybody if each.room is None), key=lambda each: (each.name.casefold(), each.id))
    return [(each, bool(ports.audience.sessions_of(each.id))) for each in shown[:PEOPLE_SHOWN]]


def _check_kind(account: Account, kind: Kind) -> None:
    if not policy.may(account.role, Act.CREATE, _THINGS[kind]):
        guest = account.role is Role.GUEST
        raise Forbidden("Guests stay in the room that they were let into." if guest else _WORDS[kind])


def _check_room_for(ports: Ports, account: Account, *, direct: bool) -> None:
    if ports.directory.made_by(account.id, direct=direct) >= ROOMS_PER_PERSON:
        raise Full(f"You have made {ROOMS_PER_PERSON:,} rooms. That is as many as one person may.")
    if len(ports.directory) >= ROOMS_AT_MOST:
        raise Full("There are as many rooms as this server keeps.")


def _check_admission(ports: Ports, room: Room, invited: Account, grade: Grade) -> None:
    """See whether somebody can be in a room in a grade.

    Raises:
        Forbidden, Conflict, Full: they cannot.
    """
    if invited.room is not None and invited.room != room.id:
        raise Forbidden(f"{invited.name} is a guest, and guests stay in the room that they were let into.")
    if grade is Grade.MODERATE and not policy.may(invited.role, Act.GRADE, Thing.OWN_ROOM):
        raise Forbidden(f"{invited.name} is a guest, and cannot moderate.")
    others = {each: held for each, held in room.grades.items() if each != invited.id}
    if room.hidden and room.moderated and Grade.MODERATE not in {grade, *others.values()}:
        raise Conflict("A room needs somebody who moderates it. Let somebody else do it first.")
    if room.hidden and invited.id not in room.grades:
        members = sum(ports.directory.person(each) is not None for each in room.grades)
        if members >= MEMBERS_AT_MOST:
            raise Full(f"A private room has {MEMBERS_AT_MOST} members at most.")


def _check_removal(ports: Ports, account: Account, ident: RoomId, *, leaving: bool, address: str | None) -> None:
    """See whether somebody can go from a room, or be made to.

    Raises:
        NotFound, TooFast, Forbidden: they cannot.
    """
    room = ports.directory.find(ident)
    if not leaving:
        ports.directory.check(account, Act.EXPEL, ident, address=address)
        if not room.hidden:
            raise Forbidden("This room is open to everybody, so nobody can be taken out of its list.")
        return
    ports.directory.check(account, Act.READ, ident, address=address)
    if room.kind is Kind.DIRECT:
        raise Forbidden("A direct conversation cannot be left. It can be muted.")
    if ident == LOBBY:
        raise Forbidden("The lobby is everybody's. It can be muted.")
    ports.directory.check(account, Act.LEAVE, ident)


def _entry(
    ports: Ports,
    account: Account,
    act: Done,
    person: Account | None = None,
    *,
    room: RoomId | None = None,
    address: str | None = None,
    **details: str,
) -> Deed:
    """The entry of what somebody is about to do."""
    return ports.directory.scribe.entry(account, act, person, room=room, address=address, **details)


def _invited(ports: Ports, ident: AccountId) -> Account:
    """Somebody who has signed in.

    Raises:
        NotFound: nobody like that has.
    """
    person = ports.directory.person(ident)
    if person is None or person.role is Role.REMOVED:
        raise NotFound(NOBODY)
    return person


async def _settle(ports: Ports, made: Room, people: Sequence[AccountId], entries: Sequence[Deed]) -> Room:
    """Store a new room under an address that was free."""
    directory, now = ports.directory, ports.clock.wall_ms()
    addresses = [mint_private()] if made.kind is Kind.PRIVATE else _addresses(made.name)
    for ident in addresses:
        room = replace(made, id=ident)
        if directory.get(ident) is not None:
            continue
        if await directory.register.create_room(
            room, people, now, deeds=[each._replace(room=ident) for each in entries]
        ):
            directory.keep(room)
            return room
    raise Full("There are too many rooms of this name. Choose another one.")


def _addresses(name: str) -> list[RoomId]:
    """Addresses for a public room: its name as far as an address can have it, with a number, or a random one."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_LIMIT].strip("-")
    named = [] if not slug else [slug, *(f"{slug}-{number}" for number in range(2, ADDRESSES_TRIED))]
    random = f"room-{secrets.token_hex(6)}"
    return [RoomId(each) for each in (*named, random) if not is_hidden(RoomId(each))]


async def _bring(ports: Ports, account: Account, room: Room) -> None:
    """Let all connections of somebody know that a room is theirs."""
    sessions = [session for session in ports.audience.sessions_of(account.id) if session.member_of is not None]
    if not sessions:
        return
    head = await _head(ports, account, room.id)
    for session in sessions:
        rooms.note_member(session, room.id)
        ports.audience.watch(session.connection, head)


async def _head(ports: Ports, account: Account, ident: RoomId) -> RoomHead:
    """A room after a change that is stored: if it cannot be read now, what is known of it without that."""
    try:
        head = await ports.store.head(ident, account)
    except Unavailable as refusal:
        logger.warning("room %s is told without where it stands: %s", ident, refusal)
        head = RoomHead(ident, ident, 0, 0)
    return ports.directory.dress(head)


def _acts(before: Room, after: Room) -> Sequence[Done]:
    """What is done to a room, as the audit list has it."""
    archived = Done.REOPEN_ROOM if after.archived_at is None else Done.ARCHIVE_ROOM
    return [
        act
        for act, done in (
            (Done.RENAME_ROOM, after.name != before.name),
            (Done.SET_TOPIC, after.topic != before.topic),
            (archived, (after.archived_at is None) != (before.archived_at is None)),
        )
        if done
    ]


def _changes(account: Account, before: Room, after: Room) -> Sequence[str]:
    """What was done to a room, in words."""
    words = []
    if after.name != before.name:
        words.append(f"{account.name} renamed this room to “{after.name}”.")
    if after.topic != before.topic:
        words.append(
            f"{account.name} set the topic: {after.topic}" if after.topic else f"{account.name} removed the topic."
        )
    if (after.archived_at is None) != (before.archived_at is None):
        words.append(
            f"{account.name} opened this room again."
            if after.archived_at is None
            else f"{account.name} archived this room."
        )
    return words
