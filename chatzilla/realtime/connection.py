"""A connection, as the door of `/chat` knows it."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from chatzilla.core.session import Session
from chatzilla.logs import PEER
from chatzilla.realtime.namespace import Entrant, dismiss

if TYPE_CHECKING:
    from chatzilla.core.people import AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.realtime.channel import Channel, Frame

logger = logging.getLogger(__name__)

CHAT: Final = "/chat"
"""The namespace that all of this happens in."""


class Dialect(enum.Enum):
    """How a connection speaks; see `docs/protocol.md` 1."""

    TUTORIAL = "tutorial"
    FULL = "full"


@dataclass(slots=True, eq=False)
class Connection(Entrant[Session]):
    """One connection: who it is, how it speaks, and what it is on."""

    namespace: ClassVar[str] = CHAT

    dialect: Dialect
    person: AccountId | None = None
    halls: set[RoomId] = field(default_factory=set)
    """The rooms that it hears or watches."""

    def write(self, frame: Frame) -> None:
        """Give it one frame, or let it go when it cannot take more."""
        if self.channel.open and not self.channel.write(frame):
            let_go(self.channel)


def let_go(channel: Channel) -> None:
    """Close a connection that cannot take more. It comes back by its cursor, and nobody else notices."""
    logger.info("session %s reads too slowly and is closed", channel.sid, extra={PEER: channel.address})
    dismiss(channel, CHAT, "too-fast", "You fell behind. You will be reconnected.", reconnect=True)
