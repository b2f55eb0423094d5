"""Invitations for an email address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    comment = "Whom it invites to come in by mail; its secret is nobody's then."
    op.add_column("links", sa.Column("email", sa.Text, comment=comment))
