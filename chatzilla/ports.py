"""What the core needs from the world, as Protocols; drivers and doors implement them.

Nothing here runs. The core sees the world through these names alone, so that a test can hand it ten lines
instead of a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Sequence

    from chatzilla.core.addresses import Address
    from chatzilla.core.audit import Deed, Scribe
    from chatzilla.core.bans import Ban
    from chatzilla.core.call import Call, CallId, CallLimits, CallRecord, Order, Participant, Source, Summary
    from chatzilla.core.call_events import CallEvent, IceServers, MediaRequest
    from chatzilla.core.catchup import Backlog, Span
    from chatzilla.core.directory import Directory, Room
    from chatzilla.core.hooks import Hook, HookId
    from chatzilla.core.links import Link, LinkId
    from chatzilla.core.messages import Change, Draft, Message, Page, Posted, Target
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.policy import Act, Role
    from chatzilla.core.presence import PresenceChange
    from chatzilla.core.rights import Ending
    from chatzilla.core.rooms import ConnectionId, Grade, RoomHead, RoomId
    from chatzilla.core.session import Session
    from chatzilla.core.signin import SignIn
    from chatzilla.core.tokens import SignInId
    from chatzilla.core.tries import Tries


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
        What `settle` raises is logged, and harms nobody else.
        """
        ...

    def __await__(self) -> Generator[Any, None, Message]: ...


class Spot(Place, Protocol):
    """The place of something that is said."""

    repeated: bool
    """Once it is settled: whether it was said before, under the same `client_id`."""


