"""The door of the Flask and Twilio tutorial: a name goes in, a token comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from chatzilla.core.rights import room_of
from chatzilla.core.rooms import LOBBY
from chatzilla.errors import SignInNeeded
from chatzilla.web.seeds.asking import as_json, read_object, text_in

if TYPE_CHECKING:
    from chatzilla.core.bookings import Bookings
    from chatzilla.web.seeds.asking import Askers


class Twilio:
    """The tutorial's one route."""

    def __init__(self, bookings: Bookings, askers: Askers) -> None:
        self._bookings = bookings
        self._askers = askers

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/login", self.login)]

    async def login(self, request: web.Request) -> web.Response:
        """POST /login `{username, room?}`: `{token}` for the lobby, or for another room by its id or name.

        Raises:
            SignInNeeded: there is no name; the tutorial answers 401.
        """
        asker = self._askers.of(request)
        fields = await read_object(request, optional=False)
        name, room = text_in(fields, "username"), text_in(fields, "room")
        if not name.strip():
            raise SignInNeeded("Say who you are: username cannot be empty.")
        right = self._bookings.let_in(asker, name, room_of(room) if room else LOBBY)
        return as_json({"token": right.token})
