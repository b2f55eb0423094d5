"""Links: how somebody comes in. No passwords exist.

A link is an invitation, which makes a new person of a stated role, or it signs one known person in on another device.
It has an end, a number of uses, perhaps a room; whoever holds its secret holds all of that, so the secret is told once,
to whoever made the link, and the store knows a hash of it. It has 128 random bits, so the hash needs no salt and no
stretching.

To look at a link uses nothing up: chat programs and mail filters open every link that they see.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NewType

from chatzilla.core import policy
from chatzilla.core.audit import Done
from chatzilla.core.directory import is_hidden
from chatzilla.core.people import LINK, account_named, guest_named, id_by_mail
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.rooms import Grade
from chatzilla.core.signin import SIGN_INS_PER_ACCOUNT, SignInMode
from chatzilla.errors import BadRequest, Conflict, NotFound, SignInNeeded

if TYPE_CHECKING:
    from chatzilla.core.addresses import Address
    from chatzilla.core.audit import Deed
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.signin import Bearer, SignIns
    from chatzilla.core.tokens import SignInId
    from chatzilla.core.tries import Tries

LinkId = NewType("LinkId", str)

LINKS_PER_PERSON: Final = 50
"""Links of one maker that can still be used."""

USES_AT_MOST: Final = 1_000
LONGEST_MS: Final = 30 * 24 * 3600 * 1000
OWN_DEVICE_MS: Final = 10 * 60 * 1000
"""How long a link for one's own phone can be used: as long as one holds the phone to the screen."""

OTHERS_DEVICE_MS: Final = 24 * 3600 * 1000
"""How long somebody else has to use a link that signs them in."""

OWNER_MS: Final = 24 * 3600 * 1000

USELESS: Final = "This link cannot be used. It may be over, used up, or mistyped. Ask for a new one."
"""All that a stranger is told, whatever is wrong with a link."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What somebody wants a link to be: an invitation, or, with `account`, a sign-in for that person."""

    role: Role = Role.MEMBER
    room: RoomId | None = None
    lasts_ms: int = 7 * 24 * 3600 * 1000
    uses: int = 1
    account: AccountId | None = None
    email: Address | None = None
    """Whom it is for; they come in by mail, and the link itself by nobody."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is stored. Times are milliseconds since 1970."""

    id: LinkId
    maker: AccountId | None
    """None: the operator."""
    made_in: SignInId | None
    account: AccountId | None
    """Whom it signs in; None: it invites somebody new."""
    role: Role
    room: RoomId | None
    made_at: int
    ends_at: int
    uses: int
    used: int = 0
    email: Address | None = None
    """Whom it invites, to come in by mail."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A link as whoever opens it sees it."""

    link: Link
    maker: Account | None
    person: Account | None
    """Whom it signs in; None: somebody new, who is asked for a name."""


