"""What programs come in with: tokens, which are sign-ins that last until a stated moment whether they are used or not.

A person makes them for programs that act in their name. A bot is somebody of its own, whom owners and admins make, and
gets a token with it. A token is told once, to whoever made it; the store does not know it, only the sign-in that it
stands for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from chatzilla.core import policy
from chatzilla.core.audit import Done
from chatzilla.core.people import BOT, account_named
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.text import parse_line
from chatzilla.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.signin import Bearer, SignIn, SignIns

TOKENS_PER_PERSON: Final = 20
"""Tokens of one person or bot that last."""

LABEL_LIMIT: Final = 100
"""Characters of what a token is for."""

DAY_MS: Final = 24 * 3600 * 1000
USUAL_DAYS: Final = 365
DAYS_AT_MOST: Final = 3650
"""Ten years: long enough for what nobody looks after, and not for ever."""

NO_SUCH_BOT: Final = "There is no such bot."


async def make_bot(
    sign_ins: SignIns, maker: Bearer | None, name: object, *, days: int = USUAL_DAYS
) -> tuple[SignIn, str]:
    """Make a bot, and its first token. A bot that was ended comes back under its name as who it was.

    Args:
        sign_ins: who is signed in.
        maker: who makes it; None is the operator.
        name: under which it speaks.
        days: how long its token lasts.

    Returns:
        The sign-in, and its token, which nobody is told again.

    Raises:
        Forbidden: it is not theirs to make.
        BadRequest, TooLong: the name is none.
        Conflict: the name is somebody's, or looks like it.
        Full: a bound is reached.
    """
    if maker is not None:
        policy.check(maker.account, Act.INVITE, Thing.AS_BOT)
    bot = replace(account_named(name, BOT), role=Role.BOT)
    with sign_ins.reserving(bot):
        return await _begin(sign_ins, maker, bot, bot.name, days, act=Done.MAKE_BOT)


def bots(sign_ins: SignIns, viewer: Account | None) -> Sequence[Account]:
    """Every bot, if they may see them; the operator may."""
    if viewer is not None and not policy.may(viewer.role, Act.SEE_BOT, Thing.BOT):
        return ()
    return [account for account in sign_ins.people() if account.role is Role.BOT]


async def end_bot(sign_ins: SignIns, ender: Account | None, ident: AccountId) -> None:
    """End a bot with all of its tokens and links; its connections are closed. What it said stays.

    Raises:
        NotFound: there is none, or it is not theirs to end.
    """
    if ender is not None and not policy.may(ender.role, Act.END_BOT, Thing.BOT):
        raise NotFound(NO_SUCH_BOT)
    bot = _bot(sign_ins, ident)
    await sign_ins.retire(bot, deeds=[sign_ins.rooms.scribe.entry(ender, Done.END_BOT, bot)])


async def make_token(
    sign_ins: SignIns, maker: Bearer, label: object, *, bot: AccountId | None = None, days: int = USUAL_DAYS
) -> tuple[SignIn, str]:
    """Make a token for a program of one's own, or another one for a bot.

    Raises:
        Forbidden: it is not theirs to make.
        NotFound: there is no such bot.
        BadRequest, TooLong: what it is for cannot be said like that.
        Full: there are as many as there may be.
    """
    policy.check(maker.account, Act.MAKE_TOKEN, Thing.OWN if bot is None else Thing.BOT)
    account = maker.account if bot is None else _bot(sign_ins, bot)
    label = parse_line(label, "what a token is for", LABEL_LIMIT)
    return await _begin(sign_ins, maker, account, label, days, act=Done.MAKE_TOKEN)


async def _begin(
    sign_ins: SignIns, maker: Bearer | None, account: Account, label: str, days: int, *, act: Done
) -> tuple[SignIn, str]:
    until = sign_ins.clock.wall_ms() + days * DAY_MS
    sign_in = sign_ins.draft(account, label, until=until, made_in=None if maker is None else maker.standing)
    entry = sign_ins.rooms.scribe.entry(None if maker is None else maker.account, act, account, days=days)
    await sign_ins.register.begin(sign_in, at_most=TOKENS_PER_PERSON, deeds=[entry])
    sign_ins.began(sign_in, ())
    return sign_in, sign_ins.program_token(sign_in)


def _bot(sign_ins: SignIns, ident: AccountId) -> Account:
    account = sign_ins.person(ident)
    if account is None or account.role is not Role.BOT:
        raise NotFound(NO_SUCH_BOT)
    return account
