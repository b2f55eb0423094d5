"""Who may come in: implements `ports.Register` over one database.

It is small and rare beside the log: see `clerk`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa

from chatzilla.core.addresses import Address
from chatzilla.core.directory import is_hidden
from chatzilla.core.links import Link, LinkId
from chatzilla.core.people import BOT, OPEN, Account, AccountId
from chatzilla.core.policy import GIVEN, Role
from chatzilla.core.rooms import Grade, RoomId
from chatzilla.core.signin import IDLE_MS, NAME_TAKEN, SignIn
from chatzilla.core.tokens import SignInId
from chatzilla.errors import Conflict, Full, Unavailable
from chatzilla.store.clerk import Clerk
from chatzilla.store.deeds import note
from chatzilla.store.queries import account_from, account_rows
from chatzilla.store.roombook import give
from chatzilla.store.tables import accounts, hooks, links, sign_ins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from chatzilla.core.audit import Deed
    from chatzilla.core.people import Account
    from chatzilla.store.database import Database

logger = logging.getLogger(__name__)

T = TypeVar("T")

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
    links.c.email,
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
                .where(sign_ins.c.ended_at.is_(None), _lasting(now))
            )
            found = [
                SignIn(
                    SignInId(row.id),
                    people[row.whose],
                    row.made_at,
                    row.seen_at,
                    row.agent,
                    row.until,
                    row.made_in and SignInId(row.made_in),
                )
                for row in lasting
                if row.whose in people
            ]
        return tuple(people.values()), found

    async def link(self, digest: str, now: int) -> Link | None:
        found = await self._do(
            lambda connection: connection.execute(
                sa.select(*_LINK).where(_with_secret(digest), _usable(now))
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

    async def make_link(self, link: Link, digest: str, *, at_most: int, deeds: Sequence[Deed] = ()) -> None:
        def make(connection: Connection) -> None:
            _make(connection, link, digest, at_most)
            note(connection, deeds)

        await self._do(make)

    async def use_link(self, digest: str, sign_in: SignIn, *, at_most: int) -> Sequence[SignInId] | None:
        return await self._store(lambda connection: _use(connection, _with_secret(digest), sign_in, at_most))

    async def invitation(self, email: Address, now: int) -> Link | None:
        found = await self._do(
            lambda connection: connection.execute(
                sa.select(*_LINK).where(links.c.email == email, _usable(now)).order_by(links.c.made_at.desc()).limit(1)
            ).one_or_none()
        )
        return None if found is None else _link(found)

    async def has(self, account: AccountId) -> bool:
        known = sa.select(accounts.c.no).where(accounts.c.id == account)
        return await self._do(lambda connection: connection.execute(known).one_or_none() is not None)

    async def begin_by_mail(
        self, sign_in: SignIn, invitation: LinkId | None, *, new: bool, at_most: int
    ) -> Sequence[SignInId] | None:
        def begin(connection: Connection) -> Sequence[SignInId] | None:
            if new == (_number_of(connection, sign_in.account) is not None):
                return None
            return _come_in(connection, sign_in, at_most)

        if invitation is None:
            return await self._store(begin)
        return await self._store(lambda connection: _use(connection, links.c.id == invitation, sign_in, at_most))

    async def begin(self, sign_in: SignIn, *, at_most: int, deeds: Sequence[Deed] = ()) -> None:
        def begin(connection: Connection) -> None:
            _begin(connection, sign_in, at_most)
            note(connection, deeds)

        await self._store(begin)

    async def end_account(self, account: AccountId, now: int) -> None:
        over = sa.update(accounts).where(accounts.c.id == account).values(ends_at=now)
        await self._do(lambda connection: connection.execute(over))

    async def revoke_link(self, ident: LinkId, now: int, *, deeds: Sequence[Deed] = ()) -> None:
        def end(connection: Connection) -> None:
            revoke(connection, links.c.id == ident, now)
            note(connection, deeds)

        await self._do(end)

    async def revoke_links_for(self, account: AccountId, now: int) -> None:
        await self._do(lambda connection: revoke(connection, links.c.account == account, now))

    async def revoke_owner_links(self, now: int) -> None:
        theirs = sa.and_(links.c.maker.is_(None), links.c.role == Role.OWNER.value)
        await self._do(lambda connection: revoke(connection, theirs, now))

    async def end_sign_ins(
        self,
        idents: Sequence[SignInId],
        now: int,
        *,
        its_links: bool,
        its_hooks: bool = False,
        deeds: Sequence[Deed] = (),
    ) -> None:
        def end(connection: Connection) -> None:
            for at in range(0, len(idents), AT_ONCE):
                some = idents[at : at + AT_ONCE]
                lasting = sa.and_(sign_ins.c.id.in_(some), sign_ins.c.ended_at.is_(None))
                connection.execute(sa.update(sign_ins).where(lasting).values(ended_at=now))
                made_in = links.c.made_in.in_(some)
                revoke(connection, made_in if its_links else sa.and_(made_in, links.c.account.is_not(None)), now)
                if its_hooks:
                    theirs = sa.and_(hooks.c.made_in.in_(some), hooks.c.ended_at.is_(None))
                    connection.execute(sa.update(hooks).where(theirs).values(ended_at=now))
            note(connection, deeds)

        await self._do(end)

    async def note(self, deeds: Sequence[Deed]) -> None:
        await self._do(lambda connection: note(connection, deeds))

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

    async def _store(self, work: Callable[[Connection], T]) -> T:
        """Store somebody, who may be new.

        Raises:
            Conflict: their name was taken meanwhile.
        """
        try:
            return await self._do(work)
        except sa.exc.IntegrityError as error:
            raise Conflict(NAME_TAKEN) from error


def _with_secret(digest: str) -> sa.ColumnElement[bool]:
    """The link that ends with a secret; an invitation for an address is used by mail alone."""
    return sa.and_(links.c.digest == digest, links.c.email.is_(None))


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
            email=link.email,
        )
    )


def _use(
    connection: Connection, which: sa.ColumnElement[bool], sign_in: SignIn, at_most: int
) -> Sequence[SignInId] | None:
    now, account = sign_in.made_at, sign_in.account
    taken = sa.update(links).where(which, _usable(now)).values(used=links.c.used + 1)
    link = connection.execute(taken.returning(links.c.account, links.c.room)).one_or_none()
    if link is None:
        return None
    is_new = _number_of(connection, account) is None
    if link.account is None and not is_new:
        raise Conflict(NAME_TAKEN)  # an invitation never makes somebody a person who is here already
    superseded = _come_in(connection, sign_in, at_most)
    if is_new and link.room is not None and is_hidden(RoomId(link.room)):
        give(connection, RoomId(link.room), account.id, Grade.POST, now)
    return superseded


def _come_in(connection: Connection, sign_in: SignIn, at_most: int) -> Sequence[SignInId]:
    """Store the sign-in of a browser, and its account where that is new."""
    now, account = sign_in.made_at, sign_in.account
    number = _number_of(connection, account)
    if number is None:
        number = _insert(connection, account, now)
    lasting = sa.and_(sign_ins.c.account == number, sign_ins.c.ended_at.is_(None), sign_ins.c.until.is_(None))
    oldest = sa.select(sign_ins.c.id).where(lasting).order_by(sign_ins.c.seen_at.desc()).offset(at_most - 1)
    superseded = [SignInId(ident) for ident in connection.execute(oldest).scalars()]
    connection.execute(sa.update(sign_ins).where(sign_ins.c.id.in_(superseded)).values(ended_at=now))
    connection.execute(_sign_in_row(sign_in, number))
    return superseded


def _begin(connection: Connection, sign_in: SignIn, at_most: int) -> None:
    now, account = sign_in.made_at, sign_in.account
    number = _number_of(connection, account)
    if number is None:
        number = _insert(connection, account, now)
    else:
        again = sa.update(accounts).where(accounts.c.no == number, accounts.c.kind == BOT)
        connection.execute(again.values(name=account.name, role=account.role.value, ends_at=None))
    theirs = sa.and_(sign_ins.c.account == number, sign_ins.c.ended_at.is_(None), sign_ins.c.until > now)
    if connection.execute(sa.select(sa.func.count()).select_from(sign_ins).where(theirs)).scalar_one() >= at_most:
        raise Full(f"There are {at_most} tokens that last already. End one first.")
    connection.execute(_sign_in_row(sign_in, number))


def _sign_in_row(sign_in: SignIn, account: int) -> sa.Insert:
    return sa.insert(sign_ins).values(
        id=sign_in.id,
        account=account,
        made_at=sign_in.made_at,
        seen_at=sign_in.seen_at,
        agent=sign_in.agent,
        until=sign_in.until,
        made_in=sign_in.made_in,
    )


def _number_of(connection: Connection, account: Account) -> int | None:
    return connection.execute(sa.select(accounts.c.no).where(accounts.c.id == account.id)).scalar_one_or_none()


def _insert(connection: Connection, account: Account, now: int) -> int:
    """Store a new account; returns its number."""
    row = sa.insert(accounts).values(
        id=account.id,
        kind=account.kind,
        key=account.key,
        name=account.name,
        created_at=now,
        role=account.role.value,
        room=account.room,
        ends_at=account.ends_at,
    )
    return int(connection.execute(row.returning(accounts.c.no)).scalar_one())


def revoke(connection: Connection, which: sa.ColumnElement[bool], now: int) -> None:
    connection.execute(sa.update(links).where(which, links.c.revoked_at.is_(None)).values(revoked_at=now))


def _lasting(now: int) -> sa.ColumnElement[bool]:
    """Whether a sign-in lasts that nobody has ended: while it is used, or until its moment."""
    used = sa.and_(sign_ins.c.until.is_(None), sign_ins.c.seen_at > now - IDLE_MS)
    return sa.or_(used, sa.and_(sign_ins.c.until.is_not(None), sign_ins.c.until > now))


def _sweep(connection: Connection, now: int) -> None:
    """Drop what has been over for long; but a sign-in in which the token of a program was made tells who knows it."""
    long_ago = now - KEPT_MS
    over = sa.or_(sign_ins.c.ended_at < long_ago, sa.not_(_lasting(long_ago)))
    made = sign_ins.alias()
    asked_for = sa.select(made.c.made_in).where(
        made.c.made_in.is_not(None), made.c.ended_at.is_(None), made.c.until > now
    )
    connection.execute(sa.delete(sign_ins).where(over, sign_ins.c.id.not_in(asked_for)))
    connection.execute(sa.delete(hooks).where(hooks.c.ended_at < long_ago))
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
        email=row.email and Address(row.email),
    )
