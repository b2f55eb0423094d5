"""What can be asked of the store. Reads run in a few threads of their own, never on the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa

from chatzilla.core import catchup
from chatzilla.core.catchup import After, Backlog, Newest, Span
from chatzilla.core.messages import ClientId, Message, Page
from chatzilla.core.people import AccountId
from chatzilla.core.rooms import RoomHead, RoomId
from chatzilla.errors import Unavailable
from chatzilla.store.tables import members, messages, rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Row

    from chatzilla.core.people import Account
    from chatzilla.store.database import Database

T = TypeVar("T")

READERS: Final = 4
ROOMS_SHOWN: Final = 200
"""Rooms of one person that are told at once, the most recently used first."""

MESSAGE_COLUMNS: Final = ["room", "seq", "changed", "kind", "client_id", "author", "name", "content", "sent_at"]
"""The columns of a message, in the order in which `Message` has them."""

message_rows: Final = sa.select(*(messages.c[column] for column in MESSAGE_COLUMNS))


def message_from(row: Row[*tuple[Any, ...]]) -> Message:
    room, seq, changed, kind, client_id, author, name, content, sent_at = row
    return Message(RoomId(room), seq, changed, kind, ClientId(client_id), AccountId(author), name, content, sent_at)


class RoomStore:
    """Implements `ports.Store` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    @property
    def epoch(self) -> str:
        return self._database.epoch

    async def backlog(self, room: RoomId, *, cursor: int | None, epoch: str | None) -> Backlog:
        """What a client with this cursor is given; see `core.catchup`.

        Raises:
            Unavailable: the database cannot be read now.
        """
        same_epoch = epoch is None or epoch == self.epoch
        return await self._read(lambda connection: _backlog(connection, room, cursor, same_epoch=same_epoch))

    async def history(self, room: RoomId, span: Span) -> Page:
        """A part of a room by place.

        Raises:
            Unavailable: the database cannot be read now.
        """
        return await self._read(lambda connection: _history(connection, room, span))

    async def memberships(self, account: Account) -> Sequence[RoomHead]:
        """The rooms of an account.

        Raises:
            Unavailable: the database cannot be read now.
        """
        return await self._read(lambda connection: _memberships(connection, account))

    async def answers(self) -> bool:
        """Whether the database can be read."""
        try:
            return await self._read(lambda connection: connection.execute(sa.select(1)).scalar_one() == 1)
        except Unavailable:
            return False

    def close(self) -> None:
        self._readers.shutdown()

    async def _read(self, ask: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._ask, ask)

    def _ask(self, ask: Callable[[Connection], T]) -> T:
        """Run a question in one transaction, so that all of its answer is of one moment."""
        try:
            with self._database.reading.begin() as connection:
                return ask(connection)
        except sa.exc.OperationalError as error:
            raise Unavailable("The server cannot read the room right now. It will be tried again.") from error


def _backlog(connection: Connection, room: RoomId, cursor: int | None, *, same_epoch: bool) -> Backlog:
    found = connection.execute(sa.select(rooms.c.head, rooms.c.name).where(rooms.c.id == room)).one_or_none()
    head, name = (int(found.head), str(found.name)) if found is not None else (0, str(room))
    of_room = message_rows.where(messages.c.room == room, messages.c.changed <= head)
    match catchup.plan(head, cursor, same_epoch=same_epoch):
        case After(after):
            later = of_room.where(messages.c.changed > after).order_by(messages.c.changed)
            rows, more = _cut(connection, later)
            reached = rows[-1].changed if more else head
            return Backlog(tuple(rows), cursor=reached, more=more, reset=False, head=head, name=name)
        case Newest(reset):
            rows, more = _cut(connection, of_room.order_by(messages.c.seq.desc()))
            return Backlog(tuple(reversed(rows)), cursor=head, more=more, reset=reset, head=head, name=name)


def _history(connection: Connection, room: RoomId, span: Span) -> Page:
    of_room = message_rows.where(messages.c.room == room)
    if span.after is not None:
        rows, more = _cut(connection, of_room.where(messages.c.seq > span.after).order_by(messages.c.seq), span.limit)
        return Page(tuple(rows), more)
    if span.around is not None:
        newer = _history(connection, room, Span(limit=(span.limit + 1) // 2, after=span.around - 1))
        older = _history(connection, room, Span(limit=span.limit // 2, before=span.around))
        return Page(older.messages + newer.messages, older.more or newer.more)
    if span.before is not None:
        of_room = of_room.where(messages.c.seq < span.before)
    rows, more = _cut(connection, of_room.order_by(messages.c.seq.desc()), span.limit)
    return Page(tuple(reversed(rows)), more)


def _cut(connection: Connection, query: sa.Select[Any], limit: int | None = None) -> tuple[list[Message], bool]:
    """Read one row more than a page holds, to know whether there is more."""
    if limit is None:
        limit = catchup.PAGE_ROWS
    rows = connection.execute(query.limit(limit + 1)).all()
    page, more = catchup.cut(message_from(row) for row in rows[:limit])
    return page, more or len(rows) > limit


def _memberships(connection: Connection, account: Account) -> list[RoomHead]:
    of_account = (
        sa.select(rooms.c.id, rooms.c.name, rooms.c.head)
        .join(members, members.c.room == rooms.c.id)
        .where(members.c.account == account.id)
        .order_by(rooms.c.head.desc())
        .limit(ROOMS_SHOWN)
    )
    return [RoomHead(RoomId(room), name, head) for room, name, head in connection.execute(of_account)]
