"""`/api/v1/…`: what is said, without a connection. Whoever is connected hears it as they hear everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from aiohttp import web

from chatzilla import wire
from chatzilla.core import messages, remote
from chatzilla.core.catchup import Span
from chatzilla.core.messages import Change, Draft
from chatzilla.core.rooms import parse_room
from chatzilla.core.signin import Bearer
from chatzilla.errors import BadRequest, Conflict, Forbidden
from chatzilla.web import models
from chatzilla.web.contract import Made, operation
from chatzilla.web.models import given, shaped

if TYPE_CHECKING:
    from chatzilla.core.limits import Paces
    from chatzilla.core.messages import Page
    from chatzilla.ports import Ports
    from chatzilla.web.callers import Callers

MESSAGES: Final = "Messages"


class Talk:
    """Messages over HTTP."""

    def __init__(self, ports: Ports, paces: Paces, callers: Callers) -> None:
        self._ports = ports
        self._paces = paces
        self._callers = callers

    @operation("GET", "/api/v1/rooms/{room}/messages", MESSAGES, Forbidden)
    async def list_messages(
        self, request: web.Request, caller: Bearer, room: models.RoomName, query: models.Part
    ) -> models.Messages:
        """A part of a room's history, for reading on.

        Without `before` or `after` it is the newest part, and `next` leads to what is older; with `after` it leads to
        what is newer, and is null once there is nothing more. Who wants to hear everything at once connects by
        Socket.IO.
        """
        before, after = given(query.before), given(query.after)
        if before is not None and after is not None:
            raise BadRequest("Ask for what is before or after a message: one of them.")
        where = parse_room(room)
        span = Span(limit=query.limit, before=before, after=after)
        page = await remote.history(
            self._ports, self._paces, caller.account, where, span, address=self._callers.address(request)
        )
        following = _next(page, span)
        path = f"/api/v1/rooms/{where}/messages?{urlencode(following)}" if following else None
        return shaped(models.Messages, wire.encode_page(page) | {"next": path})

    @operation("POST", "/api/v1/rooms/{room}/messages", MESSAGES, Forbidden, Conflict)
    async def post_message(
        self, request: web.Request, caller: Bearer, room: models.RoomName, body: models.NewMessage
    ) -> Made[models.Posted] | models.Posted:
        """Say something.

        It is on disk when this is answered, and everybody hears it, the caller's own connections too. Sent again under
        the same `client_id`, it is answered as the first time, by 200 instead of 201, and is not told again; without
        one, it is said again.
        """
        client_id = given(body.client_id)
        draft = Draft(
            parse_room(room),
            messages.mint_client_id() if client_id is None else messages.parse_client_id(client_id),
            messages.parse_content(body.content),
        )
        message, new = await remote.post(
            self._ports, self._paces, caller.account, draft, address=self._callers.address(request)
        )
        posted = shaped(models.Posted, wire.encode_posted(message))
        return Made(posted) if new else posted

    @operation("GET", "/api/v1/messages/{id}", MESSAGES)
    async def read_message(
        self,
        request: web.Request,
        caller: Bearer,
        id: models.MessageName,  # noqa: A002  # the path's name
    ) -> models.Message:
        """The newest state of one message."""
        target = messages.parse_target(id)
        message = await remote.message(
            self._ports, self._paces, caller.account, target, address=self._callers.address(request)
        )
        return shaped(models.Message, wire.encode_message(message))

    @operation("PATCH", "/api/v1/messages/{id}", MESSAGES, Forbidden, Conflict)
    async def edit_message(
        self,
        request: web.Request,
        caller: Bearer,
        id: models.MessageName,  # noqa: A002  # the path's name
        body: models.NewText,
    ) -> models.Message:
        """Give a message of one's own another text; answered with its newest state."""
        return await self._change(request, caller, id, messages.parse_content(body.content))

    @operation("DELETE", "/api/v1/messages/{id}", MESSAGES, Forbidden)
    async def delete_message(
        self,
        request: web.Request,
        caller: Bearer,
        id: models.MessageName,  # noqa: A002  # the path's name
    ) -> models.Message:
        """Take a message of one's own back: its text is gone, its place stays. Answered with what is left of it."""
        return await self._change(request, caller, id, None)

    async def _change(self, request: web.Request, caller: Bearer, ident: str, content: str | None) -> models.Message:
        wanted = Change(messages.parse_target(ident), content)
        message = await remote.change(
            self._ports, self._paces, caller.account, wanted, address=self._callers.address(request)
        )
        return shaped(models.Message, wire.encode_message(message))


def _next(page: Page, span: Span) -> dict[str, int]:
    """How one asks for what lies beyond a page."""
    if not page.more or not page.messages:
        return {}
    if span.after is not None:
        return {"after": page.messages[-1].seq, "limit": span.limit}
    return {"before": page.messages[0].seq, "limit": span.limit}
