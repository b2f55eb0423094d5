"""What opens one door opens no other; and whatever is thrown at a door is answered and leaves no trace of a fault."""

from __future__ import annotations

import gzip
import re
import time
import warnings
import zlib
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
import socketio.exceptions

from chatzilla.core.policy import Role
from chatzilla.core.tries import Tries
from tests.helpers.callers import Caller
from tests.helpers.clients import Client
from tests.helpers.doors import KEY, SECRET, Doors, basic, doors

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of its own parts
    from twilio.jwt.access_token import AccessToken
    from twilio.jwt.access_token.grants import VideoGrant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SESSION: Final = "garden"
FOR_ALL: Final = {"/", "/minichat", "/healthz", "/api/v1/", "/api/v1/openapi.json", "/r/garden", "/call/garden"}
"""What everybody is shown something of."""


@pytest.fixture
async def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Doors]:
    """A closed server with an application; vain tries are not counted, so that each one here is judged."""
    monkeypatch.setattr(Tries, "exhausted", lambda *_: False)
    async with doors(tmp_path / "data", sign_in="links") as found:
        yield found


async def keys_of(closed: Doors) -> dict[str, str]:
    """One of everything that lets somebody in somewhere."""
    owner = await closed.enters("Olga", Role.OWNER)
    _, link = await closed.link()
    _, bot = await owner.ask("POST", "bots", {"name": "Robot"})
    _, hook = await owner.ask("POST", "hooks", {"name": "CI", "room": "lobby"})
    await closed.post("/api/sessions", json={"customSessionId": SESSION}, headers=basic())
    _, right = await closed.post(f"/api/sessions/{SESSION}/connections", json={"role": "MODERATOR"}, headers=basic())
    foreign = AccessToken("AC0", KEY, SECRET, identity="ann", grants=[VideoGrant(room="lobby")])
    return {
        "a link": link,
        "the token of a bot": bot["secret"],
        "a hook": hook["url"].rpartition("/")[2],
        "a right": right,
        "a token of another system": foreign.to_jwt(),
        "the secret of applications": SECRET,
        "its key": KEY,
    }


async def test_nothing_but_a_sign_in_is_a_bearer(closed: Doors) -> None:
    """On every route, as a Bearer, as the secret of an application, as a hook and as a link."""
    keys = await keys_of(closed)
    routes = {
        (route.method, re.sub(r"{(\w+)[^}]*}", "garden", resource.canonical))
        for resource in closed.server.runner.app.router.resources()
        for route in resource
        if not resource.canonical.startswith(("/static", "/socket.io", "/in", "/hooks"))
        if route.method not in ("HEAD", "OPTIONS")
    }
    assert len(routes) > 50
    for what, key in keys.items():
        if what == "the token of a bot":
            continue
        shown = [
            {"Authorization": f"Bearer {key}"},
            {"Authorization": f"bearer {key}"},
            {"Cookie": cookie(closed, key)},
        ]
        if what != "the secret of applications":
            shown += [basic(secret=key), {"X-TB-PARTNER-AUTH": f"{KEY}:{key}"}, {"X-OPENTOK-AUTH": key}]
        for method, path in sorted(routes):
            for headers in shown:
                url, own = closed.server.url + path, {"Origin": closed.server.url}
                async with closed.http.request(method, url, headers=headers | own, json={}) as answer:
                    assert answer.status >= 400 or path in FOR_ALL, (what, headers, method, path)
                    assert answer.status < 500, (what, method, path)
                    assert "Olga" not in await answer.text(), (what, method, path)
        if what != "a hook":
            assert (await closed.post(f"/hooks/{key}", data="hello"))[0] == 404, what
        if what != "a link":
            assert (await closed.use(key, "Eve"))[0] in (400, 401), what


def cookie(closed: Doors, key: str) -> str:
    return f"chatzilla-session-{closed.server.url.rpartition(':')[2]}={key}"


async def test_no_key_of_another_door_opens_a_connection(closed: Doors) -> None:
    keys = await keys_of(closed)
    for what in ("a link", "a hook", "the secret of applications", "its key"):
        assert await Caller(closed.server.url).refused(token=keys[what]) == "sign-in", what
        with pytest.raises(socketio.exceptions.ConnectionError):
            await Client(closed.server.url).connect(auth={"dialect": "full", "token": keys[what]})
    caller = await Caller(closed.server.url).connect(token=keys["a right"])
    assert await caller.fails("join", {"room": "lobby"}) == "forbidden", "a right opens its room alone"
    await caller.close()


async def test_a_bot_is_a_bot_at_every_door(closed: Doors) -> None:
    """It says something at `/chat`, and cannot give what it has to others."""
    bot = {"Authorization": f"Bearer {(await keys_of(closed))['the token of a bot']}"}
    assert await closed.post("/chat", data="hello", headers=bot) == (204, "")
    for path, body in (
        ("/api/v1/bots", {"name": "Another"}),
        ("/api/v1/tokens", {"label": "another"}),
        ("/api/v1/links", {"role": "owner"}),
    ):
        assert (await closed.post(path, json=body, headers=bot))[0] == 403, path


