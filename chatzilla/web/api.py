"""`/api/v1/…`: what the page asks over HTTP, and any program with a token may. JSON in and out.

A handler knows who calls, decodes, calls a verb of the core, encodes.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final

import segno
from aiohttp import web

from chatzilla import wire
from chatzilla.core import links, policy
from chatzilla.core.people import AccountId
from chatzilla.core.policy import Act
from chatzilla.core.tokens import SignInId
from chatzilla.errors import BadRequest, SignInNeeded
from chatzilla.web.entrance import read_body

if TYPE_CHECKING:
    from chatzilla.core.signin import Bearer, SignIns
    from chatzilla.core.tries import Tries
    from chatzilla.web.callers import Callers

_NO_STORE: Final = {"Cache-Control": "no-store"}
QUIET_ZONE: Final = 4
"""Modules of white around a QR code (ISO/IEC 18004)."""


class Api:
    """People, links and sign-ins over HTTP."""

    def __init__(self, sign_ins: SignIns, tries: Tries, callers: Callers, base: str) -> None:
        self._sign_ins = sign_ins
        self._tries = tries
        self._callers = callers
        self._base = base

    async def me(self, request: web.Request) -> web.Response:
        """GET /api/v1/me: who calls, and what they may make."""
        bearer = self._callers.need(request)
        account = bearer.account
        invites, gives = (
            [role.value for role in policy.GIVEN if policy.may(account.role, act, policy.giving(role))]
            for act in (Act.INVITE, Act.SET_ROLE)
        )
        return answer(
            {
                "you": wire.encode_holder(account),
                "sign_in": self._callers.mode.value,
                "invites": invites,
                "gives": gives,
            }
        )

    async def sign_in(self, request: web.Request) -> web.Response:
        """POST /api/v1/sign-in: use a link, for programs; answers with a token."""
        self._callers.check_form(request)
        secret, name = wire.decode_sign_in(await read(request))
        bearer, _ = await links.use(
            self._sign_ins,
            self._tries,
            secret,
            name,
            agent=request.headers.get("User-Agent", ""),
            address=self._callers.address(request),
        )
        token = self._sign_ins.token_of(bearer.account, bearer.standing)
        return answer({"you": wire.encode_holder(bearer.account) | {"token": token}}, 201)

    async def sign_out(self, request: web.Request) -> web.Response:
        """POST /api/v1/sign-out: end the sign-in that asks."""
        bearer = self._holder(request)
        await read(request)
        if bearer.standing is not None:
            await self._sign_ins.end(bearer, bearer.standing)
        response = done()
        self._callers.forget(request, response)
        return response

    async def list_links(self, request: web.Request) -> web.Response:
        """GET /api/v1/links: those that can still be used, as far as the caller may see them."""
        bearer = self._holder(request)
        offers = await links.seen_by(self._sign_ins, bearer.account)
        return answer({"links": [wire.encode_offer(offer) for offer in offers]})

    async def make_link(self, request: web.Request) -> web.Response:
        """POST /api/v1/links: make one. Its address and QR code are in this answer and in no other."""
        bearer = self._holder(request)
        terms = wire.decode_terms(await read(request), bearer.account.id)
        link, secret = await links.make(self._sign_ins, bearer, terms)
        offer = links.Offer(link, bearer.account, self._sign_ins.person(link.account))
        url = f"{self._base or self._callers.origin(request)}/in/{secret}"
        return answer({"link": wire.encode_offer(offer), "url": url, "qr": qr(url)}, 201)

    async def revoke_link(self, request: web.Request) -> web.Response:
        """DELETE /api/v1/links/<id>"""
        bearer = self._holder(request)
        await links.revoke(self._sign_ins, bearer.account, request.match_info["id"])
        return done()

    async def list_sign_ins(self, request: web.Request) -> web.Response:
        """GET /api/v1/sign-ins: the caller's own, and those of people below."""
        bearer = self._holder(request)
        found = self._sign_ins.visible_to(bearer.account)
        return answer({"sign_ins": [wire.encode_sign_in(each, current=each.id == bearer.standing) for each in found]})

    async def end_sign_in(self, request: web.Request) -> web.Response:
        """DELETE /api/v1/sign-ins/<id>"""
        bearer = self._holder(request)
        await self._sign_ins.end(bearer, SignInId(request.match_info["id"]))
        return done()

    async def end_sign_ins(self, request: web.Request) -> web.Response:
        """DELETE /api/v1/sign-ins: all of one's own but this one, or with `?account=` all of somebody's."""
        bearer = self._holder(request)
        account = AccountId(request.query.get("account", bearer.account.id))
        but = bearer.standing if account == bearer.account.id else None
        await self._sign_ins.end_all(bearer, account, but=but)
        return done()

    def _holder(self, request: web.Request) -> Bearer:
        """Who calls, if they are signed in; a typed name has no links and no sign-ins.

        Raises:
            SignInNeeded, TooFast: they are not.
        """
        bearer = self._callers.need(request)
        if bearer.sign_in is None:
            raise SignInNeeded("Sign in first.")
        return bearer


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


async def read(request: web.Request) -> object:
    """A small JSON document.

    Raises:
        BadRequest, TooLong: it is none.
    """
    if request.content_type != "application/json":
        raise BadRequest("This takes JSON, and says so: Content-Type: application/json.")
    try:
        document: object = json.loads(await read_body(request))
    except (ValueError, RecursionError) as error:
        raise BadRequest("This is no JSON.") from error
    return document


def answer(document: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(document, status=status, headers=_NO_STORE)


def done() -> web.Response:
    return web.Response(status=204, headers=_NO_STORE)
