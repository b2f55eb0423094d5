"""Who may come in: implements `ports.Register` over one database.

It is small and rare beside the log: see `clerk`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa

from chatzilla.core.directory import is_hidden
from chatzilla.core.links import Link, LinkId
from chatzilla.core.people import OPEN, AccountId
from chatzilla.core.policy import GIVEN, Role
from chatzilla.core.rooms import Grade, RoomId
from chatzilla.core.signin import IDLE_MS, NAME_TAKEN, SignIn
from chatzilla.core.tokens import SignInId
from chatzilla.errors import Conflict, Full, Unavailable
from chatzilla.store.clerk import Clerk
from chatzilla.store.queries import account_from, account_rows
from chatzilla.store.roombook import give
from chatzilla.store.tables import accounts, links, sign_ins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from chatzilla.core.people import Account
    from chatzilla.store.database import Database

T = TypeVar("T")

logger = logging.getLogger(__name__)

LINKS_AT_MOST: Final = 20_000
"""Links of all people that can still be used."""

AT_ONCE: Final = 500
"""Values in one statement; databases take a limited number."""

KEPT_MS: Final = 30 * 24 * 3600 * 1000
"""How long what is over stays in the database."""

_LINK: Final = (
    links.c.id,
    links.c.maker,
    links.c.made_in,
    links.c.account,
    links.c.role,
    links.c.room,
    links.c.made_at,
    links.c.ends_at,
    links.c.uses,
    links.c.used,
)


class SignInRegister(Clerk):
    """People, sign-ins and links in the database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "store-register")

    def recall(self, now: int) -> tuple[Sequence[Account], Sequence[SignIn]]:
        with self._database.writing.begin() as connection:
            _sweep(connection, now)
            known = [role.value for role in (*GIVEN, Role.REMOVED)]
            people = {
                row.id: account_from(row)
                for row in connection.execute(
                    sa.select(*account_rows)
                    .where(accounts.c.kind != OPEN, accounts.c.role.in_(known))
                    .where(sa.or_(accounts.c.ends_at.is_(None), accounts.c.ends_at > now))
                    .order_by(accounts.c.no)
                )
            }
            lasting = connection.execute(
                sa.select(sign_ins, accounts.c.id.label("whose"))
                .join(accounts, accounts.c.no == sign_ins.c.account)
                .where(sign_ins.c.ended_at.is_(None), sign_ins.c.seen_at > now - IDLE_MS)
            )
            found = [
                SignIn(SignInId(row.id), people[row.whose], row.made_at, row.seen_at, row.agent)
                for row in lasting
                if row.whose in people
            ]
        return tuple(people.values()), found

    async def link(self, digest: str, now: int) -> Link | None:
        found = await self._do(
            lambda connection: connection.execute(
                sa.select(*_LINK).where(links.c.digest == digest, _usable(now))
            ).one_or_none()
        )
        return None if found is None else _link(found)

    async def links(self, now: int) -> Sequence[Link]:
        rows = await self._do(
            lambda connection: connection.execute(
                sa.select(*_LINK).where(_usable(now)).order_by(links.c.made_at.desc(), links.c.id)
            ).all()
        )
        return [_link(row) for row in rows]

    async def make_link(self, link: Link, digest: str, *, at_most: int) -> None:
        await self._do(lambda connection: _make(connection, link, digest, at_most))

    async def use_link(self, digest: str, sign_in: SignIn, *, at_most: int) -> Sequence[SignInId] | None:
        try:
            return await self._do(lambda connection: _use(connection, digest, sign_in, at_most))
        except sa.exc.IntegrityError as error:
            raise Conflict(NAME_TAKEN) from error

    async def revoke_link(self, ident: LinkId, now: int) -> None:
        await self._do(lambda connection: revoke(connection, links.c.id == ident, now))

    async def revoke_links_for(self, account: AccountId, now: int) -> None:
        await self._do(lambda connection: revoke(connection, links.c.account == account, now))

    async def revoke_owner_links(self, now: int) -> None:
        theirs = sa.and_(links.c.maker.is_(None), links.c.role == Role.OWNER.value)
        await self._do(lambda connection: revoke(connection, theirs, now))

    async def end_sign_ins(self, idents: Sequence[SignInId], now: int, *, its_links: bool) -> None:
        def end(connection: Connection) -> None:
            for at in range(0, len(idents), AT_ONCE):
                some = idents[at : at + AT_ONCE]
                lasting = sa.and_(sign_ins.c.id.in_(some), sign_ins.c.ended_at.is_(None))
                connection.execute(sa.update(sign_ins).where(lasting).values(ended_at=now))
                made_in = links.c.made_in.in_(some)
                revoke(connection, made_in if its_links else sa.and_(made_in, links.c.account.is_not(None)), now)

        await self._do(end)

    def note_seen(self, ident: SignInId, now: int) -> None:
        def note(connection: Connection) -> None:
            connection.execute(sa.update(sign_ins).where(sign_ins.c.id == ident).values(seen_at=now))

        def quietly() -> None:
            try:
                self._ask(note)
            except Unavailable:
                logger.warning("when a sign-in was last used could not be noted")

        self._thread.submit(quietly)

    async def do(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction, in the register's turn: what it answers comes back in the order of commits.

        Raises:
            Unavailable: the database cannot be used now.
        """
        return await self._do(work)


def _usable(now: int) -> sa.ColumnElement[bool]:
    """Whether a link can be used now; one that gives a role which nobody has cannot."""
    known = links.c.role.in_([role.value for role in GIVEN])
    return sa.and_(links.c.revoked_at.is_(None), links.c.ends_at > now, links.c.used < links.c.uses, known)


def _make(connection: Connection, link: Link, digest: str, at_most: int) -> None:
    open_now = sa.select(sa.func.count()).select_from(links).where(_usable(link.made_at))
    if link.maker is not None:
        if connection.execute(open_now.where(links.c.maker == link.maker)).scalar_one() >= at_most:
            raise Full(f"You have {at_most} links that can still be used. Revoke one first.")
        if connection.execute(open_now).scalar_one() >= LINKS_AT_MOST:
            raise Full("There are as many links as this server keeps.")
    connection.execute(
        sa.insert(links).values(
            id=link.id,
            digest=digest,
            maker=link.maker,
            made_in=link.made_in,
            account=link.account,
            role=link.role.value,
            room=link.room,
            made_at=link.made_at,
            ends_at=link.ends_at,
            uses=link.uses,
            used=link.used,
        )
    )


def _use(connection: Connection, digest: str, sign_in: SignIn, at_most: int) -> Sequence[SignInId] | None:
    now, account = sign_in.made_at, sign_in.account
    taken = sa.update(links).where(links.c.digest == digest, _usable(now)).values(used=links.c.used + 1)
    link = connection.execute(taken.returning(links.c.account, links.c.room)).one_or_none()
    if link is None:
        return None
    find = sa.select(accounts.c.no).where(accounts.c.id == account.id)
    known = connection.execute(find).one_or_none()
    if known is not None and link.account is None:
        raise Conflict(NAME_TAKEN)  # an invitation never makes somebody a person who is here already
    if known is None:
        connection.execute(
            sa.insert(accounts).values(
                id=account.id,
                kind=account.kind,
                key=account.key,
                name=account.name,
                created_at=now,
                role=account.role.value,
                room=account.room,
                ends_at=account.ends_at,
            )
        )
        known = connection.execute(find).one()
        if link.room is not None and is_hidden(RoomId(link.room)):
            give(connection, RoomId(link.room), account.id, Grade.POST, now)
    lasting = sa.and_(sign_ins.c.account == known.no, sign_ins.c.ended_at.is_(None))
    oldest = sa.select(sign_ins.c.id).where(lasting).order_by(sign_ins.c.seen_at.desc()).offset(at_most - 1)
    superseded = [SignInId(ident) for ident in connection.execute(oldest).scalars()]
    connection.execute(sa.update(sign_ins).where(sign_ins.c.id.in_(superseded)).values(ended_at=now))
    connection.execute(
        sa.insert(sign_ins).values(
            id=sign_in.id, account=known.no, made_at=now, seen_at=sign_in.seen_at, agent=sign_in.agent
        )
    )
    return superseded


def revoke(connection: Connection, which: sa.ColumnElement[bool], now: int) -> None:
    connection.execute(sa.update(links).where(which, links.c.revoked_at.is_(None)).values(revoked_at=now))


def _sweep(connection: Connection, now: int) -> None:
    """Drop what has been over for long."""
    long_ago = now - KEPT_MS
    connection.execute(
        sa.delete(sign_ins).where(sa.or_(sign_ins.c.ended_at < long_ago, sign_ins.c.seen_at < long_ago - IDLE_MS))
    )
    connection.execute(sa.delete(links).where(sa.or_(links.c.revoked_at < long_ago, links.c.ends_at < long_ago)))


def _link(row: Any) -> Link:
    return Link(
        id=LinkId(row.id),
        maker=row.maker and AccountId(row.maker),
        made_in=row.made_in and SignInId(row.made_in),
        account=row.account and AccountId(row.account),
        role=Role(row.role),
        room=row.room and RoomId(row.room),
        made_at=row.made_at,
        ends_at=row.ends_at,
        uses=row.uses,
        used=row.used,
    )
