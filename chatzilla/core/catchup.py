"""What a client that comes back is given: the rules of `docs/protocol.md` 1.4, pure.

`changed` counts the changes of a room without holes, so "everything after my cursor" is a range. A page ends at
`PAGE_ROWS` rows or `PAGE_BYTES`; a client that is too far behind, or that counts by another numbering, is given
the newest page and told so. It is never given a silent hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chatzilla.core.messages import Message
    from chatzilla.core.rooms import RoomHead

PAGE_ROWS: Final = 100
PAGE_BYTES: Final = 128 * 1024
BEHIND_AT_MOST: Final = 1_000
"""Changes that are caught up one by one; beyond, the client starts over."""

ROW_OVERHEAD: Final = 200
"""Bytes of a row on the wire besides its text and name, which are counted as JSON escapes them."""


@dataclass(frozen=True, slots=True)
class After:
    """Read the changes after this number."""

    cursor: int


@dataclass(frozen=True, slots=True)
class Newest:
    """Read the newest page; with `reset`, the client drops what it holds."""

    reset: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """A page of a room, and how far it goes.

    `cursor` is the number up to which the client now knows everything. `more` means: with a cursor asked for,
    ask again from there; without, older history exists.
    """

    messages: tuple[Message, ...]
    cursor: int
    more: bool
    reset: bool
    room: RoomHead


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a room's history by place: exactly one of the three is set, exclusive but for `around`."""

    limit: int
    before: int | None = None
    after: int | None = None
    around: int | None = None


def plan(head: int, cursor: int | None, *, same_epoch: bool) -> After | Newest:
    """Decide how a client with this cursor is brought up to `head`."""
    if cursor is None:
        return Newest(reset=False)
    if not same_epoch or cursor > head or head - cursor > BEHIND_AT_MOST:
        return Newest(reset=True)
    return After(cursor)


def bytes_of(text: str) -> int:
    """How long a text is on the wire, as JSON."""
    return len(orjson.dumps(text))


def cut(rows: Iterable[Message]) -> tuple[list[Message], bool]:
    """Take rows until a page is full; at least one, whatever its size.

    Returns:
        The page, and whether rows were left over.
    """
    page: list[Message] = []
    size = 0
    for row in rows:
        size += ROW_OVERHEAD + bytes_of(row.content) + bytes_of(row.name)
        if page and (len(page) == PAGE_ROWS or size > PAGE_BYTES):
            return page, True
        page.append(row)
    return page, False
