"""The one writer: a thread, a connection, and group commit.

`append` gives a draft its place at once. The thread takes everything that is waiting and stores it in one
transaction: each room's head goes up by as many as it gets (rooms in the order of their ids, so that two writers
cannot wait for each other), the rows go in, one commit, one sync. While one batch commits the next one collects,
so a busy server syncs once for a thousand messages and an idle one at once.

The whole batch goes back to the event loop in one callback: first every sender's future settles, in order, then
the audience is told, two turns later. `loop.call_soon` is first in, first out, so an ack is written before the events
of its batch.

A retry, known by `(author, client_id)` from the store or from earlier in the same batch, is answered as the first
time; it takes no number and is not told again. A batch that a single row spoils is stored one by one. When the
database itself cannot write (locked, full, read-only), the whole batch is refused as `unavailable`, and the
next batch tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from chatzilla.core.messages import TEXT, Message, Posted
from chatzilla.errors import ChatError, Conflict, Unavailable
from chatzilla.store.queries import MESSAGE_COLUMNS, message_from, message_rows
from chatzilla.store.tables import accounts, facts, members, messages, rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPICursor

    from chatzilla.core.messages import Draft
    from chatzilla.core.people import Account
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.ports import Clock

logger = logging.getLogger(__name__)

WAITING_AT_MOST: Final = 10_000
"""Entries that may wait for the writer; beyond, senders are told `unavailable` at once."""

BATCH_AT_MOST: Final = 1_000
LOOKUP_AT_MOST: Final = 200
"""Pairs in one query: well below the variables that SQLite takes in a statement."""

REMEMBERED_AT_MOST: Final = 20_000
"""Known accounts and memberships kept in memory, so that the hot path does not insert them again."""

Outcome = Message | ChatError | Exception


class _Entry(NamedTuple):
    author: Account
    draft: Draft
    origin: ConnectionId | None
    sent_at: int
    future: asyncio.Future[Message]

    @property
    def key(self) -> tuple[str, str]:
        return self.author.id, self.draft.client_id


@dataclass(frozen=True, slots=True)
class _Enrolment:
    account: Account
    room: RoomId


@dataclass(frozen=True, slots=True)
class _Probe:
    """Asks whether the database can be written again."""


class RoomLog:
    """Implements `ports.Log` over one database."""

    def __init__(self, engine: Engine, clock: Clock, on_stored: Callable[[Sequence[Posted]], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._on_stored = on_stored
        self._waiting: deque[_Entry | _Enrolment | _Probe] = deque()
        self._collected: list[_Entry | _Enrolment | _Probe] = []
        self._ready = threading.Condition()
        self._closing = False
        self._healthy = True
        self._known: OrderedDict[object, None] = OrderedDict()
        self._statements = _Statements(engine.dialect)
        self._thread = threading.Thread(target=self._run, name="room-log", daemon=True)

    def start(self) -> None:
        """Begin to write, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the last batch could be stored."""
        return self._healthy

    def append(self, author: Account, draft: Draft, *, origin: ConnectionId | None) -> asyncio.Future[Message]:
        future: asyncio.Future[Message] = self._loop.create_future()
        self._put(_Entry(author, draft, origin, self._clock.wall_ms(), future))
        return future

    def enrol(self, account: Account, room: RoomId) -> None:
        try:
            self._put(_Enrolment(account, room))
        except Unavailable:
            logger.warning("membership of room %s was not noted: the log is full", room)

    def probe(self) -> None:
        """While the last batch could not be stored, write something that changes nothing, to see whether one can."""
        if not self._healthy:
            with contextlib.suppress(Unavailable):
                self._put(_Probe())

    async def close(self) -> None:
        """Store what is waiting, take nothing more, and end the thread."""
        self._hand_over()
        with self._ready:
            self._closing = True
            self._ready.notify()
        await asyncio.to_thread(self._thread.join)

    def _put(self, entry: _Entry | _Enrolment | _Probe) -> None:
        if self._closing:
            raise Unavailable("The server is restarting. Your message will be sent again.")
        if len(self._waiting) + len(self._collected) >= WAITING_AT_MOST:
            raise Unavailable("The server is very busy. Your message will be sent again.")
        if not self._collected:
            self._loop.call_soon(self._hand_over)
        self._collected.append(entry)

    def _hand_over(self) -> None:
        """Give the writer what one turn of the event loop brought, all of it at once: that is one batch."""
        with self._ready:
            self._waiting.extend(self._collected)
            self._ready.notify()
        self._collected.clear()

    # From here on, everything but `_hand_back` runs in the writer's thread.

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_AT_MOST))]
            entries = [entry for entry in batch if isinstance(entry, _Entry)]
            enrolments = [entry for entry in batch if isinstance(entry, _Enrolment)]
            if self._closing and not self._healthy:  # it would be tried for as long as the database stays locked
                stored = self._refuse(entries), list[Posted]()
            else:
                stored = self._store(entries, enrolments)
            try:
                self._loop.call_soon_threadsafe(self._hand_back, entries, *stored)
            except RuntimeError:
                return  # the loop is closed: nobody is left to be told

    def _store(
        self, entries: Sequence[_Entry], enrolments: Sequence[_Enrolment], *, look: bool = False
    ) -> tuple[list[Outcome], list[Posted]]:
        """Store a batch whole; if it repeats something, look what; if a row spoils it, one by one.

        Args:
            entries: messages to store.
            enrolments: memberships to note.
            look: whether to ask first what is stored already. Retries are rare, so the unique index finds them.
        """
        dbapi = self._engine.dialect.loaded_dbapi
        try:
            with self._engine.begin() as connection:
                outcomes, fresh = self._write(connection, entries, enrolments, look=look)
        except (sa.exc.OperationalError, dbapi.OperationalError) as error:
            if self._healthy:
                logger.error("the database cannot be written: %s", error)  # noqa: TRY400  # it is no surprise
            self._healthy = False
            return self._refuse(entries), []
        except Exception as error:
            if not look:
                return self._store(entries, enrolments, look=True)
            if len(entries) <= 1:
                logger.exception("one entry could not be stored")
                return [error for _ in entries], []
            outcomes, fresh = [], []
            for entry in entries:
                its_outcome, its_fresh = self._store([entry], [], look=True)
                outcomes += its_outcome
                fresh += its_fresh
            return outcomes, fresh
        self._healthy = True
        self._remember(entries, outcomes)
        return outcomes, fresh

    def _refuse(self, entries: Sequence[_Entry]) -> list[Outcome]:
        refusal = Unavailable("The server cannot store messages right now. Yours is kept and will be sent again.")
        return [refusal for _ in entries]

    def _write(
        self, connection: Connection, entries: Sequence[_Entry], enrolments: Sequence[_Enrolment], *, look: bool
    ) -> tuple[list[Outcome], list[Posted]]:
        if not self._healthy:
            connection.execute(sa.update(facts).values(value=facts.c.value))
        cursor = connection.connection.cursor()
        known = self._known
        new = {entry.author.id: entry for entry in entries if entry.author.id not in known}
        if new:
            self._statements.account.run_many(cursor, [_account_row(entry) for entry in new.values()])
        stored = _find(connection, {entry.key for entry in entries}) if look else {}
        fresh: dict[tuple[str, str], _Entry] = {}
        for entry in entries:
            if entry.key not in stored:
                fresh.setdefault(entry.key, entry)
        self._write_messages(cursor, fresh.values(), stored)
        pairs = {(entry.author.id, entry.draft.room) for entry in fresh.values()}
        self._write_members(connection, cursor, [pair for pair in pairs if pair not in known], enrolments)
        outcomes = [_outcome(entry, stored[entry.key]) for entry in entries]
        return outcomes, [Posted(stored[key], entry.origin) for key, entry in fresh.items()]

    def _write_messages(
        self, cursor: DBAPICursor, fresh: Iterable[_Entry], stored: dict[tuple[str, str], Message]
    ) -> None:
        """Number the fresh entries, in the order in which they came, and add them to `stored`."""
        by_room: dict[RoomId, list[_Entry]] = {}
        for entry in fresh:
            by_room.setdefault(entry.draft.room, []).append(entry)
        rows = []
        for room in sorted(by_room):
            entries = by_room[room]
            head = self._advance(cursor, room, len(entries), entries[0].sent_at)
            for number, entry in enumerate(entries, start=head - len(entries) + 1):
                draft, author = entry.draft, entry.author
                message = Message(
                    room, number, number, TEXT, draft.client_id, author.id, author.name, draft.content, entry.sent_at
                )
                stored[entry.key] = message
                rows.append(message)
        if rows:
            self._statements.message.run_many(cursor, rows)

    def _advance(self, cursor: DBAPICursor, room: RoomId, count: int, now: int) -> int:
        """Take the room's next numbers, under its lock; the room is stored when it gets its first."""
        statements = self._statements
        row = statements.advance.run(cursor, (count, room))
        if row is None:
            statements.room.run_many(cursor, [(room, room, 0, now)])
            row = statements.advance.run(cursor, (count, room))
        if row is None:
            raise RuntimeError("a room that was just stored is not there")
        return int(row[0])

    def _write_members(
        self,
        connection: Connection,
        cursor: DBAPICursor,
        authors: Iterable[tuple[str, str]],
        enrolments: Iterable[_Enrolment],
    ) -> None:
        """Authors belong to the rooms they write in; who merely came does if both are known already."""
        pairs = set(authors)
        for enrolment in enrolments:
            both = (
                sa.select(accounts.c.id, rooms.c.id)
                .select_from(accounts.join(rooms, sa.true()))
                .where(accounts.c.id == enrolment.account.id, rooms.c.id == enrolment.room)
            )
            pairs.update((account, room) for account, room in connection.execute(both))
        if pairs:
            self._statements.member.run_many(cursor, list(pairs))

    def _remember(self, entries: Iterable[_Entry], outcomes: Iterable[Outcome]) -> None:
        """After a commit: these accounts and memberships need no insert any more."""
        for entry, outcome in zip(entries, outcomes, strict=True):
            if isinstance(outcome, Message):
                self._known[entry.author.id] = None
                self._known[entry.author.id, entry.draft.room] = None
        while len(self._known) > REMEMBERED_AT_MOST:
            self._known.popitem(last=False)

    def _hand_back(self, entries: Sequence[_Entry], outcomes: Sequence[Outcome], fresh: Sequence[Posted]) -> None:
        """On the event loop: settle every future in order, then tell the audience."""
        for entry, outcome in zip(entries, outcomes, strict=True):
            if entry.future.done():
                continue  # whoever asked is gone
            if isinstance(outcome, Message):
                entry.future.set_result(outcome)
            else:
                entry.future.set_exception(outcome)
        if fresh:
            # The futures' callbacks run next and have their answers written at the end of that turn; then this.
            self._loop.call_soon(self._loop.call_soon, self._on_stored, fresh)


