"""What the core needs from the world, as Protocols; drivers and doors implement them.

Nothing here runs. The core sees the world through these names alone, so that a test can hand it ten lines
instead of a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    from chatzilla.core.audit import Deed
    from chatzilla.core.bans import Ban
    from chatzilla.core.catchup import Backlog, Span
    from chatzilla.core.directory import Directory, Room
    from chatzilla.core.links import Link, LinkId
    from chatzilla.core.messages import Change, Draft, Message, Page, Posted, Target
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.policy import Role
    from chatzilla.core.presence import PresenceChange
    from chatzilla.core.rooms import ConnectionId, Grade, RoomHead, RoomId
    from chatzilla.core.session import Session
    from chatzilla.core.signin import SignIn
    from chatzilla.core.tokens import SignInId


class Timer(Protocol):
    """What `Clock.call_later` gives back."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Time, so that tests can move it."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970, as messages carry them."""
        ...

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        """Run `action` on the event loop after `delay` seconds."""
        ...


class Place(Protocol):
    """A draft's place in the log. Whoever waits for it gets the message once that is on disk."""

    def then(self, settle: Callable[[Message | Exception], None]) -> None:
        """Call back once, with the message or with why there is none; a `ChatError` if that was to be expected.

        Places are settled in the order in which they were taken, a whole batch within one turn of the event loop.
        """
        ...

    def __await__(self) -> Generator[Any, None, Message]: ...


class Log(Protocol):
    """The one writer: what was said, numbered per room."""

    def append(self, author: Account, draft: Draft, *, origin: ConnectionId | None) -> Place:
        """Take a place in the log at once.

        Raises:
            Unavailable: the log is closing, or its backlog is full.
        """
        ...

    def change(self, author: Account, change: Change, *, origin: ConnectionId | None) -> Place:
        """Take a place in the log for an edit or a deletion, at once.

        Raises:
            Unavailable: the log is closing, or its backlog is full.
        """
        ...

    def remove(self, target: Target, *, deed: Deed, noted: bool, origin: ConnectionId | None) -> Place:
        """Take a place in the log for the deletion of anybody's message, at once.

        With `noted`, the audit list is told in the same transaction, unless it was the actor's own message.

        Raises:
            Unavailable: the log is closing, or its backlog is full.
        """
        ...

    def enrol(self, account: Account, room: RoomId) -> None:
        """Note for good that a known account belongs to a known room; best effort, harmless twice."""
        ...

    def mark(self, account: Account, room: RoomId, seq: int) -> None:
        """Note for good how far a member has read; best effort. It never goes back, nor beyond the room's head."""
        ...


class Store(Protocol):
    """What was said, to read."""

    @property
    def epoch(self) -> str:
        """The name of the numbering; see `docs/protocol.md` 1.4."""
        ...

    async def backlog(self, room: RoomId, account: Account, *, cursor: int | None, epoch: str | None) -> Backlog: ...

    async def history(self, room: RoomId, span: Span) -> Page: ...

    async def head(self, room: RoomId, account: Account) -> RoomHead:
        """Where a room stands, as somebody sees it."""
        ...

    async def members(self, room: RoomId, *, limit: int) -> tuple[Sequence[Account], int]:
        """Whose room a public one is, as far as that is stored: the first of them by name, and how many there are."""
        ...

    async def rooms(self, account: Account, *, limit: int) -> Sequence[tuple[RoomHead, bool]]:
        """The rooms of somebody, and every public one, each with whether it is theirs; what was used last first."""
        ...

    async def said_by(self, account: AccountId, room: RoomId | None, at_most: int) -> Sequence[Target]:
        """The messages of a person that are not deleted, the oldest first; of one room or of all."""
        ...

    async def memberships(self, account: Account) -> Sequence[RoomHead]:
        """The rooms that an account belongs to; empty for one that has never written."""
        ...


class Register(Protocol):
    """Who may come in: people, their sign-ins and links. Times are milliseconds since 1970.

    Whatever waits raises `Unavailable` while the database cannot be used.
    """

    def recall(self, now: int) -> tuple[Sequence[Account], Sequence[SignIn]]:
        """Everybody whose name is their own, and every sign-in that lasts."""
        ...

    async def link(self, digest: str, now: int) -> Link | None:
        """A link that can still be used."""
        ...

    async def links(self, now: int) -> Sequence[Link]:
        """All links that can still be used, the newest first."""
        ...

    async def make_link(self, link: Link, digest: str, *, at_most: int) -> None:
        """Store a link.

        Raises:
            Full: its maker has `at_most` that can still be used, or there are too many altogether.
        """
        ...

    async def use_link(self, digest: str, sign_in: SignIn, *, at_most: int) -> Sequence[SignInId] | None:
        """Use a link up by one and store its sign-in, and the account where that is new: all of it or nothing.

        Returns:
            The sign-ins of this account that ended because there were more than `at_most`; None if the link could not
            be used.

        Raises:
            Conflict: the new account's name is taken.
        """
        ...

    async def revoke_link(self, ident: LinkId, now: int) -> None: ...

    async def revoke_links_for(self, account: AccountId, now: int) -> None:
        """End every link that would sign this person in."""
        ...

    async def revoke_owner_links(self, now: int) -> None:
        """End every link that would sign an owner in and that the operator made."""
        ...

    async def end_sign_ins(self, idents: Sequence[SignInId], now: int, *, its_links: bool) -> None:
        """End sign-ins, and the sign-in links that were made in them; with `its_links`, their invitations too."""
        ...

    def note_seen(self, ident: SignInId, now: int) -> None:
        """Note when a sign-in was last used; best effort."""
        ...


