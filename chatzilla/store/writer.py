"""The one writer of messages: a connection of its own, one transaction for each batch. Clerks write all else.

Each room's head goes up by as many as it gets, the rows go in, one commit, one sync.

A retry, known by `(author, client_id)` from the store or from earlier in the same batch, is answered as the first
time; it takes no number and is not told again. Edits and deletions stand in the same line and take the same numbers;
one that would change nothing is answered with what is there. A batch that a single row spoils is stored one by one.
When the database itself cannot write (locked, full, read-only), the whole batch is refused as `unavailable`, and the
next batch tries again. So it is while its file is damaged, but nothing heals that except a copy from before: what can
still be stored is stored, and `healthy` says no until the next start.

What the writer remembers (numbers of accounts and rooms, heads, members) saves it a look into the database for each
message. It is forgotten whenever a transaction fails, and no head is raised that is not what it was thought to be.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from chatzilla.core.messages import NO_SUCH_MESSAGE, TEXT, Message, Posted, Target
from chatzilla.errors import Conflict, Forbidden, NotFound, Unavailable
from chatzilla.store.condition import Condition, is_failing
from chatzilla.store.deeds import DEED, deed_values, forget_deeds, insert_deed
from chatzilla.store.entries import Mark, Revision
from chatzilla.store.queries import message_from, message_rows
from chatzilla.store.tables import accounts, members, messages, rooms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPICursor
    from sqlalchemy.pool import PoolProxiedConnection

    from chatzilla.core.audit import Deed
    from chatzilla.core.messages import Draft
    from chatzilla.core.people import AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.store.entries import Awaited, Note, Outcome, Posting

logger = logging.getLogger(__name__)

PURGE_WITHIN_MS: Final = 50
"""How long that may wait for somebody who reads; else it is tried again later."""

CANNOT_STORE: Final = "The server cannot store messages right now. Yours is kept and will be sent again."

REMEMBERED_AT_MOST: Final = 20_000
"""Accounts, rooms and memberships, of each as many, that the writer keeps in memory."""


class Stored(NamedTuple):
    """What a batch came to."""

    outcomes: list[Outcome]
    """Of each place, in their order."""
    fresh: list[Posted]
    """What was not stored before, in the order of the numbers."""
    repeats: list[Posting]
    """What was said before, under the same `client_id`."""

    def add(self, more: Stored) -> None:
        self.outcomes.extend(more.outcomes)
        self.fresh.extend(more.fresh)
        self.repeats.extend(more.repeats)


_Head = tuple[int, int]
"""A room as the writer remembers it: its number, and the number of its newest change."""


class Writer:
    """What happens in the writer's thread: one connection, one transaction for each batch."""

    def __init__(self, engine: Engine, condition: Condition | None = None) -> None:
        """Write by this engine; `condition` is what everybody who asks the database knows of it."""
        self._failing = False
        """Whether the database itself could not do the last transaction."""
        self._condition = condition or Condition()
        self.purging = False
        """Whether a text was replaced that may still stand in the write-ahead log."""
        self._engine = engine
        self._statements = Statements(engine.dialect)
        self._connection: PoolProxiedConnection | None = None
        self._accounts: dict[AccountId, int] = {}
        self._heads: dict[RoomId, _Head] = {}
        self._members: set[tuple[int, int]] = set()
        self.members_left = False
        """Whether memberships have ended since they were last remembered; whoever ends them says so."""
        self._first_texts: dict[Target, int] = {}
        """Hashes of the texts that were replaced lately, with which messages were posted; see `_repeated`."""
        self._replaced: dict[Target, int] = {}
        """The same of the transaction that is under way."""

    @property
    def healthy(self) -> bool:
        """Whether the database could do the last transaction, was never found to be damaged, and takes what others
        write, as far as anybody knows."""
        return not (self.hopeless or self._condition.unwritable)

    @property
    def hopeless(self) -> bool:
        """Whether the next transaction is likely to fail as the last one did."""
        return self._failing or self._condition.damaged

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def purge(self) -> bool:
        """Empty the write-ahead log, where texts that were replaced would stand until it is written over.

        Returns:
            Whether that could be tried. It is done once nothing is `purging` any more: who reads puts it off.
        """
        try:
            cursor = self._cursor()
            patience = _answer(cursor, "PRAGMA busy_timeout")
            _answer(cursor, f"PRAGMA busy_timeout = {PURGE_WITHIN_MS}")
            try:
                somebody_reads = _answer(cursor, "PRAGMA wal_checkpoint(TRUNCATE)")
                self.purging = bool(somebody_reads)
            finally:
                _answer(cursor, f"PRAGMA busy_timeout = {patience}")
        except Exception:
            logger.exception("replaced texts could not be cleared from the write-ahead log; it will be tried again")
            self._give_up()
            return False
        return True

    def refuse(self, places: Sequence[Awaited]) -> Stored:
        """Store nothing, and say so to everybody."""
        refusal = Unavailable(CANNOT_STORE)
        return Stored([refusal for _ in places], [], [])

    def store(self, places: Sequence[Awaited], notes: Sequence[Note]) -> Stored:
        """Store a batch whole; if it repeats something, whole again, looking what; if a row spoils it, one by one.

        Retries are rare, so nobody looks for them first: the unique index finds them.

        Args:
            places: messages to store, and changes.
            notes: memberships, and how far they have read.
        """
        stored = self._try(places, notes, look=False)
        if isinstance(stored, Exception):
            stored = self._try(places, notes, look=True)
        return self._one_by_one(places, notes) if isinstance(stored, Exception) else stored

    def _one_by_one(self, places: Sequence[Awaited], notes: Sequence[Note]) -> Stored:
        """Store each by itself, so that a fault harms nobody else; once the database itself cannot, refuse the rest."""
        whole = Stored([], [], [])
        for number, place in enumerate(places):
            stored = self._try([place], [], look=True)
            if isinstance(stored, Exception):
                logger.error("one entry could not be stored", exc_info=stored)
                whole.outcomes.append(stored)
            elif self._failing:
                whole.add(self.refuse(places[number:]))
                break
            else:
                whole.add(stored)
        else:
            noted = self._try([], notes, look=False)
            if isinstance(noted, Exception):
                logger.error("who is in which room, and who has read how far, could not be stored", exc_info=noted)
        return whole

    def _try(self, places: Sequence[Awaited], notes: Sequence[Note], *, look: bool) -> Stored | Exception:
        """Run one transaction. Where the database itself cannot, everybody is refused.

        Args:
            places, notes: see `store`.
            look: whether to ask first what is stored already.

        Returns:
            What it came to; or what was raised, where an entry is at fault.
        """
        try:
            stored = self._commit(places, notes, look=look)
        except Exception as error:  # noqa: BLE001  # whoever it concerns is told
            if not is_failing(error):
                return error
            self._failing = True
            self._condition.refused(error)
            return self.refuse(places)
        self._failing = self._condition.unwritable = False
        return stored

    def _commit(self, places: Sequence[Awaited], notes: Sequence[Note], *, look: bool) -> Stored:
        """Run one transaction, whole or not at all."""
        try:
            cursor = self._cursor()
            cursor.execute("BEGIN IMMEDIATE")
            if self.members_left:  # seen with the lock in hand, so whoever says it has stored it
                self.members_left = False
                self._members.clear()
            if self._failing or self._condition.unwritable:
                cursor.execute("UPDATE facts SET value = value")  # a transaction that writes nothing proves nothing
            stored = self._write_all(cursor, places, look=look)
            if notes:
                self._note_all(cursor, notes)
            cursor.execute("COMMIT")
        except BaseException:
            self._give_up()
            raise
        if self._replaced:
            self._remember_texts()
        if max(len(self._accounts), len(self._heads), len(self._members)) > REMEMBERED_AT_MOST:
            self._forget_names()
        return stored

    def _cursor(self) -> DBAPICursor:
        """A cursor of the connection, which is made when it is first needed."""
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        return self._connection.cursor()

    def _give_up(self) -> None:
        """End a transaction that failed: nothing of it is remembered, and a connection that cannot is a new one."""
        self._forget_names()
        self._replaced.clear()
        connection = self._connection
        if connection is None:
            return
        try:
            connection.rollback()
        except Exception:
            logger.exception("the connection to the database is lost, and made anew")
            self._connection = None
            connection.invalidate()

    def _remember_texts(self) -> None:
        """Keep of texts that are replaced by now what tells them from others."""
        self._first_texts |= self._replaced
        self._replaced.clear()
        while len(self._first_texts) > REMEMBERED_AT_MOST:
            del self._first_texts[next(iter(self._first_texts))]

    def _forget_names(self) -> None:
        self._accounts.clear()
        self._heads.clear()
        self._members.clear()

    def _write_all(self, cursor: DBAPICursor, places: Sequence[Awaited], *, look: bool) -> Stored:
        """Write messages and changes in the order in which they came; those without a change between them, together."""
        if Revision not in set(map(type, places)):
            return self._write(cursor, cast("Sequence[Posting]", places), look=look)
        whole = Stored([], [], [])
        for kind, run in itertools.groupby(places, type):
            if kind is Revision:
                whole.add(self._revise(cursor, cast("Iterable[Revision]", run)))
            else:
                whole.add(self._write(cursor, cast("Sequence[Posting]", list(run)), look=look))
        return whole

    def _write(self, cursor: DBAPICursor, places: Sequence[Posting], *, look: bool) -> Stored:
        """Number what is new, in the order in which it came, and write it."""
        outcomes: list[Outcome] = []
        fresh: list[Posted] = []
        repeats: list[Posting] = []
        rows: list[Sequence[object]] = []
        said: dict[tuple[int, str], Message] = {}
        heads: dict[RoomId, _Head] = {}
        joined: dict[tuple[int, int], int] = {}
        for place in places:
            author, draft = place.author, place.draft
            by = self._accounts.get(author.id) or self._account(cursor, place)
            key = by, draft.client_id
            message = said.get(key)
            if message is None and look:
                message = self._find(cursor, by, draft)
            if message is not None:
                said[key] = message
                repeats.append(place)
                outcomes.append(self._repeated(draft, message))
                continue
            room, head = heads.get(draft.room) or self._heads.get(draft.room) or self._room(cursor, place)
            seq = head + 1
            heads[draft.room] = room, seq
            message = Message(
                draft.room, seq, seq, draft.kind, draft.client_id, author.id, author.name, draft.content, place.sent_at
            )
            said[key] = message
            outcomes.append(message)
            fresh.append(Posted(message, place.origin))
            rows.append((room, seq, seq, draft.kind, by, draft.client_id, author.name, draft.content, place.sent_at))
            if (by, room) not in self._members:
                joined[by, room] = seq  # whoever says something has read so far
        if rows:
            self._advance(cursor, heads)
            self._statements.message.run_many(cursor, rows)
        if joined:
            self._statements.member.run_many(cursor, sorted((*who, read) for who, read in joined.items()))
            self._members.update(joined)
        return Stored(outcomes, fresh, repeats)

    def _revise(self, cursor: DBAPICursor, revisions: Iterable[Revision]) -> Stored:
        """Change messages one by one. One that stands as it is wanted already takes no number."""
        outcomes: list[Outcome] = []
        fresh: list[Posted] = []
        for revision in revisions:
            target = revision.change.target
            row = self._statements.find_target.run(cursor, target)
            before = message_from(target.room, row[3:]) if row else None
            outcomes.append(outcome := _revised(revision, before))
            if before is None or not isinstance(outcome, Message) or outcome == before:
                continue
            if before.changed == before.seq:
                self._replaced[target] = hash(before.content)
            number, room, head = row[:3]
            self._heads[target.room] = room, head
            self._advance(cursor, {target.room: (room, head + 1)})
            message = outcomes[-1] = outcome._replace(changed=head + 1)
            deleted_at = revision.at if message.deleted else None
            values = message.changed, message.content, message.edited_at, deleted_at, message.removed, number
            self._statements.revise.run_many(cursor, [values])
            if message.removed and revision.deed is not None and revision.noted:
                self._note_deed(cursor, revision.deed, message)
            fresh.append(Posted(message, revision.origin))
            self.purging = True
        return Stored(outcomes, fresh, [])

    def _note_deed(self, cursor: DBAPICursor, deed: Deed, message: Message) -> None:
        """Enter into the audit list whose message was taken away, and never what it said."""
        entry = deed._replace(
            person=message.sender, person_name=message.name, room=message.room, details={"message": message.id}
        )
        self._statements.deed.run_many(cursor, [deed_values(entry)])
        self._statements.forget_deeds.run_many(cursor, [()])

    def _note_all(self, cursor: DBAPICursor, notes: Sequence[Note]) -> None:
        """Note all together; if one cannot be noted, each by itself. Nobody waits for them, and they harm nobody."""
        if self._noted(cursor, notes) is None:
            return
        for note in notes:
            error = self._noted(cursor, [note])
            if error is not None:
                logger.error("one note could not be stored", exc_info=error)

    def _noted(self, cursor: DBAPICursor, notes: Sequence[Note]) -> Exception | None:
        """Note something, all of it or nothing; returns why nothing, unless it is that the database itself cannot."""
        cursor.execute("SAVEPOINT notes")
        try:
            for note in notes:
                self._note(cursor, note)
        except Exception as error:
            if is_failing(error):
                raise
            cursor.execute("ROLLBACK TO notes")
            failure: Exception | None = error
        else:
            failure = None
        cursor.execute("RELEASE notes")
        return failure

    def _note(self, cursor: DBAPICursor, note: Note) -> None:
        if isinstance(note, Mark):
            self._statements.mark.run_many(cursor, [(note.seq, note.account.id, note.room, note.seq, note.seq)])
        else:
            self._statements.enrol.run_many(cursor, [(note.account.id, note.room)])

    def _advance(self, cursor: DBAPICursor, heads: dict[RoomId, _Head]) -> None:
        """Raise the heads of rooms, if each still is what it was thought to be."""
        steps = [(head, room, self._heads[name][1]) for name, (room, head) in heads.items()]
        raised = self._statements.advance.run_many(cursor, steps)
        if raised != len(steps):
            raise RuntimeError("a room's head was not what it was thought to be")
        self._heads |= heads

    def _account(self, cursor: DBAPICursor, place: Posting) -> int:
        """Look up the number of an account, which is stored with its first message."""
        author = place.author
        row = author.id, author.kind, author.key, author.name, place.sent_at
        self._statements.account.run_many(cursor, [row])
        (number,) = self._statements.find_account.run(cursor, (author.id,))
        self._accounts[author.id] = number
        return int(number)

    def _room(self, cursor: DBAPICursor, place: Posting) -> _Head:
        """Look up a room, which is stored with its first message."""
        room = place.draft.room
        self._statements.room.run_many(cursor, [(room, room, 0, place.sent_at)])
        number, head = self._statements.find_room.run(cursor, (room,))
        self._heads[room] = number, head
        return number, head

    def _repeated(self, draft: Draft, message: Message) -> Outcome:
        """The first answer again, whatever became of the message; or a refusal where the id was used for another one.

        A text that was replaced is nowhere any more, on no disk as a hash either. What is kept of it in memory, for the
        newest changes until the next start, tells whether the same is said again; else the `client_id` is believed.
        """
        target = Target(message.room, message.seq)
        first_text = self._replaced.get(target, self._first_texts.get(target))
        if message.changed == message.seq:
            first, same = message, message.content == draft.content
        else:
            first = message._replace(
                changed=message.seq, content=draft.content, edited_at=None, deleted=False, removed=False
            )
            same = first_text is None or first_text == hash(draft.content)
        if message.room != draft.room or not same:
            return Conflict("This client_id was used for another message already.")
        return first

    def _find(self, cursor: DBAPICursor, author: int, draft: Draft) -> Message | None:
        """The message that is stored already under this `(author, client_id)`."""
        row = self._statements.find_message.run(cursor, (draft.client_id, author))
        return message_from(row[0], row[1:]) if row else None


