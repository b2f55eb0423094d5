"""Edits, deletions, and how far everybody has read.

Who belonged to a room before is taken to have read it: the past is no news.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("edited_at", sa.BigInteger, comment="When the text was last replaced."))
    deleted_at = "When the author took it back; there is no text any more."
    op.add_column("messages", sa.Column("deleted_at", sa.BigInteger, comment=deleted_at))
    read = "The place up to which this person has read."
    op.add_column("members", sa.Column("read", sa.BigInteger, nullable=False, server_default="0", comment=read))
    op.execute("UPDATE members SET read = (SELECT head FROM rooms WHERE rooms.no = members.room)")
