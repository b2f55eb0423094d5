"""Moderation: who is kept out, what was done by whom, and which messages a moderator took away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("messages", sa.Column("removed", sa.Boolean))
    op.create_table(
        "bans",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("account", sa.String(20), comment="Who is kept out; nothing where an address is."),
        sa.Column("network", sa.String(64), comment="An address of IPv4, or a network of IPv6."),
        sa.Column("room", sa.String(64), comment="Nothing: everywhere."),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("maker", sa.String(20), comment="An account's id; nothing where the operator made it."),
        sa.Column("maker_name", sa.Text),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, comment="Nothing: for good."),
        sa.PrimaryKeyConstraint("id", name="pk_bans"),
        comment="Whom nobody wants here.",
    )
    op.create_table(
        "audit",
        sa.Column("no", _number, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(20), comment="An account's id; nothing where the operator did it."),
        sa.Column("actor_name", sa.Text),
        sa.Column("act", sa.String(24), nullable=False),
        sa.Column("person", sa.String(20), comment="The account that it was done to."),
        sa.Column("person_name", sa.Text),
        sa.Column("room", sa.String(64)),
        sa.Column("details", sa.Text, nullable=False, comment="JSON; never what somebody wrote."),
        sa.PrimaryKeyConstraint("no", name="pk_audit"),
        comment="What was done with power over others; the newest entries only.",
    )
