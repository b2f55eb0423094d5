"""Who is signed in: people, and their sign-ins in browsers and programs.

A sign-in begins with a link, which somebody gave or a mail brought, and ends when somebody ends it, when it was not
used for thirty days, or with a guest's time. All that lasts are in memory, so that a door can check a token without
waiting for anything; each change is stored first. `SignIns.who` is the one function by which every door tells who
knocks; where a room is entered, it is `SignIns.enters`, and a right counts as well.
"""

from __future__ import annotations

import enum
import logging
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from chatzilla.core import policy
from chatzilla.core.audit import Done
from chatzilla.core.bans import Bans
from chatzilla.core.lookalikes import skeleton
from chatzilla.core.people import EMAIL, OPEN, key_of
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.tokens import LIFETIME_SECONDS, NOT_VALID, SignInId
from chatzilla.core.tries import Tries
from chatzilla.errors import Conflict, Forbidden, Full, NotFound, SignInNeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from chatzilla.core.audit import Deed
    from chatzilla.core.directory import Directory
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rights import Right, Rights
    from chatzilla.core.tokens import Tokens
    from chatzilla.ports import Clock, Register, Timer

logger = logging.getLogger(__name__)

SIGN_INS_PER_ACCOUNT: Final = 20
"""Beyond, the one that was not used for longest ends."""

PEOPLE_AT_MOST: Final = 10_000
"""People that a server knows; guests count until their time is over."""

AGENT_LIMIT: Final = 200
"""Characters that are kept of what a browser calls itself."""

IDLE_MS: Final = LIFETIME_SECONDS * 1000
SEEN_EVERY_MS: Final = 5 * 60 * 1000
"""How exactly it is known when a sign-in was last used."""

NAME_IS_ADDRESS: Final = "That is an email address, and not the one by which you come in. Choose another name."
NAME_TAKEN: Final = "Somebody here has this name, or one that looks like it. Choose another one."

LOOK_AT_LEAST_EVERY_SECONDS: Final = 3600.0


class SignInMode(enum.StrEnum):
    """Who may come in: `CHATZILLA_SIGN_IN`."""

    OPEN = "open"
    """Whoever types a name."""
    LINKS = "links"
    """Whoever was given a link."""
    EMAIL = "email"
    """Likewise, and whoever has an email address that may come in."""

    @property
    def closed(self) -> bool:
        return self is not SignInMode.OPEN


