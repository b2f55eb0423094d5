"""Small numbers inside, and messages in the order of their arrival.

A message used to lie among those of its room, and stood in three indexes: each commit rewrote a page for every room and
every index that it touched. Now rows lie side by side, and the numbering of changes is an index of those alone that
were changed after they were said.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for table in ("messages", "members", "rooms", "accounts"):
        op.rename_table(table, f"old_{table}")
    op.drop_index("ix_messages_room_changed", "old_messages")
    op.create_table(
        "accounts",
        sa.Column("no", _number, nullable=False),
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_accounts"),
        sa.UniqueConstraint("id", name="uq_accounts_id"),
        sa.UniqueConstraint("kind", "key", name="uq_accounts_kind"),
        comment="People who have written something.",
    )
    op.create_table(
        "rooms",
        sa.Column("no", _number, nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("head", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_rooms"),
        sa.UniqueConstraint("id", name="uq_rooms_id"),
        comment="head: the number of the room's newest change; handed out under this row's lock.",
    )
    op.create_table(
        "members",
        sa.Column("account", _number, nullable=False),
        sa.Column("room", _number, nullable=False),
        sa.PrimaryKeyConstraint("account", "room", name="pk_members"),
        sa.ForeignKeyConstraint(["account"], ["accounts.no"], name="fk_members_account"),
        sa.ForeignKeyConstraint(["room"], ["rooms.no"], name="fk_members_room"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "messages",
        sa.Column("no", _number, nullable=False, comment="The order of arrival."),
        sa.Column("room", _number, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("author", _number, nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False, comment="The author's name as it stood when this was said."),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("sent_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_messages"),
        sa.UniqueConstraint("room", "seq", name="uq_messages_room"),
        sa.UniqueConstraint("client_id", "author", name="uq_messages_client_id"),
        sa.ForeignKeyConstraint(["author"], ["accounts.no"], name="fk_messages_author"),
        sa.ForeignKeyConstraint(["room"], ["rooms.no"], name="fk_messages_room"),
    )
    op.execute(
        "INSERT INTO accounts (id, kind, key, name, created_at) "
        "SELECT id, kind, key, name, created_at FROM old_accounts ORDER BY created_at, id"
    )
    op.execute(
        "INSERT INTO rooms (id, name, head, created_at) SELECT id, name, head, created_at FROM old_rooms "
        "ORDER BY created_at, id"
    )
    op.execute(
        "INSERT INTO members (account, room) SELECT accounts.no, rooms.no FROM old_members "
        "JOIN accounts ON accounts.id = old_members.account JOIN rooms ON rooms.id = old_members.room"
    )
    op.execute(
        "INSERT INTO messages (room, seq, changed, kind, author, client_id, name, content, sent_at) "
        "SELECT rooms.no, seq, changed, old_messages.kind, accounts.no, client_id, old_messages.name, content, sent_at "
        "FROM old_messages JOIN accounts ON accounts.id = old_messages.author "
        "JOIN rooms ON rooms.id = old_messages.room ORDER BY sent_at, rooms.no, seq"
    )
    for table in ("messages", "members", "rooms", "accounts"):
        op.drop_table(f"old_{table}")
    changed_later = sa.text("changed > seq")
    op.create_index(
        "ix_messages_changed",
        "messages",
        ["room", "changed"],
        unique=True,
        sqlite_where=changed_later,
        postgresql_where=changed_later,
    )
