"""The rights that were handed out for rooms, and who is there by one: what OpenVidu calls connections.

Which were handed out is kept in memory, like the bookings that they are made for. Whoever is in a room by a right is
known in any case, also after a restart, and also where an application has signed it by itself. That one was ended is
on disk before it is answered, so that nothing brings it back.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from chatzilla.core.call import right_in
from chatzilla.core.rights import LASTS_SECONDS, Ending, all_of
from chatzilla.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from chatzilla.core.call_roster import Roster
    from chatzilla.core.rights import CallRole, Right, Rights
    from chatzilla.core.rooms import RoomId
    from chatzilla.ports import Clock, RightBook

HANDED_AT_MOST: Final = 10_000
"""Rights that are remembered as handed out; beyond, the oldest one is forgotten, and holds all the same."""

FOREIGN_MS: Final = 31 * 24 * 3600 * 1000
"""No right lasts longer, and one of which no more is known is remembered as ended for as long."""

PUT_OUT: Final = "You were removed from this room."
"""What somebody is told whose right was ended."""

NO_SUCH_CONNECTION: Final = "There is no such connection."


@dataclass(frozen=True, slots=True)
class Connection:
    """A right to a room, as far as it is known, and whether somebody is there by it."""

    id: str
    room: RoomId
    role: CallRole
    data: str = ""
    token: str = ""
    made_at: int | None = None
    ends_at: int | None = None
    here: bool = False


class Connections:
    """All of them."""

    def __init__(
        self,
        rights: Rights,
        book: RightBook,
        roster: Roster,
        clock: Clock,
        *,
        on_chat: Callable[[], Iterable[Right]],
        put_out: Callable[[Sequence[str]], None],
    ) -> None:
        """Begin with none.

        Args:
            rights: judges them.
            book: keeps which were ended.
            roster: knows who is in a call.
            clock: what time it is.
            on_chat: the rights by which connections to the chat have come.
            put_out: closes every connection that came by one of these rights.
        """
        self._rights = rights
        self._book = book
        self._roster = roster
        self._clock = clock
        self._on_chat = on_chat
        self._put_out = put_out
        self._handed: OrderedDict[str, Right] = OrderedDict()

    def start(self) -> None:
        """Recall what was ended."""
        self._rights.recall(self._book.recall(self._clock.wall_ms()))

    def hand_out(self, right: Right) -> None:
        """Somebody is given a right."""
        self._handed[right.id] = right
        if len(self._handed) > HANDED_AT_MOST:
            self._handed.popitem(last=False)

    def of(self, rooms: Iterable[RoomId]) -> Mapping[RoomId, Mapping[str, Connection]]:
        """Those of some rooms that hold, or by which somebody is there, by their ids; looked for once for all rooms."""
        now = self._clock.wall_ms()
        found: dict[RoomId, dict[str, Connection]] = {room: {} for room in rooms}
        for right in self._handed.values():
            if right.room in found and right.ends_at > now:
                found[right.room][right.id] = _connection(right)
        for right in self._on_chat():
            if right.room in found:
                found[right.room][right.id] = _connection(right, here=True)
        for room, known in found.items():
            for participant in self._roster.present(room):
                ident = right_in(participant.ticket)
                if ident is not None:
                    one = known.get(ident, Connection(ident, room, participant.role))
                    known[ident] = replace(one, here=one.here or participant.here)
        return found

    def find(self, room: RoomId, ident: str) -> Connection:
        """One of them.

        Raises:
            NotFound: there is none by this id.
        """
        found = self.of([room])[room].get(ident)
        if found is None:
            raise NotFound(NO_SUCH_CONNECTION)
        return found

    async def end(self, room: RoomId, ident: str) -> None:
        """End a right: whoever is there by it is put out, and it lets nobody in any more.

        Raises:
            NotFound: as `find`.
            Full, Unavailable: it cannot be remembered, and so it holds.
        """
        await self._end([self.find(room, ident)])

    async def end_all(self, room: RoomId) -> None:
        """End every right to a room that there is until now, and its call, for everybody.

        Raises:
            Full, Unavailable: as `end`.
        """
        now = self._clock.wall_ms()
        await self._end(self.of([room])[room].values(), Ending(all_of(room), now, now + LASTS_SECONDS * 1000))
        self._roster.close(room)

    async def _end(self, connections: Iterable[Connection], *whole: Ending) -> None:
        now = self._clock.wall_ms()
        endings = [Ending(each.id, now, each.ends_at or now + FOREIGN_MS) for each in connections]
        self._rights.check_ending(len(endings) + len(whole))
        await self._book.keep([*endings, *whole], now)
        self._rights.recall([*endings, *whole])
        for each in endings:
            self._handed.pop(each.what, None)
        self._put_out([each.what for each in endings])


def _connection(right: Right, *, here: bool = False) -> Connection:
    return Connection(right.id, right.room, right.role, right.data, right.token, right.made_at, right.ends_at, here)
