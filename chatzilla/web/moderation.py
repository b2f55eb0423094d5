"""`/api/v1/…` for whoever keeps order: people and their roles, bans, kicks, purges, locks, the audit list.

A handler knows who calls, decodes, calls a verb of `core.moderation`, encodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chatzilla import wire
from chatzilla.core import moderation, policy
from chatzilla.core.audit import PAGE_DEEDS
from chatzilla.core.bans import network
from chatzilla.core.moderation import Means, Wanted
from chatzilla.core.people import Account, AccountId
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.rooms import RoomId, parse_room
from chatzilla.core.signin import Bearer
from chatzilla.errors import BadRequest, Conflict, Forbidden, Full, NotFound
from chatzilla.web import models
from chatzilla.web.contract import Made, operation
from chatzilla.web.models import given, shaped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chatzilla.core.bans import Ban

ORDER: Final = "Keeping order"


class ModerationApi:
    """Moderation over HTTP."""

    def __init__(self, means: Means) -> None:
        self._means = means

    @operation("GET", "/api/v1/roles", ORDER, Forbidden, judged=True)
    async def list_roles(self, caller: Bearer) -> models.Roles:
        """Everybody whose name is their own, with their roles."""
        found = moderation.people(self._means, caller.account)
        return shaped(models.Roles, {"people": [wire.encode_holder(account) for account in found]})

    @operation("PUT", "/api/v1/people/{id}/role", ORDER, Forbidden, NotFound, Conflict, judged=True)
    async def set_role(
        self,
        caller: Bearer,
        id: models.Ident,  # noqa: A002  # the path's name
        body: models.NewRole,
    ) -> models.OnePerson:
        """Give somebody another role. It holds at once, on all their connections."""
        person = await moderation.set_role(self._means, caller.account, AccountId(id), Role(body.role))
        return shaped(models.OnePerson, {"person": wire.encode_holder(person)})

    @operation("DELETE", "/api/v1/people/{id}", ORDER, Forbidden, Conflict, judged=True)
    async def end_membership(self, caller: Bearer, id: models.Ident) -> None:  # noqa: A002  # the path's name
        """End a membership, with the person's sign-ins and links. A role brings them back."""
        await moderation.end_membership(self._means, caller.account, AccountId(id))

    @operation("GET", "/api/v1/bans", ORDER, Forbidden, NotFound, judged=True)
    async def list_bans(self, caller: Bearer, query: models.WhoseBans) -> models.Bans:
        """The bans that hold, or those of one room; addresses are for owners and admins alone."""
        room = given(query.room)
        found = moderation.bans(self._means, caller.account, None if room is None else parse_room(room))
        return _bans(found, caller.account)

    @operation("POST", "/api/v1/bans", ORDER, Forbidden, NotFound, Full, judged=True)
    async def ban(self, caller: Bearer, body: models.NewBan) -> Made[models.Bans]:
        """Keep somebody out of a room or of the server, for so long or for good.

        Somebody unverified is banned by the addresses that they are here from, with everybody unverified behind those:
        there may be several bans.
        """
        if (body.account is None) is (body.address is None):
            raise BadRequest("Say who is banned: an account, or an address.")
        wanted = Wanted(
            account=None if body.account is None else AccountId(body.account),
            network=None if body.address is None else network(body.address),
            room=_room(body.room),
            lasts_ms=None if body.hours is None else body.hours * 3_600_000,
        )
        return Made(_bans(await moderation.ban(self._means, caller.account, wanted), caller.account))

    @operation("DELETE", "/api/v1/bans/{id}", ORDER, Forbidden, judged=True)
    async def unban(self, caller: Bearer, id: models.Ident) -> None:  # noqa: A002  # the path's name
        """Lift a ban."""
        await moderation.unban(self._means, caller.account, id)

    @operation("POST", "/api/v1/kicks", ORDER, Forbidden, NotFound, judged=True)
    async def kick(self, caller: Bearer, body: models.Kick) -> models.Kicked:
        """Turn somebody out of a room, now. They may come back where the room admits them."""
        count = await moderation.kick(self._means, caller.account, parse_room(body.room), AccountId(body.account))
        return models.Kicked(connections=count)

    @operation("POST", "/api/v1/purges", ORDER, Forbidden, NotFound, judged=True)
    async def purge(self, caller: Bearer, body: models.Purge) -> models.Purged:
        """Delete what somebody said, in a room or everywhere: a bounded number of messages at a time."""
        account, room = AccountId(body.account), _room(body.room)
        purged = await moderation.purge(self._means, caller.account, account, room)
        return models.Purged(messages=purged.count, more=purged.more)

    @operation("POST", "/api/v1/locks", ORDER, Forbidden, NotFound, judged=True)
    async def lock(self, caller: Bearer, body: models.Lock) -> None:
        """Lock a room, so that only its moderators speak, or unlock it."""
        await moderation.lock(self._means, caller.account, parse_room(body.room), on=body.on)

    @operation("GET", "/api/v1/audit", ORDER, Forbidden, judged=True)
    async def list_deeds(self, caller: Bearer, query: models.Before) -> models.Audit:
        """What was done with power over others, the newest first, or what was done before an entry."""
        found = await moderation.deeds(self._means, caller.account, given(query.before))
        entries = [wire.encode_deed(each) for each in found]
        return shaped(models.Audit, {"entries": entries, "more": len(found) == PAGE_DEEDS})


def _room(asked: str | None) -> RoomId | None:
    return None if asked is None else parse_room(asked)


def _bans(found: Iterable[Ban], actor: Account) -> models.Bans:
    """Whoever moderates one room need not learn where people come from."""
    addresses = policy.may(actor.role, Act.SEE_BANS, Thing.SERVER)
    return shaped(models.Bans, {"bans": [wire.encode_ban(ban, addresses=addresses) for ban in found]})
