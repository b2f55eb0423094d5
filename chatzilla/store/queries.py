"""What can be asked of the store. Reads run in a few threads of their own, never on the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa

from chatzilla.core import catchup
from chatzilla.core.catchup import After, Backlog, Newest, Span
from chatzilla.core.messages import TEXT, ClientId, Message, Page, Target
from chatzilla.core.people import Account, AccountId
from chatzilla.core.policy import Role
from chatzilla.core.rooms import Kind, RoomHead, RoomId
from chatzilla.errors import Unavailable
from chatzilla.store.tables import accounts, members, messages, rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from chatzilla.store.database import Database

T = TypeVar("T")

READERS: Final = 4

AT_ONCE: Final = 8
"""Questions that are with the readers at once: no more answers than that come back in one turn of the event loop."""

ROOMS_SHOWN: Final = 200
"""Rooms of one person that are told at once, the most recently used first."""

message_rows: Final = sa.select(
    messages.c.seq,
    messages.c.changed,
    messages.c.kind,
    messages.c.client_id,
    accounts.c.id,
    messages.c.name,
    messages.c.content,
    messages.c.sent_at,
    messages.c.edited_at,
    messages.c.deleted_at,
    messages.c.removed,
).join(accounts, accounts.c.no == messages.c.author)


def message_from(room: RoomId, row: Sequence[Any]) -> Message:
    """A row of `message_rows` as a message of its room."""
    seq, changed, kind, client_id, author, name, content, sent_at, edited_at, deleted_at, removed = row
    return Message(
        room,
        seq,
        changed,
        kind,
        ClientId(client_id),
        AccountId(author),
        name,
        content,
        sent_at,
        edited_at,
        deleted_at is not None,
        bool(removed),
    )


account_rows: Final = (
    accounts.c.id,
    accounts.c.kind,
    accounts.c.key,
    accounts.c.name,
    accounts.c.role,
    accounts.c.room,
    accounts.c.ends_at,
)


def account_from(row: Any) -> Account:
    """A row of `account_rows` as a person."""
    room = None if row.room is None else RoomId(row.room)
    return Account(AccountId(row.id), row.kind, row.key, row.name, Role(row.role), room, row.ends_at)


class RoomStore:
    """Implements `ports.Store` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._gate = asyncio.Semaphore(AT_ONCE)

    @property
    def epoch(self) -> str:
        return self._database.epoch

    async def backlog(self, room: RoomId, account: Account, *, cursor: int | None, epoch: str | None) -> Backlog:
        """What a client with this cursor is given; see `core.catchup`.

        Raises:
            Unavailable: the database cannot be read now.
        """
        same_epoch = epoch is None or epoch == self.epoch
        return await self.read(lambda connection: _backlog(connection, room, account, cursor, same_epoch=same_epoch))

    async def history(self, room: RoomId, span: Span) -> Page:
        """A part of a room by place.

        Raises:
            Unavailable: the database cannot be read now.
        """
        return await self.read(lambda connection: _history(connection, room, span))

    async def head(self, room: RoomId, account: Account) -> RoomHead:
        """Where a room stands, as somebody sees it.

        Raises:
            Unavailable: the database cannot be read now.
        """
        return (await self.read(lambda connection: _head(connection, room, account)))[1]

    async def members(self, room: RoomId, *, limit: int) -> tuple[Sequence[Account], int]:
        """Whose room a public one is.

        Raises:
            Unavailable: the database cannot be read now.
        """
        return await self.read(lambda connection: _members(connection, room, limit))

    async def rooms(self, account: Account, *, limit: int) -> Sequence[tuple[RoomHead, bool]]:
        """The rooms that somebody has, and every public one.

        Raises:
            Unavailable: the database cannot be read now.
        """
        return await self.read(lambda connection: _rooms(connection, account, limit))

    async def said_by(self, account: AccountId, room: RoomId | None, at_most: int) -> Sequence[Target]:
        """What somebody said that is not deleted; no index leads there, so all that was said is looked through.

        Raises:
            Unavailable: the database cannot be read now.
        """
        return await self.read(lambda connection: _said_by(connection, account, room, at_most))

    async def memberships(self, account: Account) -> Sequence[RoomHead]:
        """The rooms of an account.

        Raises:
            Unavailable: the database cannot be read now.
        """
        return await self.read(lambda connection: _memberships(connection, account))

    async def answers(self) -> bool:
        """Whether the database can be read."""
        try:
            return await self.read(lambda connection: connection.execute(sa.select(1)).scalar_one() == 1)
        except Unavailable:
            return False

    def close(self) -> None:
        self._readers.shutdown()

    async def read(self, ask: Callable[[Connection], T]) -> T:
        """Run one transaction that reads.

        Raises:
            Unavailable: the database cannot be read now.
        """
        async with self._gate:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._ask, ask)

    def _ask(self, ask: Callable[[Connection], T]) -> T:
        """Run a question in one transaction, so that all of its answer is of one moment."""
        try:
            with self._database.reading.begin() as connection:
                return ask(connection)
        except sa.exc.OperationalError as error:
            raise Unavailable("The server cannot read the room right now. It will be tried again.") from error


