"""A connection, as the door of `/chat` knows it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from chatzilla.core.people import AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.session import Session
    from chatzilla.realtime.channel import Channel
    from chatzilla.realtime.line import Line

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
