"""Roles, sign-ins and links: who may do what, who is signed in where, and how somebody comes in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("role", sa.String(16), nullable=False, server_default="visitor"))
    op.add_column("accounts", sa.Column("room", sa.String(64)))
    op.add_column("accounts", sa.Column("ends_at", sa.BigInteger))
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("account", _number, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_sign_ins"),
        sa.ForeignKeyConstraint(["account"], ["accounts.no"], name="fk_sign_ins_account"),
        comment="Browsers and programs that are signed in, and that were until lately.",
    )
    op.create_index("ix_sign_ins_account", "sign_ins", ["account"])
    op.create_table(
        "links",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, comment="SHA-256 of the secret, which is told once."),
        sa.Column("maker", sa.String(20), comment="An account's id; nothing where the operator made it."),
        sa.Column("made_in", sa.String(20), comment="The sign-in in which it was made."),
        sa.Column("account", sa.String(20), comment="The account that it signs in; nothing where it invites."),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("room", sa.String(64)),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_links"),
        sa.UniqueConstraint("digest", name="uq_links_digest"),
    )
    op.create_index("ix_links_ends_at", "links", ["ends_at"])
