"""The first rooms: facts, accounts, rooms, members, messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "facts",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_facts"),
        comment="What the database knows of itself: epoch, starts, open.",
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("kind", "key", name="uq_accounts_kind"),
        comment="People who have written something.",
    )
    op.create_table(
        "rooms",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("head", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rooms"),
        comment="head: the number of the room's newest change; handed out under this row's lock.",
    )
    op.create_table(
        "members",
        sa.Column("account", sa.String(20), nullable=False),
        sa.Column("room", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("account", "room", name="pk_members"),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name="fk_members_account"),
        sa.ForeignKeyConstraint(["room"], ["rooms.id"], name="fk_members_room"),
    )
    op.create_table(
        "messages",
        sa.Column("room", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("author", sa.String(20), nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False, comment="The author's name as it stood when this was said."),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("sent_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("room", "seq", name="pk_messages"),
        sa.UniqueConstraint("author", "client_id", name="uq_messages_author"),
        sa.ForeignKeyConstraint(["author"], ["accounts.id"], name="fk_messages_author"),
        sa.ForeignKeyConstraint(["room"], ["rooms.id"], name="fk_messages_room"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_messages_room_changed", "messages", ["room", "changed"], unique=True)
