"""What operators can have done: by commands through `control` while the server runs, else on the data folder itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatzilla.core import links
from chatzilla.core.addresses import parse_address
from chatzilla.core.links import LINKS_PER_PERSON, Terms
from chatzilla.core.policy import GIVEN, Role
from chatzilla.core.rooms import parse_room
from chatzilla.core.tokens import LIFETIME_SECONDS
from chatzilla.errors import BadRequest, StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from chatzilla.config import Config
    from chatzilla.core.signin import SignIns
    from chatzilla.core.tokens import Tokens
    from chatzilla.store.database import Database


class Operators:
    """The operator's commands. What they answer is printed line by line."""

    def __init__(self, config: Config, database: Database, sign_ins: SignIns, tokens: Tokens) -> None:
        self.base = config.url or f"http://{config.host}:{config.port}"
        """What the addresses of links begin with."""
        self._config = config
        self._database = database
        self._sign_ins = sign_ins
        self._tokens = tokens
        self.commands: dict[str, Callable[[Mapping[str, Any]], Awaitable[list[str]]]] = {
            "owner-link": self.owner_link,
            "invite-link": self.invite_link,
            "rotate-key": self.rotate_key,
        }

    async def owner_link(self, _: Mapping[str, Any]) -> list[str]:
        """Make a link that signs the owner in."""
        secret = await links.owner_link(self._sign_ins)
        return ["Sign in as the owner by this link, once and within 24 hours:", f"{self.base}/in/{secret}"]

    async def invite_link(self, asked: Mapping[str, Any]) -> list[str]:
        """Make an invitation.

        Raises:
            BadRequest, TooLong: a role, room, number or address that is none.
            Conflict: whoever has the address is here already.
        """
        role, room, uses, hours = (asked.get(name) for name in ("role", "room", "uses", "hours"))
        if role not in [each.value for each in GIVEN]:
            raise BadRequest(f"A role is one of {', '.join(GIVEN)}.")
        try:
            counted, lasts_ms = int(uses or 1), int(float(hours or 168) * 3600 * 1000)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadRequest("Uses and hours are numbers.") from error
        email = None if asked.get("email") is None else parse_address(asked["email"])
        terms = Terms(Role(role), None if room is None else parse_room(room), lasts_ms, counted, email=email)
        links.check(terms, self._sign_ins)
        link, secret = links.drafted(self._sign_ins, terms, maker=None)
        await self._sign_ins.register.make_link(link, links.digest(secret), at_most=LINKS_PER_PERSON)
        if email is not None:
            return [f"{email} may come in by mail at {self.base}/"]
        return [f"{self.base}/in/{secret}"]

    async def rotate_key(self, asked: Mapping[str, Any]) -> list[str]:
        """Sign with a new key; tokens of the old ones hold until their time is over, or end now.

        Raises:
            StartError: the key is a setting, or the folder cannot be written.
        """
        if self._config.secret:
            raise StartError(
                "The key is CHATZILLA_SECRET. Put it into CHATZILLA_SECRET_BEFORE, a new one in its place, and restart."
            )
        now = self._sign_ins.clock.wall_ms() // 1000
        forget = bool(asked.get("forget"))
        self._database.rotate_key(until=0 if forget else now + LIFETIME_SECONDS)
        self._tokens.renew(self._database.key, self._database.keys_before)
        if forget:
            await self._sign_ins.end_everything()
        return ["A new key signs." + (" Everybody has to sign in again." if forget else "")]
