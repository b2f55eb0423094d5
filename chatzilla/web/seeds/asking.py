"""Who asks at the doors of other systems, what they send, and which pages elsewhere may read the answer."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec
from aiohttp import web

from chatzilla.core.bookings import Asker
from chatzilla.errors import BadRequest, SignInNeeded
from chatzilla.web.entrance import read_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.core.foreign import Pair
    from chatzilla.core.tries import Tries
    from chatzilla.web.callers import Callers

OPENVIDU_USER: Final = "OPENVIDUAPP"
"""The one user that OpenVidu knows."""

NO_STORE: Final = {"Cache-Control": "no-store"}

NOT_SHOWN: Final = "This needs the secret of applications."

CROSS_ORIGIN: Final = ("/login", "/chat", "/api/sessions", "/api/sessions/{session}/connections")
"""What pages of the origins that the operator has named may ask for, as their own application would let them."""

_REMEMBERED_SECONDS: Final = "600"
"""How long a browser may remember what it may ask for."""


class Askers:
    """Tells who asks: an application by Basic auth (RFC 7617), a person by token or cookie, or anybody."""

    def __init__(self, pair: Pair | None, callers: Callers, tries: Tries) -> None:
        self.pair = pair
        self._callers = callers
        self._tries = tries

    def of(self, request: web.Request) -> Asker:
        """Who asks.

        Raises:
            SignInNeeded, TooFast: what they show is not valid.
        """
        address = self._callers.address(request)
        if "Authorization" not in request.headers:
            return Asker(address, self._callers.find(request))
        if _scheme(request) != "basic":
            return Asker(address, self._callers.need(request))
        return self.check_secret(request)

    def check_secret(self, request: web.Request) -> Asker:
        """See that an application asks.

        Raises:
            SignInNeeded, TooFast: it does not show the secret. Who shows nothing has not guessed.
        """
        if "Authorization" not in request.headers:
            raise SignInNeeded(NOT_SHOWN)
        user, secret = _basic(request)
        if self.pair is None or user not in (OPENVIDU_USER, self.pair.key) or not self.pair.knows(secret):
            self.refuse(request)
        return Asker(self._callers.address(request), application=True)

    def refuse(self, request: web.Request) -> NoReturn:
        """Count what was shown in vain against its address.

        Raises:
            SignInNeeded, TooFast: always one of them.
        """
        address = self._callers.address(request)
        if self._tries.exhausted(address):
            raise self._tries.refusal(address)
        self._tries.count(address)
        raise SignInNeeded(NOT_SHOWN)


def _scheme(request: web.Request) -> str:
    return request.headers.get("Authorization", "").partition(" ")[0].lower()


def _basic(request: web.Request) -> tuple[str, str]:
    """User and password; empty ones where there are none."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password


async def read_object(request: web.Request, *, optional: bool = True) -> dict[str, Any]:
    """A small JSON object, whatever its sender calls it; where it is optional, no body at all is an empty one.

    Raises:
        BadRequest, TooLong: it is none.
    """
    body = await read_body(request)
    if optional and not body:
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadRequest("This takes a JSON object.") from error


def text_in(fields: dict[str, Any], name: str) -> str:
    """A field that is text, or missing.

    Raises:
        BadRequest: it is something else.
    """
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"{name} has to be text.")
    return value


def plain(text: str) -> web.Response:
    """The answer of the routes that answer with one word."""
    return web.Response(text=text, headers=NO_STORE)


def as_json(document: object, status: int = 200) -> web.Response:
    """JSON under its bare name, which is what SDKs look for."""
    return web.Response(
        body=msgspec.json.encode(document), status=status, headers=NO_STORE, content_type="application/json"
    )


class CrossOrigin:
    """Lets pages of a few origins ask (Fetch, "CORS protocol"), by what they show and never by a cookie."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    def routes(self) -> list[web.RouteDef]:
        return [web.options(path, self.preflight) for path in CROSS_ORIGIN]

    async def preflight(self, _request: web.Request) -> web.Response:
        """OPTIONS: what `on_prepare` says of it is the answer."""
        return web.Response(status=204, headers={"Allow": "OPTIONS, POST"})

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say on every answer of these routes, refusals too, whether the page that asks may read it."""
        resource = request.match_info.route.resource
        if resource is None or resource.canonical not in CROSS_ORIGIN:
            return
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin", "")
        if origin.lower() not in self._origins:
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "POST"
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
            response.headers["Access-Control-Max-Age"] = _REMEMBERED_SECONDS
