"""Who is here now, derived from live connections and never counted up and down.

A person is in a room while at least one of their connections has joined it. Changes are told at most every
max(1 s, listeners / 1000 s). Whoever came or left since the last telling is named, even when both happened in
between: a client that took its snapshot meanwhile would otherwise keep a ghost. Above `NAMED_AT_MOST` people
counts alone are told, and everyone is named again when the crowd is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from chatzilla.core.lookalikes import Names
from chatzilla.core.pace import Pacer

if TYPE_CHECKING:
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.ports import Audience, Clock

NAMED_AT_MOST: Final = 100
"""People that one telling names."""

PACE_SECONDS: Final = 1.0
LISTENERS_PER_SECOND: Final = 1000


@dataclass(frozen=True, slots=True)
class Here:
    """Who is in a room: how many, and the first of them by name."""

    count: int
    people: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """What changed since the last telling, and what holds now."""

    came: tuple[Account, ...]
    went: tuple[Account, ...]
    here: Here
    counts_alone: bool
    """Too many people, or too many changes, to name; everybody is named again when there are fewer."""

    @property
    def somebody_moved(self) -> bool:
        return self.counts_alone or bool(self.came or self.went)


@dataclass(slots=True)
class _Roster:
    pacer: Pacer
    people: dict[AccountId, tuple[Account, set[ConnectionId]]] = field(default_factory=dict)
    came: dict[AccountId, Account] = field(default_factory=dict)
    went: dict[AccountId, Account] = field(default_factory=dict)
    named: tuple[Account, ...] | None = None
    """The first of them, while these do not change: in a crowd many are told the same."""
    crowded: bool = False
    """The last telling named nobody, so the next one that can names everybody."""


class Presence:
    """The rosters of all rooms."""

    def __init__(self, audience: Audience, clock: Clock, names: Names | None = None) -> None:
        self.names = Names() if names is None else names
        """The names in use on all connections."""
        self._audience = audience
        self._clock = clock
        self._rosters: dict[RoomId, _Roster] = {}

    def arrive(self, room: RoomId, account: Account, connection: ConnectionId) -> None:
        """One more connection of a person is in the room; the same one twice changes nothing."""
        roster = self._roster(room)
        if account.id in roster.people:
            connections = roster.people[account.id][1]
            if connection in connections:
                return
            connections.add(connection)
        else:
            if len(roster.people) < NAMED_AT_MOST:
                roster.named = None
            roster.people[account.id] = (account, {connection})
            roster.came[account.id] = account
            roster.went.pop(account.id, None)
        roster.pacer.touch()

    def depart(self, room: RoomId, account: Account, connection: ConnectionId) -> None:
        """That connection is gone; the person is, when it was their last one."""
        roster = self._rosters.get(room)
        if roster is None or account.id not in roster.people:
            return
        known, connections = roster.people[account.id]
        connections.discard(connection)
        if not connections:
            del roster.people[account.id]
            roster.named = None
            roster.came.pop(account.id, None)
            roster.went[account.id] = known
            roster.pacer.touch()

    def here(self, room: RoomId) -> Here:
        roster = self._rosters.get(room)
        if roster is None:
            return Here(0, ())
        if roster.named is None:
            roster.named = tuple(account for account, _ in islice(roster.people.values(), NAMED_AT_MOST))
        return Here(len(roster.people), roster.named)

    def stop(self) -> None:
        """Tell nothing more."""
        for roster in self._rosters.values():
            roster.pacer.stop()

    def _roster(self, room: RoomId) -> _Roster:
        roster = self._rosters.get(room)
        if roster is None:
            pacer = Pacer(
                self._clock,
                lambda: max(PACE_SECONDS, self._audience.listeners(room) / LISTENERS_PER_SECOND),
                lambda: self._tell(room),
            )
            roster = self._rosters[room] = _Roster(pacer)
        return roster

    def _tell(self, room: RoomId) -> None:
        roster = self._rosters[room]
        here = self.here(room)
        came, went = tuple(roster.came.values()), tuple(roster.went.values())
        counts_alone = max(here.count, len(came), len(went)) > NAMED_AT_MOST
        if counts_alone:
            came, went = (), ()
        elif roster.crowded:
            came = here.people
        roster.crowded = counts_alone
        roster.came.clear()
        roster.went.clear()
        self._audience.tell_presence(room, PresenceChange(came, went, here, counts_alone))
        if counts_alone and here.count <= NAMED_AT_MOST:
            roster.pacer.touch()
        if not roster.people:
            self._clock.call_later(PACE_SECONDS, lambda: self._forget(room))

    def _forget(self, room: RoomId) -> None:
        """Drop the roster of a room that stayed empty, so that rooms once visited cost nothing."""
        roster = self._rosters.get(room)
        if roster is not None and not roster.people and not roster.came and not roster.went:
            roster.pacer.stop()
            del self._rosters[room]
