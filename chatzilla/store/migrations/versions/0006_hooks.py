"""Hooks, and the tokens of programs: sign-ins that last until a stated moment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sign_ins", sa.Column("until", sa.BigInteger))
    op.add_column("sign_ins", sa.Column("made_in", sa.String(20)))
    op.create_table(
        "hooks",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, comment="SHA-256 of the secret, which is told once."),
        sa.Column("name", sa.Text, nullable=False, comment="Under which it speaks."),
        sa.Column("room", sa.String(64), nullable=False),
        sa.Column("maker", sa.String(20), comment="An account's id; nothing where the operator made it."),
        sa.Column("made_in", sa.String(20), comment="The sign-in in which it was made."),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_hooks"),
        sa.UniqueConstraint("digest", name="uq_hooks_digest"),
        comment="Addresses by which programs say something in one room.",
    )
    op.create_index("ix_hooks_room", "hooks", ["room"])
