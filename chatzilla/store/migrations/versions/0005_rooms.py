"""Kinds of rooms, topics, archived and locked rooms; what a member was given, and who does not listen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rooms", sa.Column("kind", sa.String(16), nullable=False, server_default="public"))
    op.add_column("rooms", sa.Column("topic", sa.Text, nullable=False, server_default=""))
    op.add_column("rooms", sa.Column("creator", sa.String(20)))
    op.add_column("rooms", sa.Column("archived_at", sa.BigInteger))
    op.add_column("rooms", sa.Column("locked_at", sa.BigInteger))
    op.add_column("members", sa.Column("grade", sa.String(16)))
    op.add_column("members", sa.Column("graded_at", sa.BigInteger))
    op.add_column("members", sa.Column("muted", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index("ix_members_room", "members", ["room"])
