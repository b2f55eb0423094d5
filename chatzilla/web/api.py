"""`/api/v1/…`: people, links and sign-ins, for the page and for any program with a token.

A handler calls a verb of the core; who calls and what they ask has been checked by its signature, see `contract`.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any, Final

import segno
from aiohttp import web

from chatzilla import wire
from chatzilla.core import links, policy
from chatzilla.core.addresses import parse_address
from chatzilla.core.links import Terms
from chatzilla.core.people import AccountId
from chatzilla.core.policy import Act, Thing
from chatzilla.core.rooms import parse_room
from chatzilla.core.signin import Bearer
from chatzilla.core.tokens import SignInId
from chatzilla.errors import Conflict, Forbidden, Full, NotFound, SignInNeeded, TooFast
from chatzilla.web import models
from chatzilla.web.contract import NO_STORE, Made, operation
from chatzilla.web.models import given, shaped

if TYPE_CHECKING:
    from chatzilla.core.by_mail import ByMail
    from chatzilla.core.signin import SignIns
    from chatzilla.core.tries import Tries
    from chatzilla.web.callers import Callers

QUIET_ZONE: Final = 4
"""Modules of white around a QR code (ISO/IEC 18004)."""

COMING_IN: Final = "Coming in"
LINKS: Final = "Links"
SIGN_INS: Final = "Sign-ins"


class Api:
    """People, links and sign-ins over HTTP."""

    def __init__(
        self, sign_ins: SignIns, tries: Tries, callers: Callers, base: str, by_mail: ByMail | None = None
    ) -> None:
        self._sign_ins = sign_ins
        self._tries = tries
        self._callers = callers
        self._base = base
        self._by_mail = by_mail

    @operation("GET", "/api/v1/me", COMING_IN)
    async def me(self, caller: Bearer) -> models.Me:
        """Who calls, and what they may make."""
        account = caller.account
        makes = [
            what
            for what, act, thing in (
                ("hook", Act.MAKE_HOOK, Thing.ROOM),
                ("bot", Act.INVITE, Thing.AS_BOT),
                ("token", Act.MAKE_TOKEN, Thing.OWN),
            )
            if policy.may(account.role, act, thing)
        ]
        invites, gives = (
            [role for role in policy.GIVEN if policy.may(account.role, act, policy.giving(role))]
            for act in (Act.INVITE, Act.SET_ROLE)
        )
        return shaped(
            models.Me,
            {
                "you": wire.encode_holder(account),
                "sign_in": self._callers.mode,
                "invites": invites,
                "gives": gives,
                "makes": makes,
            },
        )

    @operation("POST", "/api/v1/sign-in", COMING_IN, SignInNeeded, Forbidden, Conflict, TooFast, Full)
    async def sign_in(self, request: web.Request, body: models.SecretAndName) -> Made[models.Welcome]:
        """Use a link, and be given a token.

        The token is good for 30 days and for as long as its sign-in lasts. For programs that stay, see Tokens and Bots.
        """
        self._callers.check_form(request)
        bearer, _ = await links.use(
            self._sign_ins,
            self._tries,
            body.secret,
            body.name,
            agent=request.headers.get("User-Agent", ""),
            address=self._callers.address(request),
        )
        token = self._sign_ins.token_of(bearer.account, bearer.standing)
        return Made(shaped(models.Welcome, {"you": wire.encode_holder(bearer.account) | {"token": token}}))

    @operation("POST", "/api/v1/sign-out", COMING_IN)
    async def sign_out(
        self,
        request: web.Request,
        holder: Bearer,
        body: models.Nothing,  # noqa: ARG002  # no form can send it
    ) -> Annotated[web.Response, 204]:
        """End the sign-in that asks."""
        if holder.standing is not None:
            await self._sign_ins.end(holder, holder.standing)
        response = web.Response(status=204, headers=NO_STORE)
        self._callers.forget(request, response)
        return response

    @operation("GET", "/api/v1/links", LINKS)
    async def list_links(self, holder: Bearer) -> models.Links:
        """The links that can still be used, as far as the caller may see them."""
        offers = await links.seen_by(self._sign_ins, holder.account)
        return shaped(models.Links, {"links": [wire.encode_offer(offer) for offer in offers]})

    @operation("POST", "/api/v1/links", LINKS, Forbidden, NotFound, Full, judged=True)
    async def make_link(self, request: web.Request, holder: Bearer, body: models.LinkTerms) -> Made[models.MadeLink]:
        """Make a link: an invitation, or a sign-in for a person who is known.

        Its address and its QR code are in this answer and in no other.
        """
        terms = _terms(body, holder)
        if self._by_mail is not None and terms.email is not None:
            self._by_mail.check_inviting(holder.account)
        link, secret = await links.make(self._sign_ins, holder, terms)
        offer = links.Offer(link, holder.account, self._sign_ins.person(link.account))
        url = f"{self._base or self._callers.origin(request)}/in/{secret}"
        made: dict[str, Any] = {"link": wire.encode_offer(offer)}
        if self._by_mail is not None and link.email is not None:
            url = f"{self._base}/"
            made["mailed"] = self._by_mail.invite(holder.account, link.email)
        return Made(shaped(models.MadeLink, made | {"url": url, "qr": qr(url)}))

    @operation("DELETE", "/api/v1/links/{id}", LINKS, Forbidden, judged=True)
    async def revoke_link(self, holder: Bearer, id: models.Ident) -> None:  # noqa: A002  # the path's name
        """Revoke a link."""
        await links.revoke(self._sign_ins, holder.account, id)

    @operation("GET", "/api/v1/sign-ins", SIGN_INS)
    async def list_sign_ins(self, holder: Bearer) -> models.SignIns:
        """The caller's own sign-ins, and those of people below."""
        found = self._sign_ins.visible_to(holder.account)
        encoded = [wire.encode_sign_in(each, current=each.id == holder.standing) for each in found]
        return shaped(models.SignIns, {"sign_ins": encoded})

    @operation("DELETE", "/api/v1/sign-ins", SIGN_INS, NotFound, judged=True)
    async def end_sign_ins(self, holder: Bearer, query: models.WhoseSignIns) -> None:
        """End all of one's own sign-ins but the one that asks, or all of somebody's."""
        account = AccountId(given(query.account) or holder.account.id)
        but = holder.standing if account == holder.account.id else None
        await self._sign_ins.end_all(holder, account, but=but)

    @operation("DELETE", "/api/v1/sign-ins/{id}", SIGN_INS, judged=True)
    async def end_sign_in(self, holder: Bearer, id: models.Ident) -> None:  # noqa: A002  # the path's name
        """End one sign-in, and close its connections."""
        await self._sign_ins.end(holder, SignInId(id))


def _terms(asked: models.LinkTerms, holder: Bearer) -> Terms:
    """What a link is to be."""
    if asked.account is not None:
        return Terms(account=holder.account.id if asked.account == "me" else AccountId(asked.account))
    room = None if asked.room is None else parse_room(asked.room)
    email = None if asked.email is None else parse_address(asked.email)
    return Terms(asked.role, room, asked.hours * 3_600_000, asked.uses, email=email)


def qr(text: str) -> dict[str, Any]:
    """A QR code as a path: the page draws it without markup from strings."""
    rows = segno.make(text, micro=False, error="m").matrix
    path = []
    for y, row in enumerate(rows, QUIET_ZONE):
        x = QUIET_ZONE
        for dark, run in itertools.groupby(row):
            width = len(list(run))
            if dark:
                path.append(f"M{x} {y}h{width}v1h-{width}z")
            x += width
    return {"size": len(rows) + 2 * QUIET_ZONE, "path": "".join(path)}
