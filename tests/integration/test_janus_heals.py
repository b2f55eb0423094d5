"""Whatever goes wrong in a call through a real Janus mends itself: in the end everybody receives everybody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from chatzilla.media.janus_api import JanusError, JanusSession
from tests.helpers import extras, storm
from tests.helpers.call_tabs import CAST
from tests.helpers.callers import party
from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.janus_server import through
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tests.helpers.janus_server import JanusServer

    Body = dict[str, Any]
    Ask = Callable[[], Coroutine[Any, Any, tuple[Body, dict[str, str] | None]]]

SOON_SECONDS = 15.0
"""Less than Janus takes to find that a connection never comes."""


def between(monkeypatch: pytest.MonkeyPatch, act: Callable[[Body, Ask], Coroutine[Any, Any, Any]]) -> None:
    """Stand between the server and Janus: whatever is asked goes by `act`, which may ask it, or not."""
    message = JanusSession.message

    async def asked(self: JanusSession, handle: int, body: Body, jsep: dict[str, str] | None = None) -> Any:
        return await act(body, lambda: message(self, handle, body, jsep))

    monkeypatch.setattr(JanusSession, "message", asked)


@pytest.mark.parametrize("seed", [4, 19])
async def test_whatever_happens_at_once_the_call_is_whole_in_the_end(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """People come, go, begin anew and are cut off, at any moment, while Janus is slow and refuses now and then."""
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        with storm.moody(monkeypatch, seed):
            cast = await storm.rage(people, seed)
        await storm.becomes_whole(server, janus, cast)
        await storm.ends(janus, cast)


async def test_whoever_is_cut_off_while_they_begin_begins_again(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has heard that they can receive, and not what they send; so nobody but they can know."""
    cast: list[extras.Extra] = []
    cut: list[str] = []

    async def cuts_off(body: Body, ask: Ask) -> Any:
        if body["request"] == "publish" and len(cast) > 1 and not cut:
            cut.append(body["request"])
            await cast[1].is_cut_off()
            raise JanusError(0, "by chance")
        return await ask()

    between(monkeypatch, cuts_off)
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        for name in ("Eve", "Finn"):
            cast += await extras.enter(people, "garden", name)
        seen = {one.id: CAST[one.name] for one in cast}
        await extras.all_see(cast, seen, SOON_SECONDS)
        cast[1].begins_anew()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not cut:
                await asyncio.sleep(0.02)
        await extras.all_see(cast, seen, SOON_SECONDS)
        await storm.ends(janus, cast)
