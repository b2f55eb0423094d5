"""OpenVidu's doors: the two routes of its basic application, and below them the part of its REST API that those call.

`/api/sessions` is for pages, as the application answers them: bare text. `/openvidu/api` is for that application
itself, and for whatever else has the secret: JSON, and statuses as OpenVidu 2 has them. A session that exists is 409
where it is made, one that does not is 404; but 400 where one of its connections is asked for, which 404 is about there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from chatzilla.core.rights import CallRole
from chatzilla.errors import BadRequest, Conflict, NotFound
from chatzilla.web.seeds.asking import NO_STORE, as_json, plain, read_object, text_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.core.bookings import Booking, Bookings
    from chatzilla.core.connections import Connection, Connections
    from chatzilla.web.seeds.asking import Askers

_WEBRTC: Final = "WEBRTC"


class OpenVidu:
    """Sessions and connections."""

    def __init__(self, bookings: Bookings, connections: Connections, askers: Askers) -> None:
        self._bookings = bookings
        self._connections = connections
        self._askers = askers

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/sessions", self.initialize_session),
            web.post("/api/sessions/{session}/connections", self.create_connection),
            web.get("/openvidu/api/sessions", self.list_sessions),
            web.post("/openvidu/api/sessions", self.make_session),
            web.get("/openvidu/api/sessions/{session}", self.show_session),
            web.delete("/openvidu/api/sessions/{session}", self.close_session),
            web.get("/openvidu/api/sessions/{session}/connection", self.list_connections),
            web.post("/openvidu/api/sessions/{session}/connection", self.make_connection),
            web.get("/openvidu/api/sessions/{session}/connection/{connection}", self.show_connection),
            web.delete("/openvidu/api/sessions/{session}/connection/{connection}", self.end_connection),
        ]

    async def initialize_session(self, request: web.Request) -> web.Response:
        """POST /api/sessions `{customSessionId?}`: the session's id; one that exists is as good as a new one."""
        asker = self._askers.of(request)
        wanted = text_in(await read_object(request), "customSessionId")
        booking, _ = self._bookings.book(asker, wanted or None)
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
        booking, new = self._bookings.book(asker, wanted or None)
        if not new:
            raise Conflict("There is a session by this id already.")
        return as_json(self._session(booking))

    async def list_sessions(self, request: web.Request) -> web.Response:
        """GET /openvidu/api/sessions: those that are booked."""
        self._askers.check_secret(request)
        return as_json(_listed(self._sessions(self._bookings.all())))

    async def show_session(self, request: web.Request) -> web.Response:
        """GET /openvidu/api/sessions/<id>"""
        asker = self._askers.check_secret(request)
        return as_json(self._session(self._bookings.find(asker, request.match_info["session"])))

    async def close_session(self, request: web.Request) -> web.Response:
        """DELETE /openvidu/api/sessions/<id>: its call is over, and every token to it. What was said in the room stays.

        Raises:
            NotFound: there is no such session.
        """
        asker = self._askers.check_secret(request)
        await self._bookings.close(asker, request.match_info["session"])
        return web.Response(status=204, headers=NO_STORE)

    async def list_connections(self, request: web.Request) -> web.Response:
        """GET /openvidu/api/sessions/<id>/connection: tokens that hold, and who is there by one."""
        asker = self._askers.check_secret(request)
        booking = self._bookings.find(asker, request.match_info["session"])
        return as_json(self._session(booking)["connections"])

    async def show_connection(self, request: web.Request) -> web.Response:
        """GET /openvidu/api/sessions/<id>/connection/<id>"""
        booking = self._booking_of_connection(request)
        return as_json(_connection(booking, self._connections.find(booking.room, request.match_info["connection"])))

    async def end_connection(self, request: web.Request) -> web.Response:
        """DELETE /openvidu/api/sessions/<id>/connection/<id>: whoever is there is out, and its token lets nobody in.

        Raises:
            BadRequest: there is no such session.
            NotFound: there is no such connection.
        """
        booking = self._booking_of_connection(request)
        await self._connections.end(booking.room, request.match_info["connection"])
        return web.Response(status=204, headers=NO_STORE)

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
        booking = self._bookings.find(asker, request.match_info["session"])
        right = await self._bookings.grant(asker, booking.session, role, data=data)
        return as_json(_connection(booking, self._connections.find(booking.room, right.id)))

    def _booking_of_connection(self, request: web.Request) -> Booking:
        """The session in the address of one of its connections."""
        asker = self._askers.check_secret(request)
        try:
            return self._bookings.find(asker, request.match_info["session"])
        except NotFound as error:
            raise BadRequest(error.sentence) from error

    def _session(self, booking: Booking) -> dict[str, Any]:
        return self._sessions([booking])[0]

    def _sessions(self, bookings: Sequence[Booking]) -> list[dict[str, Any]]:
        """Sessions as OpenVidu's REST API shows them, as far as there is something to say."""
        connections = self._connections.of(booking.room for booking in bookings)
        return [
            {
                "id": booking.session,
                "object": "session",
                "sessionId": booking.session,
                "customSessionId": booking.session,
                "createdAt": booking.made_at,
                "recording": False,
                "connections": _listed([_connection(booking, each) for each in connections[booking.room].values()]),
            }
            for booking in bookings
        ]


def _wishes(fields: dict[str, Any]) -> tuple[CallRole, str]:
    """Role and data; the role in either case, as old and new versions write it."""
    try:
        role = CallRole((text_in(fields, "role") or CallRole.PUBLISHER).lower())
    except ValueError as error:
        raise BadRequest("A role is SUBSCRIBER, PUBLISHER or MODERATOR.") from error
    return role, text_in(fields, "data")


def _listed(content: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"numberOfElements": len(content), "content": content}


def _connection(booking: Booking, shown: Connection) -> dict[str, Any]:
    """A connection as OpenVidu's REST API shows it, likewise."""
    return {
        "id": shown.id,
        "connectionId": shown.id,
        "object": "connection",
        "type": _WEBRTC,
        "status": "active" if shown.here else "pending",
        "sessionId": booking.session,
        "createdAt": shown.made_at,
        "role": shown.role.value.upper(),
        "serverData": shown.data,
        "token": shown.token or None,
    }
