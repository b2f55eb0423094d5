"""The audit list in the database: whoever stores what was done writes its entry here, in the same transaction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from chatzilla.core.audit import DEEDS_AT_MOST, Deed
from chatzilla.store.tables import audit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

DEED: Final = ("at", "actor", "actor_name", "act", "person", "person_name", "room", "details")
"""The columns of an entry, in the order of `deed_values`."""

insert_deed: Final = sa.insert(audit)
forget_deeds: Final = sa.delete(audit).where(
    audit.c.no <= sa.select(sa.func.max(audit.c.no)).scalar_subquery() - sa.literal_column(str(DEEDS_AT_MOST))
)


def deed_values(deed: Deed) -> tuple[object, ...]:
    """An entry as it is stored."""
    return (*deed[: len(DEED) - 1], json.dumps(dict(deed.details), ensure_ascii=False))


def note(connection: Connection, deeds: Iterable[Deed]) -> None:
    """Write entries, and forget the oldest ones that are too many."""
    for deed in deeds:
        connection.execute(insert_deed.values(dict(zip(DEED, deed_values(deed), strict=True))))
    connection.execute(forget_deeds)
