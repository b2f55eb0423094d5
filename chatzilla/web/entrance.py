"""The way in: the page of a link, and the sign-in that begins with its button.

GET shows what a link offers and uses nothing up, since chat programs, mail filters and browsers open links before
people do; POST uses it. The pages are plain forms, so that coming in needs no script. Whatever is wrong with a link is
said in one sentence that tells a stranger nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from aiohttp import web

from chatzilla.core import links
from chatzilla.core.rooms import LOBBY
from chatzilla.errors import BadRequest, ChatError, SignInNeeded, TooFast, TooLong, WrongType
from chatzilla.web.middleware import patience, status_of
from chatzilla.web.pages import FORM_HEADERS

if TYPE_CHECKING:
    from chatzilla.core.links import Offer
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.signin import SignIns
    from chatzilla.core.tries import Tries
    from chatzilla.web.callers import Callers
    from chatzilla.web.pages import Pages

BODY_LIMIT: Final = 16 * 1024
BODY_SECONDS: Final = 10.0


class Entrance:
    """The pages of links."""

    def __init__(self, sign_ins: SignIns, tries: Tries, callers: Callers, pages: Pages) -> None:
        self._sign_ins = sign_ins
        self._tries = tries
        self._callers = callers
        self._pages = pages

    async def show(self, request: web.Request) -> web.Response:
        """GET /in/<secret>: what the link offers, and a button."""
        secret, address = request.match_info["secret"], self._callers.address(request)
        try:
            offer = await links.look(self._sign_ins, self._tries, secret, address=address)
        except (SignInNeeded, TooFast) as refusal:
            return self._useless(request, refusal)
        return self._page(request, offer)

    async def enter(self, request: web.Request) -> web.Response:
        """POST /in/<secret>: use the link, and go to the room.

        Raises:
            Forbidden: a page elsewhere sent this.
            BadRequest, TooLong: it is no form.
        """
        self._callers.check_form(request)
        form = await read_form(request)
        secret, address = request.match_info["secret"], self._callers.address(request)
        name = form.get("name")
        try:
            bearer, link = await links.use(
                self._sign_ins,
                self._tries,
                secret,
                name,
                agent=request.headers.get("User-Agent", ""),
                address=address,
            )
        except (SignInNeeded, TooFast) as refusal:
            return self._useless(request, refusal)
        except ChatError as refusal:
            offer = await links.look(self._sign_ins, self._tries, secret, address=address)
            status, headers = status_of(type(refusal)), patience(refusal)
            page = self._page(request, offer, status, typed=name or "", words=refusal.sentence)
            page.headers.update(headers)
            return page
        room = bearer.account.room or link.room or LOBBY
        response = web.Response(status=303, headers={"Location": path_of(room), **FORM_HEADERS})
        await self._callers.begin(request, response, bearer)
        return response

    def _page(
        self, request: web.Request, offer: Offer, status: int = 200, *, typed: str = "", words: str = ""
    ) -> web.Response:
        caller = self._callers.find(request)
        me = None if caller is None or caller.sign_in is None else caller.account
        left = _in_words(offer.link.ends_at - self._sign_ins.clock.wall_ms())
        link = offer.link
        shown = {"offer": offer, "link": link, "left": left, "me": me, "typed": typed, "words": words}
        shown["into"] = "" if link.room is None else self._sign_ins.rooms.find(link.room).name
        page = self._pages.render(request, "link.html", status, **shown)
        page.headers.update(FORM_HEADERS)
        return page

    def _useless(self, request: web.Request, refusal: ChatError) -> web.Response:
        """The same page whatever is wrong; whoever is signed in is shown the way back."""
        status = 429 if isinstance(refusal, TooFast) else 404
        page = self._pages.sign_in(request, status, words=refusal.sentence)
        page.headers.update(patience(refusal))
        return page


def path_of(room: RoomId) -> str:
    return "/" if room == LOBBY else f"/r/{room}"


def _in_words(ms: int) -> str:
    """How long something lasts yet."""
    hours = round(ms / 3_600_000)
    if hours < 2:
        return "hour"
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"


async def read_body(request: web.Request, limit: int = BODY_LIMIT) -> bytes:
    """A small body, whole.

    Raises:
        TooLong: it is larger than anything that is asked for here.
        WrongType: it is packed. Half of one would be unpacked as if it were whole, and none needs to be so small.
        BadRequest: it did not come in time, or not whole.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongType("A body comes as it is here, without a Content-Encoding.")
    if (request.content_length or 0) > limit:
        raise TooLong(f"This may have {limit:,} bytes at most.")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_any():
                body += part
                if len(body) > limit:
                    raise TooLong(f"This may have {limit:,} bytes at most.")
    except TimeoutError as error:
        raise BadRequest("The request's body did not come in time.") from error
    except (ConnectionError, web.RequestPayloadError) as error:
        raise BadRequest("The request's body did not come whole.") from error
    return bytes(body)


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form.

    Raises:
        WrongType, BadRequest, TooLong: it is none.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise WrongType("This takes a form: application/x-www-form-urlencoded.")
    try:
        text = (await read_body(request)).decode()
        return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=20))
    except ValueError as error:
        raise BadRequest("This form cannot be understood.") from error
