"""Rights that were ended before their time, for as long as they would have held: implements `ports.RightBook`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from chatzilla.core.rights import Ending
from chatzilla.store.clerk import Clerk
from chatzilla.store.tables import ended_rights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from chatzilla.store.database import Database


class StoredRightBook(Clerk):
    """Endings in the database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "store-rights")
        self._engine = database.writing

    def recall(self, now: int) -> Sequence[Ending]:
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(ended_rights).where(ended_rights.c.until > now)).all()
        return [Ending(row.what, row.at, row.until) for row in rows]

    async def keep(self, endings: Sequence[Ending], now: int) -> None:
        def write(connection: Connection) -> None:
            connection.execute(sa.delete(ended_rights).where(ended_rights.c.until <= now))
            for each in endings:
                values = {"what": each.what, "at": each.at, "until": each.until}
                row = sqlite.insert(ended_rights).values(values)
                connection.execute(row.on_conflict_do_update(index_elements=["what"], set_=values))

        await self._do(write)
