"""The pages. The landing card and the chat live in one document; who has to sign in first gets another."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

import jinja2
from aiohttp import web

from chatzilla import __version__
from chatzilla.core.policy import Act
from chatzilla.core.rooms import LOBBY, RoomId, parse_room
from chatzilla.errors import BadRequest, NotFound
from chatzilla.web.assets import takes_gzip

if TYPE_CHECKING:
    from pathlib import Path

    from chatzilla.core.directory import Directory
    from chatzilla.web.assets import Assets
    from chatzilla.web.callers import Callers

PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""The Content Security Policy of every page: our own files, and no markup from anybody (CSP 3, Trusted Types)."""


class Pages:
    """Renders the templates."""

    def __init__(self, templates: Path, assets: Assets, callers: Callers, directory: Directory) -> None:
        self._callers = callers
        self._directory = directory
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(templates),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(static=assets.url, version=__version__)
        for name in self._environment.list_templates(extensions=["html"]):
            self._environment.get_template(name)  # compiled now: the first visitor would hold everybody up

    async def landing(self, request: web.Request) -> web.StreamResponse:
        """GET /: type your email, join, chat; for a guest, the room that they were let into."""
        caller = self._callers.find(request)
        if caller is not None and caller.account.room is not None:
            raise web.HTTPFound(f"/r/{caller.account.room}", headers={"Cache-Control": "no-store"})
        return self._chat(request, LOBBY)

    async def room(self, request: web.Request) -> web.Response:
        """GET /r/<room>: the same page, for another room.

        Raises:
            NotFound: the address names no room.
            Forbidden: the room is not for this person.
        """
        named = request.match_info["room"]
        try:
            room = parse_room(named)
        except BadRequest as error:
            raise NotFound(f"There is no room by this name. {error.sentence}") from error
        if room != named:
            raise web.HTTPPermanentRedirect(f"/r/{room}")
        return self._chat(request, room)

    def error(self, request: web.Request, status: int, title: str, sentence: str) -> web.Response:
        """A page that says in words what went wrong."""
        return self.render(request, "error.html", status, title=title, sentence=sentence)

    def _chat(self, request: web.Request, room: RoomId) -> web.Response:
        caller = self._callers.find(request)
        account = None if caller is None or caller.sign_in is None else caller.account
        if account is not None:
            self._directory.check(account, Act.ENTER, room, address=self._callers.address(request))
        elif self._callers.mode.closed:
            page = self.render(request, "sign_in.html", 200, room=room, words="")
            self._callers.forget(request, page)
            return page
        name = room if account is None else self._directory.find(room).name
        page = self.render(request, "chat.html", 200, room=room, name=name, me=account)
        if caller is None:
            self._callers.forget(request, page)
        else:
            self._callers.remember(request, page, caller)
        return page

    def render(self, request: web.Request, template: str, status: int, **values: object) -> web.Response:
        """A page from a template. Pages differ by who asks, so no cache in between keeps them."""
        body = self._environment.get_template(template).render(values).encode()
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": PAGE_POLICY,
            "Cache-Control": "private, no-cache",
            "Vary": "Accept-Encoding, Accept, Cookie",
        }
        if takes_gzip(request):
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, status=status, headers=headers)
