"""What was done with power over others: implements `ports.Records`, in the register's turns.

Each change is stored together with its entry in the audit list. Deletions of messages are the log's, which writes their
entries itself; see `deeds`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from chatzilla.core.audit import Deed
from chatzilla.core.bans import Ban, BanId
from chatzilla.core.people import OPEN, AccountId
from chatzilla.core.policy import Role
from chatzilla.core.rooms import RoomId
from chatzilla.core.tokens import SignInId
from chatzilla.errors import Conflict
from chatzilla.store.deeds import note
from chatzilla.store.queries import account_from, account_rows
from chatzilla.store.register import revoke
from chatzilla.store.tables import accounts, audit, bans, links, rooms, sign_ins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from chatzilla.core.people import Account
    from chatzilla.store.database import Database
    from chatzilla.store.register import SignInRegister


class ModerationRecords:
    """Roles that change, bans, and the audit list."""

    def __init__(self, database: Database, register: SignInRegister) -> None:
        self._database = database
        self._register = register

    def recall_bans(self, now: int) -> Sequence[Ban]:
        with self._database.writing.begin() as connection:
            connection.execute(sa.delete(bans).where(bans.c.ends_at <= now))
            return [_ban(row) for row in connection.execute(sa.select(bans).order_by(bans.c.made_at))]

    async def account(self, ident: AccountId) -> Account | None:
        def find(connection: Connection) -> Account | None:
            known = accounts.c.role.in_([role.value for role in Role])
            row = connection.execute(sa.select(*account_rows).where(accounts.c.id == ident, known)).one_or_none()
            return None if row is None else account_from(row)

        return await self._register.do(find)

    async def set_role(self, account: Account, deed: Deed, *, keeps: Sequence[Role]) -> None:
        theirs, for_them = links.c.maker == account.id, links.c.account == account.id
        invites = links.c.account.is_(None)
        too_much = sa.and_(theirs, invites, links.c.role.not_in([role.value for role in keeps]))
        for_others = sa.and_(theirs, links.c.account != account.id)
        by_others = sa.and_(for_them, links.c.maker != account.id)

        def change(connection: Connection) -> None:
            _store_person(connection, account, deed)
            revoke(connection, sa.or_(too_much, for_others, by_others), deed.at)

        await self._register.do(change)

    async def end_membership(self, account: Account, deed: Deed) -> Sequence[SignInId]:
        def end(connection: Connection) -> Sequence[SignInId]:
            _store_person(connection, account, deed)
            revoke(connection, sa.or_(links.c.maker == account.id, links.c.account == account.id), deed.at)
            whose = sa.select(accounts.c.no).where(accounts.c.id == account.id).scalar_subquery()
            theirs = sa.select(sign_ins.c.id).where(sign_ins.c.account == whose)
            by_them = sa.or_(sign_ins.c.account == whose, sign_ins.c.made_in.in_(theirs))
            over = sa.update(sign_ins).where(by_them, sign_ins.c.ended_at.is_(None)).values(ended_at=deed.at)
            return [SignInId(ident) for ident in connection.execute(over.returning(sign_ins.c.id)).scalars()]

        return await self._register.do(end)

    async def ban(self, ban: Ban, replaced: Ban | None, deed: Deed) -> None:
        def store(connection: Connection) -> None:
            if replaced is not None:
                connection.execute(sa.delete(bans).where(bans.c.id == replaced.id))
            values = {column.name: getattr(ban, column.name) for column in bans.c}
            connection.execute(sa.insert(bans).values(values))
            note(connection, (deed,))

        await self._register.do(store)

    async def unban(self, ban: Ban, deed: Deed) -> None:
        def lift(connection: Connection) -> None:
            connection.execute(sa.delete(bans).where(bans.c.id == ban.id))
            note(connection, (deed,))

        await self._register.do(lift)

    async def lock(self, room: RoomId, locked_at: int | None, deed: Deed) -> None:
        def store(connection: Connection) -> None:
            fresh = sqlite.insert(rooms).values(id=room, name=room, head=0, created_at=deed.at)
            connection.execute(fresh.on_conflict_do_nothing())
            connection.execute(sa.update(rooms).where(rooms.c.id == room).values(locked_at=locked_at))
            note(connection, (deed,))

        await self._register.do(store)

    async def note(self, deed: Deed) -> None:
        await self._register.do(lambda connection: note(connection, (deed,)))

    async def deeds(self, before: int | None, at_most: int) -> Sequence[Deed]:
        wanted = sa.select(audit).order_by(audit.c.no.desc()).limit(at_most)
        if before is not None:
            wanted = wanted.where(audit.c.no < before)
        rows = await self._register.do(lambda connection: connection.execute(wanted).all())
        return [_deed(row) for row in rows]


def _store_person(connection: Connection, account: Account, deed: Deed) -> None:
    """Store what somebody is from now on. Where there was an owner, there is one afterwards."""
    owners = (
        sa.select(sa.func.count())
        .select_from(accounts)
        .where(accounts.c.role == Role.OWNER.value, accounts.c.kind != OPEN)
    )
    before = connection.execute(owners).scalar_one()
    changed = sa.update(accounts).where(accounts.c.id == account.id)
    connection.execute(changed.values(role=account.role.value, room=account.room, ends_at=account.ends_at))
    if before and not connection.execute(owners).scalar_one():
        raise Conflict("There has to be an owner: make somebody else one first.")
    note(connection, (deed,))


def _ban(row: Any) -> Ban:
    return Ban(
        id=BanId(row.id),
        account=row.account and AccountId(row.account),
        network=row.network,
        room=row.room and RoomId(row.room),
        name=row.name,
        maker=row.maker and AccountId(row.maker),
        maker_name=row.maker_name,
        made_at=row.made_at,
        ends_at=row.ends_at,
    )


def _deed(row: Any) -> Deed:
    return Deed(
        at=row.at,
        actor=row.actor and AccountId(row.actor),
        actor_name=row.actor_name,
        act=row.act,
        person=row.person and AccountId(row.person),
        person_name=row.person_name,
        room=row.room and RoomId(row.room),
        details=json.loads(row.details),
        no=row.no,
    )
