"""By which id somebody asked for a room: who is not answered asks again, and gets the same one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rooms", sa.Column("client_id", sa.String(64)))
    given = sa.text("client_id IS NOT NULL")
    op.create_index(
        "ix_rooms_wished",
        "rooms",
        ["creator", "client_id"],
        unique=True,
        sqlite_where=given,
        postgresql_where=given,
    )
