"""The way in by mail: a form that asks for a link, the page of that link, and the sign-in that begins with its button.

As with other links, GET shows and POST acts, and both are plain forms. Whoever asks is answered at once and in the same
words, whatever address they typed: what becomes of it, only its mailbox is told. The link works in the browser that
asked, which has a cookie for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from chatzilla.core.addresses import local_part_of
from chatzilla.core.by_mail import MINUTES, Browser
from chatzilla.core.links import mint_secret
from chatzilla.core.rooms import LOBBY, parse_room
from chatzilla.errors import BadRequest, ChatError, Forbidden, NotFound, SignInNeeded, TooFast
from chatzilla.web.entrance import path_of, read_form
from chatzilla.web.middleware import patience, status_of
from chatzilla.web.pages import FORM_HEADERS

if TYPE_CHECKING:
    from chatzilla.core.by_mail import Asked, ByMail, Standing
    from chatzilla.core.rooms import RoomId
    from chatzilla.web.callers import Callers
    from chatzilla.web.pages import Pages


class MailEntrance:
    """The pages of whoever comes in by mail. Without `by_mail`, nobody does."""

    def __init__(self, by_mail: ByMail | None, callers: Callers, pages: Pages) -> None:
        self._by_mail = by_mail
        self._callers = callers
        self._pages = pages

    async def ask(self, request: web.Request) -> web.Response:
        """POST /in: a form with `email` and perhaps `room`; has a link sent.

        Raises:
            NotFound: nobody comes in by mail here.
            Forbidden: a page elsewhere sent this, or it was sent to an address that is not the server's own.
            BadRequest, TooLong: it is no form.
        """
        by_mail = self._here()
        self._callers.check_form(request)
        if self._callers.origin(request) != by_mail.base:
            raise Forbidden(f"Sign in by mail at {by_mail.base}/, which is this server's own address.")
        form = await read_form(request)
        room, typed = _room(form.get("room")), form.get("email", "")
        browser = self._callers.browser(request) or Browser(mint_secret())
        try:
            address = by_mail.ask(typed, browser, room=room, address=self._callers.address(request))
        except ChatError as refusal:
            status, asks = status_of(type(refusal)), refusal.sentence
            page = self._pages.sign_in(request, status, room=room or LOBBY, typed=typed, asks=asks)
            page.headers.update(patience(refusal))
            return page
        page = self._page(
            request,
            "mail_sent.html",
            200,
            address=address,
            failing=by_mail.failing,
            minutes=MINUTES,
            room=room or LOBBY,
        )
        self._callers.know_browser(request, page, browser)
        return page

    async def show(self, request: web.Request) -> web.Response:
        """GET /in/mail/<secret>: whom the link signs in, and a button.

        Raises:
            NotFound: nobody comes in by mail here.
        """
        by_mail, browser = self._here(), self._callers.browser(request)
        try:
            asked, standing = await by_mail.look(
                request.match_info["secret"], browser, address=self._callers.address(request)
            )
        except (SignInNeeded, TooFast, Forbidden) as refusal:
            return self._useless(request, refusal)
        return self._confirm(request, asked, standing, 200)

    async def enter(self, request: web.Request) -> web.Response:
        """POST /in/mail/<secret>: sign in, and go to the room.

        Raises:
            NotFound: nobody comes in by mail here.
            Forbidden: a page elsewhere sent this.
            BadRequest, TooLong: it is no form.
        """
        by_mail, browser = self._here(), self._callers.browser(request)
        self._callers.check_form(request)
        form = await read_form(request)
        secret, address = request.match_info["secret"], self._callers.address(request)
        try:
            bearer, room, known = await by_mail.enter(
                secret, browser, form.get("name"), agent=request.headers.get("User-Agent", ""), address=address
            )
        except (SignInNeeded, TooFast, Forbidden) as refusal:
            return self._useless(request, refusal)
        except ChatError as refusal:
            asked, standing = await by_mail.look(secret, browser, address=address)
            status, typed = status_of(type(refusal)), form.get("name", "")
            page = self._confirm(request, asked, standing, status, typed=typed, words=refusal.sentence)
            page.headers.update(patience(refusal))
            return page
        headers = {"Location": path_of(room or LOBBY), **FORM_HEADERS}
        response = web.Response(status=303, headers=headers)
        await self._callers.begin(request, response, bearer)
        self._callers.know_browser(request, response, known)
        return response

    def _here(self) -> ByMail:
        if self._by_mail is None:
            raise NotFound("Nobody comes in by mail here.")
        return self._by_mail

    def _confirm(
        self,
        request: web.Request,
        asked: Asked,
        standing: Standing,
        status: int,
        *,
        typed: str | None = None,
        words: str = "",
    ) -> web.Response:
        caller = self._callers.find(request)
        me = None if caller is None or caller.sign_in is None else caller.account
        return self._page(
            request,
            "mail_link.html",
            status,
            address=asked.address,
            person=standing.person,
            me=me,
            typed=local_part_of(asked.address) if typed is None else typed,
            words=words,
        )

    def _useless(self, request: web.Request, refusal: ChatError) -> web.Response:
        """One page for all that can be wrong, and where another browser asked, one that says so."""
        status = 404 if isinstance(refusal, SignInNeeded) else status_of(type(refusal))
        title = "Asked for elsewhere" if isinstance(refusal, Forbidden) else "This link leads nowhere"
        page = self._pages.sign_in(request, status, title=title, words=refusal.sentence)
        page.headers.update(patience(refusal))
        return page

    def _page(self, request: web.Request, template: str, status: int, **values: Any) -> web.Response:
        page = self._pages.render(request, template, status, **values)
        page.headers.update(FORM_HEADERS)
        return page


def _room(raw: object) -> RoomId | None:
    """Where somebody wants to go; a room that is none is nowhere in particular."""
    try:
        return parse_room(raw)
    except BadRequest:
        return None
