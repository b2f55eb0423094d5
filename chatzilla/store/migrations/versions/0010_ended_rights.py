"""Rights that were ended before their time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ended_rights",
        sa.Column("what", sa.String(80), nullable=False, comment="A right's id; or `room`, a space and a room's id."),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False, comment="When it would have been over by itself."),
        sa.PrimaryKeyConstraint("what", name="pk_ended_rights"),
        comment="Rights to rooms that were ended before their time.",
    )