class RoomRegister(Protocol):
    """Which rooms there are that are not ordinary ones, and who is in them. Times are milliseconds since 1970.

    Whatever waits raises `Unavailable` while the database cannot be used.
    """

    def recall_rooms(self) -> Sequence[Room]:
        """Every room that is not an ordinary one, with everybody who was given something there."""
        ...

    async def create_room(self, room: Room, people: Collection[AccountId], now: int) -> bool:
        """Store a new room, which is one of these people's and of everybody's who is given something there.

        Returns:
            False where its id is taken; nothing is changed then.
        """
        ...

    async def change_room(self, room: Room) -> bool:
        """Store the name, the topic and the state of a room; returns False where there is no such room."""
        ...

    async def grade(self, room: RoomId, account: Account, grade: Grade | None, now: int) -> bool:
        """Store what somebody is given in a room, which then is one of theirs; None is what everybody has.

        Returns:
            False where there is no such room.
        """
        ...

    async def dismiss(self, room: RoomId, account: AccountId, *, heir: AccountId | None, now: int) -> None:
        """Store that a room is not somebody's any more, and that `heir` moderates it, if anybody."""
        ...

    async def mute(self, room: RoomId, account: Account, on: bool, now: int) -> bool:
        """Store whether somebody wants to be told of a room, and that person, if they are not stored yet.

        Returns:
            False where there is no such room.
        """
        ...


class Records(Protocol):
    """What was done with power over others. Each change and its entry in the audit list are stored together.

    Whatever waits raises `Unavailable` while the database cannot be used.
    """

    def recall_bans(self, now: int) -> Sequence[Ban]:
        """All bans that hold."""
        ...

    async def account(self, ident: AccountId) -> Account | None:
        """Anybody who has ever been stored."""
        ...

    async def set_role(self, account: Account, deed: Deed, *, keeps: Sequence[Role]) -> None:
        """Give a person another role. Links by which others could be them, or they others, end with it.

        Args:
            account: the person, with the new role.
            deed: the entry.
            keeps: the roles to which their own invitations go on inviting.

        Raises:
            Conflict: nobody would be an owner any more.
        """
        ...

    async def end_membership(self, account: Account, deed: Deed) -> None:
        """Store that a person is removed, with the end of their sign-ins, of their links, and of those made for them.

        Raises:
            Conflict: nobody would be an owner any more.
        """
        ...

    async def ban(self, ban: Ban, replaced: Ban | None, deed: Deed) -> None: ...

    async def unban(self, ban: Ban, deed: Deed) -> None: ...

    async def lock(self, room: RoomId, locked_at: int | None, deed: Deed) -> None:
        """Store since when a room is locked, and the room where it is not stored yet."""
        ...

    async def note(self, deed: Deed) -> None:
        """Store an entry alone."""
        ...

    async def deeds(self, before: int | None, at_most: int) -> Sequence[Deed]:
        """The entries before one of them, or the newest; the newest first."""
        ...


class Audience(Protocol):
    """Who hears what, now. Every call returns at once: nothing here waits for a network."""

    def identify(self, connection: ConnectionId, account: Account | None) -> None:
        """The connection belongs to this person from now on, or to nobody."""
        ...

    def subscribe(self, connection: ConnectionId, room: RoomId) -> None:
        """From this moment the connection hears what is told to the room."""
        ...

    def watch(self, connection: ConnectionId, head: RoomHead) -> None:
        """Unless it is subscribed, the connection hears that the room moves, and not what is said there."""
        ...

    def unsubscribe(self, connection: ConnectionId, room: RoomId, *, watching: bool) -> None:
        """The connection hears the room no more; with `watching`, it still hears that the room moves, if it did."""
        ...

    def tell(self, batch: Sequence[Posted]) -> None:
        """Tell what was stored: room by room, strictly by number, to everyone but each origin."""
        ...

    def tell_presence(self, room: RoomId, change: PresenceChange) -> None: ...

    def tell_read(self, room: RoomId, account: Account, seq: int, *, origin: ConnectionId | None) -> None:
        """Tell the other connections of a person how far that person has read."""
        ...

    def tell_standing(
        self,
        room: RoomId,
        account: AccountId,
        *,
        muted: bool | None = None,
        may: tuple[str, ...] | None = None,
        origin: ConnectionId | None = None,
    ) -> None:
        """Tell the other connections of a person, or all, how that person stands to a room now."""
        ...

    def tell_gone(self, room: RoomId, account: AccountId) -> None:
        """Tell all connections of a person that a room is not theirs any more."""
        ...

    def tell_room(self, head: RoomHead) -> None:
        """Tell everybody who hears or watches a room what it is called and how it stands now."""
        ...

    def tell_typing(self, room: RoomId, account: Account) -> None: ...

    def tell_you(self, account: Account) -> None:
        """Tell a person's connections what they are here now."""
        ...

    def sessions(self) -> Sequence[Session]:
        """What is kept about every connection that is there now."""
        ...

    def tell_out(self, connection: ConnectionId, room: RoomId, message: str) -> None:
        """Tell a connection why it does not hear a room any more."""
        ...

    def turn_out(self, connection: ConnectionId, message: str) -> None:
        """Close a connection that is not wanted here: it is told why, and hears nothing more. Harmless twice."""
        ...

    def listeners(self, room: RoomId) -> int: ...

    def others_of(self, connection: ConnectionId) -> Sequence[ConnectionId]:
        """The other connections of the same person."""
        ...

    def sessions_of(self, account: AccountId) -> Sequence[Session]:
        """The sessions of all connections of a person."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The world, as the verbs of the core get it."""

    log: Log
    store: Store
    audience: Audience
    clock: Clock
    directory: Directory
    """No port, and yet what every verb asks first: what the rooms are."""
