"""Calls that go on: a restart finds who was in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column(
            "record", sa.Text, nullable=False, comment="JSON: who is in it, and what else a restart must not lose."
        ),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
        comment="Calls that go on, and those whose notice is still to be written.",
    )
