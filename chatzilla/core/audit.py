"""What was done with power over others, by whom and when: kept, and never with the text of a message.

**What is an act.** Whatever one person does to another, or to something that is others' too. `RECORDED` says for each
act of the policy by which words the list tells of it, and `UNRECORDED` which leave no entry, and why;
`tests/integration/test_policy.py` does all of it and looks into the list. An entry is stored in the transaction of what
it tells. It holds no text that somebody wrote, no secret and no email address, so that whoever reads it learns what was
done, and of a private room no more than its id.

Only the newest `DEEDS_AT_MOST` are kept, so that the list cannot grow for ever, and one person fills it no faster than
at `PACE`: what was done stays in it for two days at least, whatever is done to push it out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from chatzilla.core.limits import Rate, Shared
from chatzilla.core.policy import Act, Thing
from chatzilla.core.tries import network_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.ports import Clock

DEEDS_AT_MOST: Final = 20_000
"""Entries that are kept, the newest."""

PACE: Final = Rate(per_second=0.1, burst=1_000)
"""How often one person may do what leaves an entry."""

PAGE_DEEDS: Final = 50
"""Entries in one answer."""


class Done(StrEnum):
    """What was done, in a word that programs can rely on; `docs/protocol.md` has them all."""

    ROLE = "role"
    REMOVE_PERSON = "remove-person"
    DELETE_MESSAGE = "delete-message"
    KICK = "kick"
    BAN = "ban"
    UNBAN = "unban"
    PURGE = "purge"
    LOCK = "lock"
    UNLOCK = "unlock"
    CREATE_ROOM = "create-room"
    RENAME_ROOM = "rename-room"
    SET_TOPIC = "set-topic"
    ARCHIVE_ROOM = "archive-room"
    REOPEN_ROOM = "reopen-room"
    INVITE = "invite"
    GRADE = "grade"
    REMOVE_MEMBER = "remove-member"
    INHERIT = "inherit"
    MAKE_LINK = "make-link"
    REVOKE_LINK = "revoke-link"
    END_SIGN_IN = "end-sign-in"
    END_SIGN_INS = "end-sign-ins"
    MAKE_TOKEN = "make-token"  # noqa: S105  # it is none
    END_TOKEN = "end-token"  # noqa: S105  # likewise
    MAKE_BOT = "make-bot"
    END_BOT = "end-bot"
    MAKE_HOOK = "make-hook"
    END_HOOK = "end-hook"
    ROTATE_KEY = "rotate-key"
    MUTE = "mute"
    UNPUBLISH = "unpublish"
    KICK_FROM_CALL = "kick-from-call"
    LOCK_CALL = "lock-call"
    UNLOCK_CALL = "unlock-call"
    END_CALL = "end-call"


RECORDED: Final[Mapping[Act, frozenset[Done]]] = {
    act: frozenset(words)
    for act, words in {
        Act.CREATE: (Done.CREATE_ROOM,),
        Act.RENAME: (Done.RENAME_ROOM, Done.SET_TOPIC),
        Act.ARCHIVE: (Done.ARCHIVE_ROOM, Done.REOPEN_ROOM),
        Act.ADMIT: (Done.INVITE,),
        Act.GRADE: (Done.GRADE,),
        Act.EXPEL: (Done.REMOVE_MEMBER,),
        Act.INVITE: (Done.MAKE_LINK, Done.MAKE_BOT),
        Act.SIGN_IN: (Done.MAKE_LINK,),
        Act.REVOKE_LINK: (Done.REVOKE_LINK,),
        Act.END_SIGN_IN: (Done.END_SIGN_IN, Done.END_SIGN_INS),
        Act.MAKE_TOKEN: (Done.MAKE_TOKEN,),
        Act.END_BOT: (Done.END_BOT,),
        Act.MAKE_HOOK: (Done.MAKE_HOOK,),
        Act.END_HOOK: (Done.END_HOOK,),
        Act.MODERATE_CALL: (
            Done.MUTE,
            Done.UNPUBLISH,
            Done.KICK_FROM_CALL,
            Done.LOCK_CALL,
            Done.UNLOCK_CALL,
            Done.END_CALL,
        ),
        Act.SET_ROLE: (Done.ROLE,),
        Act.END_MEMBERSHIP: (Done.REMOVE_PERSON,),
        Act.REMOVE: (Done.DELETE_MESSAGE,),
        Act.LOCK: (Done.LOCK, Done.UNLOCK),
        Act.KICK: (Done.KICK,),
        Act.BAN: (Done.BAN,),
        Act.UNBAN: (Done.UNBAN,),
        Act.PURGE: (Done.PURGE,),
    }.items()
}
"""By which words the list tells of an act. Beside these, `Done.INHERIT` follows from whoever goes, `Done.END_TOKEN` is
an ended sign-in, and `Done.ROTATE_KEY` is the operator's alone."""

