"""What operators can have done to people and rooms, by commands; see `operators` and `control`.

The operator may do everything. People are named as they are called, or by the id of their account.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core import moderation
from chatzilla.core.bans import network
from chatzilla.core.catchup import Span
from chatzilla.core.membership import NOT_STORED
from chatzilla.core.moderation import Wanted
from chatzilla.core.people import AccountId, account_named, key_of
from chatzilla.core.policy import GIVEN, Role
from chatzilla.core.rooms import LOBBY, parse_room
from chatzilla.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from chatzilla.core.audit import Deed
    from chatzilla.core.bans import Ban
    from chatzilla.core.moderation import Means
    from chatzilla.core.rooms import RoomId

LINES_AT_MOST: Final = 500
"""Lines that one command prints."""

HOUR_MS: Final = 3600 * 1000


class Stewards:
    """The operator's commands about people and rooms. What they answer is printed line by line."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self.commands: dict[str, Callable[[Mapping[str, Any]], Awaitable[list[str]]]] = {
            "people": self.people,
            "roles": self.roles,
            "set-role": self.set_role,
            "remove-person": self.remove_person,
            "kick": self.kick,
            "ban": self.ban,
            "unban": self.unban,
            "bans": self.bans,
            "purge": self.purge,
            "lock": self.lock,
            "unlock": self.unlock,
            "audit": self.audit,
        }

    async def people(self, _: Mapping[str, Any]) -> list[str]:
        """Who is here now, in which rooms, and from where."""
        here: dict[str, tuple[str, set[str], set[str]]] = {}
        for session in self._means.ports.audience.sessions():
            if session.account is None:
                continue
            known = here.setdefault(session.account.id, (session.account.name, set(), set()))
            known[1].update(session.rooms)
            known[2].add(session.address)
        lines = [
            f"{name} ({ident}): in {', '.join(sorted(rooms)) or 'no room'}; from {', '.join(sorted(addresses))}"
            for ident, (name, rooms, addresses) in here.items()
        ]
        return _bounded(sorted(lines, key=str.casefold), "Nobody is here.")

    async def roles(self, _: Mapping[str, Any]) -> list[str]:
        """Everybody whose name is their own, with their roles."""
        lines = [f"{each.role.value:8} {each.name} ({each.id})" for each in moderation.people(self._means, None)]
        return _bounded(lines, "Nobody has a role here yet.")

    async def set_role(self, asked: Mapping[str, Any]) -> list[str]:
        """Give somebody another role.

        Raises:
            BadRequest, NotFound, Forbidden, Conflict: see `moderation.set_role`.
        """
        role = asked.get("role")
        if role not in [each.value for each in GIVEN]:
            raise BadRequest(f"A role is one of {', '.join(GIVEN)}.")
        person = await moderation.set_role(self._means, None, self._ident(asked), Role(role))
        return [f"{person.name} is {person.role.value} now."]

    async def remove_person(self, asked: Mapping[str, Any]) -> list[str]:
        """End somebody's membership."""
        await moderation.end_membership(self._means, None, self._ident(asked))
        return ["Their sign-ins and links have ended. What they said stays, and their name stays theirs."]

    async def kick(self, asked: Mapping[str, Any]) -> list[str]:
        """Turn somebody out of a room."""
        count = await moderation.kick(self._means, None, parse_room(asked.get("room")), self._ident(asked))
        return [f"Out of the room, on {count} of their connections. They may come back where the room admits them."]

    async def ban(self, asked: Mapping[str, Any]) -> list[str]:
        """Keep somebody out: a person, or an address.

        Raises:
            BadRequest: there is neither, or the hours are no number.
        """
        address = asked.get("address")
        if address is None and asked.get("person") is None:
            raise BadRequest("Say who is banned: a name, or --address and an address.")
        wanted = Wanted(
            account=self._ident(asked) if address is None else None,
            network=None if address is None else network(address),
            room=_room(asked),
            lasts_ms=_hours(asked.get("hours")),
        )
        made = await moderation.ban(self._means, None, wanted)
        lines = [_ban_line(each) for each in made]
        if any(each.account is None for each in made):
            lines.append("Everybody unverified behind such an address is out, whoever they are.")
        return lines

    async def unban(self, asked: Mapping[str, Any]) -> list[str]:
        """Let somebody in again."""
        ban = await moderation.unban(self._means, None, str(asked.get("ban")))
        return [f"Lifted: {_ban_line(ban)}"]

    async def bans(self, _: Mapping[str, Any]) -> list[str]:
        """The bans that hold."""
        return _bounded([_ban_line(ban) for ban in moderation.bans(self._means, None)], "Nobody is banned.")

    async def purge(self, asked: Mapping[str, Any]) -> list[str]:
        """Delete what somebody said, a bounded number of messages at a time."""
        purged = await moderation.purge(self._means, None, self._ident(asked), _room(asked))
        lines = [f"Deleted messages: {purged.count}."]
        return [*lines, "There are more: run this again."] if purged.more else lines

    async def lock(self, asked: Mapping[str, Any]) -> list[str]:
        """Let nobody but its moderators speak in a room.

        Raises:
            NotFound: there is no such room.
        """
        await moderation.lock(self._means, None, await self._stored(asked), on=True)
        return ["Locked: only its moderators speak there now, and admins and owners."]

    async def unlock(self, asked: Mapping[str, Any]) -> list[str]:
        """Let everybody speak in a room again."""
        await moderation.lock(self._means, None, await self._stored(asked), on=False)
        return ["Unlocked."]

    async def audit(self, asked: Mapping[str, Any]) -> list[str]:
        """A page of the audit list, the newest first.

        Raises:
            BadRequest: `before` is no number.
        """
        before = asked.get("before")
        try:
            number = None if before is None else int(before)
        except ValueError as error:
            raise BadRequest("`--before` takes the number that an entry begins with.") from error
        found = await moderation.deeds(self._means, None, number)
        return [_deed_line(each) for each in found] or ["Nothing was done."]

    async def _stored(self, asked: Mapping[str, Any]) -> RoomId:
        """A room that there is: a name that was mistyped would make one.

        Raises:
            NotFound: nothing was ever said in it, and nobody made it.
        """
        room, ports = parse_room(asked.get("room")), self._means.ports
        known = room == LOBBY or ports.directory.get(room) is not None
        if not known and not (await ports.store.history(room, Span(limit=1))).messages:
            raise NotFound(NOT_STORED)
        return room

    def _ident(self, asked: Mapping[str, Any]) -> AccountId:
        """The account of whoever is called so, or of whoever types that name on an open server."""
        named = asked.get("person")
        sign_ins = self._means.sign_ins
        if isinstance(named, str) and sign_ins.person(AccountId(named)) is not None:
            return AccountId(named)
        typed = account_named(named)
        holder = sign_ins.person(sign_ins.holder(typed.name))
        return holder.id if holder is not None and key_of(holder.name) == typed.key else typed.id