def _answer(cursor: DBAPICursor, pragma: str) -> int:
    """The number that a pragma begins its answer with."""
    cursor.execute(pragma)
    row: Sequence[int] = cursor.fetchall()[0]
    return row[0]


def _revised(revision: Revision, message: Message | None) -> Outcome:
    """What becomes of a message, but for its number; or why nothing does."""
    content = revision.change.content
    if message is None:
        return NotFound(NO_SUCH_MESSAGE)
    theirs = message.sender == revision.author
    if message.kind != TEXT or not (theirs or revision.deed):
        return Forbidden("Only its author can change a message.")
    if not theirs and not message.deleted:
        return message._replace(content="", edited_at=None, deleted=True, removed=True)
    if content is None:
        return message if message.deleted else message._replace(content="", edited_at=None, deleted=True)
    if message.deleted:
        return Conflict("This message was deleted.")
    return message if content == message.content else message._replace(content=content, edited_at=revision.at)


class Statement:
    """A statement of SQLAlchemy's, written out once, and run without more ado.

    The hot path runs a handful of statements for each batch; building them anew each time cost several times what
    the database does. Rows are given in the order of `names`.
    """

    def __init__(
        self, statement: sa.Insert | sa.Update | sa.Delete | sa.Select[Any], dialect: sa.Dialect, *names: str
    ) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        if compiled.positiontup != list(names):
            raise ValueError(f"{compiled} does not take {names}")
        self._sql = str(compiled)

    def run(self, cursor: DBAPICursor, row: Sequence[object]) -> Sequence[Any]:
        """Run it once, and return the row that it answers, or nothing."""
        cursor.execute(self._sql, row)
        return cursor.fetchone() or ()

    def run_many(self, cursor: DBAPICursor, rows: Sequence[Sequence[object]]) -> int:
        """Run it for each row; returns how many rows it wrote."""
        cursor.executemany(self._sql, rows)
        return cursor.rowcount


