"""Coming in by mail: whoever reads what is sent to an address is the person of that address.

Somebody asks in a browser; a link goes to the address; opened in that browser, its button signs in. Three kinds of
addresses may come in: those of people who are known, those that somebody was invited by, and those of the domains that
the operator named. Whoever asks is answered before that is looked up, so that nobody can find out which ones they are,
neither by words nor by time.

A link is good once, for a quarter of an hour, and only in the browser that asked: a stranger who has somebody press a
button in a mail that they did not ask for gains nothing. What was asked for is in memory, and a restart forgets it.

How often may one ask? Each network so often, and so often for one address; and for each address all networks together,
so that nobody's mailbox is flooded. A browser in which the person of that address has signed in before is counted by
itself: whatever strangers do, it gets its mail.
"""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chatzilla.core.addresses import Address, domain_of, parse_address
from chatzilla.core.limits import Rate, Shared
from chatzilla.core.links import digest, holds, mint_secret
from chatzilla.core.people import account_by_mail, id_by_mail
from chatzilla.core.policy import Role
from chatzilla.core.signin import SIGN_INS_PER_ACCOUNT
from chatzilla.core.tries import network_of
from chatzilla.errors import ChatError, Forbidden, Full, SignInNeeded, TooFast
from chatzilla.ports import Letter

if TYPE_CHECKING:
    from collections.abc import Collection

    from chatzilla.core.links import LinkId
    from chatzilla.core.people import Account
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.signin import Bearer, SignIns
    from chatzilla.core.tokens import Tokens
    from chatzilla.core.tries import Tries
    from chatzilla.ports import Mailer

MINUTES: Final = 15
LASTS_SECONDS: Final = MINUTES * 60.0

RETRY_SECONDS: Final = LASTS_SECONDS / 3
"""When one may ask again, whichever rate it was: the exact time would tell how often others ask for an address."""

OUTSTANDING: Final = 2_000
"""Links that were asked for and can still be used."""

OUTSTANDING_KNOWN: Final = 500
"""As many more for browsers that have been here before, so that strangers cannot use up theirs."""

FROM_NETWORK: Final = Rate(30 / LASTS_SECONDS, 30)
"""How often all browsers of a network may ask that have not been here before."""

FROM_NETWORK_FOR_ADDRESS: Final = Rate(3 / LASTS_SECONDS, 3)
"""How often they may ask for the same address."""

FOR_ADDRESS: Final = Rate(12 / 3600, 12)
"""How often all of them together may ask for an address, wherever they are."""

FROM_KNOWN_BROWSER: Final = Rate(6 / LASTS_SECONDS, 6)
"""How often one browser may ask for the address by which somebody has signed in there before."""

INVITATIONS: Final = Rate(20 / 3600, 20)
"""How many invitations one person may have sent."""

NAME_SHOWN: Final = 60
"""Characters of an inviter's name in a mail: whoever gets it does not know who chose it."""

USELESS: Final = "This link cannot be used. It may be over, used already, or mistyped. Ask for a new one."
"""All that a stranger is told, whatever is wrong with a link."""

