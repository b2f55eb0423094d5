"""Tokens, bots and hooks: how programs come in, and `POST /hooks/…`, by which one says something with nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from chatzilla import wire
from chatzilla.core import hooks, programs
from chatzilla.core.people import AccountId
from chatzilla.core.rooms import parse_room
from chatzilla.core.signin import Bearer
from chatzilla.core.tokens import SignInId
from chatzilla.errors import Conflict, Forbidden, Full, NotFound, TooFast
from chatzilla.web import models
from chatzilla.web.contract import Made, operation
from chatzilla.web.models import given, shaped
from chatzilla.web.payloads import HookBody

if TYPE_CHECKING:
    from chatzilla.core.hooks import Hook
    from chatzilla.core.limits import Paces
    from chatzilla.core.people import Account
    from chatzilla.core.signin import SignIns
    from chatzilla.core.tries import Tries
    from chatzilla.ports import HookRegister, Ports
    from chatzilla.web.callers import Callers

TOKENS: Final = "Tokens"
BOTS: Final = "Bots"
HOOKS: Final = "Hooks"

KEY: Final = "Idempotency-Key"
"""The header by which a program says that what it asks is the same as before."""


class Programs:
    """What programs come in with, over HTTP."""

    def __init__(
        self,
        ports: Ports,
        paces: Paces,
        sign_ins: SignIns,
        register: HookRegister,
        tries: Tries,
        callers: Callers,
        base: str,
    ) -> None:
        self._ports = ports
        self._paces = paces
        self._sign_ins = sign_ins
        self._register = register
        self._tries = tries
        self._callers = callers
        self._base = base

    @operation("GET", "/api/v1/tokens", TOKENS)
    async def list_tokens(self, holder: Bearer) -> models.Tokens:
        """The tokens of programs that last, as far as the caller may see them."""
        found = [each for each in self._sign_ins.visible_to(holder.account) if each.of_program]
        return shaped(models.Tokens, {"tokens": [wire.encode_token(each) for each in found]})

    @operation("POST", "/api/v1/tokens", TOKENS, Forbidden, NotFound, Full, judged=True)
    async def make_token(self, holder: Bearer, body: models.NewToken) -> Made[models.MadeToken]:
        """Make a token for a program of one's own, or another one for a bot.

        It is in this answer and in no other. A program with it is who it was made for, at every door: `Authorization:
        Bearer`, and `token` in the CONNECT payload of Socket.IO. It ends with its time, or when somebody ends it.
        """
        bot = given(body.bot)
        sign_in, token = await programs.make_token(
            self._sign_ins, holder, body.label, bot=None if bot is None else AccountId(bot), days=body.days
        )
        return Made(shaped(models.MadeToken, {"token": wire.encode_token(sign_in), "secret": token}))

    @operation("DELETE", "/api/v1/tokens/{id}", TOKENS, judged=True)
    async def end_token(self, holder: Bearer, id: models.Ident) -> None:  # noqa: A002  # the path's name
        """End a token, and close the connections that it opened."""
        tokens = (each.id for each in self._sign_ins.visible_to(holder.account) if each.of_program)
        if SignInId(id) not in tokens:
            raise NotFound("There is no such token.")
        await self._sign_ins.end(holder, SignInId(id))

    @operation("GET", "/api/v1/bots", BOTS)
    async def list_bots(self, holder: Bearer) -> models.Bots:
        """Every bot, for those who may see them."""
        return shaped(
            models.Bots, {"bots": [self._bot(each) for each in programs.bots(self._sign_ins, holder.account)]}
        )

    @operation("POST", "/api/v1/bots", BOTS, Forbidden, Conflict, Full, judged=True)
    async def make_bot(self, holder: Bearer, body: models.NewBot) -> Made[models.MadeBot]:
        """Make a bot, with its token, which is in this answer and in no other.

        A bot that was ended comes back under its name as who it was.
        """
        sign_in, token = await programs.make_bot(self._sign_ins, holder, body.name, days=body.days)
        return Made(shaped(models.MadeBot, {"bot": self._bot(sign_in.account), "secret": token}))

    @operation("DELETE", "/api/v1/bots/{id}", BOTS, judged=True)
    async def end_bot(self, holder: Bearer, id: models.Ident) -> None:  # noqa: A002  # the path's name
        """End a bot with all of its tokens. What it said stays."""
        await programs.end_bot(self._sign_ins, holder.account, AccountId(id))

    @operation("GET", "/api/v1/hooks", HOOKS)
    async def list_hooks(self, holder: Bearer) -> models.Hooks:
        """The hooks that the caller may see."""
        found = await hooks.seen_by(self._register, self._sign_ins, holder.account)
        return shaped(models.Hooks, {"hooks": [self._hook(hook) for hook in found]})

    @operation("POST", "/api/v1/hooks", HOOKS, Forbidden, NotFound, Conflict, Full, judged=True)
    async def make_hook(self, request: web.Request, holder: Bearer, body: models.NewHook) -> Made[models.MadeHook]:
        """Make a hook: an address that says in one room what is sent to it.

        The address is in this answer and in no other; whoever holds it can speak there, and can do nothing else. It
        lasts until somebody ends it, or until whoever made it might not make it any more.
        """
        hook, secret = await hooks.make(
            self._register,
            self._ports.directory,
            self._sign_ins,
            holder,
            body.name,
            parse_room(body.room),
            address=self._callers.address(request),
        )
        url = f"{self._base or self._callers.origin(request)}/hooks/{secret}"
        return Made(shaped(models.MadeHook, {"hook": self._hook(hook), "url": url}))

    @operation("DELETE", "/api/v1/hooks/{id}", HOOKS, Forbidden, judged=True)
    async def end_hook(self, holder: Bearer, id: models.Ident) -> None:  # noqa: A002  # the path's name
        """End a hook."""
        await hooks.end(self._register, self._sign_ins, holder.account, id)

    @operation("POST", "/hooks/{secret}", HOOKS, Forbidden, Conflict, TooFast)
    async def speak(self, request: web.Request, secret: models.Secret, body: HookBody) -> str:
        """Say something in the hook's room: `curl -d hello` and its address will do.

        Takes text, JSON with `text` or `content`, and what Slack takes, as JSON or in the field `payload` of a form. A
        wrong address is answered by 404, whatever is wrong with it. Whoever may send the same once more, since no
        answer came, gives it an id of its own in the header `Idempotency-Key`: under one id a thing is said once.
        """
        address = self._callers.address(request)
        hook = await hooks.find(self._register, self._tries, secret, address=address)
        key = request.headers.get(KEY)
        await hooks.speak(self._ports, self._paces, self._sign_ins, hook, body.content, key=key, address=address)
        return "ok"

    def _bot(self, account: Account) -> wire.Json:
        return wire.encode_bot(account, self._sign_ins.programs(account.id))

    def _hook(self, hook: Hook) -> wire.Json:
        return wire.encode_hook(hook, self._sign_ins.person(hook.maker))
