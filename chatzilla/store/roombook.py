"""Rooms that are not ordinary ones, and their members: implements `ports.RoomRegister` over one database.

The log stores rooms and members too, as messages bring them; it gives nobody a grade, so a message that was on its way
while its author was removed makes nobody a member of a private room again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from chatzilla.core.directory import Room
from chatzilla.core.messages import ClientId
from chatzilla.core.people import AccountId
from chatzilla.core.rooms import Grade, Kind, RoomId
from chatzilla.store.clerk import Clerk
from chatzilla.store.deeds import note
from chatzilla.store.tables import accounts, members, rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import Connection

    from chatzilla.core.audit import Deed
    from chatzilla.core.people import Account
    from chatzilla.store.database import Database

_ROOM: Final = (
    rooms.c.id,
    rooms.c.name,
    rooms.c.kind,
    rooms.c.topic,
    rooms.c.creator,
    rooms.c.archived_at,
    rooms.c.locked_at,
    rooms.c.client_id,
)


class RoomRegister(Clerk):
    """Rooms and members in the database."""

    def __init__(self, database: Database, on_left: Callable[[], None] = lambda: None) -> None:
        """Keep the rooms of a database; `on_left` is told when memberships end, before that is committed."""
        super().__init__(database, "store-rooms")
        self._on_left = on_left

    def recall_rooms(self) -> Sequence[Room]:
        with self._database.writing.begin() as connection:
            graded = (
                sa.select(rooms.c.id, accounts.c.id, members.c.grade)
                .join(rooms, rooms.c.no == members.c.room)
                .join(accounts, accounts.c.no == members.c.account)
                .where(members.c.grade.is_not(None))
                .order_by(members.c.graded_at, accounts.c.no)
            )
            grades: dict[str, dict[AccountId, Grade]] = {}
            for room, account, grade in connection.execute(graded):
                grades.setdefault(room, {})[AccountId(account)] = Grade(grade)
            known = [_room(row, grades.get(row.id, {})) for row in connection.execute(sa.select(*_ROOM))]
        return [room for room in known if not room.ordinary]

    async def create_room(
        self, room: Room, people: Collection[AccountId], now: int, *, deeds: Sequence[Deed] = ()
    ) -> bool:
        def create(connection: Connection) -> bool:
            made = _create(connection, room, people, now)
            if made:
                note(connection, deeds)
            return made

        return await self._do(create)

    async def change_room(self, room: Room, *, deeds: Sequence[Deed] = ()) -> bool:
        changed = sa.update(rooms).where(rooms.c.id == room.id)
        values = changed.values(
            name=room.name, topic=room.topic, archived_at=room.archived_at, locked_at=room.locked_at
        )

        def change(connection: Connection) -> bool:
            known = connection.execute(values).rowcount == 1
            if known:
                note(connection, deeds)
            return known

        return await self._do(change)

    async def grade(
        self, room: RoomId, account: Account, grade: Grade | None, now: int, *, deeds: Sequence[Deed] = ()
    ) -> bool:
        value = None if grade is None else grade.value
        held = (
            sa.select(members.c.grade)
            .join(rooms, rooms.c.no == members.c.room)
            .where(members.c.account == _number(account.id), rooms.c.id == room)
        )

        def store(connection: Connection) -> bool:
            before = connection.execute(held).one_or_none()
            known = give(connection, room, account.id, grade, now)
            if known and (before is None or before.grade != value):
                note(connection, deeds)
            return known

        return await self._do(store)

    async def dismiss(
        self, room: Room, account: AccountId, *, heir: AccountId | None, now: int, deeds: Sequence[Deed] = ()
    ) -> None:
        def take(connection: Connection) -> None:
            number = sa.select(rooms.c.no).where(rooms.c.id == room.id).scalar_subquery()
            theirs = sa.and_(members.c.account == _number(account), members.c.room == number)
            connection.execute(sa.delete(members).where(theirs))
            self._on_left()
            if heir is not None:
                give(connection, room.id, heir, Grade.MODERATE, now)
            connection.execute(sa.update(rooms).where(rooms.c.id == room.id).values(archived_at=room.archived_at))
            note(connection, deeds)

        await self._do(take)

    async def mute(self, room: RoomId, account: Account, on: bool, now: int) -> bool:
        def note(connection: Connection) -> bool:
            found = connection.execute(sa.select(rooms.c.no, rooms.c.head).where(rooms.c.id == room)).one_or_none()
            if found is None:
                return False
            person = {"id": account.id, "kind": account.kind, "key": account.key, "name": account.name}
            connection.execute(sqlite.insert(accounts).values(**person, created_at=now).on_conflict_do_nothing())
            connection.execute(
                sqlite.insert(members)
                .values(account=_number(account.id), room=found.no, read=found.head, muted=on)
                .on_conflict_do_update(index_elements=["account", "room"], set_={"muted": on})
            )
            return True

        return await self._do(note)


def _create(connection: Connection, room: Room, people: Collection[AccountId], now: int) -> bool:
    values = {"id": room.id, "name": room.name, "kind": room.kind.value, "topic": room.topic, "creator": room.creator}
    values["client_id"] = room.client_id
    made = sqlite.insert(rooms).values(**values, head=0, created_at=now).on_conflict_do_nothing()
    if connection.execute(made).rowcount == 0:
        return False
    for at, account in enumerate(dict.fromkeys((*room.grades, *people))):
        give(connection, room.id, account, room.grades.get(account), now + at)  # so that their order is kept
    return True


def give(connection: Connection, room: RoomId, account: AccountId, grade: Grade | None, now: int) -> bool:
    """Make a room somebody's, in this grade; whoever was there before has the place that they had.

    Returns:
        False where there is no such room.
    """
    found = connection.execute(sa.select(rooms.c.no, rooms.c.head).where(rooms.c.id == room)).one_or_none()
    if found is None:
        return False
    value = None if grade is None else grade.value
    since = sa.func.coalesce(members.c.graded_at, now)
    connection.execute(
        sqlite.insert(members)
        .values(account=_number(account), room=found.no, read=found.head, grade=value, graded_at=now)
        .on_conflict_do_update(index_elements=["account", "room"], set_={"grade": value, "graded_at": since})
    )
    return True


def _number(account: AccountId) -> sa.ScalarSelect[Any]:
    return sa.select(accounts.c.no).where(accounts.c.id == account).scalar_subquery()


def _room(row: Any, grades: dict[AccountId, Grade]) -> Room:
    return Room(
        RoomId(row.id),
        row.name,
        Kind(row.kind),
        row.topic,
        None if row.creator is None else AccountId(row.creator),
        row.archived_at,
        row.locked_at,
        grades,
        None if row.client_id is None else ClientId(row.client_id),
    )