class Statements:
    """What the log writes and asks."""

    def __init__(self, dialect: sa.Dialect) -> None:
        def once(table: sa.Table) -> sqlite.Insert:
            return sqlite.insert(table).on_conflict_do_nothing()

        def parameter(name: str, column: sa.Column[Any]) -> sa.BindParameter[Any]:
            return sa.bindparam(name, type_=column.type)

        wanted = parameter("wanted", rooms.c.id)
        both = sa.select(accounts.c.no, rooms.c.no, rooms.c.head).where(
            accounts.c.id == parameter("account", accounts.c.id), rooms.c.id == wanted
        )
        reader, place = parameter("reader", accounts.c.id), parameter("place", messages.c.seq)
        mark = (
            sa.update(members)
            .values(read=parameter("seq", members.c.read))
            .where(members.c.account == sa.select(accounts.c.no).where(accounts.c.id == reader).scalar_subquery())
            .where(members.c.room == sa.select(rooms.c.no).where(rooms.c.id == wanted).scalar_subquery())
            .where(members.c.read < parameter("before", members.c.read))
            .where(sa.exists().where(rooms.c.no == members.c.room, rooms.c.head >= parameter("within", rooms.c.head)))
        )
        advance = (
            sa.update(rooms)
            .where(rooms.c.no == parameter("number", rooms.c.no), rooms.c.head == parameter("before", rooms.c.head))
            .values(head=parameter("after", rooms.c.head))
        )
        self.account = Statement(once(accounts), dialect, "id", "kind", "key", "name", "created_at")
        self.find_account = Statement(sa.select(accounts.c.no).where(accounts.c.id == wanted), dialect, "wanted")
        self.room = Statement(once(rooms), dialect, "id", "name", "head", "created_at")
        self.find_room = Statement(sa.select(rooms.c.no, rooms.c.head).where(rooms.c.id == wanted), dialect, "wanted")
        self.advance = Statement(advance, dialect, "after", "number", "before")
        self.member = Statement(once(members), dialect, "account", "room", "read")
        enrol = once(members).from_select(["account", "room", "read"], both)
        self.enrol = Statement(enrol, dialect, "account", "wanted")
        self.mark = Statement(mark, dialect, "seq", "reader", "wanted", "before", "within")
        columns = "room", "seq", "changed", "kind", "author", "client_id", "name", "content", "sent_at"
        self.message = Statement(sa.insert(messages), dialect, *columns)
        found = (
            message_rows.join(rooms, rooms.c.no == messages.c.room)
            .where(messages.c.client_id == parameter("client_id", messages.c.client_id))
            .where(messages.c.author == parameter("author", messages.c.author))
            .with_only_columns(rooms.c.id, *message_rows.selected_columns)
        )
        self.find_message = Statement(found, dialect, "client_id", "author")
        target = (
            message_rows.join(rooms, rooms.c.no == messages.c.room)
            .where(rooms.c.id == wanted, messages.c.seq == place)
            .with_only_columns(messages.c.no, rooms.c.no, rooms.c.head, *message_rows.selected_columns)
        )
        self.find_target = Statement(target, dialect, "wanted", "place")
        changed = "changed", "content", "edited_at", "deleted_at", "removed"
        revise = sa.update(messages).where(messages.c.no == parameter("number", messages.c.no))
        revise = revise.values({name: parameter(f"new_{name}", messages.c[name]) for name in changed})
        self.revise = Statement(revise, dialect, *(f"new_{name}" for name in changed), "number")
        self.deed = Statement(insert_deed, dialect, *DEED)
        self.forget_deeds = Statement(forget_deeds, dialect)