@dataclass(frozen=True, slots=True)
class SignIn:
    """One browser or program that is signed in. Times are milliseconds since 1970."""

    id: SignInId
    account: Account
    made_at: int
    seen_at: int
    agent: str
    """What the browser calls itself; of a program, what its token was made for."""
    until: int | None = None
    """When the token of a program is over, used or not; None for what lasts while it is used."""
    made_in: SignInId | None = None
    """The sign-in in which the token of a program was made, and with which it ends."""

    @property
    def ends_at(self) -> int:
        lasts = self.seen_at + IDLE_MS if self.until is None else self.until
        return lasts if self.account.ends_at is None else min(lasts, self.account.ends_at)

    @property
    def of_program(self) -> bool:
        """Whether it was made as the token of a program."""
        return self.until is not None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who stands at a door: a person, and the sign-in if there is one."""

    account: Account
    sign_in: SignIn | None
    fresh: bool = True
    """Whether the token is in the first half of its time."""
    right: Right | None = None
    """What lets them into one room, where that is all that they have; `account` then goes no further either."""

    @property
    def standing(self) -> SignInId | None:
        """What the person stands on, if it is more than a typed name."""
        return None if self.sign_in is None else self.sign_in.id


async def _nobody_asks(_: Account) -> None: ...


class SignIns:
    """Everybody who is signed in, and all whose names are their own."""

    def __init__(
        self,
        register: Register,
        tokens: Tokens,
        clock: Clock,
        mode: SignInMode,
        rooms: Directory,
        *,
        rights: Rights | None = None,
        ended: Callable[[Iterable[SignInId]], None] = lambda _: None,
        retired: Callable[[Account], Awaitable[None]] = _nobody_asks,
    ) -> None:
        """Begin with nobody.

        Args:
            register: where they are stored.
            tokens: mints and reads tokens.
            clock: what time it is.
            mode: who may come in.
            rooms: where they are let into.
            rights: reads rights to one room.
            ended: is told which sign-ins are over.
            retired: is told whose account is over, before that is answered.
        """
        self.mode = mode
        self.bans = Bans(clock)
        self.register = register
        self.clock = clock
        self.rights = rights
        self.rooms = rooms
        self._tokens = tokens
        self._tries = Tries(clock)
        self._tell_ended = ended
        self._tell_retired = retired
        self._accounts: dict[AccountId, Account] = {}
        self._names: dict[str, AccountId] = {}
        """Whose a name is, by how it looks."""
        self._reserved: set[str] = set()
        """The looks of names that are about to be somebody's."""
        self._sign_ins: dict[SignInId, SignIn] = {}
        self._of: dict[AccountId, set[SignInId]] = {}
        self._timer: Timer | None = None

    def start(self) -> None:
        """Recall everybody, on the event loop."""
        now = self.clock.wall_ms()
        people, sign_ins = self.register.recall(now)
        for account in people:
            self._know(account)
        for sign_in in sign_ins:
            self._keep(sign_in)
        self._watch()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    # At the doors.

    def who(self, token: object, address: str) -> Bearer:
        """Tell whose token this is: the one check of every door.

        A token that is valid is never refused, whatever else came from its address, unless its person is banned.

        Raises:
            SignInNeeded: it is none of ours, its time is over, its sign-in has ended, or it is a typed name's and
                names do not count here. A stranger is not told which. It counts against the address.
            TooFast: the same, and too many like it came from this address.
            Forbidden: they are banned, or their name was only typed and has become somebody's since.
        """
        with self._counting(address):
            bearer = self._unless_banned(self._bearer(token), address)
        if bearer.sign_in is None and self.holder(bearer.account.name) is not None:
            raise Forbidden(NAME_TAKEN)
        return bearer

    def enters(self, token: object, address: str) -> Bearer:
        """Tell who may come in where a room is entered: whoever `who` knows, or whoever has a right to one room.

        Raises:
            SignInNeeded, TooFast, Forbidden: as `who`.
        """
        with self._counting(address):
            try:
                bearer = self._bearer(token)
            except SignInNeeded:
                if self.rights is None:
                    raise
                bearer = self._entitled(self.rights, token)
            return self._unless_banned(bearer, address)

    @contextmanager
    def _counting(self, address: str) -> Iterator[None]:
        """Count what is refused against its address."""
        try:
            yield
        except SignInNeeded as refusal:
            if self._tries.exhausted(address):
                raise self._tries.refusal(address) from refusal
            self._tries.count(address)
            raise

    def _unless_banned(self, bearer: Bearer, address: str) -> Bearer:
        self.bans.check(bearer.account, address)
        return bearer

    def _bearer(self, token: object) -> Bearer:
        claims = self._tokens.read(token)
        if claims.sign_in is None:
            if self.mode.closed or claims.named is None:
                raise SignInNeeded(NOT_VALID)
            return Bearer(claims.named, None)
        sign_in = self._lasting(claims.sign_in, claims.subject)
        fresh = claims.ends_at * 1000 - self.clock.wall_ms() > IDLE_MS // 2
        return Bearer(sign_in.account, sign_in, fresh=fresh)

    def _entitled(self, rights: Rights, token: object) -> Bearer:
        """Whoever has a right. A name that was typed counts on an open server alone, as everywhere."""
        right = rights.read(token, lambda ident, subject: self._lasting(ident, subject).account)
        if self.mode.closed and right.account.kind == OPEN:
            raise SignInNeeded(NOT_VALID)
        sign_in = None if right.sign_in is None else self._sign_ins[right.sign_in]
        return Bearer(right.account, sign_in, right=right)

    def _lasting(self, ident: SignInId, subject: AccountId) -> SignIn:
        """A sign-in of somebody that is not over, and was used just now."""
        sign_in = self._sign_ins.get(ident)
        now = self.clock.wall_ms()
        if sign_in is None or sign_in.account.id != subject or sign_in.ends_at <= now:
            raise SignInNeeded(NOT_VALID)
        if sign_in.seen_at + SEEN_EVERY_MS <= now:
            sign_in = replace(sign_in, seen_at=now)
            self._keep(sign_in)
            self.register.note_seen(sign_in.id, now)
        return sign_in

    def program_token(self, sign_in: SignIn) -> str:
        """The token of a program, which is good for as long as its sign-in."""
        return self._tokens.mint_sign_in(sign_in.account.id, sign_in.id, until=sign_in.ends_at // 1000)

    def token_of(self, account: Account, sign_in: SignInId | None) -> str:
        """A token for somebody who is in."""
        return self._tokens.mint(account) if sign_in is None else self._tokens.mint_sign_in(account.id, sign_in)

    # People.

    def person(self, ident: AccountId | None) -> Account | None:
        """Somebody who has signed in once."""
        return None if ident is None else self._accounts.get(ident)

    def lasts(self, ident: SignInId) -> bool:
        """Whether a sign-in is not over."""
        sign_in = self._sign_ins.get(ident)
        return sign_in is not None and sign_in.ends_at > self.clock.wall_ms()

    def people(self) -> Sequence[Account]:
        """Everybody who may sign in."""
        return [account for account in self._accounts.values() if account.role is not Role.REMOVED]

    def everybody(self) -> Sequence[Account]:
        """Everybody whose name is their own, also who was removed."""
        return tuple(self._accounts.values())

    def owner(self) -> Account | None:
        """The first owner."""
        return next((account for account in self._accounts.values() if account.role is Role.OWNER), None)

    def holder(self, name: str) -> AccountId | None:
        """Whose name this is, or looks like."""
        return self._names.get(skeleton(name))

    @contextmanager
    def reserving(self, account: Account) -> Iterator[None]:
        """Keep a new person's name for them while they are stored.

        Raises:
            Conflict: it is somebody's, or looks like somebody's, or is an address where addresses prove who one is.
            Full: there are as many people as a server knows.
        """
        look = skeleton(account.name)
        if (
            self.mode is SignInMode.EMAIL
            and "@" in look
            and (account.kind, account.key)
            != (
                EMAIL,
                key_of(account.name),
            )
        ):
            raise Conflict(NAME_IS_ADDRESS)
        if look in self._names or look in self._reserved:
            raise Conflict(NAME_TAKEN)
        if len(self._accounts) + len(self._reserved) >= PEOPLE_AT_MOST:
            raise Full("This server knows as many people as it can.")
        self._reserved.add(look)
        try:
            yield
        finally:
            self._reserved.discard(look)

    def became(self, account: Account) -> None:
        """Take in that somebody is stored as something else: it holds at every door from now on."""
        if account.role is Role.REMOVED:
            self._forget(tuple(self._of.get(account.id, ())))
        if account.ends_at is not None and account.ends_at <= self.clock.wall_ms():
            self._forget_person(account)
            return
        self._know(account)
        for ident in self._of.get(account.id, ()):
            self._sign_ins[ident] = replace(self._sign_ins[ident], account=account)

    # Sign-ins.

    def draft(
        self, account: Account, agent: str, *, until: int | None = None, made_in: SignInId | None = None
    ) -> SignIn:
        """A sign-in that is about to begin; its id has never been anybody's.

        Raises:
            SignInNeeded: this person was removed, by whatever way they come.
        """
        known = self._accounts.get(account.id)
        if known is not None and known.role is Role.REMOVED:
            raise SignInNeeded(NOT_VALID)
        now = self.clock.wall_ms()
        words = "".join(character for character in agent if character.isprintable())
        return SignIn(SignInId(secrets.token_urlsafe(15)), account, now, now, words[:AGENT_LIMIT], until, made_in)

    def began(self, sign_in: SignIn, superseded: Iterable[SignInId]) -> Bearer:
        """Take in that a sign-in was stored, and that others ended to make room for it."""
        # Their role may have changed while it was being stored.
        sign_in = replace(sign_in, account=self._accounts.get(sign_in.account.id, sign_in.account))
        self._know(sign_in.account)
        self._keep(sign_in)
        logger.info("sign-in %s of %s began, as %s", sign_in.id, sign_in.account.id, sign_in.account.role.value)
        self._forget(superseded)
        self._watch()
        return Bearer(sign_in.account, sign_in)

    def programs(self, account: AccountId) -> list[SignIn]:
        """The tokens of somebody's programs that last."""
        now = self.clock.wall_ms()
        found = (self._sign_ins[ident] for ident in self._of.get(account, ()))
        return [sign_in for sign_in in found if sign_in.of_program and sign_in.ends_at > now]

    def last_end(self) -> int:
        """When the last token is over that was given out."""
        return max((each.ends_at for each in self._sign_ins.values()), default=0)

    def visible_to(self, account: Account) -> list[SignIn]:
        """The sign-ins that somebody may see, the latest used first."""
        now = self.clock.wall_ms()
        seen = [
            sign_in
            for sign_in in self._sign_ins.values()
            if sign_in.ends_at > now
            and policy.may(account.role, Act.SEE_SIGN_IN, policy.stands(account, sign_in.account))
        ]
        return sorted(seen, key=lambda sign_in: -sign_in.seen_at)

    async def end(self, bearer: Bearer, ident: SignInId) -> None:
        """End one sign-in. Ended from elsewhere, it takes the links with it that were made in it; ended by somebody
        else, the tokens and hooks too.

        Raises:
            NotFound: there is none, or it is not theirs to end: a stranger cannot tell which.
        """
        sign_in = self._sign_ins.get(ident)
        if sign_in is None:
            raise NotFound("There is no such sign-in.")
        thing = policy.stands(bearer.account, sign_in.account)
        if not policy.may(bearer.account.role, Act.END_SIGN_IN, thing):
            raise NotFound("There is no such sign-in.")
        by_another = thing is not Thing.OWN
        await self._end(
            [sign_in],
            its_links=bearer.standing != ident,
            its_programs=by_another,
            deeds=self._entries(bearer.account, [sign_in]),
        )

    async def end_all(self, bearer: Bearer, account: AccountId, *, but: SignInId | None = None) -> None:
        """End all sign-ins of somebody, and with them every link by which they could come back.

        Raises:
            NotFound: there is nobody like that, or their sign-ins are not theirs to end.
        """
        person = self._accounts.get(account)
        if person is None or not policy.may(
            bearer.account.role, Act.END_SIGN_IN, policy.stands(bearer.account, person)
        ):
            raise NotFound("There is nobody like that.")
        ending = [self._sign_ins[ident] for ident in self._of.get(account, ()) if ident != but]
        by_another = policy.stands(bearer.account, person) is not Thing.OWN
        deeds = (
            [self.rooms.scribe.entry(bearer.account, Done.END_SIGN_INS, person, count=len(ending))]
            if by_another
            else self._entries(bearer.account, ending)
        )
        await self.register.revoke_links_for(account, self.clock.wall_ms())
        await self._end(ending, its_links=by_another, its_programs=by_another, deeds=deeds)

    def ended(self, idents: Iterable[SignInId]) -> None:
        """Take in that sign-ins are stored as over; harmless twice."""
        self._forget(idents)

    async def end_everything(self) -> None:
        """End every sign-in there is."""
        await self._end(tuple(self._sign_ins.values()), its_links=True, its_programs=False)

    async def retire(self, account: Account, *, deeds: Sequence[Deed] = ()) -> None:
        """End everything of somebody, and the account with it: the name is free again."""
        now = self.clock.wall_ms()
        await self.register.revoke_links_for(account.id, now)
        ending = [self._sign_ins[ident] for ident in self._of.get(account.id, ())]
        await self._end(ending, its_links=True, its_programs=True, deeds=deeds)
        await self.register.end_account(account.id, now)
        self._forget_person(account)
        await self._tell_retired(account)

    def _entries(self, actor: Account, ending: Iterable[SignIn]) -> list[Deed]:
        """What the audit list says of sign-ins that somebody ends: nothing of their own browsers."""
        return [
            self.rooms.scribe.entry(actor, Done.END_TOKEN if each.of_program else Done.END_SIGN_IN, each.account)
            for each in ending
            if each.of_program or each.account.id != actor.id
        ]

    async def _end(
        self, ending: Sequence[SignIn], *, its_links: bool, its_programs: bool, deeds: Sequence[Deed] = ()
    ) -> None:
        """End sign-ins; with `its_programs`, whatever speaks by what was made in them."""
        idents = [sign_in.id for sign_in in ending]
        if its_programs:
            made_in: dict[SignInId | None, list[SignInId]] = {}
            for each in self._sign_ins.values():
                made_in.setdefault(each.made_in, []).append(each.id)
            for ident in idents:  # which grows meanwhile: a program can make tokens, too
                idents += [each for each in made_in.get(ident, ()) if each not in idents]
        now = self.clock.wall_ms()
        await self.register.end_sign_ins(idents, now, its_links=its_links, its_hooks=its_programs, deeds=deeds)
        self._forget(idents)

    def _know(self, account: Account) -> None:
        self._accounts[account.id] = account
        self._names[skeleton(account.name)] = account.id

    def _forget_person(self, account: Account) -> None:
        """Their name is free again."""
        self._accounts.pop(account.id, None)
        if self._names.get(skeleton(account.name)) == account.id:
            del self._names[skeleton(account.name)]

    def _keep(self, sign_in: SignIn) -> None:
        self._sign_ins[sign_in.id] = sign_in
        self._of.setdefault(sign_in.account.id, set()).add(sign_in.id)

    def _forget(self, idents: Iterable[SignInId]) -> None:
        """They are over: no door knows them any more, and their connections are closed."""
        gone = []
        for ident in idents:
            sign_in = self._sign_ins.pop(ident, None)
            if sign_in is None:
                continue
            gone.append(ident)
            others = self._of[sign_in.account.id]
            others.discard(ident)
            if not others:
                del self._of[sign_in.account.id]
        if gone:
            logger.info("%d sign-ins ended", len(gone))
            self._tell_ended(gone)

    def _watch(self) -> None:
        """End what runs out, when it does."""
        self.stop()
        now = self.clock.wall_ms()
        self._forget([sign_in.id for sign_in in self._sign_ins.values() if sign_in.ends_at <= now])
        over = [
            account for account in self._accounts.values() if account.ends_at is not None and account.ends_at <= now
        ]
        for account in over:
            self._forget_person(account)
        ends = [sign_in.ends_at for sign_in in self._sign_ins.values()]
        ends += [account.ends_at for account in self._accounts.values() if account.ends_at is not None]
        delay = min(LOOK_AT_LEAST_EVERY_SECONDS, (min(ends) - now) / 1000) if ends else LOOK_AT_LEAST_EVERY_SECONDS
        self._timer = self.clock.call_later(max(0.05, delay), self._watch)
