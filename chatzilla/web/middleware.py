"""What every HTTP request passes: an id, a line in the log, security headers, errors in words."""

from __future__ import annotations

import http
import logging
import secrets
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from chatzilla.errors import (
    BadRequest,
    ChatError,
    Conflict,
    Forbidden,
    Full,
    NotFound,
    NotJoined,
    SignInNeeded,
    TooFast,
    TooLong,
    Unavailable,
    WrongType,
)
from chatzilla.logs import PEER
from chatzilla.web.models import Problem
from chatzilla.web.patience import has_asked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from chatzilla.web.pages import Pages
    from chatzilla.web.peers import Peers

logger = logging.getLogger(__name__)

PROBLEM: Final = "application/problem+json"

_REQUEST_ID: Final = web.RequestKey("request_id", str)

_STATUS: Final[dict[type[ChatError], int]] = {
    BadRequest: 400,
    SignInNeeded: 401,
    NotJoined: 403,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooLong: 413,
    WrongType: 415,
    TooFast: 429,
    Full: 503,
    Unavailable: 503,
}
"""How HTTP says what is refused."""

_CODES: Final = {
    401: "sign-in",
    403: "forbidden",
    404: "not-found",
    409: "conflict",
    413: "too-long",
    429: "too-fast",
    503: "unavailable",
}
"""The codes of what aiohttp refuses."""

_FOR_PROGRAMS: Final = ("/api/", "/hooks/", "/openvidu/", "/session/", "/login/", "/chat/")
"""Whoever asks there is given problems and no pages, whatever they take."""

_BASIC: Final = 'Basic realm="Chatzilla", charset="UTF-8"'
"""What only applications ask wants their secret; elsewhere a browser would ask its person for it."""

_NOT_KEPT: Final = {"Cache-Control": "no-store"}
"""Caches may keep some refusals, such as 404, unless they are told (RFC 9110, 15.1), and ours depend on who asks."""

_SWITCHED: Final = 101
"""The request has become a connection, which has lines of its own in the log."""

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
}
_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def trace(peers: Peers) -> Middleware:
    """Give each request an id, and the log one line about it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        has_asked(request)
        status = 500
        try:
            response = await handler(request)
        except web.HTTPException as redirect:
            status = redirect.status
            raise
        else:
            status = response.status
            return response
        finally:
            if status != _SWITCHED:
                address = peers.of(request).address
                logger.info(
                    "request %s from %s: %s %s %d",
                    request_id(request),
                    address,
                    request.method,
                    _shown(request.rel_url.raw_path),
                    status,
                    extra={PEER: address},
                )

    return middleware


def request_id(request: web.Request) -> str:
    """What the log calls this request; made when it is asked for, as it never is for a connection."""
    known = request.get(_REQUEST_ID)
    if known is None:
        known = request[_REQUEST_ID] = secrets.token_hex(4)
    return known


def _shown(path: str) -> str:
    """A path as the log has it: whoever reads the log must not be able to use a link or a hook."""
    return next((f"{prefix}…" for prefix in _SECRETS if path.startswith(prefix)), path[:PATH_IN_LOG])


PATH_IN_LOG: Final = 200
"""Characters of a path that the log has: strangers choose how long theirs are."""

_SECRETS: Final = ("/in/", "/hooks/")


def errors(pages: Pages) -> Middleware:
    """Answer each error once: people get a page, programs `application/problem+json` (RFC 9457)."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers: dict[str, str] = {}
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            status, code = error.status, _code(error.status)
            sentence = _SENTENCES.get(status, error.reason)
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        except ChatError as error:
            status, code, sentence = status_of(type(error)), error.code, error.sentence
            headers = patience(error)
        except Exception:
            logger.exception("request %s failed", request_id(request))
            status, code = 500, ChatError.code
            sentence = f"Something went wrong here. The operator finds it as {request_id(request)}."
        if status == http.HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = _BASIC if request.path.startswith("/openvidu/") else "Bearer"
        headers |= _NOT_KEPT
        title = http.HTTPStatus(status).phrase
        if "text/html" in request.headers.get("Accept", "") and not f"{request.path}/".startswith(_FOR_PROGRAMS):
            page = pages.error(request, status, title, sentence)
            page.headers.update(headers)
            return page
        problem = Problem(title=title, status=status, detail=sentence, code=code)
        return web.Response(body=msgspec.json.encode(problem), status=status, headers=headers, content_type=PROBLEM)

    return middleware


_SENTENCES: Final = {
    404: "There is nothing at this address.",
    405: "What is at this address cannot be asked for in that way.",
}
"""What the router refuses; its own reason would be the title once more."""


def status_of(kind: type[ChatError]) -> int:
    """The status by which HTTP says a refusal."""
    return next((_STATUS[each] for each in kind.__mro__ if each in _STATUS), 500)


def patience(refusal: ChatError) -> dict[str, str]:
    """The header that says when to try again (RFC 9110, 10.2.3), where that makes sense."""
    return {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}


def _code(status: int) -> str:
    """The code of what aiohttp refuses."""
    return _CODES.get(status, BadRequest.code if status < 500 else ChatError.code)


def secure(peers: Peers, *, strict: bool = True) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Set the headers that every answer carries; a handler that set its own keeps it.

    With `strict`, whoever came by HTTPS is to come by it from now on, and past no warning (RFC 6797).
    """

    async def on_prepare(request: web.Request, response: web.StreamResponse) -> None:
        if response.status == _SWITCHED:
            return  # nothing of it is ever shown
        response.headers["Server"] = "Chatzilla"
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        if strict and peers.of(request).scheme == "https":
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")

    return on_prepare
