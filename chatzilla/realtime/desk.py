"""The calls of `/chat` about rooms and their members: read, call a verb of the core, write the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from chatzilla import wire
from chatzilla.core import membership
from chatzilla.errors import Forbidden, NotFound, NotJoined

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from chatzilla.core.membership import Plan, Wish
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.presence import Presence
    from chatzilla.core.rooms import Grade, RoomHead, RoomId
    from chatzilla.core.session import Session
    from chatzilla.core.signin import SignIns
    from chatzilla.ports import Ports

Errand = tuple["Callable[[object], Any]", "Callable[[Session, Any], Awaitable[wire.Json]]"]
"""How a call is read, and what is done about it."""


class Desk:
    """What somebody who has joined can ask about rooms."""

    def __init__(self, ports: Ports, presence: Presence, sign_ins: SignIns) -> None:
        self._ports = ports
        self._presence = presence
        self._sign_ins = sign_ins
        self.errands: Final[dict[str, Errand]] = {
            "create": (wire.decode_create, self.create),
            "direct": (wire.decode_direct, self.direct),
            "change-room": (wire.decode_change_room, self.change),
            "invite": (wire.decode_invite, self.invite),
            "remove": (wire.decode_remove, self.remove),
            "mute": (wire.decode_mute, self.mute),
            "members": (wire.decode_room, self.members),
            "rooms": (wire.decode_nothing, self.rooms),
            "people": (wire.decode_nothing, self.people),
        }

    async def create(self, session: Session, plan: Plan) -> wire.Json:
        account = _changes_something(session)
        head, _ = await membership.create(self._ports, account, plan, address=session.address)
        return self._room(account, head)

    async def direct(self, session: Session, people: tuple[AccountId, ...]) -> wire.Json:
        account = _changes_something(session)
        return self._room(account, await membership.direct(self._ports, account, people, address=session.address))

    async def change(self, session: Session, request: tuple[RoomId, Wish]) -> wire.Json:
        account = _changes_something(session)
        with self._judging(session):
            head = await membership.change(self._ports, account, *request, address=session.address)
        return self._room(account, head)

    async def invite(self, session: Session, request: tuple[RoomId, AccountId, Grade | None]) -> wire.Json:
        account = _changes_something(session)
        with self._judging(session):
            await membership.invite(self._ports, account, *request, address=session.address)
        return {}

    async def remove(self, session: Session, request: tuple[RoomId, AccountId]) -> wire.Json:
        account = _changes_something(session)
        with self._judging(session):
            await membership.remove(self._ports, self._presence, account, *request, address=session.address)
        return {}

    async def mute(self, session: Session, request: tuple[RoomId, bool]) -> wire.Json:
        account = _changes_something(session)
        room, on = request
        origin = session.connection
        await membership.mute(self._ports, account, room, on=on, origin=origin, address=session.address)
        return {}

    async def members(self, session: Session, room: RoomId) -> wire.Json:
        account = _asks(session)
        roll = await membership.members(self._ports, self._presence, account, room, address=session.address)
        return wire.encode_roll(roll)

    async def rooms(self, session: Session, _: None) -> wire.Json:
        account = _asks(session)
        return wire.encode_listing(await membership.listing(self._ports, account), membership.kinds_for(account))

    async def people(self, session: Session, _: None) -> wire.Json:
        account = _asks(session)
        return wire.encode_everybody(membership.people(self._ports, account, self._sign_ins.people()))

    def _judging(self, session: Session) -> AbstractContextManager[None]:
        """Count what is done to others in vain."""
        return self._ports.directory.vain.judging(session.address, NotFound, Forbidden)

    def _room(self, account: Account, head: RoomHead) -> wire.Json:
        return wire.encode_changed_room(head, self._ports.directory.rights(account, head.room))


def _asks(session: Session) -> Account:
    """Who asks.

    Raises:
        NotJoined: nobody who has joined a room yet.
        TooFast: over the connection's rate.
    """
    if session.account is None or session.unnamed:
        raise NotJoined("Join a room first.")
    session.asking.spend()
    return session.account


def _changes_something(session: Session) -> Account:
    """Who acts; it counts as much as a message.

    Raises:
        NotJoined: nobody who has joined a room yet.
        TooFast: over the connection's rate.
    """
    account = _asks(session)
    session.posting.spend()
    return account
