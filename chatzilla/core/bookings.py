"""Rooms that other systems ask for, and whom they let into them.

What those systems call a session is a room here. One that was asked for is booked: it is known from then on, until
nobody has asked for it for a day or the server starts again; a room in which something was said is known in any case.
Whoever asks is an application that knows the secret, a person who is signed in, or, on an open server, anybody. An
application says who people are, and may make moderators of them; all others ask for themselves.
"""

from __future__ import annotations

import base64
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chatzilla.core.catchup import Span
from chatzilla.core.limits import Shared
from chatzilla.core.lookalikes import LOOKS_LIKE
from chatzilla.core.people import account_named, app_named, key_of
from chatzilla.core.policy import Act
from chatzilla.core.rights import LASTS_SECONDS, CallRole, name_in, unnamed
from chatzilla.core.rooms import LOBBY, RoomId, parse_room
from chatzilla.errors import BadRequest, ChatError, Forbidden, NotFound, SignInNeeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.core.connections import Connections
    from chatzilla.core.limits import Rate
    from chatzilla.core.people import Account
    from chatzilla.core.rights import Right, Rights
    from chatzilla.core.signin import Bearer, SignIns
    from chatzilla.ports import Ports

BOOKED_AT_MOST: Final = 10_000
"""Rooms that are booked at once; beyond, the one that was not asked for longest is forgotten."""

