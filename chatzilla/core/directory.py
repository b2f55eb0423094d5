"""Every room that is not an ordinary public one, in memory: what kind it is, who is in it, who may do what there.

An ordinary public room is open to everybody, is called by its id, and nobody was given anything there; there may be
any number of those, and nothing is kept of them here. All others are loaded at the start and change only after the
change was stored, one change at a time, so that every check on the way of a message is a look into a dictionary.

**What a stranger can learn.** A private room has a random id, a direct one an id that is derived from who is in it;
both have a form that no public room can have. Whatever has that form and is not one's own is refused in the same
words, whether it exists or not: so nothing is learned by trying, and trying is counted against the address.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from chatzilla.core import policy
from chatzilla.core.audit import Scribe
from chatzilla.core.limits import Rate, Shared
from chatzilla.core.policy import Act, Thing
from chatzilla.core.rooms import LOBBY, NO_SUCH_ROOM, Grade, Kind, RoomHead, RoomId
from chatzilla.core.tries import Tries, network_of
from chatzilla.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from chatzilla.core.bans import Ban
    from chatzilla.core.messages import ClientId
    from chatzilla.core.people import Account, AccountId
    from chatzilla.ports import Clock, RoomRegister

MAKING: Final = Rate(per_second=0.1, burst=50)
"""How many rooms one person, or one address, may make."""

RIGHTS: Final = {
    "post": Act.POST,
    "rename": Act.RENAME,
    "archive": Act.ARCHIVE,
    "invite": Act.ADMIT,
    "grade": Act.GRADE,
    "remove": Act.EXPEL,
    "delete": Act.REMOVE,
    "lock": Act.LOCK,
    "kick": Act.KICK,
    "ban": Act.BAN,
    "purge": Act.PURGE,
}
"""What clients are told that they may."""

_HIDDEN: Final = re.compile(r"[pd]-[a-z2-7]{24}", re.ASCII)
_HIDDEN_BYTES: Final = 15


@dataclass(frozen=True, slots=True)
class Room:
    """A room that is not an ordinary one. Times are milliseconds since 1970."""

    id: RoomId
    name: str
    kind: Kind = Kind.PUBLIC
    topic: str = ""
    creator: AccountId | None = None
    archived_at: int | None = None
    """Since when nothing is said there any more."""
    locked_at: int | None = None
    """Since when nobody but its moderators speaks there."""
    grades: Mapping[AccountId, Grade] = field(default_factory=dict)
    """In a private or direct room: its members, in the order in which they came. In a public one: whoever was given
    something else than everybody has."""
    client_id: ClientId | None = None
    """By which its creator asked for it, and may ask again; it means something together with them alone."""

    @property
    def hidden(self) -> bool:
        """Whether nobody but its members may know of it."""
        return self.kind is not Kind.PUBLIC

    @property
    def moderated(self) -> bool:
        return Grade.MODERATE in self.grades.values()

    @property
    def ordinary(self) -> bool:
        """Whether there is nothing to remember of it; its stored row says as much."""
        plain = not self.topic and self.name == self.id and self.creator is None and not self.grades
        is_open = self.kind is Kind.PUBLIC and self.archived_at is None and self.locked_at is None
        return plain and is_open and not is_hidden(self.id)

    def graded(self, account: AccountId, grade: Grade | None) -> Room:
        """The room with somebody in this grade, or, with None, in none."""
        others = {each: held for each, held in self.grades.items() if each != account or grade is not None}
        return replace(self, grades=others if grade is None else others | {account: grade})


class Directory:
    """The rooms that are not ordinary ones, and what each of them means for somebody."""

    def __init__(
        self,
        register: RoomRegister,
        tries: Tries,
        clock: Clock,
        person: Callable[[AccountId], Account | None] = lambda _: None,
        ban: Callable[[Account, str | None, RoomId], Ban | None] = lambda *_: None,
    ) -> None:
        """Begin without any.

        Args:
            register: where they are stored.
            tries: what vain tries are counted with.
            clock: what it takes to make many is counted by.
            person: tells who somebody is.
            ban: tells what keeps somebody out who comes from some address, as far as that matters.
        """
        self.register = register
        self.person = person
        self.changing = asyncio.Lock()
        """Held by whoever changes a room, from the first look until it is stored and known here."""
        self._tries = tries
        self._ban = ban
        self.vain = Tries(clock)
        """Acts in vain, by address: on what is not there, or not theirs. Counted apart from guesses at rooms."""
        self.scribe = Scribe(clock)
        """Begins the entries of what is done, here where everybody who does something looks."""
        self._making = Shared(MAKING, clock)
        self._rooms: dict[RoomId, Room] = {}
        self._made: Counter[tuple[AccountId | None, bool]] = Counter()
        """How many rooms each person has made: direct ones, and others."""
        self._wished: dict[tuple[AccountId | None, ClientId], RoomId] = {}
        """What each person asked for by an id of their own."""
        self._of: dict[AccountId, dict[RoomId, None]] = {}
        """The hidden rooms that each person is in."""

    def start(self) -> None:
        """Recall every room."""
        for room in self.register.recall_rooms():
            self.keep(room)

    def get(self, ident: RoomId) -> Room | None:
        """A room that is not an ordinary one."""
        return self._rooms.get(ident)

    def find(self, ident: RoomId) -> Room:
        """A room as it stands; one that nothing is kept of here is an ordinary one."""
        return self._rooms.get(ident) or Room(ident, ident)

    def made_by(self, account: AccountId, *, direct: bool) -> int:
        """How many rooms somebody has made, direct ones or others."""
        return self._made[account, direct]

    def wished(self, account: AccountId, client_id: ClientId | None) -> Room | None:
        """The room that somebody has asked for by this id before."""
        ident = None if client_id is None else self._wished.get((account, client_id))
        return None if ident is None else self._rooms[ident]

    def of(self, account: AccountId) -> list[Room]:
        """The private and direct rooms that somebody is in."""
        return [self._rooms[room] for room in self._of.get(account, ())]

    def private(self) -> list[RoomId]:
        """Every private room."""
        return [room.id for room in self._rooms.values() if room.kind is Kind.PRIVATE]

    def __len__(self) -> int:
        return len(self._rooms)

    def keep(self, room: Room) -> None:
        """Take in how a room stands from now on; it is stored already."""
        before = self._rooms.pop(room.id, None)
        if before is not None:
            self._made[_maker(before)] -= 1
            for account in before.grades if before.hidden else ():
                del self._of[account][room.id]
        if room.ordinary:
            return
        self._rooms[room.id] = room
        self._made[_maker(room)] += 1
        if room.client_id is not None:
            self._wished[room.creator, room.client_id] = room.id
        for account in room.grades if room.hidden else ():
            self._of.setdefault(account, {})[room.id] = None

    def dress(self, head: RoomHead) -> RoomHead:
        """A head with what is known here of its room."""
        room = self._rooms.get(head.room)
        if room is None:
            return head
        people = [self.person(account) for account in room.grades] if room.kind is Kind.DIRECT else ()
        return replace(
            head,
            name=room.name,
            kind=room.kind,
            topic=room.topic,
            archived=room.archived_at is not None,
            locked=room.locked_at is not None,
            people=tuple(person for person in people if person is not None),
        )

    def stands(self, account: Account, wanted: RoomId) -> Thing:
        """How a room stands to somebody."""
        if account.room is not None and account.room != wanted:
            return Thing.OTHER_ROOM
        room = self._rooms.get(wanted)
        if room is None and is_hidden(wanted):
            return Thing.OTHER_ROOM
        if self._ban(account, None, wanted) is not None:
            return Thing.BANNED_ROOM
        if room is None:
            return Thing.ROOM if wanted == LOBBY else Thing.COMMON_ROOM
        match room.grades.get(account.id):
            case None if room.hidden:
                return Thing.OTHER_ROOM
            case Grade.MODERATE:
                return Thing.OWN_ROOM
            case Grade.READ:
                return Thing.QUIET_ROOM
        if room.hidden:
            return Thing.DIRECT_ROOM if room.kind is Kind.DIRECT else Thing.PRIVATE_ROOM
        return Thing.ROOM if room.moderated or wanted == LOBBY else Thing.COMMON_ROOM

    def stands_there(self, account: Account, other: Account, wanted: RoomId) -> Thing:
        """How somebody else stands to somebody, where both may be: whoever moderates a room is above who does not."""
        if account.id == other.id:
            return Thing.OWN
        mine, theirs = self.rank_there(account, wanted), self.rank_there(other, wanted)
        return Thing.BELOW_THERE if theirs < mine else Thing.OTHER_THERE

    def rank_there(self, account: Account, wanted: RoomId) -> int:
        """How high somebody stands in a room."""
        moderates = self.find(wanted).grades.get(account.id) is Grade.MODERATE
        return max(policy.rank(account.role), policy.MODERATOR_RANK * moderates)

    def grade_of(self, account: Account, wanted: RoomId) -> Grade:
        """What somebody may in a room where they are."""
        match self.stands(account, wanted):
            case Thing.OWN_ROOM:
                return Grade.MODERATE
            case Thing.QUIET_ROOM:
                return Grade.READ
        return Grade.POST

    def rights(self, account: Account, wanted: RoomId) -> tuple[str, ...]:
        """What somebody may in a room, by the words that clients know, whether or not anybody may just now."""
        thing = self.stands(account, wanted)
        return tuple(word for word, act in RIGHTS.items() if policy.may(account.role, act, thing))

    def spend(self, account: Account, address: str | None) -> None:
        """Count that somebody makes a room: by person where that is known, else by address.

        Raises:
            TooFast: too many.
        """
        key = account.id if account.verified or address is None else network_of(address)
        self._making.of(key).spend()

    def admits(self, account: Account, wanted: RoomId) -> bool:
        """Whether somebody may be in a room."""
        return policy.may(account.role, Act.ENTER, self.stands(account, wanted))

    def may(self, account: Account, act: Act, wanted: RoomId) -> bool:
        """Whether somebody may do something in a room as it is now."""
        thing = self.stands(account, wanted)
        return policy.may(account.role, act, thing) and policy.may(account.role, act, self._state(act, thing, wanted))

    def check(self, account: Account, act: Act, wanted: RoomId, *, address: str | None = None) -> None:
        """Let somebody do something in a room.

        Args:
            account: who wants to.
            act: what.
            wanted: where.
            address: whence; a vain try at a room that may be hidden counts against it.

        Raises:
            NotFound: there is no such room for them: a stranger cannot tell whether there is one for others.
            TooFast: the same, and too many such tries came from this address.
            Forbidden: it is not theirs to do there, or nobody's now, or they are banned.
        """
        thing = self.stands(account, wanted)
        if thing is Thing.OTHER_ROOM and account.room is None:
            self._turn_away(address)
        ban = self._ban(account, address, wanted)
        if ban is not None:
            raise Forbidden(ban.told(self.find(wanted).name))
        policy.check(account, act, thing)
        state = self._state(act, thing, wanted)
        if state is not thing and not policy.may(account.role, act, state):
            raise Forbidden(_CLOSED[state])

    def check_voice(self, account: Account, wanted: RoomId) -> None:
        """Let somebody speak in a room where they are. The way of every message: one look for an ordinary room.

        Raises:
            Forbidden: they may not, or nobody may now.
        """
        if wanted in self._rooms:
            self.check(account, Act.POST, wanted)

    def _state(self, act: Act, thing: Thing, wanted: RoomId) -> Thing:
        """What the room is for this act beside how it stands: nothing else, unless nobody speaks there now."""
        room = self._rooms.get(wanted)
        if room is None or act not in policy.SPEAKING:
            return thing
        if room.archived_at is not None:
            return Thing.ARCHIVED_ROOM
        return Thing.LOCKED_ROOM if room.locked_at is not None and thing is not Thing.OWN_ROOM else thing

    def _turn_away(self, address: str | None) -> None:
        if address is not None:
            if self._tries.exhausted(address):
                raise self._tries.refusal(address)
            self._tries.count(address)
        raise NotFound(NO_SUCH_ROOM)


_CLOSED: Final = {
    Thing.ARCHIVED_ROOM: "This room is archived: it can be read, and nothing is said there any more.",
    Thing.LOCKED_ROOM: "This room is locked: only its moderators speak there now.",
}


def _maker(room: Room) -> tuple[AccountId | None, bool]:
    return room.creator, room.kind is Kind.DIRECT


def is_hidden(ident: RoomId) -> bool:
    """Whether an id has the form that only private and direct rooms have."""
    return _HIDDEN.fullmatch(ident) is not None


def mint_private() -> RoomId:
    """The id of a new private room: 120 random bits."""
    return _hidden("p", secrets.token_bytes(_HIDDEN_BYTES))


def direct_between(people: Collection[AccountId]) -> RoomId:
    """The id of the one direct room of these people, in whatever order."""
    return _hidden("d", hashlib.sha256("\0".join(sorted(set(people))).encode()).digest()[:_HIDDEN_BYTES])


def heir_of(room: Room, eligible: Iterable[AccountId]) -> AccountId | None:
    """Who moderates a private room that would have nobody to do it: whoever has been there longest and may.

    Args:
        room: the room; its people stand in the order in which they came.
        eligible: who of them can moderate, in this order; a moderator who cannot any more is none.
    """
    able = tuple(eligible)
    if room.kind is not Kind.PRIVATE or any(room.grades[each] is Grade.MODERATE for each in able):
        return None
    return next(iter(able), None)


def _hidden(letter: str, digest: bytes) -> RoomId:
    return RoomId(f"{letter}-{base64.b32encode(digest).decode().lower()}")
