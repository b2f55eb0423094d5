"""A storm: people in a call through Janus come, go, begin anew and are cut off, while Janus is slow and refuses things.

What people do follows from a seed, and so does what Janus refuses, each by a chance of its own; only how the two meet
is the machine's. When it is over, everybody has to see everybody, and nothing may be left of those who went.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from chatzilla.media.janus_api import JanusError, JanusSession
from tests.helpers import extras
from tests.helpers.call_tabs import CAST
from tests.helpers.clients import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest

    from tests.helpers.callers import Party
    from tests.helpers.extras import Extra
    from tests.helpers.janus_server import JanusServer
    from tests.helpers.servers import Server

ROOM: Final = "garden"
BEGIN_WITH: Final = 4
AT_MOST: Final = 6
DEEDS: Final = 24
PAUSE_SECONDS: Final = 0.1

REFUSED: Final = ("join", "publish", "update", "start")
REFUSES: Final = 0.1
SLOW_SECONDS: Final = 0.05

WHOLE_WITHIN_SECONDS: Final = 30.0
"""How long everybody may take to see everybody when it is over. Two connections that come to nothing take that."""


@contextmanager
def moody(monkeypatch: pytest.MonkeyPatch, seed: int) -> Iterator[None]:
    """Janus is slow, and refuses now and then, until the block ends."""
    chance = random.Random(f"Janus {seed}")
    message = JanusSession.message

    async def moodily(self: JanusSession, handle: int, body: Any, jsep: Any = None) -> Any:
        await asyncio.sleep(chance.uniform(0, SLOW_SECONDS))
        if body["request"] in REFUSED and chance.random() < REFUSES:
            raise JanusError(0, "by chance")
        found = await message(self, handle, body, jsep)
        await asyncio.sleep(chance.uniform(0, SLOW_SECONDS))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(JanusSession, "message", moodily)
        yield


async def rage(people: Party, seed: int) -> list[Extra]:
    """Let it all happen; returns who is there in the end."""
    chance = random.Random(seed)
    names = [*CAST]
    cast = await extras.enter(people, ROOM, *names[:BEGIN_WITH])
    for _ in range(DEEDS):
        await asyncio.sleep(chance.uniform(0, PAUSE_SECONDS))
        one, deed = chance.choice(cast), chance.randrange(4)
        newcomer = chance.choice([name for name in names if name not in {each.name for each in cast}])
        if deed == 0:
            one.begins_anew()
        elif deed == 1 and one.here:
            await one.is_cut_off()
        elif deed == 2 and len(cast) > 2 and one.here:
            cast.remove(one)
            await one.leaves()
        elif len(cast) < AT_MOST:
            cast += await extras.enter(people, ROOM, newcomer)
    return cast


async def becomes_whole(server: Server, janus: JanusServer, cast: Sequence[Extra]) -> None:
    """Wait until everybody is here and sees everybody, and Janus has their connections, and no others.

    Raises:
        AssertionError: it does not become so; with what everybody knows.
    """
    try:
        await extras.all_see(cast, {one.id: CAST[one.name] for one in cast}, WHOLE_WITHIN_SECONDS)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(one.here for one in cast):
                await asyncio.sleep(0.02)
        assert await janus.handles() == 1 + 2 * len(cast), "two of each, and one by which rooms are made"
        (call,) = server.house.call_roster._calls.values()
        assert call.participants.keys() == {one.id for one in cast}
    except (AssertionError, TimeoutError) as failure:
        raise AssertionError(f"{failure or 'not everybody is here'}\n{account(server, cast)}") from failure


async def ends(janus: JanusServer, cast: Sequence[Extra]) -> None:
    """Let everybody leave, and see that Janus has nothing of them."""
    for one in cast:
        await one.leaves()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await janus.rooms() or await janus.handles() > 1:
            await asyncio.sleep(0.02)


def account(server: Server, cast: Sequence[Extra]) -> str:
    """What the server knows, and what everybody does."""
    (engine,) = server.house.engines
    told = [
        f"To the server, {peer.participant.account.name} is {peer}"
        for room in engine._rooms.values()  # type: ignore[attr-defined]  # of this one
        for peer in room.peers.values()
    ]
    return "\n".join((*told, *(one.account() for one in cast)))
