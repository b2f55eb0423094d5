"""What is kept about one connection, as far as the rules of the house need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from chatzilla.errors import NotJoined

if TYPE_CHECKING:
    from chatzilla.core.limits import Allowance
    from chatzilla.core.people import Account
    from chatzilla.core.rights import Right
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.core.tokens import SignInId

GONE: Final = "This connection has ended."


@dataclass(slots=True, eq=False)
class Session:
    """One connection: who speaks, in which rooms, and how much more it may say now."""

    connection: ConnectionId
    posting: Allowance
    asking: Allowance
    """For calls that read the store or move between rooms."""
    typing: Allowance
    address: str = ""
    """Where it comes from."""
    account: Account | None = None
    by_token: bool = False
    """Whether the person is proven, by a token or a cookie; a name beside it can then only be the same one."""
    sign_in: SignInId | None = None
    """The sign-in that this connection stands on, and ends with."""
    right: Right | None = None
    """The right by which it came, where that is all it has: `account` then knows one room."""
    unnamed: bool = True
    """Whether it has not used its name anywhere yet."""
    voice: bool = True
    """Whether this person may speak; worked out once, so that posting need not ask."""
    rooms: set[RoomId] = field(default_factory=set)
    """The rooms that this connection hears."""
    member_of: set[RoomId] | None = None
    """The rooms of the person, once this connection has been told of them."""
    ended: bool = False
    """Whether the connection is gone. Whatever waited since has to ask again before it puts it anywhere."""

    def check_going_on(self) -> None:
        """See that the connection is still there.

        Raises:
            NotJoined: it has ended.
        """
        if self.ended:
            raise NotJoined(GONE)

    def may_know(self, room: RoomId) -> bool:
        """Whether this connection may hear that a room moves: a right tells of its own room and of no other."""
        return self.right is None or self.right.room == room
