"""Hooks in the database. What is sent to one asks a reader: it does not wait for what is being written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from chatzilla.core.hooks import Hook, HookId
from chatzilla.core.people import AccountId
from chatzilla.core.rooms import RoomId
from chatzilla.core.tokens import SignInId
from chatzilla.errors import Full
from chatzilla.store.clerk import Clerk
from chatzilla.store.deeds import note
from chatzilla.store.tables import hooks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from chatzilla.core.audit import Deed
    from chatzilla.store.database import Database
    from chatzilla.store.queries import RoomStore

HOOKS_AT_MOST: Final = 10_000
"""Hooks of all people that can be used."""

_HOOK: Final = (hooks.c.id, hooks.c.name, hooks.c.room, hooks.c.maker, hooks.c.made_in, hooks.c.made_at)
_LASTS: Final = hooks.c.ended_at.is_(None)


class HookRegister(Clerk):
    """The hooks that can be used."""

    def __init__(self, database: Database, store: RoomStore) -> None:
        super().__init__(database, "store-hooks")
        self._store = store

    async def hook(self, digest: str) -> Hook | None:
        wanted = sa.select(*_HOOK).where(hooks.c.digest == digest, _LASTS)
        row = await self._store.read(lambda connection: connection.execute(wanted).one_or_none())
        return None if row is None else _hook(row)

    async def hooks(self) -> Sequence[Hook]:
        wanted = sa.select(*_HOOK).where(_LASTS).order_by(hooks.c.made_at.desc(), hooks.c.id)
        rows = await self._store.read(lambda connection: connection.execute(wanted).all())
        return [_hook(row) for row in rows]

    async def make(self, hook: Hook, digest: str, *, at_most: int, deeds: Sequence[Deed] = ()) -> None:
        def make(connection: Connection) -> None:
            _make(connection, hook, digest, at_most)
            note(connection, deeds)

        await self._do(make)

    async def end(self, ident: HookId, now: int, *, deeds: Sequence[Deed] = ()) -> None:
        over = sa.update(hooks).where(hooks.c.id == ident, _LASTS).values(ended_at=now)

        def end(connection: Connection) -> None:
            if connection.execute(over).rowcount:
                note(connection, deeds)

        await self._do(end)


def _make(connection: Connection, hook: Hook, digest: str, at_most: int) -> None:
    count = sa.select(sa.func.count()).select_from(hooks).where(_LASTS)
    if connection.execute(count).scalar_one() >= HOOKS_AT_MOST:
        raise Full("There are as many hooks as this server keeps.")
    if hook.maker is not None and connection.execute(count.where(hooks.c.maker == hook.maker)).scalar_one() >= at_most:
        raise Full(f"You have {at_most} hooks. End one first.")
    connection.execute(
        sa.insert(hooks).values(
            id=hook.id,
            digest=digest,
            name=hook.name,
            room=hook.room,
            maker=hook.maker,
            made_in=hook.made_in,
            made_at=hook.made_at,
        )
    )


def _hook(row: Any) -> Hook:
    return Hook(
        id=HookId(row.id),
        name=row.name,
        room=RoomId(row.room),
        maker=row.maker and AccountId(row.maker),
        made_in=row.made_in and SignInId(row.made_in),
        made_at=row.made_at,
    )