def _find(connection: Connection, keys: set[tuple[str, str]]) -> dict[tuple[str, str], Message]:
    """The messages that are stored already under these `(author, client_id)`."""
    found: dict[tuple[str, str], Message] = {}
    ordered = sorted(keys)
    for start in range(0, len(ordered), LOOKUP_AT_MOST):
        wanted = sa.tuple_(messages.c.author, messages.c.client_id).in_(ordered[start : start + LOOKUP_AT_MOST])
        for row in connection.execute(message_rows.where(wanted)):
            message = message_from(row)
            found[message.sender, message.client_id] = message
    return found


def _outcome(entry: _Entry, message: Message) -> Outcome:
    """The first answer again, or a refusal where the id was used for something else."""
    changed_since = message.changed != message.seq
    same = message.room == entry.draft.room and (changed_since or message.content == entry.draft.content)
    return message if same else Conflict("This client_id was used for another message already.")


class _Statement:
    """A statement of SQLAlchemy's, written out once for this database, and run without more ado.

    The hot path runs a handful of statements for each batch; building them anew each time cost several times what
    the database does. Rows are given in the order of `names`.
    """

    def __init__(self, statement: sa.Insert | sa.Update, dialect: sa.Dialect, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        self._sql = str(compiled)
        places = compiled.positiontup
        self._names = None if places else tuple(names)
        order = [names.index(place) for place in places or ()]
        self._order = None if order == list(range(len(names))) else order

    def run(self, cursor: DBAPICursor, row: Sequence[object]) -> Sequence[Any] | None:
        """Run it once, and return the row that it answers, if any."""
        cursor.execute(self._sql, self._bound(row))
        answer: Sequence[Any] | None = cursor.fetchone()
        return answer

    def run_many(self, cursor: DBAPICursor, rows: Sequence[Sequence[object]]) -> None:
        cursor.executemany(self._sql, [self._bound(row) for row in rows])

    def _bound(self, row: Sequence[object]) -> Any:
        if self._names is not None:
            return dict(zip(self._names, row, strict=True))
        return row if self._order is None else [row[place] for place in self._order]


class _Statements:
    """What the log writes, for one database."""

    def __init__(self, dialect: sa.Dialect) -> None:
        def once(table: sa.Table) -> sa.Insert:
            """INSERT … ON CONFLICT DO NOTHING, as each database spells it."""
            insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
            return insert(table).on_conflict_do_nothing()

        head = (
            sa.update(rooms)
            .where(rooms.c.id == sa.bindparam("wanted"))
            .values(head=rooms.c.head + sa.bindparam("count"))
            .returning(rooms.c.head)
        )
        self.account = _Statement(once(accounts), dialect, ["id", "kind", "key", "name", "created_at"])
        self.room = _Statement(once(rooms), dialect, ["id", "name", "head", "created_at"])
        self.member = _Statement(once(members), dialect, ["account", "room"])
        self.message = _Statement(sa.insert(messages), dialect, MESSAGE_COLUMNS)
        self.advance = _Statement(head, dialect, ["count", "wanted"])


def _account_row(entry: _Entry) -> Sequence[object]:
    author = entry.author
    return author.id, author.kind, author.key, author.name, entry.sent_at
