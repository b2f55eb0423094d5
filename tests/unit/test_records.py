"""The audit list: written with what it is about, without texts, and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from chatzilla.core.audit import Deed, Done, deed
from chatzilla.core.messages import Target
from chatzilla.core.people import LINK, account_named
from chatzilla.core.policy import Role
from chatzilla.core.rooms import LOBBY
from chatzilla.errors import Conflict, Forbidden, NotFound, Unavailable
from chatzilla.store import deeds as deeds_module
from chatzilla.store.database import Database
from chatzilla.store.records import ModerationRecords
from chatzilla.store.register import SignInRegister
from chatzilla.store.tables import audit
from tests.helpers.made_once import empty_database
from tests.unit.test_log import ALICE, BOB, Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

OPERATOR = deed(1, None, Done.DELETE_MESSAGE)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(empty_database(tmp_path / "data")).open()
    yield opened
    opened.close(cleanly=True)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    desk = Desk(database)
    desk.log.start()
    yield desk
    await desk.log.close()


@pytest.fixture
def records(database: Database) -> Iterator[ModerationRecords]:
    register = SignInRegister(database)
    yield ModerationRecords(database, register)
    register.close()


def entries(database: Database) -> list[tuple[object, ...]]:
    with database.reading.begin() as connection:
        return [tuple(row) for row in connection.execute(sa.select(audit).order_by(audit.c.no))]


async def test_anybodys_message_is_taken_away_with_its_entry(desk: Desk) -> None:
    said = await desk.append("1", "a secret")
    by_bob = deed(7, BOB, Done.DELETE_MESSAGE)
    row = await desk.log.remove(Target(LOBBY, 1), deed=by_bob, noted=True, origin=None)
    assert (row.changed, row.content, row.deleted, row.removed) == (said.changed + 1, "", True, True)
    assert await desk.log.remove(Target(LOBBY, 1), deed=by_bob, noted=True, origin=None) == row, "it takes no number"
    assert entries(desk.database) == [
        (1, 7, BOB.id, "bob", "delete-message", ALICE.id, "alice", "lobby", '{"message": "lobby:1"}')
    ]
    with pytest.raises(NotFound):
        await desk.log.remove(Target(LOBBY, 2), deed=by_bob, noted=True, origin=None)
    repeated = await desk.append("1", "a secret")
    assert (repeated.content, repeated.deleted, repeated.removed) == ("a secret", False, False), "as the first time"


async def test_ones_own_message_is_ones_own(desk: Desk) -> None:
    await desk.append("1")
    row = await desk.log.remove(Target(LOBBY, 1), deed=deed(7, ALICE, Done.DELETE_MESSAGE), noted=True, origin=None)
    assert (row.deleted, row.removed) == (True, False)
    assert entries(desk.database) == []


async def test_a_purge_is_one_entry_and_not_one_for_each_message(desk: Desk) -> None:
    for at in range(3):
        await desk.append(str(at))
    for seq in (1, 2, 3):
        await desk.log.remove(Target(LOBBY, seq), deed=OPERATOR, noted=False, origin=None)
    assert entries(desk.database) == []


async def test_who_is_no_moderator_still_changes_nothing_of_others(desk: Desk) -> None:
    await desk.append("1")
    with pytest.raises(Forbidden):
        await desk.change(1, None, author=BOB)


async def test_a_removal_that_cannot_be_stored_leaves_no_entry(desk: Desk) -> None:
    """Both are in one transaction."""
    await desk.append("1")
    with desk.database.writing.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
    with pytest.raises(Exception, match="broken"):
        await desk.log.remove(Target(LOBBY, 1), deed=OPERATOR, noted=True, origin=None)
    with desk.database.writing.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER broken")
    assert desk.stored() == [(1, "x")]
    assert (await desk.append("2")).seq == 2, "and the room goes on without a hole"


async def test_only_the_newest_entries_are_kept(
    desk: Desk, records: ModerationRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = sa.delete(audit).where(audit.c.no <= sa.select(sa.func.max(audit.c.no)).scalar_subquery() - 3)
    monkeypatch.setattr(deeds_module, "forget_deeds", few)
    for at in range(5):
        await records.note(deed(at, ALICE, Done.KICK, BOB, room=LOBBY))
    found = await records.deeds(None, 10)
    assert [(each.no, each.at) for each in found] == [(5, 4), (4, 3), (3, 2)]
    assert [each.no for each in await records.deeds(4, 1)] == [3]
    assert found[0] == Deed(4, ALICE.id, "alice", "kick", BOB.id, "bob", LOBBY, {"unverified": True}, 5)


async def test_there_is_an_owner_where_there_was_one(database: Database, records: ModerationRecords) -> None:
    owner = account_named("olga", LINK)
    with database.writing.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO accounts (id, kind, key, name, created_at, role)"
            " VALUES (?, 'link', 'olga', 'olga', 1, 'owner')",
            (owner.id,),
        )
    with pytest.raises(Conflict):
        await records.set_role(owner, deed(1, None, Done.ROLE, owner), keeps=[])
    with pytest.raises(Conflict):
        await records.end_membership(owner, deed(1, None, Done.REMOVE_PERSON, owner))
    assert entries(database) == [], "what was refused was not done"
    known = await records.account(owner.id)
    assert known is not None
    assert known.role is Role.OWNER


async def test_a_database_that_is_locked_refuses_and_nothing_holds(
    database: Database, records: ModerationRecords
) -> None:
    with database.writing.begin() as connection:
        connection.exec_driver_sql("UPDATE facts SET value = value")
        with pytest.raises(Unavailable):
            await records.note(deed(1, ALICE, Done.KICK, BOB))
    assert entries(database) == []
