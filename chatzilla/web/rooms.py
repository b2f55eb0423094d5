"""`/api/v1/…`: rooms, and who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from chatzilla import wire
from chatzilla.core import membership
from chatzilla.core.membership import Plan, Wish, parse_name, parse_topic
from chatzilla.core.messages import parse_client_id
from chatzilla.core.people import AccountId
from chatzilla.core.policy import Act
from chatzilla.core.rooms import Kind, parse_room
from chatzilla.core.signin import Bearer
from chatzilla.errors import BadRequest, Conflict, Forbidden, Full, NotFound
from chatzilla.web import models
from chatzilla.web.contract import Made, operation
from chatzilla.web.models import given, shaped

if TYPE_CHECKING:
    from chatzilla.core.limits import Paces
    from chatzilla.core.people import Account
    from chatzilla.core.presence import Presence
    from chatzilla.core.rooms import RoomHead
    from chatzilla.core.signin import SignIns
    from chatzilla.ports import Ports
    from chatzilla.web.callers import Callers

ROOMS: Final = "Rooms"


class Rooms:
    """Rooms over HTTP."""

    def __init__(self, ports: Ports, presence: Presence, paces: Paces, sign_ins: SignIns, callers: Callers) -> None:
        self._ports = ports
        self._presence = presence
        self._paces = paces
        self._sign_ins = sign_ins
        self._callers = callers

    @operation("GET", "/api/v1/rooms", ROOMS)
    async def list_rooms(self, request: web.Request, caller: Bearer) -> models.Rooms:
        """The rooms that the caller may see, their own first; at most 500."""
        account = self._asks(request, caller)
        listed = await membership.listing(self._ports, account)
        return shaped(models.Rooms, wire.encode_listing(listed, membership.kinds_for(account)))

    @operation("POST", "/api/v1/rooms", ROOMS, Forbidden, NotFound, Conflict, Full)
    async def make_room(
        self, request: web.Request, caller: Bearer, body: models.NewRoom
    ) -> Made[models.OneRoom] | models.OneRoom:
        """Make a room, public or private. Its id is made from its name; whoever makes it moderates it.

        Asked again under the same `client_id`, it is answered with the same room, as it stands then, by 200 instead of
        201; without one, another room is made.
        """
        account, address = self._acts(request, caller)
        topic = "" if body.topic is None else parse_topic(body.topic)
        client_id = given(body.client_id)
        plan = Plan(
            parse_name(body.name),
            Kind(body.kind),
            topic,
            tuple(map(AccountId, body.people)),
            None if client_id is None else parse_client_id(client_id),
        )
        head, new = await membership.create(self._ports, account, plan, address=address)
        room = self._room(account, head)
        return Made(room) if new else room

    @operation("POST", "/api/v1/direct", ROOMS, Forbidden, NotFound, Full)
    async def direct(self, request: web.Request, caller: Bearer, body: models.WithWhom) -> models.OneRoom:
        """Find the direct room of these people and the caller, or make it: there is never a second one."""
        account, address = self._acts(request, caller)
        people = map(AccountId, body.people)
        return self._room(account, await membership.direct(self._ports, account, people, address=address))

    @operation("GET", "/api/v1/rooms/{room}", ROOMS, Forbidden)
    async def read_room(self, request: web.Request, caller: Bearer, room: models.RoomName) -> models.OneRoom:
        """Where a room stands, and what the caller may there.

        A public room that nobody has said anything in yet is there as soon as somebody asks for it.
        """
        account, ident = self._asks(request, caller), parse_room(room)
        address = self._callers.address(request)
        self._ports.directory.check(account, Act.READ, ident, address=address)
        return self._room(account, self._ports.directory.dress(await self._ports.store.head(ident, account)))

    @operation("PATCH", "/api/v1/rooms/{room}", ROOMS, Forbidden, judged=True)
    async def change_room(
        self, request: web.Request, caller: Bearer, room: models.RoomName, body: models.RoomChange
    ) -> models.OneRoom:
        """Give a room another name or topic, archive it, or open it again."""
        account, address = self._acts(request, caller)
        name, topic, archived = given(body.name), given(body.topic), given(body.archived)
        if name is None and topic is None and archived is None:
            raise BadRequest("Say what to change: the name, the topic, or whether the room is archived.")
        wish = Wish(None if name is None else parse_name(name), None if topic is None else parse_topic(topic), archived)
        head = await membership.change(self._ports, account, parse_room(room), wish, address=address)
        return self._room(account, head)

    @operation("GET", "/api/v1/rooms/{room}/members", ROOMS, Forbidden)
    async def list_members(self, request: web.Request, caller: Bearer, room: models.RoomName) -> models.Members:
        """Who is in a room, at most 500: in a private one, its members; in a public one, whoever was or is there."""
        account, address = self._asks(request, caller), self._callers.address(request)
        roll = await membership.members(self._ports, self._presence, account, parse_room(room), address=address)
        return shaped(models.Members, wire.encode_roll(roll))

    @operation("PUT", "/api/v1/rooms/{room}/members/{account}", ROOMS, Forbidden, Conflict, Full, judged=True)
    async def invite(
        self,
        request: web.Request,
        caller: Bearer,
        room: models.RoomName,
        account: models.Ident,
        body: models.Membership,
    ) -> None:
        """Make a room somebody's, or say what they may there. Wanting what is so already changes nothing."""
        inviter, address = self._acts(request, caller)
        await membership.invite(
            self._ports, inviter, parse_room(room), AccountId(account), given(body.grade), address=address
        )

    @operation("DELETE", "/api/v1/rooms/{room}/members/{account}", ROOMS, Forbidden, judged=True)
    async def remove(self, request: web.Request, caller: Bearer, room: models.RoomName, account: models.Ident) -> None:
        """Take a room from somebody, or leave it for good. They hear nothing of it any more when this is answered."""
        remover, address = self._acts(request, caller)
        await membership.remove(
            self._ports, self._presence, remover, parse_room(room), AccountId(account), address=address
        )

    @operation("GET", "/api/v1/people", ROOMS, Forbidden)
    async def list_people(self, request: web.Request, caller: Bearer) -> models.People:
        """Everybody who has signed in for good, by name, and whether they are connected now; at most 1,000."""
        found = membership.people(self._ports, self._asks(request, caller), self._sign_ins.people())
        return shaped(models.People, wire.encode_everybody(found))

    def _asks(self, request: web.Request, caller: Bearer) -> Account:
        """Who asks, within their rate."""
        self._paces.spend_asking(caller.account, self._callers.address(request))
        return caller.account

    def _acts(self, request: web.Request, caller: Bearer) -> tuple[Account, str]:
        """Who does something, and whence; it counts as much as a message."""
        address = self._callers.address(request)
        self._paces.spend_posting(caller.account, address)
        return caller.account, address

    def _room(self, account: Account, head: RoomHead) -> models.OneRoom:
        may = self._ports.directory.rights(account, head.room)
        return shaped(models.OneRoom, wire.encode_changed_room(head, may))
