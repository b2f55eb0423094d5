"""What can be asked of the store. Reads run in a few threads of their own, never on the event loop.

What those who join ask is short, and asked by everybody at once after a restart: it goes by the ferry, whose threads
nothing that takes long can occupy, and pages that many are given are read once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from chatzilla.core import catchup
from chatzilla.core.catchup import After, Backlog, Newest, Span
from chatzilla.core.messages import TEXT, ClientId, Message, Page, Target
from chatzilla.core.people import Account, AccountId
from chatzilla.core.policy import Role
from chatzilla.core.rooms import Kind, RoomHead, RoomId
from chatzilla.errors import Unavailable
from chatzilla.store.condition import is_failing
from chatzilla.store.ferry import TRIPS_AT_ONCE, Ferry
from chatzilla.store.tables import accounts, facts, members, messages, rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPICursor

    from chatzilla.store.database import Database
    from chatzilla.store.ferry import Question

T = TypeVar("T")

READERS: Final = 3
"""Threads for questions that may take long; the ferry has its own. Together they are as many as the engine keeps
connections (SQLAlchemy's pool: 5)."""

AT_ONCE: Final = 8
"""Questions that are with the readers at once, besides those on the ferry: no more of their answers than that come back
in one turn of the event loop."""

PAGES_KEPT: Final = 16
"""Pages that are kept in case that others come who are given the same: 128 KB of text each, at most."""

ROOMS_SHOWN: Final = 200
"""Rooms of one person that are told at once, those first in which something was said last."""

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
        self._crew = ThreadPoolExecutor(TRIPS_AT_ONCE, thread_name_prefix="store-ferry")
        self._ferry = Ferry(self._crew, self._ask_all)
        self._pages = _Pages()

    @property
    def epoch(self) -> str:
        return self._database.epoch

    async def backlog(self, room: RoomId, account: Account, *, cursor: int | None, epoch: str | None) -> Backlog:
        """What a client with this cursor is given; see `core.catchup`.

        Raises:
            Unavailable: the database cannot be read now.
        """
        same_epoch = epoch is None or epoch == self.epoch
        return await self._ferry.take(
            lambda reader: _backlog(reader, self._pages, room, account, cursor, same_epoch=same_epoch)
        )

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
        return (await self._ferry.take(lambda reader: _head(reader, room, account)))[1]

    async def members(self, room: RoomId, *, limit: int) -> tuple[Sequence[Account], int]:
        """The members of a public room, by name, and how many there are.

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
        return await self._ferry.take(lambda reader: _memberships(reader, account))

    async def answers(self) -> bool:
        """Whether the database can be read, all of it as far as anybody has seen."""
        try:
            await self._ferry.take(_ANYTHING.ask)
        except Unavailable:
            return False
        return not self._database.condition.damaged

    def close(self) -> None:
        self._ferry.close()
        self._crew.shutdown()
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
                answer = ask(connection)
        except Exception as error:
            if is_failing(error):
                raise self._refusal(error) from error
            raise
        self._database.condition.unreadable = False
        return answer

    def _ask_all(self, questions: Sequence[Question[Any]]) -> list[object]:
        """Run questions in one transaction; each comes to its answer, or to the exception that says why not."""

        def ask(connection: Connection) -> list[object]:
            with closing(connection.connection.cursor()) as reader:
                _ANYTHING.ask(reader)  # what is locked shows with the first look, and so to all of them at once
                return [self._outcome(question, reader) for question in questions]

        return self._ask(ask)

    def _outcome(self, question: Question[Any], reader: DBAPICursor) -> object:
        try:
            return question(reader)
        except Exception as error:  # noqa: BLE001  # whoever asked is told
            return self._refusal(error) if is_failing(error) else error

    def _refusal(self, error: Exception) -> Unavailable:
        """What people are told when the database cannot be read."""
        self._database.condition.refused(error, reading=True)
        refusal = Unavailable("The server cannot read the room right now. It will be tried again.")
        refusal.__cause__ = error
        return refusal


class _Pages:
    """The pages that were read last, by the number of the room and the cursor that they begin after.

    Whatever changes a message takes the next number of its room. So a page stays what it is for as long as the room's
    head does, and that is read anew for everybody, in the transaction that answers them.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int | None], tuple[int, Page]] = OrderedDict()
        self._lock = Lock()
        """Two readers may be here at once."""

    def get(self, number: int, after: int | None, head: int) -> Page | None:
        with self._lock:
            kept = self._kept.get((number, after))
            return kept[1] if kept is not None and kept[0] == head else None

    def keep(self, number: int, after: int | None, head: int, page: Page) -> None:
        with self._lock:
            self._kept[number, after] = head, page
            self._kept.move_to_end((number, after))
            if len(self._kept) > PAGES_KEPT:
                self._kept.popitem(last=False)


