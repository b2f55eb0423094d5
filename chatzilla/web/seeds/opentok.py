"""OpenTok's door: its SDKs make sessions here. The tokens they sign by themselves, without asking anybody."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from aiohttp import web

from chatzilla.core import foreign
from chatzilla.errors import BadRequest, Forbidden, SignInNeeded
from chatzilla.web.entrance import read_form
from chatzilla.web.seeds.asking import NO_STORE, as_json

if TYPE_CHECKING:
    from chatzilla.core.foreign import Pair
    from chatzilla.ports import Clock
    from chatzilla.web.seeds.asking import Askers

_XML: Final = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    "<sessions><Session><session_id>{}</session_id><partner_id>{}</partner_id></Session></sessions>"
)


class OpenTok:
    """Sessions: nothing is kept of them, since their ids say whose they are, and they never end."""

    def __init__(self, askers: Askers, clock: Clock) -> None:
        self._askers = askers
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/session/create", self.create)]

    async def create(self, request: web.Request) -> web.Response:
        """POST /session/create, a form: a new session, as JSON or, for older SDKs, as XML.

        Raises:
            Forbidden: the SDK's signature is not right; it knows no other status for that.
            BadRequest: what it asks for, recording or end-to-end encryption, there is not here.
        """
        pair = self._signed(request)
        options = await read_form(request) if request.can_read_body else {}
        if options.get("archiveMode", "manual") != "manual":
            raise BadRequest("This server records nothing: the archive mode is manual.")
        if options.get("e2ee", "false") != "false":
            raise BadRequest("This server cannot promise end-to-end encryption.")
        session = foreign.session_id(pair, secrets.token_urlsafe(15))
        if "json" not in request.headers.get("Accept", ""):
            return web.Response(text=_XML.format(session, pair.key), content_type="application/xml", headers=NO_STORE)
        return as_json([{"session_id": session, "partner_id": pair.key, "project_id": pair.key}])

    def _signed(self, request: web.Request) -> Pair:
        """Whose session it is going to be."""
        pair = self._askers.pair
        try:
            if pair is None or not self._shows(request, pair):
                self._askers.refuse(request)
        except SignInNeeded as error:
            raise Forbidden("This is not signed with the key and secret of applications.") from error
        return pair

    def _shows(self, request: web.Request, pair: Pair) -> bool:
        """Whether a request is signed (`X-OPENTOK-AUTH`), or shows key and secret themselves, as the oldest SDKs do."""
        key, _, secret = request.headers.get("X-TB-PARTNER-AUTH", "").partition(":")
        if secret:
            return pair.admits(key, secret)
        try:
            foreign.check_call(request.headers.get("X-OPENTOK-AUTH", ""), pair, self._clock.wall_ms() // 1000)
        except SignInNeeded:
            return False
        return True