NO_SUCH_SESSION: Final = "There is no such session."


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and from where."""

    address: str
    bearer: Bearer | None = None
    """A person whom we know."""
    application: bool = False
    """Whether it is an application that knows the secret."""

    @property
    def signed_in(self) -> Bearer | None:
        return self.bearer if self.bearer is not None and self.bearer.sign_in is not None else None


@dataclass(frozen=True, slots=True)
class Booking:
    """A room that was asked for, under the id by which it was."""

    session: str
    room: RoomId
    made_at: int
    """Milliseconds since 1970."""
    used_at: int
    """When it was last asked for, likewise."""


class Bookings:
    """The rooms that are booked, and the rights that are made for them."""

    def __init__(self, ports: Ports, sign_ins: SignIns, rights: Rights, connections: Connections, asking: Rate) -> None:
        """`asking` is how often all who ask from one address may, applications aside."""
        self._store = ports.store
        self._directory = ports.directory
        self._sign_ins = sign_ins
        self._rights = rights
        self._connections = connections
        self._clock = ports.clock
        self._asking = Shared(asking, ports.clock)
        self._booked: OrderedDict[RoomId, Booking] = OrderedDict()
        """The one that was not asked for longest comes first."""

    def all(self) -> Sequence[Booking]:
        """What is booked now, but for rooms that only their members know of."""
        self._sweep()
        return [each for each in self._booked.values() if self._directory.admits(_anybody(each.room), each.room)]

    def book(self, asker: Asker, session: str | None) -> tuple[Booking, bool]:
        """Book a room, by the id that is asked for or else by a new one.

        Returns:
            The booking, and whether the room was not booked before.

        Raises:
            BadRequest: the id is none.
            SignInNeeded: nobody whom we know asks, and this server is closed.
            Forbidden: the room is not for whoever asks.
            TooFast: over the rate.
        """
        self._check_asker(asker)
        if session is None:
            session = f"ses-{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"
        room = parse_room(session)
        self._check_room(asker, room)
        self._sweep()
        booked = self._booked.get(room)
        return self._keep(booked or Booking(session, room, now := self._clock.wall_ms(), now)), booked is None

    def find(self, asker: Asker, session: str) -> Booking:
        """A room that is booked.

        Raises:
            NotFound: it is not.
            SignInNeeded, TooFast: as `book`.
        """
        self._check_asker(asker)
        room = _room_in(session)
        self._check_room(asker, room)
        self._sweep()
        booking = self._booked.get(room)
        if booking is None:
            raise NotFound(NO_SUCH_SESSION)
        return booking

    async def close(self, asker: Asker, session: str) -> None:
        """Forget a booking, end every right to the room and its call. What was said there stays.

        Raises:
            NotFound: it is not booked.
            Full, Unavailable: this cannot be remembered, and nothing is changed.
            SignInNeeded, TooFast: as `book`.
        """
        booking = self.find(asker, session)
        del self._booked[booking.room]
        try:
            await self._connections.end_all(booking.room)
        except ChatError:
            self._booked.setdefault(booking.room, booking)
            raise

    async def grant(self, asker: Asker, session: str, role: CallRole, *, data: str = "") -> Right:
        """Let somebody into a room that is known. Who they are is found in what is said of them, as far as that counts.

        Raises:
            NotFound: the room is not known, or not to them.
            SignInNeeded: as `book`, and for a moderator whom no application asks for.
            BadRequest, TooLong: `data` is not what a token can carry.
            Forbidden, TooFast, Unavailable: as `book`; and the name is somebody's who is signed in here.
        """
        self._check_asker(asker)
        if role is CallRole.MODERATOR and not asker.application:
            raise SignInNeeded("Who moderates is said by whoever has the secret of applications.")
        room = _room_in(session)
        account = self._admitted(asker, room, name_in(data))
        booking = await self._known(room)
        right = self._make(asker, account, room, role, data)
        self._keep(booking)
        return right

    def let_in(self, asker: Asker, name: object, room: RoomId = LOBBY) -> Right:
        """Let somebody into a room under a name; it is the caller's own where they are signed in.

        Raises:
            BadRequest, TooLong: it is no name.
            NotFound, SignInNeeded, Forbidden, TooFast: as `grant`; and it is another name than the caller's.
        """
        self._check_asker(asker)
        named = account_named(name)
        me = asker.signed_in
        if not asker.application and me is not None and named.key != key_of(me.account.name):
            raise Forbidden("You are signed in under another name.")
        return self._make(asker, self._admitted(asker, room, named.name), room, CallRole.PUBLISHER, "")

    def _admitted(self, asker: Asker, room: RoomId, name: str | None) -> Account:
        """For whom a right is asked, if they may enter the room."""
        account = self._person(asker, room, name or unnamed(secrets.token_urlsafe(9)))
        self._directory.check(account, Act.ENTER, room, address=asker.address)
        return account

    def _person(self, asker: Asker, room: RoomId, name: str) -> Account:
        if asker.application:
            return app_named(name, room)
        if asker.signed_in is not None:
            return asker.signed_in.account
        if self._sign_ins.holder(name) is not None:
            raise Forbidden(LOOKS_LIKE)
        return account_named(name)

    def _make(self, asker: Asker, account: Account, room: RoomId, role: CallRole, data: str) -> Right:
        sign_in = None if asker.application or asker.signed_in is None else asker.signed_in.standing
        right = self._rights.make(account, room, role, data=data, sign_in=sign_in)
        self._connections.hand_out(right)
        return right

    def _check_asker(self, asker: Asker) -> None:
        if asker.application:
            return
        if self._sign_ins.mode.closed and asker.signed_in is None:
            raise SignInNeeded("Sign in first: this server is not open to everybody.")
        self._asking.of(asker.address).spend()

    def _check_room(self, asker: Asker, room: RoomId) -> None:
        """See that whoever asks may know of a room, before they say for whom they ask."""
        account = _anybody(room) if asker.bearer is None else asker.bearer.account
        self._directory.check(account, Act.ENTER, room, address=asker.address)

    async def _known(self, room: RoomId) -> Booking:
        found = await self._find(room)
        if found is None:
            raise NotFound(NO_SUCH_SESSION)
        return found

    async def _find(self, room: RoomId) -> Booking | None:
        """A room that was booked, or in which something was said; the lobby always exists."""
        self._sweep()
        booking = self._booked.get(room)
        if booking is not None:
            return booking
        if room == LOBBY:
            return Booking(room, room, 0, 0)
        page = await self._store.history(room, Span(limit=1, after=0))
        stored = Booking(room, room, page.messages[0].sent_at, 0) if page.messages else None
        return self._booked.get(room, stored)  # it may have been booked meanwhile

    def _keep(self, booking: Booking) -> Booking:
        """It is used now."""
        now = self._clock.wall_ms()
        kept = Booking(booking.session, booking.room, booking.made_at, now)
        self._booked.pop(booking.room, None)
        self._booked[booking.room] = kept
        if len(self._booked) > BOOKED_AT_MOST:
            self._booked.popitem(last=False)
        return kept

    def _sweep(self) -> None:
        """Forget what nobody has asked for as long as any right to it lasts."""
        over = self._clock.wall_ms() - LASTS_SECONDS * 1000
        while self._booked:
            oldest = next(iter(self._booked.values()))
            if oldest.used_at > over:
                return
            del self._booked[oldest.room]


def _anybody(room: RoomId) -> Account:
    """Somebody of whom nothing is known."""
    return app_named(unnamed(room), room)


def _room_in(session: str) -> RoomId:
    try:
        return parse_room(session)
    except BadRequest as error:
        raise NotFound(NO_SUCH_SESSION) from error
