"""What the core needs from the world, as Protocols; drivers and doors implement them.

Nothing here runs. The core sees the world through these names alone, so that a test can hand it ten lines
instead of a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

    from chatzilla.core.addresses import Address
    from chatzilla.core.catchup import Backlog, Span
    from chatzilla.core.links import Link, LinkId
    from chatzilla.core.messages import Change, Draft, Message, Page, Posted
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.presence import PresenceChange
    from chatzilla.core.rooms import ConnectionId, RoomHead, RoomId
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

    async def has(self, account: AccountId) -> bool:
        """Whether anybody has ever been stored as this, whatever became of them."""
        ...

    async def invitation(self, email: Address, now: int) -> Link | None:
        """The newest invitation for an address that can still be used."""
        ...

    async def begin(
        self, sign_in: SignIn, invitation: LinkId | None, *, new: bool, at_most: int
    ) -> Sequence[SignInId] | None:
        """Store a sign-in by mail, and the account where that is new, and use its invitation up: all or nothing.

        Args:
            sign_in: with the person.
            invitation: by which somebody new comes in, if by one.
            new: whether the person is new; who is found to be stored already is not made anew.
            at_most: sign-ins of one account.

        Returns:
            As `use_link`.

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


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail, in plain text."""

    to: Address
    subject: str
    text: str


class Mailer(Protocol):
    """Sends mails, sooner or later."""

    @property
    def failing(self) -> bool:
        """Whether nothing can be sent, as far as is known; found out by itself, whoever is written to."""
        ...

    def post(self, write: Callable[[], Awaitable[Letter | None]], *, until: float) -> None:
        """Have a mail written and sent, and tried again until a moment of the monotonic clock; returns at once.

        Args:
            write: called when its turn has come; nothing is sent if there is nothing to send.
            until: when it would be of no more use.

        Raises:
            Full: as many wait as may.
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
        """The connection hears the room no more; with `watching`, it still hears that the room moves."""
        ...

    def tell(self, batch: Sequence[Posted]) -> None:
        """Tell what was stored: room by room, strictly by number, to everyone but each origin."""
        ...

    def tell_presence(self, room: RoomId, change: PresenceChange) -> None: ...

    def tell_read(self, room: RoomId, account: Account, seq: int, *, origin: ConnectionId | None) -> None:
        """Tell the other connections of a person how far that person has read."""
        ...

    def tell_typing(self, room: RoomId, account: Account) -> None: ...

    def listeners(self, room: RoomId) -> int: ...

    def others_of(self, connection: ConnectionId) -> Sequence[ConnectionId]:
        """The other connections of the same person."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The world, as the verbs of the core get it."""

    log: Log
    store: Store
    audience: Audience
    clock: Clock