def digest(secret: str) -> str:
    """What the store knows of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def mint_secret() -> str:
    return secrets.token_urlsafe(16)


async def look(sign_ins: SignIns, tries: Tries, secret: str, *, address: str) -> Offer:
    """See what a link offers; nothing is used up.

    Raises:
        SignInNeeded: it cannot be used. The try counts against the address.
        TooFast: too many came from this address; this one was not judged.
    """
    if tries.exhausted(address):
        raise tries.refusal(address)
    link = await sign_ins.register.link(digest(secret), sign_ins.clock.wall_ms())
    offer = None if link is None or not holds(sign_ins, link) else _offer(sign_ins, link)
    if offer is None:
        tries.count(address)
        raise SignInNeeded(USELESS)
    return offer


async def use(
    sign_ins: SignIns, tries: Tries, secret: str, name: object, *, agent: str, address: str
) -> tuple[Bearer, Link]:
    """Use a link up by one, and begin a sign-in.

    Args:
        sign_ins: who is signed in.
        tries: the count of vain tries.
        secret: what the link ends with.
        name: the name of a new person; nothing where the link knows whom it is for.
        agent: what the browser calls itself.
        address: where it is used.

    Raises:
        SignInNeeded, TooFast: see `look`.
        BadRequest, TooLong, Conflict: the name is none, or is taken; nothing is used up.
        Full: a bound is reached.
    """
    offer = await look(sign_ins, tries, secret, address=address)
    link = offer.link
    account = offer.person or _newcomer(link, name)
    with nullcontext() if offer.person else sign_ins.reserving(account):
        async with sign_ins.rooms.changing if _leads_inside(link) else nullcontext():
            if _offer(sign_ins, link) is None or not holds(sign_ins, link):
                superseded = None
            else:
                sign_in = sign_ins.draft(account, agent)
                superseded = await sign_ins.register.use_link(digest(secret), sign_in, at_most=SIGN_INS_PER_ACCOUNT)
            if superseded is None:
                tries.count(address)
                raise SignInNeeded(USELESS)
            if link.room is not None and _leads_inside(link):
                sign_ins.rooms.keep(sign_ins.rooms.find(link.room).graded(account.id, Grade.POST))
            return sign_ins.began(sign_in, superseded), link


async def make(sign_ins: SignIns, bearer: Bearer, terms: Terms) -> tuple[Link, str]:
    """Make a link; returns it with its secret, which nobody is told again.

    Raises:
        Forbidden: it is not theirs to make, or to make for this room.
        BadRequest, Conflict: see `check`.
        NotFound: it is for a private room that is not theirs.
        NotFound: there is nobody whom it could sign in.
        Full: they have as many links as one may.
    """
    account = bearer.account
    if terms.account is not None:
        person = sign_ins.person(terms.account)
        if person is None or person.role is Role.REMOVED:
            policy.check(account, Act.SIGN_IN, Thing.BELOW)
            raise NotFound("There is nobody like that.")
        thing = policy.stands(account, person)
        policy.check(account, Act.SIGN_IN, thing)
        lasts_ms = OWN_DEVICE_MS if thing is Thing.OWN else OTHERS_DEVICE_MS
        terms = Terms(person.role, person.room, lasts_ms, uses=1, account=person.id)
    else:
        policy.check(account, Act.INVITE, policy.giving(terms.role))
        check(terms, sign_ins)
        if terms.room is not None:
            sign_ins.rooms.check(account, Act.ADMIT, terms.room)
    link, secret = drafted(sign_ins, terms, maker=account.id, made_in=bearer.standing)
    deeds = [] if link.account == account.id else [_entry(sign_ins, account, Done.MAKE_LINK, link)]
    await sign_ins.register.make_link(link, digest(secret), at_most=LINKS_PER_PERSON, deeds=deeds)
    return link, secret


async def make_as_operator(sign_ins: SignIns, terms: Terms) -> str:
    """Make a link, without asking whether anybody may; returns its secret.

    Raises:
        BadRequest, Conflict: see `check`.
    """
    check(terms, sign_ins)
    link, secret = drafted(sign_ins, terms, maker=None)
    entry = _entry(sign_ins, None, Done.MAKE_LINK, link)
    await sign_ins.register.make_link(link, digest(secret), at_most=LINKS_PER_PERSON, deeds=[entry])
    return secret


def check(terms: Terms, sign_ins: SignIns) -> None:
    """See whether an invitation makes sense.

    Raises:
        BadRequest: it does not.
        Conflict: whom it is for is here already.
    """
    if terms.email is not None:
        if sign_ins.mode is not SignInMode.EMAIL:
            raise BadRequest("Nobody comes in by mail here; make a link instead.")
        if terms.role in (Role.GUEST, Role.BOT) or terms.uses != 1:
            raise BadRequest("Owners, admins and members come in by mail, each once; for others make a link.")
        if sign_ins.person(id_by_mail(terms.email)) is not None:
            raise Conflict("Whoever has this address is here already.")
    if terms.role is Role.GUEST and terms.room is None:
        raise BadRequest("A guest is invited into a room: say which.")
    if not 1 <= terms.uses <= USES_AT_MOST:
        raise BadRequest(f"A link can be used 1 to {USES_AT_MOST:,} times.")
    if not 0 < terms.lasts_ms <= LONGEST_MS:
        raise BadRequest("A link lasts 30 days at most.")


def drafted(
    sign_ins: SignIns, terms: Terms, *, maker: AccountId | None, made_in: SignInId | None = None
) -> tuple[Link, str]:
    """A link by these terms that is not stored yet, and its secret."""
    now = sign_ins.clock.wall_ms()
    link = Link(
        id=LinkId(secrets.token_hex(9)),
        maker=maker,
        made_in=made_in,
        account=terms.account,
        role=terms.role,
        room=terms.room,
        made_at=now,
        ends_at=now + terms.lasts_ms,
        uses=terms.uses,
        email=terms.email,
    )
    return link, mint_secret()


async def owner_link(sign_ins: SignIns) -> str:
    """Make a link for the owner, and end all that were made before and not used; returns its secret."""
    owner = sign_ins.owner()
    terms = Terms(Role.OWNER, lasts_ms=OWNER_MS, account=None if owner is None else owner.id)
    link, secret = drafted(sign_ins, terms, maker=None)
    await sign_ins.register.revoke_owner_links(link.made_at)
    entry = _entry(sign_ins, None, Done.MAKE_LINK, link)
    await sign_ins.register.make_link(link, digest(secret), at_most=LINKS_PER_PERSON, deeds=[entry])
    return secret


def holds(sign_ins: SignIns, link: Link) -> bool:
    """Whether whoever made a link might make it now: else who was banned, removed or made less would come back by it as
    somebody new. The operator's hold."""
    if link.maker is None:
        return True
    maker = sign_ins.person(link.maker)
    if maker is None or sign_ins.bans.against(maker, None) is not None:
        return False
    if link.account is not None:
        person = sign_ins.person(link.account)
        return person is not None and policy.may(maker.role, Act.SIGN_IN, policy.stands(maker, person))
    leads_where_they_may = link.room is None or sign_ins.rooms.may(maker, Act.ADMIT, link.room)
    return leads_where_they_may and policy.may(maker.role, Act.INVITE, policy.giving(link.role))


