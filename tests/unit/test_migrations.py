"""A database of an earlier revision is brought up to date, and nothing in it is lost."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from chatzilla.core.catchup import Span
from chatzilla.core.rooms import LOBBY, RoomHead, RoomId
from chatzilla.store import database as database_module
from chatzilla.store.database import Database
from chatzilla.store.queries import RoomStore
from tests.unit.test_log import ALICE, BOB, Desk

PEOPLE = {"alice": ALICE.id, "bob": BOB.id}
FIRST = """
INSERT INTO facts VALUES ('epoch', 'first');
INSERT INTO accounts VALUES (:alice, 'name', 'alice', 'alice', 1), (:bob, 'name', 'bob', 'bob', 2);
INSERT INTO rooms VALUES ('lobby', 'lobby', 2, 1), ('garden', 'Garden', 1, 3);
INSERT INTO members VALUES (:alice, 'lobby'), (:bob, 'lobby'), (:bob, 'garden');
INSERT INTO messages VALUES
  ('lobby', 1, 1, 'text', :alice, 'a-1', 'alice', 'one', 1),
  ('garden', 1, 1, 'text', :bob, 'b-2', 'bob', 'hi', 3),
  ('lobby', 2, 2, 'text', :bob, 'b-1', 'Bob', 'two', 2)
"""


def at_revision(path: Path, revision: str, rows: str) -> None:
    """Make a database as an earlier version left it."""
    engine = sa.create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for statement in rows.split(";"):
            text = sa.text(statement)
            connection.execute(text, {name: PEOPLE[name] for name in text.compile().params})
    engine.dispose()


async def test_the_first_revision(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    at_revision(folder / "chatzilla.db", "0001", FIRST)
    database = Database(folder).open()
    store = RoomStore(database)
    page = await store.history(LOBBY, Span(limit=10))
    assert [(row.id, row.client_id, row.sender, row.name, row.content, row.sent_at) for row in page.messages] == [
        ("lobby:1", "a-1", ALICE.id, "alice", "one", 1),
        ("lobby:2", "b-1", BOB.id, "Bob", "two", 2),
    ]
    backlog = await store.backlog(LOBBY, ALICE, cursor=1, epoch=None)
    assert ([row.content for row in backlog.messages], backlog.room) == (
        ["two"],
        RoomHead(LOBBY, "lobby", 2, 2, 2, False),
    )
    assert set(await store.memberships(BOB)) == {
        RoomHead(LOBBY, "lobby", 2, 2, 2, False),
        RoomHead(RoomId("garden"), "Garden", 1, 1, 1, False),
    }
    desk = Desk(database)
    desk.log.start()
    assert (await desk.append("a-1", "one")).seq == 1, "a retry is known from before"
    assert (await desk.append("a-2", "three")).seq == 3
    await desk.log.close()
    store.close()
    database.close(cleanly=True)


SECOND = """
INSERT INTO accounts VALUES (1, :alice, 'name', 'alice', 'alice', 1), (2, :bob, 'name', 'bob', 'bob', 2);
INSERT INTO rooms VALUES (1, 'lobby', 'lobby', 2, 1);
INSERT INTO members VALUES (1, 1), (2, 1);
INSERT INTO messages VALUES (1, 1, 1, 1, 'text', 1, 'a-1', 'alice', 'one', 1),
  (2, 1, 2, 2, 'text', 2, 'b-1', 'Bob', 'two', 2)
"""


async def test_the_second_revision(tmp_path: Path) -> None:
    """What was there is read, unchanged, and can be changed."""
    folder = tmp_path / "data"
    folder.mkdir()
    at_revision(folder / "chatzilla.db", "0002", SECOND)
    database = Database(folder).open()
    store = RoomStore(database)
    assert await store.memberships(ALICE) == [RoomHead(LOBBY, "lobby", 2, 2, 2, False)]
    page = await store.history(LOBBY, Span(limit=10))
    assert [(row.content, row.edited_at, row.deleted) for row in page.messages] == [
        ("one", None, False),
        ("two", None, False),
    ]
    desk = Desk(database)
    desk.log.start()
    assert (await desk.change(1, "one, better")).changed == 3
    assert (await desk.change(2, None, author=BOB)).changed == 4
    assert [row.content for row in (await store.backlog(LOBBY, BOB, cursor=2, epoch=None)).messages] == [
        "one, better",
        "",
    ]
    await desk.log.close()
    store.close()
    database.close(cleanly=True)
