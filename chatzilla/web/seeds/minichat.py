"""Minichat's doors: a page for whoever is signed in, and a route that takes what one says as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from chatzilla.core import messages, remote
from chatzilla.core.messages import TEXT_LIMIT, Draft
from chatzilla.core.rooms import LOBBY
from chatzilla.errors import BadRequest
from chatzilla.web.entrance import read_body
from chatzilla.web.seeds.asking import NO_STORE

if TYPE_CHECKING:
    from chatzilla.core.limits import Paces
    from chatzilla.ports import Ports
    from chatzilla.web.callers import Callers
    from chatzilla.web.pages import Pages

_BYTES: Final = 4 * TEXT_LIMIT
"""The longest message in UTF-8."""


class Minichat:
    """Text in the lobby, without a client of ours."""

    def __init__(self, ports: Ports, paces: Paces, callers: Callers, pages: Pages) -> None:
        self._ports = ports
        self._paces = paces
        self._callers = callers
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/minichat", self._pages.minichat), web.post("/chat", self.say)]

    async def say(self, request: web.Request) -> web.Response:
        """POST /chat, the text as the body: say it in the lobby. Everybody hears it, the caller's connections too.

        Raises:
            SignInNeeded, Forbidden, TooFast: the caller is nobody whom we know, or may not, or not now.
            BadRequest, TooLong: it is no text.
            Unavailable: the log cannot store now.
        """
        author = self._callers.need(request).account
        try:
            text = (await read_body(request, _BYTES)).decode()
        except UnicodeDecodeError as error:
            raise BadRequest("A message is text, in UTF-8.") from error
        draft = Draft(LOBBY, messages.mint_client_id(), messages.parse_content(text))
        await remote.post(self._ports, self._paces, author, draft, address=self._callers.address(request))
        return web.Response(status=204, headers=NO_STORE)