def _backlog(
    connection: Connection, room: RoomId, account: Account, cursor: int | None, *, same_epoch: bool
) -> Backlog:
    number, head = _head(connection, room, account)
    match catchup.plan(head.head, cursor, same_epoch=same_epoch):
        case After(after):
            rows, more = _cut(room, connection.execute(_CHANGED_AFTER, {"number": number, "after": after}).all())
            reached = rows[-1].changed if more else head.head
            return Backlog(tuple(rows), cursor=reached, more=more, reset=False, room=head)
        case Newest(reset):
            rows, more = _cut(room, connection.execute(_NEWEST, {"number": number}).all())
            return Backlog(tuple(reversed(rows)), cursor=head.head, more=more, reset=reset, room=head)


def _head(connection: Connection, room: RoomId, account: Account) -> tuple[int, RoomHead]:
    """A room's number and its head, as this person sees it; a room that is not stored has neither."""
    found = connection.execute(_ROOM_OF, {"room_id": room, "person": account.id}).one_or_none()
    return (0, RoomHead(room, str(room), 0, 0)) if found is None else (found[0], _head_from(found[1:]))


def _head_from(row: Sequence[Any]) -> RoomHead:
    room, name, head, last, read, muted = row
    return RoomHead(RoomId(room), name, head, last or 0, read, muted)


