"""`/api/v1/…` for whoever keeps order: people and their roles, bans, kicks, purges, locks, the audit list.

A handler knows who calls, decodes, calls a verb of `core.moderation`, encodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from chatzilla import wire
from chatzilla.core import moderation, policy
from chatzilla.core.audit import PAGE_DEEDS
from chatzilla.core.people import AccountId
from chatzilla.core.policy import Act, Thing
from chatzilla.web.api import answer, done, read

if TYPE_CHECKING:
    from chatzilla.core.moderation import Means
    from chatzilla.core.people import Account
    from chatzilla.web.callers import Callers


class ModerationApi:
    """Moderation over HTTP."""

    def __init__(self, means: Means, callers: Callers) -> None:
        self._means = means
        self._callers = callers

    @property
    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/people", self.list_people),
            web.put("/api/v1/people/{id}/role", self.set_role),
            web.delete("/api/v1/people/{id}", self.end_membership),
            web.get("/api/v1/bans", self.list_bans),
            web.post("/api/v1/bans", self.ban),
            web.delete("/api/v1/bans/{id}", self.unban),
            web.post("/api/v1/kicks", self.kick),
            web.post("/api/v1/purges", self.purge),
            web.post("/api/v1/locks", self.lock),
            web.get("/api/v1/audit", self.list_deeds),
        ]

    async def list_people(self, request: web.Request) -> web.Response:
        """GET /api/v1/people: everybody whose name is their own."""
        found = moderation.people(self._means, self._caller(request))
        return answer({"people": [wire.encode_holder(account) for account in found]})

    async def set_role(self, request: web.Request) -> web.Response:
        """PUT /api/v1/people/<id>/role"""
        actor = self._caller(request)
        role = wire.decode_role(await read(request))
        person = await moderation.set_role(self._means, actor, _account(request), role)
        return answer({"person": wire.encode_holder(person)})

    async def end_membership(self, request: web.Request) -> web.Response:
        """DELETE /api/v1/people/<id>"""
        await moderation.end_membership(self._means, self._caller(request), _account(request))
        return done()

    async def list_bans(self, request: web.Request) -> web.Response:
        """GET /api/v1/bans: all of them, or with `?room=` those of a room; addresses for owners and admins alone."""
        actor = self._caller(request)
        found = moderation.bans(self._means, actor, wire.decode_query_room(request.query))
        return answer({"bans": [wire.encode_ban(ban, addresses=_sees_addresses(actor)) for ban in found]})

    async def ban(self, request: web.Request) -> web.Response:
        """POST /api/v1/bans"""
        actor = self._caller(request)
        made = await moderation.ban(self._means, actor, wire.decode_ban(await read(request)))
        return answer({"bans": [wire.encode_ban(ban, addresses=_sees_addresses(actor)) for ban in made]}, 201)

    async def unban(self, request: web.Request) -> web.Response:
        """DELETE /api/v1/bans/<id>"""
        await moderation.unban(self._means, self._caller(request), request.match_info["id"])
        return done()

    async def kick(self, request: web.Request) -> web.Response:
        """POST /api/v1/kicks"""
        actor = self._caller(request)
        room, account = wire.decode_kick(await read(request))
        return answer({"connections": await moderation.kick(self._means, actor, room, account)})

    async def purge(self, request: web.Request) -> web.Response:
        """POST /api/v1/purges: a bounded number of messages; `more` means: ask again."""
        actor = self._caller(request)
        account, room = wire.decode_purge(await read(request))
        purged = await moderation.purge(self._means, actor, account, room)
        return answer({"messages": purged.count, "more": purged.more})

    async def lock(self, request: web.Request) -> web.Response:
        """POST /api/v1/locks: lock a room, or unlock it."""
        actor = self._caller(request)
        room, on = wire.decode_lock(await read(request))
        await moderation.lock(self._means, actor, room, on=on)
        return done()

    async def list_deeds(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit: the newest entries, or with `?before=` those before one."""
        actor = self._caller(request)
        found = await moderation.deeds(self._means, actor, wire.decode_before(request.query))
        return answer({"entries": [wire.encode_deed(each) for each in found], "more": len(found) == PAGE_DEEDS})

    def _caller(self, request: web.Request) -> Account:
        return self._callers.need(request).account


def _account(request: web.Request) -> AccountId:
    return AccountId(request.match_info["id"])


def _sees_addresses(actor: Account) -> bool:
    """Whoever moderates one room need not learn where people come from."""
    return policy.may(actor.role, Act.SEE_BANS, Thing.SERVER)