_LOOKING: Final = "looking changes nothing"
_SPEAKING: Final = "what is said stands in the room, under its author's name"

UNRECORDED: Final[Mapping[tuple[Act, Thing | None], str]] = {
    (Act.ENTER, None): "one comes oneself, and is seen there",
    (Act.READ, None): _LOOKING,
    (Act.POST, None): _SPEAKING,
    (Act.TYPE, None): _SPEAKING,
    (Act.CHANGE, None): "one's own words; the row shows that they were edited or taken back",
    (Act.LEAVE, None): "one goes oneself; who moderates from then on is an entry of its own",
    (Act.CREATE, Thing.DIRECT_ROOM): "writing to somebody: with whom somebody talks is nobody else's to know",
    (Act.SIGN_IN, Thing.OWN): "one's own next browser, which stands in the list of one's sign-ins",
    (Act.END_SIGN_IN, Thing.OWN): "one's own browser; a program's token that ends is an entry",
    **{
        (act, None): _LOOKING
        for act in (
            Act.SEE_PEOPLE,
            Act.SEE_LINK,
            Act.SEE_SIGN_IN,
            Act.SEE_BOT,
            Act.SEE_HOOK,
            Act.SEE_ROLES,
            Act.SEE_BANS,
            Act.SEE_AUDIT,
        )
    },
}
"""What leaves no entry, whatever or only what it is done to, and why."""


def words_of(act: Act, thing: Thing) -> frozenset[Done]:
    """By which words the list tells that an act was done to a thing; none where it leaves no entry."""
    if (act, None) in UNRECORDED or (act, thing) in UNRECORDED:
        return frozenset()
    return RECORDED[act]


class Deed(NamedTuple):
    """One entry. Names are as they stood at that moment."""

    at: int
    """Milliseconds since 1970."""
    actor: AccountId | None
    """None: the operator."""
    actor_name: str | None
    act: str
    """What was done; see `Done`."""
    person: AccountId | None = None
    person_name: str | None = None
    room: RoomId | None = None
    details: Mapping[str, Any] = {}
    no: int = 0
    """Its place in the list, once it is stored."""


def deed(
    at: int,
    actor: Account | None,
    act: Done,
    person: Account | None = None,
    *,
    room: RoomId | None = None,
    **details: Any,
) -> Deed:
    """An entry that is about to be stored. Whoever acts under a name that was only typed is marked `unverified`."""
    if actor is not None and not actor.verified:
        details["unverified"] = True
    return Deed(
        at,
        None if actor is None else actor.id,
        None if actor is None else actor.name,
        act.value,
        None if person is None else person.id,
        None if person is None else person.name,
        room,
        details,
    )


class Scribe:
    """Begins entries, for one person no faster than `PACE`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paces = Shared(PACE, clock)

    def entry(
        self,
        actor: Account | None,
        act: Done,
        person: Account | None = None,
        *,
        room: RoomId | None = None,
        address: str | None = None,
        **details: Any,
    ) -> Deed:
        """Begin the entry of what is about to be done.

        Args:
            actor: who does it; None is the operator.
            act: what.
            person: to whom, or whose.
            room: where.
            address: whence; whoever only typed a name is paced by it.
            details: what else can be said of it, and never what somebody wrote.

        Raises:
            TooFast: they did too much of this lately.
        """
        if actor is not None:
            key = actor.id if actor.verified or address is None else network_of(address)
            self._paces.of(key).spend()
        return deed(self._clock.wall_ms(), actor, act, person, room=room, **details)
