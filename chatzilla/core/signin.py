"""Who is signed in: people, and their sign-ins in browsers and programs.

A sign-in begins with a link, which somebody gave or a mail brought, and ends when somebody ends it, when it was not
used for thirty days, or with a guest's time. All that lasts are in memory, so that a door can check a token without
waiting for anything; each change is stored first. `SignIns.who` is the one function by which every door tells who
knocks.
"""

from __future__ import annotations

import enum
import logging
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from chatzilla.core import policy
from chatzilla.core.lookalikes import skeleton
from chatzilla.core.people import EMAIL, key_of
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.tokens import LIFETIME_SECONDS, NOT_VALID, SignInId
from chatzilla.core.tries import TOO_MANY, Tries
from chatzilla.errors import Conflict, Full, NotFound, SignInNeeded, TooFast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from chatzilla.core.people import Account, AccountId
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
    """What the browser calls itself."""

    @property
    def ends_at(self) -> int:
        idle = self.seen_at + IDLE_MS
        return idle if self.account.ends_at is None else min(idle, self.account.ends_at)


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who stands at a door: a person, and the sign-in if there is one."""

    account: Account
    sign_in: SignIn | None
    fresh: bool = True
    """Whether the token is in the first half of its time."""

    @property
    def standing(self) -> SignInId | None:
        """What the person stands on, if it is more than a typed name."""
        return None if self.sign_in is None else self.sign_in.id


class SignIns:
    """Everybody who is signed in, and all whose names are their own."""

    def __init__(
        self,
        register: Register,
        tokens: Tokens,
        clock: Clock,
        mode: SignInMode,
        *,
        ended: Callable[[Iterable[SignInId]], None] = lambda _: None,
    ) -> None:
        self.mode = mode
        self.register = register
        self.clock = clock
        self._tokens = tokens
        self._tries = Tries(clock)
        self._tell_ended = ended
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

        A token that is valid is never refused, whatever else came from its address.

        Raises:
            SignInNeeded: it is none of ours, its time is over, its sign-in has ended, or it is a typed name's and
                names do not count here. A stranger is not told which. It counts against the address.
            TooFast: the same, and too many like it came from this address.
        """
        try:
            return self._bearer(token)
        except SignInNeeded as refusal:
            if self._tries.exhausted(address):
                raise TooFast(TOO_MANY) from refusal
            self._tries.count(address)
            raise

    def _bearer(self, token: object) -> Bearer:
        claims = self._tokens.read(token)
        if claims.sign_in is None:
            if self.mode.closed or claims.named is None:
                raise SignInNeeded(NOT_VALID)
            return Bearer(claims.named, None)
        sign_in = self._sign_ins.get(claims.sign_in)
        now = self.clock.wall_ms()
        if sign_in is None or sign_in.account.id != claims.subject or sign_in.ends_at <= now:
            raise SignInNeeded(NOT_VALID)
        if sign_in.seen_at + SEEN_EVERY_MS <= now:
            sign_in = replace(sign_in, seen_at=now)
            self._keep(sign_in)
            self.register.note_seen(sign_in.id, now)
        return Bearer(sign_in.account, sign_in, fresh=claims.ends_at * 1000 - now > IDLE_MS // 2)

    def token_of(self, account: Account, sign_in: SignInId | None) -> str:
        """A token for somebody who is in."""
        return self._tokens.mint(account) if sign_in is None else self._tokens.mint_sign_in(account.id, sign_in)

    # People.

    def person(self, ident: AccountId | None) -> Account | None:
        """Somebody who has signed in once."""
        return None if ident is None else self._accounts.get(ident)

    def people(self) -> Sequence[Account]:
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

    # Sign-ins.

    def draft(self, account: Account, agent: str) -> SignIn:
        """A sign-in that is about to begin; its id has never been anybody's."""
        now = self.clock.wall_ms()
        words = "".join(character for character in agent if character.isprintable())
        return SignIn(SignInId(secrets.token_urlsafe(15)), account, now, now, words[:AGENT_LIMIT])

    def began(self, sign_in: SignIn, superseded: Iterable[SignInId]) -> Bearer:
        """Take in that a sign-in was stored, and that others ended to make room for it."""
        self._know(sign_in.account)
        self._keep(sign_in)
        logger.info("sign-in %s of %s began, as %s", sign_in.id, sign_in.account.id, sign_in.account.role.value)
        self._forget(superseded)
        self._watch()
        return Bearer(sign_in.account, sign_in)

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
        """End one sign-in. Ended from elsewhere, it takes the links with it that were made in it.

        Raises:
            NotFound: there is none, or it is not theirs to end: a stranger cannot tell which.
        """
        sign_in = self._sign_ins.get(ident)
        if sign_in is None:
            raise NotFound("There is no such sign-in.")
        thing = policy.stands(bearer.account, sign_in.account)
        if not policy.may(bearer.account.role, Act.END_SIGN_IN, thing):
            raise NotFound("There is no such sign-in.")
        await self._end([sign_in], its_links=bearer.standing != ident)

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
        await self.register.revoke_links_for(account, self.clock.wall_ms())
        await self._end(ending, its_links=policy.stands(bearer.account, person) is not Thing.OWN)

    async def end_everything(self) -> None:
        """End every sign-in there is."""
        await self._end(tuple(self._sign_ins.values()), its_links=True)

    async def _end(self, ending: Sequence[SignIn], *, its_links: bool) -> None:
        idents = [sign_in.id for sign_in in ending]
        await self.register.end_sign_ins(idents, self.clock.wall_ms(), its_links=its_links)
        self._forget(idents)

    def _know(self, account: Account) -> None:
        self._accounts[account.id] = account
        self._names[skeleton(account.name)] = account.id

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
            del self._accounts[account.id]
            if self._names.get(skeleton(account.name)) == account.id:
                del self._names[skeleton(account.name)]
        ends = [sign_in.ends_at for sign_in in self._sign_ins.values()]
        ends += [account.ends_at for account in self._accounts.values() if account.ends_at is not None]
        delay = min(LOOK_AT_LEAST_EVERY_SECONDS, (min(ends) - now) / 1000) if ends else LOOK_AT_LEAST_EVERY_SECONDS
        self._timer = self.clock.call_later(max(0.05, delay), self._watch)
