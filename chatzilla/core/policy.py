"""Who may do what, to what: one table. What is not in it is refused.

A person has one role. `visitor` is whoever typed a name on an open server, `listener` who came with a right that lets
nothing be said; nobody is ever given these roles. A thing is
named by how it stands to the person who reaches for it: a room that they may know of, a link or a sign-in that is
their own, that belongs to somebody of a lower role, or to anybody else; and for an invitation, by the role that it
gives away.

Doors ask `check` or `may` and decide nothing themselves. `tests/integration/test_policy.py` walks the whole table
through every door.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from chatzilla.errors import Forbidden

if TYPE_CHECKING:
    from chatzilla.core.people import Account
    from chatzilla.core.rooms import RoomId


class Role(StrEnum):
    """What somebody is here."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    GUEST = "guest"
    """Somebody who was let into one room, until a stated time."""
    BOT = "bot"
    VISITOR = "visitor"
    """Whoever typed a name on an open server."""
    LISTENER = "listener"
    """Whoever was let into one room to hear and to read."""


class Act(StrEnum):
    """What can be done."""

    ENTER = "enter"
    READ = "read"
    POST = "post"
    TYPE = "type"
    CHANGE = "edit or delete a message"
    INVITE = "invite"
    SIGN_IN = "make a sign-in link"
    SEE_LINK = "see a link"
    REVOKE_LINK = "revoke a link"
    SEE_SIGN_IN = "see a sign-in"
    END_SIGN_IN = "end a sign-in"
    MODERATE_CALL = "moderate a call"


class Thing(StrEnum):
    """What it is done to."""

    ROOM = "a room"
    OTHER_ROOM = "a room that one was not let into"
    OWN = "one's own"
    BELOW = "of somebody below"
    OTHER = "of anybody else"
    AS_OWNER = "as owner"
    AS_ADMIN = "as admin"
    AS_MEMBER = "as member"
    AS_GUEST = "as guest"
    AS_BOT = "as bot"


_HOLDERS: Final = frozenset({Role.OWNER, Role.ADMIN, Role.MEMBER, Role.GUEST, Role.BOT})
_EVERYBODY: Final = _HOLDERS | {Role.VISITOR}
_TEAM: Final = frozenset({Role.OWNER, Role.ADMIN, Role.MEMBER})
_HEADS: Final = frozenset({Role.OWNER, Role.ADMIN})
_OWNER: Final = frozenset({Role.OWNER})

TABLE: Final[dict[tuple[Act, Thing], frozenset[Role]]] = {
    (Act.ENTER, Thing.ROOM): _EVERYBODY | {Role.LISTENER},
    (Act.READ, Thing.ROOM): _EVERYBODY | {Role.LISTENER},
    (Act.POST, Thing.ROOM): _EVERYBODY,
    (Act.TYPE, Thing.ROOM): _EVERYBODY,
    (Act.CHANGE, Thing.OWN): _EVERYBODY,
    (Act.MODERATE_CALL, Thing.ROOM): _HEADS,
    (Act.INVITE, Thing.AS_OWNER): _OWNER,
    (Act.INVITE, Thing.AS_ADMIN): _OWNER,
    (Act.INVITE, Thing.AS_MEMBER): _TEAM,
    (Act.INVITE, Thing.AS_GUEST): _TEAM,
    (Act.INVITE, Thing.AS_BOT): _HEADS,
    (Act.SIGN_IN, Thing.OWN): _TEAM,
    (Act.SIGN_IN, Thing.BELOW): _HEADS,
    (Act.SEE_LINK, Thing.OWN): _TEAM,
    (Act.SEE_LINK, Thing.BELOW): _HEADS,
    (Act.SEE_LINK, Thing.OTHER): _OWNER,
    (Act.REVOKE_LINK, Thing.OWN): _TEAM,
    (Act.REVOKE_LINK, Thing.BELOW): _HEADS,
    (Act.REVOKE_LINK, Thing.OTHER): _OWNER,
    (Act.SEE_SIGN_IN, Thing.OWN): _HOLDERS,
    (Act.SEE_SIGN_IN, Thing.BELOW): _HEADS,
    (Act.END_SIGN_IN, Thing.OWN): _HOLDERS,
    (Act.END_SIGN_IN, Thing.BELOW): _HEADS,
}

_RANK: Final = {
    Role.OWNER: 4,
    Role.ADMIN: 3,
    Role.MEMBER: 2,
    Role.BOT: 1,
    Role.GUEST: 1,
    Role.VISITOR: 0,
    Role.LISTENER: 0,
}

_GIVING: Final = {
    Role.OWNER: Thing.AS_OWNER,
    Role.ADMIN: Thing.AS_ADMIN,
    Role.MEMBER: Thing.AS_MEMBER,
    Role.GUEST: Thing.AS_GUEST,
    Role.BOT: Thing.AS_BOT,
}

GIVEN: Final = tuple(_GIVING)
"""The roles that an invitation can give."""


def may(role: Role, act: Act, thing: Thing) -> bool:
    """Whether the table has it."""
    return role in TABLE.get((act, thing), ())


def check(account: Account, act: Act, thing: Thing) -> None:
    """Let it pass.

    Raises:
        Forbidden: the table does not have it.
    """
    if not may(account.role, act, thing):
        raise Forbidden("That is not yours to do here.")


def stands(account: Account, owner: Account | None) -> Thing:
    """How something of `owner` stands to `account`; what the operator made belongs to nobody."""
    if owner is None:
        return Thing.OTHER
    if owner.id == account.id:
        return Thing.OWN
    return Thing.BELOW if _RANK[owner.role] < _RANK[account.role] else Thing.OTHER


def room(account: Account, wanted: RoomId) -> Thing:
    """How a room stands to somebody: whoever was let into one room knows of no other."""
    return Thing.ROOM if account.room is None or account.room == wanted else Thing.OTHER_ROOM


class Rooms:
    """Implements `ports.Admission` where rooms are alike."""

    def may(self, account: Account, act: Act, wanted: RoomId) -> bool:
        return may(account.role, act, room(account, wanted))

    def check(self, account: Account, act: Act, wanted: RoomId, *, address: str | None = None) -> None:  # noqa: ARG002
        check(account, act, room(account, wanted))


def giving(role: Role) -> Thing:
    """What an invitation gives away.

    Raises:
        Forbidden: a role that nobody can be given.
    """
    if role not in _GIVING:
        raise Forbidden("Nobody can be given this role.")
    return _GIVING[role]
