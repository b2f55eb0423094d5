"""A disk that refuses and comes back: people are told, `/healthz` tells, and nobody has to restart anything."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import aiohttp
import pytest

from chatzilla.errors import Unavailable
from tests.helpers.damage import damage

if TYPE_CHECKING:
    from tests.conftest import Lobby
    from tests.helpers.servers import Server


async def test_a_locked_database_is_told_and_heals_by_itself(server: Server, lobby: Lobby) -> None:
    """Even when nobody says anything any more, because a router stopped sending people here."""
    alice = await lobby("alice")
    await alice.says("lobby", "before")
    async with aiohttp.ClientSession(server.url) as http:
        with closing(sqlite3.connect(server.house.database.path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            draft = {"room": "lobby", "client_id": "1", "content": "meanwhile"}
            accepted, refusal = await alice.call("message", draft)
            assert accepted is False
            assert refusal["code"] == "unavailable"
            async with http.get("/healthz") as answer:
                assert answer.status == 503
                assert (await answer.json())["status"] == "degraded"
            stranger.execute("ROLLBACK")
        statuses = []
        while 200 not in statuses:
            async with http.get("/healthz") as answer:
                statuses.append(answer.status)
            assert len(statuses) < 10_000, "it never healed"
    assert (await alice.says("lobby", "meanwhile", "1"))["seq"] == 2


@pytest.mark.parametrize("table", [None, "messages"])
async def test_a_damaged_database_is_told_and_nobody_is_told_that_it_is_well(
    server: Server, lobby: Lobby, table: str | None
) -> None:
    """Clients keep what they wrote and try again; routers and operators see that it cannot be stored."""
    alice = await lobby("alice")
    await alice.says("lobby", "before")
    damage(server.house.database.path, table)
    async with aiohttp.ClientSession(server.url) as http:
        statuses = []
        for number in range(3):
            draft = {"room": "lobby", "client_id": f"draft {number}", "content": "meanwhile"}
            accepted, refusal = await alice.call("message", draft)
            assert (accepted, refusal["code"]) == (False, "unavailable")
            accepted, refusal = await alice.call("history", {"room": "lobby"})
            assert (accepted, refusal["code"]) == (False, "unavailable")
            async with http.get("/healthz") as answer:
                statuses.append((answer.status, (await answer.json())["status"]))
        assert statuses == [(503, "degraded")] * 3


async def test_damage_that_only_a_reader_met_is_told_too(server: Server, lobby: Lobby) -> None:
    alice = await lobby("alice")
    await alice.says("lobby", "before")
    damage(server.house.database.path, "messages")
    async with aiohttp.ClientSession(server.url) as http:
        async with http.get("/healthz") as answer:
            assert answer.status == 200, "nobody has looked there yet"
        assert (await alice.call("join", {"room": "lobby"}))[1]["code"] == "unavailable"
        async with http.get("/healthz") as answer:
            assert answer.status == 503


async def _statuses(http: aiohttp.ClientSession, *, until: int) -> list[int]:
    """What `/healthz` answers, up to the first answer of this kind."""
    statuses: list[int] = []
    while until not in statuses:
        assert len(statuses) < 10_000, "it never comes"
        async with http.get("/healthz") as answer:
            statuses.append(answer.status)
    return statuses


async def test_what_cannot_be_registered_is_told_as_well(
    server: Server, lobby: Lobby, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages are not all that is stored: the log says once why a room cannot be made, and `/healthz` says so, too."""
    alice = await lobby("alice")
    async with aiohttp.ClientSession(server.url) as http:
        with closing(sqlite3.connect(server.house.database.path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                accepted, refusal = await alice.call("create", {"name": "Garden"})
                assert (accepted, refusal["code"]) == (False, "unavailable")
            assert (await _statuses(http, until=503)) == [503]
            stranger.execute("ROLLBACK")
        await _statuses(http, until=200)
        assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
            "the database cannot be written: database is locked"
        ]
        assert (await alice.call("create", {"name": "Garden"}))[0]


async def test_damage_that_only_a_register_met_is_told_until_the_next_start(
    server: Server, lobby: Lobby, caplog: pytest.LogCaptureFixture
) -> None:
    alice = await lobby("alice")
    damage(server.house.database.path, "links")
    async with aiohttp.ClientSession(server.url) as http:
        assert (await _statuses(http, until=200)) == [200], "nobody has looked there yet"
        for _ in range(2):
            with pytest.raises(Unavailable):
                await server.house.commands["owner-link"]({})
        assert [record.getMessage()[:23] for record in caplog.records if record.levelname == "ERROR"] == [
            "the database is damaged"
        ]
        assert (await _statuses(http, until=503)) == [503]
        await alice.says("lobby", "what is sound is stored")
        assert (await _statuses(http, until=503)) == [503]
