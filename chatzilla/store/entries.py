"""What stands in the log's line: what somebody says or changes, and what is noted beside it.

The event loop makes them, the writer's thread only reads them, and the event loop settles them again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from sys import getsizeof
from typing import TYPE_CHECKING, Any

from chatzilla.core.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from chatzilla.core.audit import Deed
    from chatzilla.core.messages import Change, Draft
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import ConnectionId, RoomId

Outcome = Message | Exception


class Awaited:
    """Implements `ports.Place`: an entry in the log, and who waits for it."""

    __slots__ = ("outcome", "settle", "size")

    size: int
    """Bytes of its text, in memory."""
    outcome: Outcome | None
    settle: Callable[[Outcome], None] | None
    """Who waits."""

    def then(self, settle: Callable[[Outcome], None]) -> None:
        if self.outcome is None:
            self.settle = settle
        else:
            settle(self.outcome)

    def __await__(self) -> Generator[Any, None, Message]:
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if future.done():
                return  # whoever asked is gone
            if isinstance(outcome, Message):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        self.then(settle)
        return future.__await__()


class Posting(Awaited):
    """Somebody says something."""

    __slots__ = ("author", "draft", "origin", "repeated", "sent_at")

    def __init__(self, author: Account, draft: Draft, origin: ConnectionId | None, sent_at: int) -> None:
        self.author = author
        self.draft = draft
        self.origin = origin
        self.sent_at = sent_at
        self.size = getsizeof(draft.content)
        self.repeated = False
        self.outcome = None
        self.settle = None


class Revision(Awaited):
    """Somebody changes what they said, or takes away what another one said."""

    __slots__ = ("at", "author", "change", "deed", "noted", "origin")

    def __init__(
        self,
        author: AccountId | None,
        change: Change,
        origin: ConnectionId | None,
        at: int,
        deed: Deed | None = None,
        *,
        noted: bool = False,
    ) -> None:
        self.author = author
        self.change = change
        self.size = getsizeof(change.content)
        self.origin = origin
        self.at = at
        self.deed = deed
        """What it is for the audit list, where it may be somebody else's message."""
        self.noted = noted
        """Whether the audit list is told."""
        self.outcome = None
        self.settle = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    account: Account
    room: RoomId


@dataclass(frozen=True, slots=True)
class Mark:
    account: Account
    room: RoomId
    seq: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks whether the database can be written again."""


Note = Enrolment | Mark
Entry = Posting | Revision | Note | Probe
