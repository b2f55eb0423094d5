"""Who moderates a private room after its last moderator has left it, was removed, or is kept from it by a ban.

No private room is left without one while somebody is there who can be it; the last one who goes archives the room.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chatzilla.core import policy, rooms
from chatzilla.core.audit import Done, deed
from chatzilla.core.directory import heir_of
from chatzilla.core.messages import notify
from chatzilla.core.policy import Act, Thing
from chatzilla.core.rooms import Grade, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.core.audit import Deed
    from chatzilla.core.directory import Room
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.presence import Presence
    from chatzilla.core.rooms import RoomId
    from chatzilla.ports import Ports


async def pass_on(
    ports: Ports, presence: Presence, person: Account, *, by: Account | None, gone: bool, only: RoomId | None = None
) -> None:
    """See that no private room is left without a moderator by somebody who is kept from it now.

    Args:
        ports: the world.
        presence: who is here.
        person: who is banned, or not on the server any more.
        by: whose doing it is; None is the operator.
        gone: whether they are not on the server any more: then no private room is theirs.
        only: the one room that it is about; None is every one.

    Raises:
        Unavailable: it could not be stored; asked again, or with the next start, it goes on.
    """
    directory = ports.directory
    for ident in [room.id for room in directory.of(person.id) if room.kind is Kind.PRIVATE]:
        if only is not None and ident != only:
            continue
        if not gone:
            await _find_heir(ports, ident, by=by)
            continue
        async with directory.changing:
            before = directory.find(ident)
            if person.id not in before.grades:
                continue
            after, heir = await take_out(ports, presence, before, person.id, by=by)
        if after.grades:
            words = f"{person.name} is not on this server any more."
            await notify(ports, person, ident, words + heir_in_words(heir))


async def find_heirs(ports: Ports) -> None:
    """See that every private room has a moderator, if anybody in it can be one; the server starts with this.

    Raises:
        Unavailable: it could not be stored.
    """
    for ident in ports.directory.private():
        await _find_heir(ports, ident, by=None)


async def take_out(
    ports: Ports,
    presence: Presence,
    before: Room,
    person: AccountId,
    *,
    by: Account | None,
    entries: Sequence[Deed] = (),
) -> tuple[Room, Account | None]:
    """Take a room from somebody, while nobody else changes it; returns how it stands then, and who follows."""
    directory, now = ports.directory, ports.clock.wall_ms()
    after = before.graded(person, None)
    heir = _heir(ports, after)
    if heir is not None:
        after = after.graded(heir.id, Grade.MODERATE)
        entries = [*entries, _inheritance(ports, by, heir, after.id)]
    if after.hidden and not after.grades:
        after = replace(after, archived_at=now)
    heir_id = None if heir is None else heir.id
    await directory.register.dismiss(after, person, heir=heir_id, now=now, deeds=entries)
    directory.keep(after)
    rooms.expel(ports, presence, person, after.id)
    if heir is not None:
        ports.audience.tell_standing(after.id, heir.id, may=directory.rights(heir, after.id))
    return after, heir


def heir_in_words(heir: Account | None) -> str:
    return "" if heir is None else f" {heir.name} moderates this room now."


def _heir(ports: Ports, room: Room) -> Account | None:
    """Who moderates a room from now on, if it would have nobody to do it."""
    ident = heir_of(room, (each for each in room.grades if _can_moderate(ports, each, room.id)))
    return None if ident is None else ports.directory.person(ident)


def _can_moderate(ports: Ports, ident: AccountId, room: RoomId) -> bool:
    """Whether somebody can be a moderator there, and is kept from it by no ban."""
    person = ports.directory.person(ident)
    if person is None or not policy.may(person.role, Act.GRADE, Thing.OWN_ROOM):
        return False
    return ports.directory.stands(person, room) is not Thing.BANNED_ROOM


async def _find_heir(ports: Ports, ident: RoomId, *, by: Account | None) -> None:
    """Let somebody moderate a private room that has nobody to do it, if anybody in it can."""
    directory = ports.directory
    async with directory.changing:
        room = directory.find(ident)
        heir = _heir(ports, room)
        if heir is None:
            return
        entry, now = _inheritance(ports, by, heir, ident), ports.clock.wall_ms()
        await directory.register.grade(ident, heir, Grade.MODERATE, now, deeds=[entry])
        directory.keep(room.graded(heir.id, Grade.MODERATE))
        ports.audience.tell_standing(ident, heir.id, may=directory.rights(heir, ident))
    await notify(ports, heir, ident, heir_in_words(heir).strip())


def _inheritance(ports: Ports, by: Account | None, heir: Account, room: RoomId) -> Deed:
    """The entry of whoever follows, by the doing of whoever left them the room, or by their own place in it."""
    return deed(ports.clock.wall_ms(), by or heir, Done.INHERIT, heir, room=room)
