"""Who is kept out, everywhere or of one room. Every door asks, so it is in memory; each change is stored first.

Whoever is verified is kept out by their account, wherever they come from. A name that was only typed is nobody's, so a
ban of somebody unverified is one of their address, and keeps out everybody unverified behind it.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NewType

from chatzilla.core.tries import network_of
from chatzilla.errors import BadRequest, Forbidden, Full

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.ports import Clock

BanId = NewType("BanId", str)

BANS_AT_MOST: Final = 10_000
"""Bans that hold at once."""

LONGEST_BAN_MS: Final = 5 * 365 * 24 * 3600 * 1000
"""The longest ban that has an end; one without is for good."""


@dataclass(frozen=True, slots=True)
class Ban:
    """One account, or one address with all who are behind it, kept out. Times are milliseconds since 1970."""

    id: BanId
    account: AccountId | None
    network: str | None
    room: RoomId | None
    """None: everywhere."""
    name: str
    """Of whom it was made."""
    maker: AccountId | None
    """None: the operator."""
    maker_name: str | None
    made_at: int
    ends_at: int | None
    """None: for good."""

    @property
    def subject(self) -> tuple[str, RoomId | None]:
        """Whom it keeps out, and of what: there is one ban of each."""
        return f"account {self.account}" if self.account else f"network {self.network}", self.room

    @property
    def sentence(self) -> str:
        """What somebody is told whom it keeps out, wherever they read it; what the room is called, others know."""
        return self.told()

    def told(self, room_name: str | None = None) -> str:
        """The same, with the room's name."""
        where = "this server" if self.room is None else f"the room “{room_name or self.room}”"
        end = None if self.ends_at is None else time.gmtime(self.ends_at / 1000)
        until = "" if end is None else time.strftime(" until %d %B %Y, %H:%M UTC", end)
        if self.account is None:
            return f"Whoever comes from your address is banned from {where}{until}."
        return f"You are banned from {where}{until}."


def network(raw: object) -> str:
    """Read an address, as it is banned.

    Raises:
        BadRequest: it is none.
    """
    try:
        return network_of(str(ipaddress.ip_address(raw.strip() if isinstance(raw, str) else "")))
    except ValueError as error:
        raise BadRequest("That is no address.") from error


class Bans:
    """All bans that hold."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_subject: dict[tuple[str, RoomId | None], Ban] = {}
        self._by_id: dict[BanId, Ban] = {}

    def recall(self, bans: Iterable[Ban]) -> None:
        for ban in bans:
            self.began(ban)

    def began(self, ban: Ban) -> None:
        """Take in a ban that was stored; one of the same subject gives way to it."""
        self.ended(self._by_subject.get(ban.subject))
        self._by_subject[ban.subject] = ban
        self._by_id[ban.id] = ban

    def ended(self, ban: Ban | None) -> None:
        """Take in that a ban holds no more."""
        if ban is not None and self._by_id.pop(ban.id, None) is not None:
            del self._by_subject[ban.subject]

    def replaced_by(self, ban: Ban) -> Ban | None:
        """The ban of the same subject that would give way to this one."""
        return self._by_subject.get(ban.subject)

    def get(self, ident: str) -> Ban | None:
        ban = self._by_id.get(BanId(ident))
        return ban if ban is not None and self._holds(ban) else None

    def all(self) -> Sequence[Ban]:
        """The bans that hold, the newest first."""
        return sorted((ban for ban in self._by_id.values() if self._holds(ban)), key=lambda ban: -ban.made_at)

    def make_room(self) -> None:
        """See that one more can be kept.

        Raises:
            Full: there are as many as a server keeps.
        """
        if len(self._by_id) >= BANS_AT_MOST:
            for ban in tuple(self._by_id.values()):
                if not self._holds(ban):
                    self.ended(ban)
        if len(self._by_id) >= BANS_AT_MOST:
            raise Full("There are as many bans as this server keeps. Lift some first.")

    def against(self, account: Account | None, address: str | None, room: RoomId | None = None) -> Ban | None:
        """The ban that keeps somebody out of everything, or of a room.

        Args:
            account: who it is; None where nobody has said yet.
            address: where they come from, as far as it matters: whoever is verified is banned by account.
            room: None asks about the server alone.
        """
        if not self._by_subject:
            return None
        if account is not None and account.verified:
            who = f"account {account.id}"
        elif address is None:
            return None
        else:
            who = f"network {network_of(address)}"
        for where in {None, room}:
            ban = self._by_subject.get((who, where))
            if ban is not None and self._holds(ban):
                return ban
        return None

    def check(self, account: Account | None, address: str | None, room: RoomId | None = None) -> None:
        """Let somebody pass.

        Raises:
            Forbidden: they are banned from everything, or from the room.
        """
        ban = self.against(account, address, room)
        if ban is not None:
            raise Forbidden(ban.sentence)

    def _holds(self, ban: Ban) -> bool:
        return ban.ends_at is None or ban.ends_at > self._clock.wall_ms()