async def test_an_application_calls_nobody_by_a_name_that_is_somebodys(closed: Doors) -> None:
    """Neither on the chat nor in a call, whoever signed the token; their own name stays theirs."""
    await closed.enters("Alice")
    _, room = await closed.post("/api/sessions", json={"customSessionId": SESSION}, headers=basic())
    wish = {"data": '{"clientData": "A1ice"}'}
    _, right = await closed.post(f"/api/sessions/{room}/connections", json=wish, headers=basic())
    foreign = AccessToken("AC0", KEY, SECRET, identity="Alice", grants=[VideoGrant(room=SESSION)]).to_jwt()
    for token in (right, foreign):
        assert await Caller(closed.server.url).refused(token=token) == "forbidden"
        client = await Client(closed.server.url).connect(auth={"dialect": "full", "token": token})
        accepted, refusal = await client.call("join", {"room": SESSION})
        assert (accepted, refusal["code"]) == (False, "forbidden")
        await client.close()
    bob = AccessToken("AC0", KEY, SECRET, identity="Bob", grants=[VideoGrant(room=SESSION)]).to_jwt()
    caller = await Caller(closed.server.url).connect(token=bob)
    await caller.joins(SESSION)
    await caller.close()


async def test_who_is_banned_is_told_so_at_calls_too(closed: Doors, caplog: pytest.LogCaptureFixture) -> None:
    """And it is no fault that the log would have to tell of."""
    owner, bob = await closed.enters("Olga", Role.OWNER), await closed.enters("Bob")
    assert (await owner.ask("POST", "bans", {"account": bob.id, "hours": 1}))[0] < 300
    assert await Caller(closed.server.url).refused(token=bob.token) == "forbidden"
    assert not [each for each in caplog.records if each.exc_info and each.name.startswith("chatzilla")]


PACKED: Final[dict[str, tuple[str, bytes]]] = {
    "gzip": ("gzip", gzip.compress(b'{"username": "ann"}')),
    "no gzip": ("gzip", b"hello"),
    "half of it": ("gzip", gzip.compress(b'{"username": "ann"}' * 50)[:20]),
    "no deflate": ("deflate", b"\xff\xff\xff"),
    "a way that nobody knows": ("weird", b'{"username": "ann"}'),
    "two ways": ("gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
    "megabytes of nothing": ("gzip", gzip.compress(b" " * 8_000_000)),
    "the same as deflate": ("deflate", zlib.compress(b" " * 8_000_000)),
}


async def test_a_body_that_is_packed_is_not_taken(closed: Doors, caplog: pytest.LogCaptureFixture) -> None:
    """It costs next to nothing, half of one is not taken as if it were whole, and nobody can fill the log by one."""
    alice = await closed.enters("Alice")
    _, hook = await alice.ask("POST", "hooks", {"name": "CI", "room": "lobby"})
    own = {"Authorization": f"Bearer {alice.token}"}
    _, link = await closed.link()
    began = time.process_time()
    for what, (coding, body) in PACKED.items():
        for path, more in (
            ("/login", own),
            ("/chat", own),
            ("/api/sessions", own),
            ("/api/v1/rooms/lobby/messages", own | {"Content-Type": "application/json"}),
            ("/api/v1/sign-in", {"Content-Type": "application/json"}),
            (hook["url"].removeprefix(closed.server.url), {"Content-Type": "text/plain"}),
            (f"/in/{link}", {"Content-Type": "application/x-www-form-urlencoded"}),
        ):
            headers = more | {"Content-Encoding": coding, "Connection": "close"}
            async with closed.http.post(closed.server.url + path, data=body, headers=headers) as answer:
                assert answer.status in (413, 415), (what, path, answer.status)
    assert time.process_time() - began < 10
    assert not [each for each in caplog.records if each.exc_info and each.name.startswith("chatzilla")]
    _, page = await alice.ask("GET", "rooms/lobby/messages")
    assert page["messages"] == []
    assert (await closed.post("/chat", data="hello", headers=own | {"Content-Encoding": "identity"}))[0] == 204


UNKNOWN: Final[dict[str, Any]] = {
    "X-HTTP-Method-Override": "DELETE",
    "X-Original-URL": "/api/v1/links",
    "X-Rewrite-URL": "/",
}


async def test_no_header_makes_another_request_of_one(closed: Doors) -> None:
    for name, value in UNKNOWN.items():
        async with (
            aiohttp.ClientSession(closed.server.url) as http,
            http.get("/healthz", headers={name: value}) as answer,
        ):
            assert (answer.status, (await answer.json())["status"]) == (200, "ok"), name