def _backlog(
    reader: DBAPICursor, pages: _Pages, room: RoomId, account: Account, cursor: int | None, *, same_epoch: bool
) -> Backlog:
    number, head = _head(reader, room, account)
    plan = catchup.plan(head.head, cursor, same_epoch=same_epoch)
    after = plan.cursor if isinstance(plan, After) else None
    page = pages.get(number, after, head.head) or _read_page(reader, room, number, after)
    pages.keep(number, after, head.head, page)
    match plan:
        case After():
            reached = page.messages[-1].changed if page.more else head.head
            return Backlog(page.messages, cursor=reached, more=page.more, reset=False, room=head)
        case Newest(reset):
            return Backlog(page.messages, cursor=head.head, more=page.more, reset=reset, room=head)


def _read_page(reader: DBAPICursor, room: RoomId, number: int, after: int | None) -> Page:
    """The first changes after a cursor; without one, the end of the room."""
    if after is not None:
        rows, more = _cut(room, _CHANGED_AFTER.ask(reader, number=number, after=after))
    else:
        rows, more = _cut(room, _NEWEST.ask(reader, number=number))
        rows.reverse()
    return Page(tuple(rows), more)


def _head(reader: DBAPICursor, room: RoomId, account: Account) -> tuple[int, RoomHead]:
    """A room's number and its head, as this person sees it; a room that is not stored has neither."""
    found = _ROOM_OF.ask(reader, room_id=room, person=account.id)
    return (found[0][0], _head_from(found[0][1:])) if found else (0, RoomHead(room, str(room), 0, 0))


def _memberships(reader: DBAPICursor, account: Account) -> list[RoomHead]:
    return [_head_from(row) for row in _ROOMS_OF.ask(reader, person=account.id)]


def _head_from(row: Sequence[Any]) -> RoomHead:
    room, name, head, last, read, muted = row
    return RoomHead(RoomId(room), name, head, last or 0, read, None if muted is None else bool(muted))


class _Query:
    """A question, written out once and asked with the driver's cursor: building it costs several times the answer.

    What it answers is as SQLite has it: there, a truth is 0 or 1.
    """

    def __init__(self, wanted: sa.Select[Any] | sa.CompoundSelect[Any]) -> None:
        compiled = wanted.compile(dialect=sqlite.dialect(paramstyle="named"))
        self._sql = str(compiled)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def ask(self, reader: DBAPICursor, **wanted: object) -> Sequence[Sequence[Any]]:
        reader.execute(self._sql, self._fixed | wanted)
        return reader.fetchall()


_ANYTHING: Final = _Query(sa.select(facts.c.name).limit(1))

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

_ROOM_OF: Final = _Query(
    sa.select(rooms.c.no, *_HEAD)
    .outerjoin_from(rooms, members, sa.and_(members.c.room == rooms.c.no, members.c.account == _PERSON))
    .where(rooms.c.id == sa.bindparam("room_id", type_=rooms.c.id.type))
)
"""A room, as somebody sees it, and its number."""

_NEWEST_OF_ALL: Final = (
    sa.select(messages.c.no)
    .where(messages.c.room == rooms.c.no)
    .order_by(messages.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)
"""A room's newest message among those of all rooms."""

_ROOMS_OF: Final = _Query(
    sa.select(*_HEAD)
    .join(members, members.c.room == rooms.c.no)
    .where(members.c.account == _PERSON)
    .order_by(_NEWEST_OF_ALL.desc(), rooms.c.no.desc())
    .limit(ROOMS_SHOWN)
)
"""The rooms of a person in which something was said last."""

_OF_ROOM: Final = message_rows.where(messages.c.room == sa.bindparam("number", type_=messages.c.room.type))

_NEWEST: Final = _Query(_OF_ROOM.order_by(messages.c.seq.desc()).limit(catchup.PAGE_ROWS + 1))
"""The end of a room, and one more."""


def _changed_after() -> sa.CompoundSelect[Any]:
    """A room's changes after a cursor, in their order: what was said since then, and what was changed since then."""
    after, at_most = sa.bindparam("after", type_=messages.c.seq.type), catchup.PAGE_ROWS + 1
    as_said, changed_later = messages.c.changed == messages.c.seq, messages.c.changed > messages.c.seq
    new = _OF_ROOM.where(messages.c.seq > after, as_said).order_by(messages.c.seq).limit(at_most)
    old = _OF_ROOM.where(messages.c.changed > after, changed_later).order_by(messages.c.changed).limit(at_most)
    both = sa.union_all(sa.select(new.subquery()), sa.select(old.subquery()))
    return both.order_by("changed").limit(at_most)


_CHANGED_AFTER: Final = _Query(_changed_after())


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
    visible = sa.or_(rooms.c.kind == Kind.PUBLIC.value, members.c.grade.is_not(None))
    found = connection.execute(
        sa.select(*_HEAD)
        .outerjoin_from(rooms, members, theirs)
        .where(visible)
        .order_by(members.c.account.is_(None), _NEWEST_OF_ALL.desc(), rooms.c.no)
        .limit(limit),
        {"person": account.id},
    )
    return [(_head_from(row), row.read is not None) for row in found]
