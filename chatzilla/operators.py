"""What operators can have done: by commands through `control` while the server runs, else on the data folder itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core import hooks, links, programs
from chatzilla.core.addresses import parse_address
from chatzilla.core.audit import Done
from chatzilla.core.links import Terms
from chatzilla.core.people import key_of
from chatzilla.core.policy import GIVEN, Role
from chatzilla.core.rooms import parse_room
from chatzilla.core.tokens import LIFETIME_SECONDS
from chatzilla.errors import BadRequest, NotFound, StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from chatzilla.config import Config
    from chatzilla.core.signin import SignIns
    from chatzilla.core.tokens import Tokens
    from chatzilla.ports import HookRegister
    from chatzilla.store.database import Database


FLAGS: Final = ("host", "port", "proxies", "tls", "tls_cert", "tls_key")
"""Settings that `serve` also takes from the command line, where nobody else could read them."""


class Operators:
    """The operator's commands. What they answer is printed line by line."""

    def __init__(
        self, config: Config, database: Database, sign_ins: SignIns, tokens: Tokens, hook_register: HookRegister
    ) -> None:
        self.base = config.url or f"http://{config.host}:{config.port}"
        """What the addresses of links begin with."""
        self.listens: Sequence[str] = ()
        """Where the server listens, once it does."""
        self._config = config
        self._database = database
        self._sign_ins = sign_ins
        self._tokens = tokens
        self._hooks = hook_register
        self.commands: dict[str, Callable[[Mapping[str, Any]], Awaitable[list[str]]]] = {
            "owner-link": self.owner_link,
            "invite-link": self.invite_link,
            "rotate-key": self.rotate_key,
            "bot": self.make_bot,
            "bots": self.list_bots,
            "end-bot": self.end_bot,
            "hook": self.make_hook,
            "hooks": self.list_hooks,
            "end-hook": self.end_hook,
        }

    async def started(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Tell the doctor where the server listens, and how it was started: flags go before the settings it reads."""
        flags = {name: getattr(self._config, name) for name in FLAGS}
        return {"listens": list(self.listens)} | {
            name: str(value) if isinstance(value, Path) else value for name, value in flags.items()
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
        secret = await links.make_as_operator(self._sign_ins, terms)
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
        lasts = max(now + LIFETIME_SECONDS, self._sign_ins.last_end() // 1000)  # the tokens of programs last longer
        self._database.rotate_key(until=0 if forget else lasts)
        self._tokens.renew(self._database.key, self._database.keys_before)
        entry = self._sign_ins.rooms.scribe.entry(None, Done.ROTATE_KEY, forget=forget)
        await self._sign_ins.register.note([entry])
        if forget:
            await self._sign_ins.end_everything()
        return ["A new key signs." + (" Everybody has to sign in again." if forget else "")]

    async def make_bot(self, asked: Mapping[str, Any]) -> list[str]:
        """Make a bot, or bring back one that was ended.

        Raises:
            BadRequest: the name, or the number of days, is none.
            Conflict: somebody here has the name, or one that looks like it.
        """
        days = str(asked.get("days") or programs.USUAL_DAYS)
        if not days.isascii() or not days.isdigit() or not 1 <= int(days[:6]) <= programs.DAYS_AT_MOST:
            raise BadRequest(f"A token lasts 1 to {programs.DAYS_AT_MOST:,} days.")
        sign_in, token = await programs.make_bot(self._sign_ins, None, asked.get("name"), days=int(days))
        return [f"The token of {sign_in.account.name}, which is shown only now and lasts {days} days:", token]

    async def list_bots(self, _: Mapping[str, Any]) -> list[str]:
        """List the bots: id, how many tokens last, name."""
        return [
            f"{bot.id}  {len(self._sign_ins.programs(bot.id))}  {bot.name}"
            for bot in programs.bots(self._sign_ins, None)
        ]

    async def end_bot(self, asked: Mapping[str, Any]) -> list[str]:
        """End a bot, by its name or id.

        Raises:
            NotFound: there is no such bot.
        """
        name = str(asked.get("name"))
        for bot in programs.bots(self._sign_ins, None):
            if name == bot.id or key_of(name) == key_of(bot.name):
                await programs.end_bot(self._sign_ins, None, bot.id)
                return [f"{bot.name} is ended."]
        raise NotFound(programs.NO_SUCH_BOT)

    async def make_hook(self, asked: Mapping[str, Any]) -> list[str]:
        """Make a hook.

        Raises:
            BadRequest: the name or the room is none.
            Conflict: somebody here has the name, or one that looks like it.
        """
        room = parse_room(asked.get("room"))
        _, secret = await hooks.make_as_operator(self._hooks, self._sign_ins, asked.get("name"), room)
        return [f"What is sent here is said in {room}; the address is shown only now:", f"{self.base}/hooks/{secret}"]

    async def list_hooks(self, _: Mapping[str, Any]) -> list[str]:
        """List the hooks: id, room, name."""
        found = await hooks.seen_by(self._hooks, self._sign_ins, None)
        return [f"{hook.id}  {hook.room}  {hook.name}" for hook in found]

    async def end_hook(self, asked: Mapping[str, Any]) -> list[str]:
        """End a hook, by its id.

        Raises:
            NotFound: there is no such hook.
        """
        await hooks.end(self._hooks, self._sign_ins, None, str(asked.get("id")))
        return ["The hook is ended."]