def _room(asked: Mapping[str, Any]) -> RoomId | None:
    room = asked.get("room")
    return None if room is None else parse_room(room)


def _hours(raw: Any) -> int | None:
    if raw is None:
        return None
    try:
        return int(float(raw) * HOUR_MS)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest("Hours are a number.") from error


def _bounded(lines: list[str], nothing: str) -> list[str]:
    more = len(lines) - LINES_AT_MOST
    return [*lines[:LINES_AT_MOST], f"and {more} more"] if more > 0 else lines or [nothing]


def _moment(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(ms / 1000))


def _ban_line(ban: Ban) -> str:
    where = "everywhere" if ban.room is None else f"in {ban.room}"
    until = "for good" if ban.ends_at is None else f"until {_moment(ban.ends_at)}"
    whom = ban.name if ban.network is None or ban.network == ban.name else f"{ban.name}, as {ban.network}"
    return f"{ban.id}  {whom}: banned {where} {until}, by {ban.maker_name or 'the operator'}"


def _deed_line(deed: Deed) -> str:
    parts = [f"{deed.no}", _moment(deed.at), deed.actor_name or "the operator", deed.act]
    parts += [deed.person_name] if deed.person_name is not None else []
    parts += [f"in {deed.room}"] if deed.room is not None else []
    parts += [f"{name}={value}" for name, value in deed.details.items()]
    return "  ".join(parts)
