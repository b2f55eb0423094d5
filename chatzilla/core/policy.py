"""Who may do what, to what: one table. What is not in it is refused.

A person has one role. `visitor` is whoever typed a name on an open server, `listener` and `speaker` are who came with a
right to one room; nobody is ever given these roles. A thing is named by how it stands to the person who reaches for it:
a room that everybody may know of, one that they were let into, one that they moderate, and, for whoever wants to speak,
one where nobody does now (`core/directory.py` tells which it is); a link or a sign-in that is their own, that belongs
to somebody of a lower role, or to anybody else; and for an invitation, by the role that it gives away.

Doors ask `check` or `may` and decide nothing themselves. `tests/integration/test_policy.py` walks the whole table
through every door.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from chatzilla.errors import Forbidden

if TYPE_CHECKING:
    from chatzilla.core.people import Account


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
    """Whoever came with a right to one room, to hear and to read."""
    SPEAKER = "speaker"
    """Likewise, and to speak."""
    REMOVED = "removed"
    """Somebody whose membership was ended: may do nothing, and their name stays theirs."""


class Act(StrEnum):
    """What can be done."""

    ENTER = "enter"
    READ = "read"
    POST = "post"
    TYPE = "type"
    CHANGE = "edit or delete a message"
    CREATE = "make a room"
    RENAME = "give a room a name or a topic"
    ARCHIVE = "archive a room, or open it again"
    ADMIT = "invite into a room"
    GRADE = "say what somebody may in a room"
    EXPEL = "remove somebody from a room"
    LEAVE = "leave a room for good"
    SEE_PEOPLE = "see who has signed in here"
    INVITE = "invite"
    SIGN_IN = "make a sign-in link"
    SEE_LINK = "see a link"
    REVOKE_LINK = "revoke a link"
    SEE_SIGN_IN = "see a sign-in"
    END_SIGN_IN = "end a sign-in"
    MAKE_TOKEN = "make the token of a program"  # noqa: S105  # it is none
    SEE_BOT = "see a bot"
    END_BOT = "end a bot"
    MAKE_HOOK = "make a hook"
    SEE_HOOK = "see a hook"
    END_HOOK = "end a hook"
    MODERATE_CALL = "moderate a call"
    SEE_ROLES = "see everybody with their roles"
    SET_ROLE = "give somebody a role"
    END_MEMBERSHIP = "end somebody's membership"
    REMOVE = "delete somebody's message"
    LOCK = "lock a room, or unlock it"
    KICK = "turn somebody out of a room"
    BAN = "ban somebody"
    UNBAN = "lift a ban"
    SEE_BANS = "see the bans"
    PURGE = "delete all that somebody said"
    SEE_AUDIT = "see what was done"


class Thing(StrEnum):
    """What it is done to."""

    ROOM = "a public room"
    COMMON_ROOM = "a public room that nobody moderates"
    OWN_ROOM = "a room that one moderates"
    PRIVATE_ROOM = "a private room that one is in"
    DIRECT_ROOM = "a direct room that one is in"
    QUIET_ROOM = "a room where one may only read"
    BANNED_ROOM = "a room that one is banned from"
    LOCKED_ROOM = "a locked room that one does not moderate"
    ARCHIVED_ROOM = "an archived room"
    OTHER_ROOM = "a room that one was not let into"
    OWN = "one's own"
    BELOW = "of somebody below"
    OTHER = "of anybody else"
    BELOW_THERE = "of somebody below in a room that one moderates"
    OTHER_THERE = "of anybody else in a room that one moderates"
    SERVER = "the server"
    AS_OWNER = "as owner"
    AS_ADMIN = "as admin"
    AS_MEMBER = "as member"
    AS_GUEST = "as guest"
    AS_BOT = "as bot"
    BOT = "a bot"


_HOLDERS: Final = frozenset({Role.OWNER, Role.ADMIN, Role.MEMBER, Role.GUEST, Role.BOT})
_EVERYBODY: Final = _HOLDERS | {Role.VISITOR}
_TEAM: Final = frozenset({Role.OWNER, Role.ADMIN, Role.MEMBER})
_HEADS: Final = frozenset({Role.OWNER, Role.ADMIN})
_OWNER: Final = frozenset({Role.OWNER})
_STANDING: Final = _TEAM | {Role.BOT}
"""Whoever is here for good, and is who they say."""
_BY_RIGHT: Final = frozenset({Role.LISTENER, Role.SPEAKER})
_SPEAKER: Final = frozenset({Role.SPEAKER})

SPEAKING: Final = frozenset({Act.POST, Act.TYPE})
"""What a room can be closed to, for a while or for good. Editing is speaking too; taking one's words back is not."""

