"""What was done with power over others, by whom and when: kept, and never with the text of a message.

Only the newest `DEEDS_AT_MOST` are kept, so that the list cannot grow for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import RoomId

DEEDS_AT_MOST: Final = 20_000
"""Entries that are kept, the newest."""

PAGE_DEEDS: Final = 50
"""Entries in one answer."""


class Deed(NamedTuple):
    """One entry. Names are as they stood at that moment."""

    at: int
    """Milliseconds since 1970."""
    actor: AccountId | None
    """None: the operator."""
    actor_name: str | None
    act: str
    """What was done, in a word that programs can rely on; `docs/protocol.md` has them all."""
    person: AccountId | None = None
    person_name: str | None = None
    room: RoomId | None = None
    details: Mapping[str, Any] = {}
    no: int = 0
    """Its place in the list, once it is stored."""


def deed(
    at: int,
    actor: Account | None,
    act: str,
    person: Account | None = None,
    *,
    room: RoomId | None = None,
    **details: Any,
) -> Deed:
    """An entry that is about to be stored."""
    return Deed(
        at,
        None if actor is None else actor.id,
        None if actor is None else actor.name,
        act,
        None if person is None else person.id,
        None if person is None else person.name,
        room,
        details,
    )