_LAST: Final = (
    sa.select(messages.c.seq)
    .where(messages.c.room == rooms.c.no)
    .order_by(messages.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)
"""The place of a room's newest message."""

_HEAD: Final = (rooms.c.id, rooms.c.name, rooms.c.head, _LAST, members.c.read, members.c.muted)
"""A room as somebody sees it who may be a member."""


_PERSON: Final = (
    sa.select(accounts.c.no).where(accounts.c.id == sa.bindparam("person", type_=accounts.c.id.type)).scalar_subquery()
)

_ROOM_OF: Final = (
    sa.select(rooms.c.no, *_HEAD)
    .outerjoin_from(rooms, members, sa.and_(members.c.room == rooms.c.no, members.c.account == _PERSON))
    .where(rooms.c.id == sa.bindparam("room_id", type_=rooms.c.id.type))
)
"""What whoever joins a room asks first. These four are built once, as building them costs more than asking them: after
a restart everybody joins at the same time."""

_ROOMS_OF: Final = (
    sa.select(*_HEAD)
    .join(members, members.c.room == rooms.c.no)
    .where(members.c.account == _PERSON)
    .order_by(rooms.c.head.desc())
    .limit(ROOMS_SHOWN)
)
"""The rooms of a person."""

_OF_ROOM: Final = message_rows.where(messages.c.room == sa.bindparam("number", type_=messages.c.room.type))

_NEWEST: Final = _OF_ROOM.order_by(messages.c.seq.desc()).limit(catchup.PAGE_ROWS + 1)
"""The end of a room, and one more."""


def _changed_after() -> sa.CompoundSelect[Any]:
    """A room's changes after a cursor, in their order: what was said since then, and what was changed since then."""
    after, at_most = sa.bindparam("after", type_=messages.c.seq.type), catchup.PAGE_ROWS + 1
    as_said, changed_later = messages.c.changed == messages.c.seq, messages.c.changed > messages.c.seq
    new = _OF_ROOM.where(messages.c.seq > after, as_said).order_by(messages.c.seq).limit(at_most)
    old = _OF_ROOM.where(messages.c.changed > after, changed_later).order_by(messages.c.changed).limit(at_most)
    both = sa.union_all(sa.select(new.subquery()), sa.select(old.subquery()))
    return both.order_by("changed").limit(at_most)


_CHANGED_AFTER: Final = _changed_after()


def _history(connection: Connection, room: RoomId, span: Span) -> Page:
    found = connection.execute(sa.select(rooms.c.no).where(rooms.c.id == room)).scalar_one_or_none()
    return Page((), more=False) if found is None else _page(connection, room, found, span)


def _page(connection: Connection, room: RoomId, number: int, span: Span) -> Page:
    if span.around is not None:
        newer = _page(connection, room, number, Span(limit=(span.limit + 1) // 2, after=span.around - 1))
        older = _page(connection, room, number, Span(limit=span.limit // 2, before=span.around))
        return Page(older.messages + newer.messages, older.more or newer.more)
    if span.after is not None:
        ordered = _OF_ROOM.where(messages.c.seq > span.after).order_by(messages.c.seq)
    elif span.before is not None:
        ordered = _OF_ROOM.where(messages.c.seq < span.before).order_by(messages.c.seq.desc())
    else:
        ordered = _OF_ROOM.order_by(messages.c.seq.desc())
    found = connection.execute(ordered.limit(span.limit + 1), {"number": number}).all()
    rows, more = _cut(room, found, span.limit)
    return Page(tuple(rows if span.after is not None else reversed(rows)), more)


def _cut(room: RoomId, rows: Sequence[Sequence[Any]], limit: int = catchup.PAGE_ROWS) -> tuple[list[Message], bool]:
    """Fill a page from rows, of which there is one more than it holds if there is more."""
    page, more = catchup.cut(message_from(room, row) for row in rows[:limit])
    return page, more or len(rows) > limit


def _said_by(connection: Connection, account: AccountId, room: RoomId | None, at_most: int) -> list[Target]:
    wanted = (
        sa.select(rooms.c.id, messages.c.seq)
        .join(rooms, rooms.c.no == messages.c.room)
        .where(messages.c.author == sa.select(accounts.c.no).where(accounts.c.id == account).scalar_subquery())
        .where(messages.c.deleted_at.is_(None), messages.c.kind == TEXT)
        .order_by(messages.c.no)
        .limit(at_most)
    )
    if room is not None:
        wanted = wanted.where(rooms.c.id == room)
    return [Target(RoomId(ident), seq) for ident, seq in connection.execute(wanted)]


def _memberships(connection: Connection, account: Account) -> list[RoomHead]:
    return [_head_from(row) for row in connection.execute(_ROOMS_OF, {"person": account.id})]


def _members(connection: Connection, room: RoomId, limit: int) -> tuple[list[Account], int]:
    of_room = (
        sa.select(*account_rows)
        .join(members, members.c.account == accounts.c.no)
        .join(rooms, rooms.c.no == members.c.room)
        .where(rooms.c.id == room)
    )
    count = connection.execute(sa.select(sa.func.count()).select_from(of_room.subquery())).scalar_one()
    found = connection.execute(of_room.order_by(sa.func.lower(accounts.c.name), accounts.c.no).limit(limit))
    return [account_from(row) for row in found], count


def _rooms(connection: Connection, account: Account, limit: int) -> list[tuple[RoomHead, bool]]:
    theirs = sa.and_(members.c.room == rooms.c.no, members.c.account == _PERSON)
    newest = (
        sa.select(messages.c.no)
        .where(messages.c.room == rooms.c.no)
        .order_by(messages.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    visible = sa.or_(rooms.c.kind == Kind.PUBLIC.value, members.c.grade.is_not(None))
    found = connection.execute(
        sa.select(*_HEAD)
        .outerjoin_from(rooms, members, theirs)
        .where(visible)
        .order_by(members.c.account.is_(None), newest.desc(), rooms.c.no)
        .limit(limit),
        {"person": account.id},
    )
    return [(_head_from(row), row.read is not None) for row in found]