KEEPING_ORDER: Final = (Act.REMOVE, Act.LOCK, Act.KICK, Act.BAN, Act.UNBAN, Act.SEE_BANS, Act.PURGE)
"""What is done for the peace of a room. What is done to a person there is asked about the person too."""

_COMMON_TO_HEADS: Final = (Thing.ROOM, Thing.COMMON_ROOM, Thing.PRIVATE_ROOM, Thing.QUIET_ROOM)

TABLE: Final[dict[tuple[Act, Thing], frozenset[Role]]] = {
    **{
        (act, thing): roles | (_SPEAKER if act in SPEAKING else _BY_RIGHT)
        for thing, roles in (
            (Thing.ROOM, _EVERYBODY),
            (Thing.COMMON_ROOM, _EVERYBODY),
            (Thing.OWN_ROOM, _STANDING),
            (Thing.PRIVATE_ROOM, _HOLDERS),
            (Thing.DIRECT_ROOM, _STANDING),
        )
        for act in (Act.ENTER, Act.READ, *SPEAKING)
    },
    **{(act, Thing.QUIET_ROOM): _HOLDERS | _BY_RIGHT for act in (Act.ENTER, Act.READ)},
    **{(act, Thing.LOCKED_ROOM): _HEADS for act in SPEAKING},
    (Act.CREATE, Thing.ROOM): _STANDING | {Role.VISITOR},
    (Act.CREATE, Thing.PRIVATE_ROOM): _STANDING,
    (Act.CREATE, Thing.DIRECT_ROOM): _STANDING,
    (Act.RENAME, Thing.ROOM): _HEADS,
    (Act.RENAME, Thing.COMMON_ROOM): _TEAM | {Role.VISITOR},
    (Act.RENAME, Thing.OWN_ROOM): _STANDING,
    (Act.ARCHIVE, Thing.ROOM): _HEADS,
    (Act.ARCHIVE, Thing.COMMON_ROOM): _TEAM,
    (Act.ARCHIVE, Thing.OWN_ROOM): _STANDING,
    (Act.ADMIT, Thing.ROOM): _TEAM,
    (Act.ADMIT, Thing.COMMON_ROOM): _TEAM,
    (Act.ADMIT, Thing.PRIVATE_ROOM): _TEAM,
    (Act.ADMIT, Thing.OWN_ROOM): _STANDING,
    (Act.GRADE, Thing.ROOM): _HEADS,
    (Act.GRADE, Thing.COMMON_ROOM): _HEADS,
    (Act.GRADE, Thing.OWN_ROOM): _STANDING,
    (Act.EXPEL, Thing.OWN_ROOM): _STANDING,
    (Act.LEAVE, Thing.ROOM): _EVERYBODY,
    (Act.LEAVE, Thing.COMMON_ROOM): _EVERYBODY,
    (Act.LEAVE, Thing.PRIVATE_ROOM): _HOLDERS,
    (Act.LEAVE, Thing.QUIET_ROOM): _HOLDERS,
    (Act.LEAVE, Thing.OWN_ROOM): _STANDING,
    (Act.CHANGE, Thing.OWN): _EVERYBODY | _SPEAKER,
    (Act.SEE_PEOPLE, Thing.OTHER): _STANDING,
    **{(Act.MODERATE_CALL, thing): _HEADS for thing in (Thing.ROOM, Thing.COMMON_ROOM)},
    (Act.MODERATE_CALL, Thing.OWN_ROOM): _STANDING,
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
    (Act.MAKE_TOKEN, Thing.OWN): _TEAM,
    (Act.MAKE_TOKEN, Thing.BOT): _HEADS,
    (Act.SEE_BOT, Thing.BOT): _HEADS,
    (Act.END_BOT, Thing.BOT): _HEADS,
    **{(Act.MAKE_HOOK, thing): _TEAM for thing in (Thing.ROOM, Thing.COMMON_ROOM, Thing.OWN_ROOM, Thing.PRIVATE_ROOM)},
    (Act.SEE_HOOK, Thing.OWN): _TEAM,
    (Act.SEE_HOOK, Thing.BELOW): _HEADS,
    (Act.SEE_HOOK, Thing.OTHER): _OWNER,
    (Act.END_HOOK, Thing.OWN): _TEAM,
    (Act.END_HOOK, Thing.BELOW): _HEADS,
    (Act.END_HOOK, Thing.OTHER): _OWNER,
    (Act.SEE_ROLES, Thing.SERVER): _HEADS,
    (Act.SET_ROLE, Thing.BELOW): _HEADS,
    (Act.SET_ROLE, Thing.OTHER): _OWNER,
    (Act.SET_ROLE, Thing.AS_OWNER): _OWNER,
    (Act.SET_ROLE, Thing.AS_ADMIN): _OWNER,
    (Act.SET_ROLE, Thing.AS_MEMBER): _HEADS,
    (Act.SET_ROLE, Thing.AS_BOT): _HEADS,
    (Act.END_MEMBERSHIP, Thing.BELOW): _HEADS,
    (Act.END_MEMBERSHIP, Thing.OTHER): _OWNER,
    **{(act, thing): _HEADS for act in KEEPING_ORDER for thing in _COMMON_TO_HEADS},
    **{(act, Thing.OWN_ROOM): _STANDING for act in KEEPING_ORDER},
    **{(act, Thing.BELOW_THERE): _STANDING for act in (Act.KICK, Act.BAN, Act.PURGE)},
    **{(act, Thing.OTHER_THERE): _OWNER for act in (Act.KICK, Act.BAN, Act.PURGE)},
    (Act.BAN, Thing.SERVER): _HEADS,
    (Act.BAN, Thing.BELOW): _HEADS,
    (Act.BAN, Thing.OTHER): _OWNER,
    (Act.UNBAN, Thing.SERVER): _HEADS,
    (Act.SEE_BANS, Thing.SERVER): _HEADS,
    (Act.PURGE, Thing.SERVER): _HEADS,
    (Act.PURGE, Thing.BELOW): _HEADS,
    (Act.PURGE, Thing.OTHER): _OWNER,
    (Act.SEE_AUDIT, Thing.SERVER): _HEADS,
}

_RANK: Final = {
    Role.OWNER: 5,
    Role.ADMIN: 4,
    Role.MEMBER: 2,
    Role.BOT: 1,
    Role.GUEST: 1,
    Role.VISITOR: 0,
    Role.LISTENER: 0,
    Role.SPEAKER: 0,
    Role.REMOVED: 0,
}

MODERATOR_RANK: Final = 3
"""How high somebody stands at least in a room that they moderate."""

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


def rank(role: Role) -> int:
    """How high a role stands."""
    return _RANK[role]


def giving(role: Role) -> Thing:
    """What an invitation gives away.

    Raises:
        Forbidden: a role that nobody can be given.
    """
    if role not in _GIVING:
        raise Forbidden("Nobody can be given this role.")
    return _GIVING[role]