ANOTHER_BROWSER: Final = (
    "This link was asked for in another browser, and works in that one alone. "
    "Open it there, or ask for a new one here and open that in this browser."
)
TOO_OFTEN: Final = (
    "Mails were asked for too often, for this address or from your network. "
    "Use the link of the newest one, or ask again in a quarter of an hour."
)
TOO_MANY_INVITED: Final = "That is more invitations than are sent in an hour. Send the rest later."
CROWDED: Final = "So many people are signing in that yours has to wait. Ask again in a few minutes."


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser that asks, by the cookie that it was given."""

    secret: str
    """What nobody but this browser knows."""
    stamp: str = ""
    """Our proof that the person of some address has signed in here before, if there is one."""


@dataclass(slots=True, eq=False)
class Asked:
    """A link that somebody asked for."""

    address: Address
    browser: str
    """A hash of what its browser knows."""
    room: RoomId | None
    ends_at: float
    used: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """By what right an address comes in: as a person who is known, or as somebody new."""

    person: Account | None
    role: Role
    room: RoomId | None = None
    invitation: LinkId | None = None


class ByMail:
    """Who has asked for a mail, and may come in by it."""

    def __init__(
        self,
        sign_ins: SignIns,
        tokens: Tokens,
        tries: Tries,
        mailer: Mailer,
        *,
        domains: Collection[str],
        base: str,
    ) -> None:
        """Begin with nobody.

        Args:
            sign_ins: who is signed in.
            tokens: what stamps a browser.
            tries: the count of vain tries.
            mailer: what sends.
            domains: whoever has an address in one of these may come in.
            base: the address of this server; what a browser says of it could be forged.
        """
        self._sign_ins = sign_ins
        self._tokens = tokens
        self._tries = tries
        self._mailer = mailer
        self._domains = frozenset(domains)
        self.base = base
        """The address of this server."""
        self._host = base.partition("://")[2]
        self._asked: dict[str, Asked] = {}
        """By the hash of a link's secret, the oldest first."""
        clock = self._clock = sign_ins.clock
        self._networks = Shared(FROM_NETWORK, clock)
        self._pairs = Shared(FROM_NETWORK_FOR_ADDRESS, clock)
        self._addresses = Shared(FOR_ADDRESS, clock)
        self._browsers = Shared(FROM_KNOWN_BROWSER, clock)
        self._inviters = Shared(INVITATIONS, clock)

    @property
    def failing(self) -> bool:
        """Whether no mail can be sent now, whoever asks."""
        return self._mailer.failing

    def ask(self, raw: object, browser: Browser, *, room: RoomId | None, address: str) -> Address:
        """Have a link sent, if whoever has this mailbox may come in; that is found out later.

        Args:
            raw: the address of the mailbox, as it was typed.
            browser: the one that asks, in which alone the link will work.
            room: where to go then.
            address: the network address that asks.

        Raises:
            BadRequest, TooLong: it is no email address.
            TooFast: it was asked for too often.
            Full: there are as many links, or mails, as there may be.
        """
        wanted = parse_address(raw)
        known = self._tokens.is_stamped(browser.stamp, browser.secret, id_by_mail(wanted))
        if not (self._take_known(browser) if known else self._take(wanted, address)):
            raise TooFast(TOO_OFTEN, after=RETRY_SECONDS)
        self._sweep()
        if len(self._asked) >= OUTSTANDING + (OUTSTANDING_KNOWN if known else 0):
            raise Full(CROWDED)
        secret = mint_secret()
        until = self._clock.monotonic() + LASTS_SECONDS
        self._mailer.post(lambda: self._write(wanted, secret), until=until)
        self._asked[digest(secret)] = Asked(wanted, digest(browser.secret), room, until)
        return wanted

    async def look(self, secret: str, browser: Browser | None, *, address: str) -> tuple[Asked, Standing]:
        """See what a link is for; nothing is used up.

        Raises:
            SignInNeeded: it cannot be used. A link that never was counts against the address.
            TooFast: too many came from this address; this one was not judged.
            Forbidden: another browser asked for it.
        """
        if self._tries.exhausted(address):
            raise self._tries.refusal(address)
        asked = self._asked.get(digest(secret))
        if asked is None or asked.used or asked.ends_at <= self._clock.monotonic():
            self._tries.count(address)
            raise SignInNeeded(USELESS)
        if browser is None or not secrets.compare_digest(asked.browser, digest(browser.secret)):
            raise Forbidden(ANOTHER_BROWSER)
        standing = await self._standing(asked.address)
        if standing is None:
            raise SignInNeeded(USELESS)
        return asked, standing

    async def enter(
        self, secret: str, browser: Browser | None, name: object, *, agent: str, address: str
    ) -> tuple[Bearer, RoomId | None, Browser]:
        """Use a link, and begin a sign-in; returns it, where to go, and the browser as it is known from now on.

        Raises:
            SignInNeeded, TooFast, Forbidden: see `look`.
            BadRequest, TooLong, Conflict: the name of a new person is none, or is taken; nothing is used up.
            Full, Unavailable: a bound is reached, or nothing can be stored; likewise.
        """
        asked, standing = await self.look(secret, browser, address=address)
        if asked.used or browser is None:
            raise SignInNeeded(USELESS)
        asked.used = True
        try:
            account = standing.person or account_by_mail(asked.address, name, standing.role)
            with nullcontext() if standing.person else self._sign_ins.reserving(account):
                sign_in = self._sign_ins.draft(account, agent)
                superseded = await self._sign_ins.register.begin_by_mail(
                    sign_in, standing.invitation, new=standing.person is None, at_most=SIGN_INS_PER_ACCOUNT
                )
                if superseded is None:
                    raise SignInNeeded(USELESS)
                bearer = self._sign_ins.began(sign_in, superseded)
        except ChatError:
            asked.used = False
            raise
        for other in self._asked.values():  # whoever is in needs no other one
            other.used |= other.address == asked.address and other.browser == asked.browser
        stamp = self._tokens.stamp(browser.secret, account.id)
        return bearer, asked.room or standing.room, Browser(browser.secret, stamp)

    def check_inviting(self, maker: Account) -> None:
        """Count an invitation that is going to be sent.

        Raises:
            TooFast: its maker has had many sent.
        """
        allowance = self._inviters.of(maker.id)
        if not allowance.take():
            raise TooFast(TOO_MANY_INVITED, after=allowance.missing())

    def invite(self, maker: Account, email: Address) -> bool:
        """Tell somebody by mail that they are invited, and where to; whether that could be taken on.

        Nothing in it lets anybody in: whoever comes asks for a link of their own.
        """
        name = maker.name[:NAME_SHOWN]
        letter = Letter(
            email,
            f"{name} invites you to {self._host}",
            f"{name} invites you to talk on {self._host}.\n\n"
            f"Sign in there with this email address:\n\n{self.base}/\n\n"
            "If you do not know what this is about, do nothing.\n",
        )

        async def write() -> Letter | None:
            return letter

        try:
            self._mailer.post(write, until=self._clock.monotonic() + LASTS_SECONDS)
        except Full:
            return False
        return not self.failing

    def _take_known(self, browser: Browser) -> bool:
        return self._browsers.of(browser.secret).take()

    def _take(self, wanted: Address, address: str) -> bool:
        """In this order: whoever asks for one address again and again uses up nothing but that."""
        network = network_of(address)
        return (
            self._pairs.of(f"{network} {wanted}").take()
            and self._networks.of(network).take()
            and self._addresses.of(wanted).take()
        )

    async def _standing(self, address: Address) -> Standing | None:
        person = self._sign_ins.person(id_by_mail(address))
        if person is not None:
            return Standing(person, person.role)
        if await self._sign_ins.register.has(id_by_mail(address)):
            return None  # somebody who was here, and is not to come back by themselves
        link = await self._sign_ins.register.invitation(address, self._clock.wall_ms())
        if link is not None and holds(self._sign_ins, link):
            return Standing(None, link.role, link.room, link.id)
        return Standing(None, Role.MEMBER) if domain_of(address) in self._domains else None

    async def _write(self, address: Address, secret: str) -> Letter | None:
        """The mail, if the address may come in."""
        if await self._standing(address) is None:
            return None
        return Letter(
            address,
            f"Sign in to {self._host}",
            f"Somebody, probably you, wants to sign in to {self._host} with this email address.\n\n"
            f"To sign in, open this link and press its button:\n\n{self.base}/in/mail/{secret}\n\n"
            f"It works once, within {MINUTES} minutes, and only in the browser that asked for it.\n\n"
            "If you did not ask, do nothing: this mail lets nobody in but whoever asked and can read it.\n"
            "Do not pass it on.\n",
        )

    def _sweep(self) -> None:
        """Forget what is over."""
        now = self._clock.monotonic()
        while self._asked:
            first = next(iter(self._asked))
            if self._asked[first].ends_at > now:
                return
            del self._asked[first]