class Log(Protocol):
    """What was said and changed, numbered per room, in one line. Whatever else is stored has registers of its own."""

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
        """The members of a public room, which are those who said something there: the first by name, and how many."""
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

    `deeds`, here and below, are entries for the audit list, stored together with what they tell of.

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

    async def make_link(self, link: Link, digest: str, *, at_most: int, deeds: Sequence[Deed] = ()) -> None:
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

    async def begin(self, sign_in: SignIn, *, at_most: int, deeds: Sequence[Deed] = ()) -> None:
        """Store the token of a program, and the account where that is new or was ended: all of it or nothing.

        Raises:
            Full: the account has `at_most` tokens that last.
        """
        ...

    async def end_account(self, account: AccountId, now: int) -> None:
        """Let somebody's time here be over."""
        ...

    async def has(self, account: AccountId) -> bool:
        """Whether anybody has ever been stored as this, whatever became of them."""
        ...

    async def invitation(self, email: Address, now: int) -> Link | None:
        """The newest invitation for an address that can still be used."""
        ...

    async def begin_by_mail(
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

    async def revoke_link(self, ident: LinkId, now: int, *, deeds: Sequence[Deed] = ()) -> None: ...

    async def revoke_links_for(self, account: AccountId, now: int) -> None:
        """End every link that would sign this person in."""
        ...

    async def revoke_owner_links(self, now: int) -> None:
        """End every link that would sign an owner in and that the operator made."""
        ...

    async def end_sign_ins(
        self,
        idents: Sequence[SignInId],
        now: int,
        *,
        its_links: bool,
        its_hooks: bool = False,
        deeds: Sequence[Deed] = (),
    ) -> None:
        """End sign-ins, and the sign-in links that were made in them; if asked, their invitations and hooks too."""
        ...

    async def note(self, deeds: Sequence[Deed]) -> None:
        """Store entries alone."""
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

    async def make(self, hook: Hook, digest: str, *, at_most: int, deeds: Sequence[Deed] = ()) -> None:
        """Store a hook.

        Raises:
            Full: its maker has `at_most`, or there are too many altogether.
        """
        ...

    async def end(self, ident: HookId, now: int, *, deeds: Sequence[Deed] = ()) -> None: ...


class RoomRegister(Protocol):
    """Which rooms there are that are not ordinary ones, and who is in them. Times are milliseconds since 1970.

    Whatever waits raises `Unavailable` while the database cannot be used.
    """

    def recall_rooms(self) -> Sequence[Room]:
        """Every room that is not an ordinary one, with everybody who was given something there."""
        ...

    async def create_room(
        self, room: Room, people: Collection[AccountId], now: int, *, deeds: Sequence[Deed] = ()
    ) -> bool:
        """Store a new room, which is one of these people's and of everybody's who is given something there.

        Returns:
            False where its id is taken; nothing is changed then.
        """
        ...

    async def change_room(self, room: Room, *, deeds: Sequence[Deed] = ()) -> bool:
        """Store the name, the topic and the state of a room; returns False where there is no such room."""
        ...

    async def grade(
        self, room: RoomId, account: Account, grade: Grade | None, now: int, *, deeds: Sequence[Deed] = ()
    ) -> bool:
        """Store what somebody is given in a room, which then is one of theirs; None is what everybody has. The entries
        are for what changes something.

        Returns:
            False where there is no such room.
        """
        ...

    async def dismiss(
        self, room: Room, account: AccountId, *, heir: AccountId | None, now: int, deeds: Sequence[Deed] = ()
    ) -> None:
        """Store that a room is not somebody's any more, that `heir` moderates it, if anybody, and whether it is
        archived from now on: all of it, or nothing."""
        ...

    async def mute(self, room: RoomId, account: Account, on: bool, now: int) -> bool:
        """Store whether somebody wants to be told of a room, and that person, if they are not stored yet.

        Returns:
            False where there is no such room.
        """
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

    async def end_membership(self, account: Account, deed: Deed) -> Sequence[SignInId]:
        """Store that a person is removed, with the end of their sign-ins, their links and those made for them, and the
        tokens that they made for bots.

        Returns:
            What has ended: their sign-ins and these tokens.

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

    def tell_call(self, room: RoomId, call: Summary | None) -> None:
        """Tell a room of its call: that there is one, and who is in it, or that there is none."""
        ...

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


class Media(Protocol):
    """An engine that carries the media of calls. Who is in a call is not its matter; what they may send, it enforces.

    An engine is chosen when a call begins, and stays.
    """

    @property
    def name(self) -> str:
        """As clients know it: mesh or sfu."""
        ...

    @property
    def limits(self) -> CallLimits: ...

    @property
    def healthy(self) -> bool:
        """Whether a call could begin on it now."""
        ...

    async def start(self) -> None:
        """Begin, with the server."""
        ...

    async def close(self) -> None:
        """End, with the server."""
        ...

    async def open(self, call: Call) -> None:
        """Make ready for a call; harmless twice.

        Raises:
            Unavailable: it cannot carry a call now.
        """
        ...

    def end(self, call: Call) -> None:
        """The call is over, or never began. Returns at once; what there is to undo, it undoes by itself."""
        ...

    async def join(self, call: Call, participant: Participant) -> None:
        """Make ready for somebody, who is not in the call yet.

        Raises:
            Unavailable: it cannot carry one more now.
        """
        ...

    async def resume(self, call: Call, participant: Participant) -> None:
        """Somebody is back from a lost connection. If the engine does not know them any more, or Janus was away
        meanwhile, it tells them to begin anew; it never refuses."""
        ...

    def leave(self, call: Call, participant: Participant) -> None:
        """Somebody is not in the call any more, or did not get in. Returns at once, as `end`."""
        ...

    async def handle(
        self, call: Call, participant: Participant, request: MediaRequest, take_place: Callable[[], None]
    ) -> dict[str, Any]:
        """Do what a participant asks for.

        Args:
            call: the call.
            participant: who asks.
            request: what for.
            take_place: to be called before the participant sends anything; it raises `Forbidden` or `Full`.

        Raises:
            BadRequest: it is nothing that this engine knows.
            Forbidden: the participant may not send this.
            NotFound: it is about somebody who is not in the call.
            TooFast: over a bound.
            Unavailable: it cannot be done now.
        """
        ...

    async def moderate(self, call: Call, target: Participant, order: Order, source: Source | None) -> None:
        """Mute or take away what somebody sends, as far as that is in its power, until `allow`."""
        ...

    def allow(self, call: Call, participant: Participant, source: Source) -> None:
        """Somebody sends again what a moderator had muted or taken away. Returns at once."""
        ...


class Stage(Protocol):
    """The participants of calls, as they can be reached now. Every call returns at once."""

    def tell(self, connections: Iterable[ConnectionId], event: CallEvent) -> None: ...


class Relay(Protocol):
    """The servers by which browsers find a way to each other."""

    def servers(self, who: str, *, seconds: int | None = None) -> IceServers:
        """All of them, with credentials that are `who`'s alone, and end; after so many seconds, where that is said."""
        ...


class Admission(Protocol):
    """Who may do what in a room, and whose acts are written down."""

    scribe: Scribe
    vain: Tries
    """Counts acts in vain."""

    def may(self, account: Account, act: Act, wanted: RoomId) -> bool: ...

    def check(self, account: Account, act: Act, wanted: RoomId, *, address: str | None = None) -> None:
        """Let somebody do something in a room.

        Raises:
            Forbidden: it is not theirs to do there.
            NotFound, TooFast: there is no such room for them.
        """
        ...


class CallBook(Protocol):
    """What of calls outlives the process. Best effort, and every call but `recall` returns at once."""

    def recall(self) -> Sequence[CallRecord]:
        """The calls that there were when the process ended, and those whose notice is still to be written."""
        ...

    def keep(self, record: CallRecord) -> None: ...

    def forget(self, call: CallId) -> None: ...

    def note(self, deed: Deed) -> None:
        """Enter into the audit list what was done in a call."""
        ...


class RightBook(Protocol):
    """Rights that were ended before their time."""

    def recall(self, now: int) -> Sequence[Ending]:
        """Those that would not be over by themselves yet."""
        ...

    async def keep(self, endings: Sequence[Ending], now: int) -> None:
        """Store some; those that are over by themselves are forgotten.

        Raises:
            Unavailable: the database cannot be used.
        """
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
    enforce_in_calls: Callable[[Ban], None] = lambda _ban: None
    """Lets a ban hold on every connection of calls."""
    put_out_of_calls: Callable[[AccountId, RoomId | None], None] = lambda _account, _room: None
    """Ends somebody's part in the call of a room, or in all calls, for as long as those go on."""