async def seen_by(sign_ins: SignIns, account: Account) -> list[Offer]:
    """The links that can still be used and that somebody may see, the newest first."""
    found = await sign_ins.register.links(sign_ins.clock.wall_ms())
    offers = [offer for offer in (_offer(sign_ins, link) for link in found) if offer is not None]
    return [
        offer for offer in offers if policy.may(account.role, Act.SEE_LINK, _stands(account, offer.link, offer.maker))
    ]


async def revoke(sign_ins: SignIns, account: Account, ident: str) -> None:
    """End a link.

    Raises:
        NotFound: there is none, or it is not theirs to end.
    """
    for offer in await seen_by(sign_ins, account):
        if offer.link.id == ident:
            policy.check(account, Act.REVOKE_LINK, _stands(account, offer.link, offer.maker))
            entry = _entry(sign_ins, account, Done.REVOKE_LINK, offer.link)
            await sign_ins.register.revoke_link(offer.link.id, sign_ins.clock.wall_ms(), deeds=[entry])
            return
    raise NotFound("There is no such link.")


def _entry(sign_ins: SignIns, actor: Account | None, act: Done, link: Link) -> Deed:
    """What the audit list says of a link; not whose address it is for."""
    details: dict[str, Any] = {
        "link": link.id,
        "role": link.role.value,
        "uses": link.uses,
        "by_mail": link.email is not None,
    }
    return sign_ins.rooms.scribe.entry(actor, act, sign_ins.person(link.account), room=link.room, **details)


def _stands(account: Account, link: Link, maker: Account | None) -> Thing:
    """How a link stands to somebody; who made the one for an owner does not make it a lesser one."""
    if link.role is Role.OWNER and link.maker != account.id:
        return Thing.OTHER
    return policy.stands(account, maker)


def _offer(sign_ins: SignIns, link: Link) -> Offer | None:
    """A link with the people that it is about; nothing where whom it signs in, or the private room that it leads to, is
    not here any more."""
    person, maker = sign_ins.person(link.account), sign_ins.person(link.maker)
    if link.account is not None and (person is None or person.role is Role.REMOVED):
        return None
    if link.room is not None and _leads_inside(link) and sign_ins.rooms.get(link.room) is None:
        return None
    return Offer(link, maker, person)


def _leads_inside(link: Link) -> bool:
    """Whether it makes somebody new a member of a private room."""
    return link.account is None and link.room is not None and is_hidden(link.room)


def _newcomer(link: Link, name: object) -> Account:
    """The new person that an invitation makes."""
    if link.role is Role.GUEST and link.room is not None:
        return guest_named(name, link.room, link.ends_at)
    named = account_named(name, LINK)
    return replace(named, role=link.role)
