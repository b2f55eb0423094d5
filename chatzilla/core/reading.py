"""How far everybody has read. Kept with the membership, and told to the person's other connections.

Marks are collected and noted together, so that a busy room that many people watch costs one commit, not one for each
pair of eyes. They take no number; one that is lost costs a person a second look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chatzilla.core.pace import Pacer
from chatzilla.errors import NotJoined

if TYPE_CHECKING:
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.core.session import Session
    from chatzilla.ports import Audience, Clock, Log

NOTED_EVERY_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Mark:
    account: Account
    seq: int
    origin: ConnectionId


class Reading:
    """The marks that have moved and are not noted yet."""

    def __init__(self, log: Log, audience: Audience, clock: Clock) -> None:
        self._log = log
        self._audience = audience
        self._pacer = Pacer(clock, lambda: NOTED_EVERY_SECONDS, self.note)
        self._moved: dict[tuple[AccountId, RoomId], _Mark] = {}

    def read(self, session: Session, room: RoomId, seq: int) -> None:
        """A person has read a room up to a number.

        Raises:
            NotJoined: this connection is not in the room, and neither is its person.
            TooFast: over the connection's rate.
        """
        account = session.account
        if account is None or (room not in session.rooms and room not in (session.member_of or ())):
            raise NotJoined("Join the room first.")
        session.asking.spend()
        before = self._moved.get((account.id, room))
        if before is None or before.seq < seq:
            self._moved[account.id, room] = _Mark(account, seq, session.connection)
            self._pacer.touch()

    def note(self) -> None:
        """Give what has moved to the log, and tell it."""
        moved, self._moved = self._moved, {}
        for (_, room), mark in moved.items():
            self._log.mark(mark.account, room, mark.seq)
            self._audience.tell_read(room, mark.account, mark.seq, origin=mark.origin)

    def stop(self) -> None:
        """Note what is left, and no more."""
        self._pacer.stop()
        self.note()
