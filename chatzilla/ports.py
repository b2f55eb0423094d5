"""What the core needs from the world, as Protocols; drivers and doors implement them.

Nothing here runs. The core sees the world through these names alone, so that a test can hand it ten lines
instead of a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    from chatzilla.core.catchup import Backlog, Span
    from chatzilla.core.directory import Directory, Room
    from chatzilla.core.hooks import Hook, HookId
    from chatzilla.core.links import Link, LinkId
    from chatzilla.core.messages import Change, Draft, Message, Page, Posted
    from chatzilla.core.people import Account, AccountId
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


class Spot(Place, Protocol):
    """The place of something that is said."""

    repeated: bool
    """Once it is settled: whether it was said before, under the same `client_id`."""


class Log(Protocol):
    """The one writer: what was said, numbered per room."""

    def append(self, author: Account, draft: Draft, *, origin: ConnectionId | None) -> Spot:
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

    async def begin(self, sign_in: SignIn, *, at_most: int) -> None:
        """Store the token of a program, and the account where that is new or was ended: all of it or nothing.

        Raises:
            Full: the account has `at_most` tokens that last.
        """
        ...

    async def end_account(self, account: AccountId, now: int) -> None:
        """Let somebody's time here be over."""
        ...

    async def revoke_link(self, ident: LinkId, now: int) -> None: ...

    async def revoke_links_for(self, account: AccountId, now: int) -> None:
        """End every link that would sign this person in."""
        ...

    async def revoke_owner_links(self, now: int) -> None:
        """End every link that would sign an owner in and that the operator made."""
        ...

    async def end_sign_ins(
        self, idents: Sequence[SignInId], now: int, *, its_links: bool, its_hooks: bool = False
    ) -> None:
        """End sign-ins, and the sign-in links that were made in them; if asked, their invitations and hooks too."""
        ...

    def note_seen(self, ident: SignInId, now: int) -> None:
        """Note when a sign-in was last used; best effort."""
        ...


class HookRegister(Protocol):
    """The hooks that can be used. Whatever waits raises `Unavailable` while the database cannot be used."""

    async def hook(self, digest: str) -> Hook | None: ...

    async def hooks(self) -> Sequence[Hook]:
        """All of them, the newest first."""
        ...

    async def make(self, hook: Hook, digest: str, *, at_most: int) -> None:
        """Store a hook.

        Raises:
            Full: its maker has `at_most`, or there are too many altogether.
        """
        ...

    async def end(self, ident: HookId, now: int) -> None: ...


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
