"""OpenVidu's doors: the two routes of its basic application, and below them the part of its REST API that those call.

`/api/sessions` is for pages, as the application answers them: bare text. `/openvidu/api` is for that application
itself, and for whatever else has the secret: JSON, and 409 for a session that exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from chatzilla.core.rights import CallRole
from chatzilla.errors import BadRequest, Conflict
from chatzilla.web.seeds.asking import as_json, plain, read_object, text_in

if TYPE_CHECKING:
    from chatzilla.core.bookings import Booking, Bookings
    from chatzilla.core.rights import Right
    from chatzilla.web.seeds.asking import Askers

_WEBRTC: Final = "WEBRTC"


class OpenVidu:
    """Sessions and connections."""

    def __init__(self, bookings: Bookings, askers: Askers) -> None:
        self._bookings = bookings
        self._askers = askers

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/sessions", self.initialize_session),
            web.post("/api/sessions/{session}/connections", self.create_connection),
            web.get("/openvidu/api/sessions", self.list_sessions),
            web.post("/openvidu/api/sessions", self.make_session),
            web.get("/openvidu/api/sessions/{session}", self.show_session),
            web.post("/openvidu/api/sessions/{session}/connection", self.make_connection),
        ]

    async def initialize_session(self, request: web.Request) -> web.Response:
        """POST /api/sessions `{customSessionId?}`: the session's id; one that exists is as good as a new one."""
        asker = self._askers.of(request)
        wanted = text_in(await read_object(request), "customSessionId")
        booking, _ = await self._bookings.book(asker, wanted or None)
        return plain(wanted or booking.session)

    async def create_connection(self, request: web.Request) -> web.Response:
        """POST /api/sessions/<id>/connections `{role?, data?}`: the token."""
        asker = self._askers.of(request)
        role, data = _wishes(await read_object(request))
        right = await self._bookings.grant(asker, request.match_info["session"], role, data=data)
        return plain(right.token)

    async def make_session(self, request: web.Request) -> web.Response:
        """POST /openvidu/api/sessions: a new session.

        Raises:
            Conflict: there is one by this id.
        """
        asker = self._askers.check_secret(request)
        wanted = text_in(await read_object(request), "customSessionId")
        booking, new = await self._bookings.book(asker, wanted or None)
        if not new:
            raise Conflict("There is a session by this id already.")
        return as_json(_session(booking))

    async def list_sessions(self, request: web.Request) -> web.Response:
        """GET /openvidu/api/sessions: those that are booked."""
        self._askers.check_secret(request)
        content = [_session(booking) for booking in self._bookings.all()]
        return as_json({"numberOfElements": len(content), "content": content})

    async def show_session(self, request: web.Request) -> web.Response:
        """GET /openvidu/api/sessions/<id>"""
        asker = self._askers.check_secret(request)
        return as_json(_session(await self._bookings.find(asker, request.match_info["session"])))

    async def make_connection(self, request: web.Request) -> web.Response:
        """POST /openvidu/api/sessions/<id>/connection `{type?, role?, data?}`: a connection with its token.

        Raises:
            BadRequest: a connection of another type than a person's.
        """
        asker = self._askers.check_secret(request)
        fields = await read_object(request)
        if (text_in(fields, "type") or _WEBRTC) != _WEBRTC:
            raise BadRequest("This server connects people: the type is WEBRTC.")
        role, data = _wishes(fields)
        session = request.match_info["session"]
        return as_json(_connection(session, await self._bookings.grant(asker, session, role, data=data)))


def _wishes(fields: dict[str, Any]) -> tuple[CallRole, str]:
    """Role and data; the role in either case, as old and new versions write it."""
    try:
        role = CallRole((text_in(fields, "role") or CallRole.PUBLISHER).lower())
    except ValueError as error:
        raise BadRequest("A role is SUBSCRIBER, PUBLISHER or MODERATOR.") from error
    return role, text_in(fields, "data")


def _session(booking: Booking) -> dict[str, Any]:
    """A session as OpenVidu's REST API shows it, as far as there is something to say."""
    return {
        "id": booking.session,
        "object": "session",
        "sessionId": booking.session,
        "customSessionId": booking.session,
        "createdAt": booking.made_at,
        "recording": False,
    }


def _connection(session: str, right: Right) -> dict[str, Any]:
    """A connection as OpenVidu's REST API shows it, likewise."""
    return {
        "id": right.id,
        "connectionId": right.id,
        "object": "connection",
        "type": _WEBRTC,
        "status": "pending",
        "sessionId": session,
        "role": right.role.value.upper(),
        "serverData": right.data,
        "token": right.token,
    }
