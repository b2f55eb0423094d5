"""Who calls over HTTP: by `Authorization: Bearer`, else by the session cookie. `SignIns.who` judges both.

The cookie is HttpOnly, so no script reads it, SameSite=Lax, so no other site's request carries it (but a link that one
follows does), and Secure behind TLS, under a name that only this host can set there (`__Host-`). A browser tells beside
it which page asks; unless that is one of ours, or the person follows a link, the cookie does not count. So a page
elsewhere can make a browser send a request, and never one that is anybody's. What changes something takes JSON as well,
which no form can send.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from chatzilla.core.by_mail import Browser
from chatzilla.core.signin import IDLE_MS
from chatzilla.errors import ChatError, Forbidden, SignInNeeded, TooFast

if TYPE_CHECKING:
    from aiohttp import web

    from chatzilla.core.signin import Bearer, SignInMode, SignIns
    from chatzilla.web.peers import Peers

logger = logging.getLogger(__name__)

_SAFE: Final = {"GET", "HEAD"}
_OWN_SITE: Final = {None, "same-origin", "none"}
"""What a browser says of a request that our own page made, or nobody but the person (Fetch Metadata)."""

SESSION: Final = "session"
"""The cookie that says who is signed in."""

BROWSER: Final = "browser"
"""The cookie by which a browser is told that has asked for a mail. It lets nobody in."""

BROWSER_SECONDS: Final = 180 * 24 * 3600

_BROWSER: Final = re.compile(r"([A-Za-z0-9_-]{22})(?:\.([A-Za-z0-9_-]{43}))?")


class Callers:
    """Tells who calls, and gives browsers their cookie."""

    def __init__(self, sign_ins: SignIns, peers: Peers) -> None:
        self._sign_ins = sign_ins
        self._peers = peers

    @property
    def mode(self) -> SignInMode:
        return self._sign_ins.mode

    def address(self, request: web.Request) -> str:
        return self._peers.of(request).address

    def origin(self, request: web.Request) -> str:
        """The address of this server, as this caller sees it."""
        return self._peers.of(request).origin

    def ticket(self, request: web.Request) -> str | None:
        """The token in the cookie, if the cookie counts."""
        token = self._cookie(request)
        return token if token is not None and self.is_own(request) else None

    def is_own(self, request: web.Request) -> bool:
        """Whether a page of ours asks, or nobody but the person; who sends no `Origin` may only read.

        Whoever follows a link from elsewhere sees what they would have seen by typing its address. The page with the
        link sees nothing of it, and cannot have it in a frame.
        """
        headers = request.headers
        origin = headers.get("Origin")
        if origin is not None:
            return origin.lower() == self._peers.of(request).origin
        if "Upgrade" in headers:
            return False  # a browser always says which page opens a WebSocket
        follows = (headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")) == ("navigate", "document")
        return request.method in _SAFE and (follows or headers.get("Sec-Fetch-Site") in _OWN_SITE)

    def check_form(self, request: web.Request) -> None:
        """See that a form was sent from a page of ours, or from no page at all.

        Raises:
            Forbidden: another site sent it.
        """
        if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
            own = request.headers.get("Origin", "").lower() == self._peers.of(request).origin
            if not own:
                raise Forbidden("This was sent from a page elsewhere.")

    def find(self, request: web.Request) -> Bearer | None:
        """Who calls, if somebody does whom we know."""
        try:
            return self.need(request)
        except (SignInNeeded, TooFast):
            return None

    def need(self, request: web.Request) -> Bearer:
        """Who calls.

        Raises:
            SignInNeeded, TooFast: nobody whom we know.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._sign_ins.who(token.strip(), self.address(request))
        ticket = self.ticket(request)
        if ticket is None:
            raise SignInNeeded("Sign in first.")
        return self._sign_ins.who(ticket, self.address(request))

    def remember(self, request: web.Request, response: web.Response, bearer: Bearer, *, anew: bool = False) -> None:
        """Give the browser its cookie, at the sign-in, and again when half of its time is over."""
        if bearer.sign_in is None or bearer.sign_in.of_program or (bearer.fresh and not anew):
            return
        token = self._sign_ins.token_of(bearer.account, bearer.sign_in.id)
        self._set_cookie(request, response, token, IDLE_MS // 1000)

    async def begin(self, request: web.Request, response: web.Response, bearer: Bearer) -> None:
        """Give the browser the cookie of a new sign-in; the one that it had until now ends."""
        before = self.find(request)
        self.remember(request, response, bearer, anew=True)
        if before is None or before.standing is None:
            return
        try:
            await self._sign_ins.end(before, before.standing)
        except ChatError as refusal:  # the new one holds all the same
            logger.warning("sign-in %s goes on beside a new one: %s", before.standing, refusal)

    def forget(self, request: web.Request, response: web.Response) -> None:
        """Take the cookie away, if there is one that counts: a page elsewhere signs nobody out."""
        if self.ticket(request) is not None:
            self._set_cookie(request, response, "", 0)

    def browser(self, request: web.Request) -> Browser | None:
        """The browser that asks, if it was given a cookie to be told by."""
        found = _BROWSER.fullmatch(self._cookie(request, BROWSER) or "")
        return None if found is None else Browser(found[1], found[2] or "")

    def know_browser(self, request: web.Request, response: web.Response, browser: Browser) -> None:
        """Give a browser the cookie by which it is told."""
        value = f"{browser.secret}.{browser.stamp}" if browser.stamp else browser.secret
        self._set_cookie(request, response, value, BROWSER_SECONDS, BROWSER)

    def _set_cookie(
        self, request: web.Request, response: web.Response, value: str, seconds: int, what: str = SESSION
    ) -> None:
        response.set_cookie(
            self._name(request, what),
            value,
            max_age=seconds,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=self._is_secure(request),
        )

    def _cookie(self, request: web.Request, what: str = SESSION) -> str | None:
        name = self._name(request, what)
        for header in request.headers.getall("Cookie", []):
            for part in header.split(";"):
                key, equals, value = part.strip().partition("=")
                if equals and key == name:
                    return value.strip('"')
        return None

    def _name(self, request: web.Request, what: str) -> str:
        """What a cookie of ours is called. Cookies know no ports, so the name tells two servers on one host apart."""
        try:
            port = urlsplit(self._peers.of(request).origin).port
        except ValueError:
            port = None
        name = f"chatzilla-{what}" if port is None else f"chatzilla-{what}-{port}"
        return f"__Host-{name}" if self._is_secure(request) else name

    def _is_secure(self, request: web.Request) -> bool:
        return self._peers.of(request).scheme == "https"
