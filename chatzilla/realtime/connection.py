"""A connection, as the door of `/chat` knows it."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from chatzilla import wire
from chatzilla.logs import PEER
from chatzilla.realtime import packets

if TYPE_CHECKING:
    from chatzilla.core.people import AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.session import Session
    from chatzilla.realtime.channel import Channel, Frame
    from chatzilla.realtime.line import Line

logger = logging.getLogger(__name__)

CHAT: Final = "/chat"
"""The namespace that all of this happens in."""


class Dialect(enum.Enum):
    """How a connection speaks; see `docs/protocol.md` 1."""

    TUTORIAL = "tutorial"
    FULL = "full"


@dataclass(slots=True, eq=False)
class Connection:
    """One connection: who it is, how it speaks, and what it is on."""

    session: Session
    dialect: Dialect
    line: Line
    channel: Channel
    person: AccountId | None = None
    halls: set[RoomId] = field(default_factory=set)
    """The rooms that it hears or watches."""

    def write(self, frame: Frame) -> None:
        """Give it one frame, or let it go when it cannot take more."""
        if self.channel.open and not self.channel.write(frame):
            let_go(self.channel)

    def dismiss(self, code: str, message: str, *, reconnect: bool = True) -> None:
        """Close it of our own accord: it is told why, and whether it may come back. Harmless twice."""
        _dismiss(self.channel, code, message, reconnect=reconnect)


def let_go(channel: Channel) -> None:
    """Close a connection that cannot take more. It comes back by its cursor, and nobody else notices."""
    logger.info("session %s reads too slowly and is closed", channel.sid, extra={PEER: channel.address})
    _dismiss(channel, "too-fast", "You fell behind. You will be reconnected.", reconnect=True)


def _dismiss(channel: Channel, code: str, message: str, *, reconnect: bool) -> None:
    goodbye = packets.event(CHAT, "goodbye", wire.encode_goodbye(code, message, reconnect=reconnect))
    channel.close(f"dismissed: {code}", goodbye)
